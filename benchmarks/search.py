"""How long do searches take? Seconds on one core, each beside its bound.

    OMP_NUM_THREADS=1 python benchmarks/search.py

1. exact search over 1,000 domains, 20 metrics and 200 runs, with an epoch cap on every domain and rules on groups: 5 s;
   and whether the answer was verified
2. 10,000 allowed mixtures of 100 domains under tight caps, alone and with rules on groups: 2 s
3. one ask of Bayesian optimisation with 500 trials of 17 domains, one rung and two (extra `bayes`): 5 s

Gates are timed in processor seconds, so that other work on the machine does not count. The law is a sum of
exponentials in closed form: only searches are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Metric, Prediction
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.scale import Rung, Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.search.bayes import Bayes
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle
from mixdesk.search.sample import hit_and_run

# Tokens of the target run, and unique tokens of all domains.
RUN, UNIQUE = 10**9, 5 * 10**8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exponentials:
    """y_m = exp(t_m · w) with its slopes; draws move t a little."""

    domains: tuple[str, ...]
    t_md: Floats

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names m00, m01 and so on."""
        return tuple(f"m{j:02d}" for j in range(len(self.t_md)))

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Values, and as many draws as asked for."""
        W_qd = inputs.over(self.domains)
        mean_qm = np.exp(W_qd @ self.t_md.T)
        rng = np.random.default_rng(0)
        drawn = [np.exp(W_qd @ (self.t_md + rng.normal(0.0, 0.1, self.t_md.shape)).T) for _ in range(draws)]
        draws_kqm = np.array(drawn) if draws else None
        return Prediction(metrics=self.metrics, mean_qm=mean_qm, low_qm=mean_qm, high_qm=mean_qm, draws_kqm=draws_kqm)

    def gradient(self, W_qd: Floats) -> Floats:
        """Slopes, (q, m, d)."""
        slopes: Floats = np.exp(W_qd @ self.t_md.T)[:, :, None] * self.t_md
        return slopes

    def browser(self) -> dict[str, Any]:
        """Nothing: no page is drawn."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Nothing: no fit is kept."""
        return {}


def corpus_of(natural_d: Floats) -> Corpus:
    domains = [Domain(name=f"d{j:04d}", n_tokens=max(int(w * UNIQUE), 1)) for j, w in enumerate(natural_d)]
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""), domains=tuple(domains))


def study(d: int = 1000, m: int = 20, n: int = 200) -> tuple[StudyView, Exponentials]:
    """Runs around natural, four epochs at most of every domain, bounds on sums of a hundred domains each."""
    rng = np.random.default_rng(0)
    natural_d = rng.dirichlet(np.ones(d)) + 1e-5
    natural_d /= natural_d.sum()
    corpus = corpus_of(natural_d)
    t_md = rng.uniform(-0.3, 0.5, (m, d))
    t_md[np.arange(m), np.arange(m)] = -rng.uniform(1.0, 5.0, m)
    law = Exponentials(domains=corpus.names, t_md=t_md)
    W_nd = rng.dirichlet(100.0 * natural_d, n)
    Y_nm = law.predict(Inputs.of(corpus.names, W_nd)).mean_qm
    trials = []
    for w_d, y_m in zip(W_nd, Y_nm, strict=True):
        mixture = Mixture.of(dict(zip(corpus.names, w_d.tolist(), strict=True)), normalise=True)
        point = Point(n_tokens=1, metrics=dict(zip(law.metrics, y_m.tolist(), strict=True)))
        spec = TrialSpec(plan=RunPlan(schedule=Schedule.constant(mixture)))
        trials.append(Trial(spec=spec, state="done", rung="proxy", points=(point,)))
    sums = natural_d.reshape(10, -1).sum(1)
    limits = Constraints(
        max_epochs=4.0,
        group_upper={f"d0{j}*": 1.1 * sums[j] for j in range(3)},
        group_lower={"d05*": 0.9 * sums[5]},
    )
    view = StudyView(
        name="search",
        domains=corpus.names,
        objective=Objective(terms={"*": 1.0}),
        constraints=limits,
        rungs=(Rung(label="proxy"), Rung(label="target", scale=Scale(n_tokens=RUN))),
        metrics=tuple(Metric(name=name) for name in law.metrics),
        trials=tuple(trials),
        corpus=corpus,
        natural=Mixture.natural(corpus),
    )
    return view, law


def capped(d: int = 100, *, with_groups: bool) -> Space:
    """Caps of twice the natural weights, and bounds on the sums of two groups."""
    natural_d = np.random.default_rng(1).dirichlet(np.ones(d)) + 1e-4
    corpus = corpus_of(natural_d / natural_d.sum())
    share = np.array(Mixture.natural(corpus).weights)
    groups = {"group_upper": {"d000*": 0.9 * share[:10].sum()}, "group_lower": {"d001*": 1.1 * share[10:20].sum()}}
    limits = Constraints(max_epochs=4.0, **(groups if with_groups else {}))
    return settle(Space.build(limits, corpus.names, corpus, Scale(n_tokens=RUN)))


def timed(what: str, bound: float, run: Callable[[], str]) -> None:
    wall, start = time.perf_counter(), time.process_time()
    told = run()
    took, wall = time.process_time() - start, time.perf_counter() - wall
    print(
        f"{'PASS' if took <= bound else 'FAIL'}  {took:6.2f} s (≤ {bound:g} s; {wall:.2f} s on the clock)  {what}{told}"
    )


def many_trials(n: int = 500, d: int = 17, *, n_rungs: int) -> StudyView:
    """A study with n trials of a bowl, a tenth of them at the second rung where there are two."""
    rng = np.random.default_rng(2)
    corpus = corpus_of(np.full(d, 1.0 / d))
    rungs = (Rung(label="small", flops=1.0), Rung(label="target", flops=20.0))[:n_rungs]
    trials = []
    for i, w_d in enumerate(rng.dirichlet(np.full(d, 0.5), n)):
        mixture = Mixture.of(dict(zip(corpus.names, w_d.tolist(), strict=True)), normalise=True)
        value = float(((w_d - 1.0 / d) ** 2).sum() + 0.01 * rng.standard_normal())
        spec = TrialSpec(plan=RunPlan(schedule=Schedule.constant(mixture)))
        rung = rungs[-1] if i % 10 == 0 else rungs[0]
        point = Point(n_tokens=1, metrics=(("m00", value),))
        trials.append(Trial(spec=spec, state="done", rung=rung.label, points=(point,)))
    return StudyView(
        name="bayes",
        domains=corpus.names,
        objective=Objective(terms={"m00": 1.0}),
        constraints=Constraints(),
        rungs=rungs,
        metrics=(Metric(name="m00"),),
        trials=tuple(trials),
        corpus=corpus,
        natural=Mixture.natural(corpus),
    )


def main() -> None:
    view, law = study()

    def exact() -> str:
        why = Exact().recommend(view, law).why
        return ": not verified" if "could not verify" in why else ": verified"

    def sampled(space: Space) -> Callable[[], str]:
        def run() -> str:
            rows = hit_and_run(space, 10_000, np.random.default_rng(0))
            return "" if space.contains(rows).all() else ": some not allowed"

        return run

    timed("exact search over 1,000 domains", 5.0, exact)
    timed("10,000 mixtures of 100 domains under caps", 2.0, sampled(capped(with_groups=False)))
    timed("10,000 mixtures of 100 domains under caps and groups", 2.0, sampled(capped(with_groups=True)))
    for n_rungs in (1, 2):
        many = many_trials(n_rungs=n_rungs)
        timed(
            f"a Bayesian ask at 500 trials, rungs: {n_rungs}", 5.0, lambda v=many: f": {len(Bayes().ask(v, 4))} asked"
        )


if __name__ == "__main__":
    main()
