"""A league of strategies: cases whose worlds, prices, limits and best mixtures are known, and the driver that plays.

    case = CASES["moving-17"](seed)
    for view in play(strategy, case.view(seed), case.answer, batch=8, until=case.budgets[0]):
        ...
    case.regret(strategy.recommend(view, law.fit(view.observations())).mixture)

A case of one size has one rung, and its budgets count trials. One of two sizes has the rungs `proxy` and `target`; a
target run costs as much as 20 proxies, and budgets are FLOPs in units of a proxy. Names end in the number of domains:

    smooth        convex: every domain helps and saturates
    interacting   domains help or repeat each other
    repeats       text runs out: repeats are worth less and less
    uneven        peaked mixtures are up to four times as noisy as even ones
    capped        the smooth world under epoch caps, bounds of single domains and a group's
    sizes         one metric at two sizes, of rank correlation 0.9
    close         the same, 0.98
    moving        two run lengths of the world of repeats: the best mixture moves with scale
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, partial

import numpy as np

from mixdesk.core.corpus import Corpus
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats
from mixdesk.core.plan import TrialSpec, complete
from mixdesk.core.protocols import Strategy
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.testing.repeats import with_repeats
from mixdesk.testing.scales import two_scales
from mixdesk.testing.worlds import World, heteroscedastic, power, power_sum, swarm

SIZES = (5, 17, 100)
SEEDS = range(20)
# Metrics of a case, few so that laws stay cheap, and sd of a run relative to each metric's spread over even mixtures.
N_METRICS, NOISE = 2, 0.2
# Price of a target run in proxies, and ranks of mixtures that both sizes share.
RATIO, RANK, CLOSE = 20.0, 0.9, 0.98
# Tokens of proxy and target in passes over the whole corpus: a target that repeats what is scarce many times.
SHORT, LONG = 0.2, 0.2 * RATIO
# Model size of both: only runs' lengths differ, and FLOPs with them.
N_PARAMS = 1_000_000
# Budgets per domain and one more: trials of one size; with two sizes the FLOPs of a fifth as many target runs.
PER_DOMAIN, PART = (2, 4), 5
# Capped cases: epochs at most; parts of their natural weight that the first domain and the domains of one pattern may
# have at most, those of another must have.
MAX_EPOCHS, FIRST = 8.0, 1.2
LESS, SHRUNK, MORE, GROWN = "d?[01]", 0.8, "d?[23]", 1.1
# Mixtures of the swarm whose standard deviation is the unit of regret.
N_SPREAD = 512

# What is wanted in every case.
MEAN = Objective(terms=(("*", 1.0),))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A question with a known answer.

    `worlds` one per rung, in the order of `rungs`; the last is the target. `budgets` from small to large.
    """

    name: str
    worlds: tuple[World, ...]
    rungs: tuple[Rung, ...]
    constraints: Constraints
    budgets: tuple[Budget, ...]
    objective: Objective = MEAN

    @property
    def space(self) -> Space:
        """The mixtures allowed at the target; not settled."""
        target = self.worlds[-1]
        return Space.build(self.constraints, target.domains, target.corpus, self.rungs[-1].scale)

    @property
    def optimum(self) -> tuple[Floats, float]:
        """Weights (d,) and true objective of the best allowed mixture at the target."""
        return _optimum(self)

    @property
    def spread(self) -> float:
        """Standard deviation of the true objective at the target over a swarm of 512 mixtures, limits left aside."""
        return _spread(self)

    def value(self, W_qd: Floats) -> Floats:
        """True objective of each mixture at the target, (q,)."""
        target = self.worlds[-1]
        return self.objective.value(target.value(W_qd), target.metrics)

    def regret(self, mixture: Mixture) -> float:
        """(True objective at the target − that of the best allowed mixture) ÷ spread; infinite where not allowed."""
        w_d = np.array(mixture.over(self.worlds[-1].domains))
        if not self.space.contains(w_d)[0]:
            return float("inf")
        return float(self.value(w_d)[0] - self.optimum[1]) / self.spread

    def view(self, seed: int = 0) -> StudyView:
        """The study before its first trial, without a budget: `play` sets that."""
        target = self.worlds[-1]
        return StudyView(
            name=self.name,
            domains=target.domains,
            objective=self.objective,
            constraints=self.constraints,
            rungs=self.rungs,
            metrics=target.metrics,
            trials=(),
            seed=seed,
            corpus=target.corpus,
            natural=Mixture.natural(target.corpus),
        )

    def answer(self, spec: TrialSpec, rung: str) -> Trial:
        """The trial of a question, measured in the rung's world: a pure function of both."""
        at = [one.label for one in self.rungs].index(rung)
        values = self.worlds[at].measure(spec.mixture, spec.replicate)
        point = Point(n_tokens=spec.plan.scale.n_tokens or 1, metrics=tuple(values.items()))
        return Trial(spec=spec, state="done", rung=rung, points=(point,), flops=self.rungs[at].flops)


def play(
    strategy: Strategy, view: StudyView, answer: Callable[[TrialSpec, str], Trial], batch: int, until: Budget
) -> Iterator[StudyView]:
    """The study after every batch of ≤ `batch` trials, until the budget is spent or the strategy asks no more.

    Every trial has its answer before the next batch is asked.

    Raises:
        AssertionError: the strategy asks for more than `batch`, or than the budget allows.
    """
    view = replace(view, budget=until)
    fingerprint = view.corpus.fingerprint if view.corpus is not None else None
    while proposals := strategy.ask(view, batch):
        assert len(proposals) <= batch, "asks no more than it is asked for"
        assert view.affordable(proposals) == proposals, "asks within the budget"
        trials = tuple(
            replace(answer(complete(proposal, view.rungs, fingerprint), proposal.rung), why=proposal.why)
            for proposal in proposals
        )
        view = replace(view, trials=view.trials + trials)
        yield view


@cache
def _optimum(case: Case) -> tuple[Floats, float]:
    return case.worlds[-1].optimum(case.objective, case.space)


@cache
def _spread(case: Case) -> float:
    return float(case.value(swarm(case.worlds[-1], N_SPREAD)).std())


def _tokens(corpus: Corpus, passes: float) -> int:
    """Tokens of a run of so many passes over the corpus."""
    return round(passes * sum(domain.n_tokens or 0 for domain in corpus.domains))


def _one_size(kind: str, d: int, seed: int) -> Case:
    """A case whose trials are target runs."""
    world = _ONE[kind](d, N_METRICS, seed, NOISE)
    rung = Rung(label="target", scale=Scale(n_tokens=_tokens(world.corpus, LONG), n_params=N_PARAMS), flops=1.0)
    return Case(
        name=f"{kind}-{d}",
        worlds=(world,),
        rungs=(rung,),
        constraints=_tight(world) if kind == "capped" else Constraints(),
        budgets=tuple(Budget(n_trials=per * (d + 1)) for per in PER_DOMAIN),
    )


def _two_sizes(kind: str, d: int, seed: int) -> Case:
    """A case of short proxies and a long target run."""
    worlds = _TWO[kind](d, N_METRICS if kind == "moving" else 1, seed, NOISE)
    rungs = tuple(
        Rung(label=label, scale=Scale(n_tokens=_tokens(worlds[0].corpus, passes), n_params=N_PARAMS), flops=flops)
        for label, passes, flops in (("proxy", SHORT, 1.0), ("target", LONG, RATIO))
    )
    return Case(
        name=f"{kind}-{d}",
        worlds=worlds,
        rungs=rungs,
        constraints=Constraints(),
        budgets=tuple(Budget(flops=per * (d + 1) * RATIO / PART) for per in PER_DOMAIN),
    )


def _moving(d: int, m: int, seed: int, noise: float) -> tuple[World, World]:
    """One world in a short and in a long run."""
    world = power(d, m, seed, noise)
    short, long = (_tokens(world.corpus, passes) for passes in (SHORT, LONG))
    return with_repeats(world, short, long), with_repeats(world, long, long)


def _ranked(rank: float, d: int, m: int, seed: int, noise: float) -> tuple[World, World]:
    both = two_scales(power(d, m, seed, noise), seed, rank)
    return both.small, both.large


def _tight(world: World) -> Constraints:
    """Caps of eight epochs (twice the natural weights), less of some domains and more of others than is natural."""
    natural = Mixture.natural(world.corpus).as_dict()

    def share(pattern: str) -> float:
        return sum(weight for name, weight in natural.items() if fnmatchcase(name, pattern))

    first = world.domains[0]
    return Constraints(
        max_epochs=MAX_EPOCHS,
        upper=((first, FIRST * natural[first]),),
        group_upper=((LESS, SHRUNK * share(LESS)),),
        group_lower=((MORE, GROWN * share(MORE)),),
    )


_ONE: dict[str, Callable[[int, int, int, float], World]] = {
    "smooth": power,
    "interacting": power_sum,
    "repeats": lambda d, m, seed, noise: _moving(d, m, seed, noise)[1],
    "uneven": heteroscedastic,
    "capped": power,
}
_TWO: dict[str, Callable[[int, int, int, float], tuple[World, World]]] = {
    "sizes": partial(_ranked, RANK),
    "close": partial(_ranked, CLOSE),
    "moving": _moving,
}

# Cases by name: seed → case. A case made twice is the same object, so that its best mixture is sought once.
CASES: dict[str, Callable[[int], Case]] = {
    f"{kind}-{d}": cache(partial(make, kind, d))
    for make, kinds in ((_one_size, _ONE), (_two_sizes, _TWO))
    for kind in kinds
    for d in SIZES
}
