"""Whatever the limits, every strategy asks and recommends what they allow, or says that they allow nothing."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from limits_as_written import cut_constraints, misses
from scipy.optimize import linprog

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Plug, complete
from mixdesk.core.protocols import Strategy
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.laws.exponential import Exponential
from mixdesk.search import PARTS
from mixdesk.testing.worlds import World, loglinear

# Tokens of the target run.
RUN = 1_000_000
# Settings of the strategies that take long without them.
QUICK = {"regmix": (("n_candidates", 4_000),)}


@st.composite
def limits(draw: st.DrawFn) -> tuple[Constraints, Corpus]:
    """What a space may be cut by, and epoch caps and licence tiers beside it; may leave nothing."""
    constraints, domains = draw(cut_constraints())
    tokens = draw(st.lists(st.integers(10_000, 2 * RUN), min_size=len(domains), max_size=len(domains)))
    corpus = Corpus(
        name="c",
        tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""),
        domains=tuple(Domain(name=name, n_tokens=n) for name, n in zip(domains, tokens, strict=True)),
    )
    if draw(st.booleans()):
        constraints = replace(constraints, max_epochs=draw(st.floats(0.5, 8.0)))
    if draw(st.booleans()):
        tiers = {name: draw(st.sampled_from(["free", "paid"])) for name in domains}
        constraints = replace(constraints, tiers=tiers, allowed_tiers=tuple(sorted({*tiers.values()}))[:1])
    if draw(st.integers(0, 3)):
        constraints = loosened(constraints, corpus, draw(st.lists(st.floats(0.01, 1.0), min_size=7, max_size=7)))
    return constraints, corpus


def loosened(constraints: Constraints, corpus: Corpus, weights: list[float]) -> Constraints:
    """The constraints, each limit as far out as it takes to allow one mixture."""
    tiers = dict(constraints.tiers)
    is_used = [not tiers or tiers[name] in constraints.allowed_tiers for name in corpus.names]
    one = Mixture.of({n: w * ok for n, w, ok in zip(corpus.names, weights, is_used, strict=False)}, normalise=True)
    w = one.as_dict()

    def hit(pattern: str) -> list[float]:
        return [w[name] for name in corpus.names if fnmatchcase(name, pattern)]

    near, most_epochs = constraints.near, constraints.max_epochs
    if near is not None:
        middle = Mixture.of(dict(near.weights), normalise=True)
        near = replace(near, nats=max(near.nats, one.kl(middle)))
    if most_epochs is not None:
        most_epochs = max(most_epochs, *(n * RUN for _, n in one.epochs(corpus, Scale(n_tokens=1))))
    return replace(
        constraints,
        lower=tuple((p, min(low, *hit(p), 1.0)) for p, low in constraints.lower),
        upper=tuple((p, max(high, *hit(p), 0.0)) for p, high in constraints.upper),
        group_lower=tuple((p, min(low, sum(hit(p)))) for p, low in constraints.group_lower),
        group_upper=tuple((p, min(max(high, sum(hit(p))), 1.0)) for p, high in constraints.group_upper),
        rules=tuple(replace(r, most=max(r.most, sum(c * sum(hit(p)) for p, c in r.terms))) for r in constraints.rules),
        near=near,
        max_epochs=most_epochs,
        pool=(*constraints.pool, one) if constraints.pool else (),
    )


def over_caps(constraints: Constraints, corpus: Corpus, mixture: Mixture, *, at_target: bool) -> float:
    """By how much a mixture misses the constraints as they are written; epochs count at the target."""
    gap = misses(constraints, corpus.names, mixture)
    weights, tiers = mixture.as_dict(), dict(constraints.tiers)
    if constraints.allowed_tiers:
        gap = max(gap, *(w for name, w in weights.items() if tiers[name] not in constraints.allowed_tiers), 0.0)
    if at_target and constraints.max_epochs is not None:
        unique = {domain.name: domain.n_tokens or 0 for domain in corpus.domains}
        gap = max(gap, *(w - constraints.max_epochs * unique[name] / RUN for name, w in weights.items()))
    return gap


def leaves_a_mixture(constraints: Constraints, corpus: Corpus) -> bool | None:
    """Whether any mixture is allowed at the target, by a linear programme of its own; None where it cannot say.

    It says no of a ball only where there is no mixture without it.
    """
    names = corpus.names
    if constraints.pool:
        gaps = [over_caps(constraints, corpus, one, at_target=True) for one in constraints.pool]
        return None if 1e-10 < min(gaps) < 1e-6 else min(gaps) <= 1e-10
    rows, most = [], []
    hits = np.eye(len(names))

    def row(pattern: str) -> Floats:
        return hits[[fnmatchcase(name, pattern) for name in names]].sum(axis=0)

    for pattern, value in constraints.lower:
        found = [-hits[i] for i, name in enumerate(names) if fnmatchcase(name, pattern)]
        rows, most = rows + found, most + [-value] * len(found)
    for pattern, value in constraints.upper:
        found = [hits[i] for i, name in enumerate(names) if fnmatchcase(name, pattern)]
        rows, most = rows + found, most + [value] * len(found)
    for pattern, value in constraints.group_lower:
        rows, most = [*rows, -row(pattern)], [*most, -value]
    for pattern, value in constraints.group_upper:
        rows, most = [*rows, row(pattern)], [*most, value]
    for rule in constraints.rules:
        rows, most = [*rows, sum(c * row(pattern) for pattern, c in rule.terms)], [*most, rule.most]
    tiers = dict(constraints.tiers)
    for i, domain in enumerate(corpus.domains):
        if constraints.allowed_tiers and tiers[domain.name] not in constraints.allowed_tiers:
            rows, most = [*rows, hits[i]], [*most, 0.0]
        if constraints.max_epochs is not None:
            rows, most = [*rows, hits[i]], [*most, constraints.max_epochs * (domain.n_tokens or 0) / RUN]
    # The least s with every limit loosened by s.
    d, table = len(names), np.array(rows).reshape(-1, len(names))
    done = linprog(
        np.append(np.zeros(d), 1.0),
        A_ub=np.hstack([table, -np.ones((len(table), 1))]) if len(table) else None,
        b_ub=most if len(table) else None,
        A_eq=np.append(np.ones(d), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * d + [(0.0, None)],
    )
    if done.fun >= 1e-6:
        return False
    return None if done.fun > 1e-12 or constraints.near is not None else True


def view_of(world: World, constraints: Constraints, corpus: Corpus, seed: int) -> StudyView:
    return StudyView(
        name="property",
        domains=corpus.names,
        objective=Objective(terms={"*": 1.0}),
        constraints=constraints,
        rungs=(Rung(label="proxy", scale=Scale(n_tokens=1000)), Rung(label="target", scale=Scale(n_tokens=RUN))),
        metrics=world.metrics,
        trials=(),
        seed=seed,
        corpus=corpus,
        natural=Mixture.natural(corpus),
        budget=Budget(n_trials=3 * (len(corpus.domains) + 1)),
    )


def answered(strategy: Strategy, view: StudyView, world: World) -> StudyView:
    """The study when the strategy has asked all it wants, eight at a time."""
    while proposals := strategy.ask(view, 8):
        trials = []
        for proposal in proposals:
            spec = complete(proposal, view.rungs)
            renamed = dict(zip(world.domains, spec.mixture.over(view.domains), strict=True))
            values = world.measure(Mixture.of(renamed), spec.replicate)
            point = Point(n_tokens=1000, metrics=tuple(values.items()))
            trials.append(Trial(spec=spec, state="done", rung=proposal.rung, points=(point,)))
        view = replace(view, trials=(*view.trials, *trials))
    return view


@pytest.mark.parametrize("name", PARTS)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(asked=limits(), seed=st.integers(0, 1000))
def test_what_is_asked_and_recommended_keeps_the_limits(
    name: str, asked: tuple[Constraints, Corpus], seed: int
) -> None:
    constraints, corpus = asked
    world = loglinear(len(corpus.domains), 2, 1, 0.1)
    law = Exponential()
    strategy = registry.make("strategies", Plug(name=name, options=QUICK.get(name, ())), law=law)
    is_possible = leaves_a_mixture(constraints, corpus)
    view = view_of(world, constraints, corpus, seed)
    try:
        first = strategy.ask(view, 1)
    except Infeasible:
        event("refused")
        assert is_possible is not True, "refuses what can be had"
        return
    assert is_possible is not False, "asks though nothing is allowed"
    assert first or constraints.pool, "asks something"
    view = answered(strategy, view, world)
    for trial in view.trials:
        gap = over_caps(constraints, corpus, trial.spec.mixture, at_target=trial.rung == "target")
        assert gap <= 1e-9, f"asked what misses the limits by {gap:.2g}"
    n_mixtures = view.n_mixtures(view.rungs[0])
    if n_mixtures <= len(corpus.domains) + 1:
        event("too few mixtures for a law")
        return
    event("recommended")
    found = strategy.recommend(view, law.fit(view.observations()))
    assert over_caps(constraints, corpus, found.mixture, at_target=True) <= 1e-9
