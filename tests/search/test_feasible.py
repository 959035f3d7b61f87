"""Constraints beyond boxes: what they allow, what clashes and what would do, and that every search obeys them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import corners, names, random_law, view_of

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Near, Rule, Space
from mixdesk.search.design import METHODS, Design
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle
from mixdesk.search.move import smallest_step
from mixdesk.search.pareto import pareto_set
from mixdesk.search.simulate import RegMix

NAMES = ("code/c", "code/py", "web")
EVEN = Near(weights={"d000": 1.0, "d001": 1.0, "d002": 1.0, "d003": 1.0}, nats=0.1)
CUTS = {
    "groups": Constraints(group_lower={"d00[01]": 0.3}, group_upper={"d00[23]": 0.6, "d00[13]": 0.5}),
    "rule": Constraints(rules=(Rule(name="code to web", terms={"d000": 1.0, "d001": -2.0}, most=-0.1),)),
    "ball": Constraints(near=EVEN, upper={"d003": 0.2}),
    "tied": Constraints(group_lower={"d00[01]": 0.4}, group_upper={"d00[01]": 0.4}),
    "pool": Constraints(
        pool=tuple(
            Mixture.of(dict(zip(names(4), row, strict=True)), normalise=True)
            for row in np.random.default_rng(5).dirichlet(np.ones(4), size=40).tolist()
        ),
        upper={"d*": 0.7},
    ),
}


def settled(constraints: Constraints, domains: tuple[str, ...] = NAMES) -> Space:
    return settle(Space.build(constraints, domains))


def corpus_of(*tokens: int | None) -> Corpus:
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in zip(NAMES, tokens, strict=True))
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""), domains=domains)


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        (
            Constraints(group_lower={"code/*": 0.5}, lower={"web": 0.6}),
            ["`sum of code/* ≥ 0.5`", "`web ≥ 0.6`", "missed by 0.1 in all", "by 0.1"],
        ),
        (
            Constraints(rules=(Rule(name="little code", terms={"code/*": 1.0}, most=0.2),), upper={"web": 0.5}),
            ["`little code ≤ 0.2`", "`web ≤ 0.5`", "by 0.3"],
        ),
        (
            Constraints(
                near=Near(weights={"code/c": 1, "code/py": 1, "web": 2}, nats=0.01), group_upper={"code/*": 0.1}
            ),
            ["`near ≤ 0.01 nats`", "`sum of code/* ≤ 0.1`", "raise near.nats to 0.3681"],
        ),
        (
            Constraints(pool=(Mixture.of({"web": 0.9, "code/c": 0.1}), Mixture.of({"web": 1.0})), upper={"web": 0.5}),
            ["no mixture of the pool", "number 1 of 2", "loosen `web ≤ 0.5` by 0.4, or widen the pool"],
        ),
    ],
)
def test_a_clash_is_named_with_its_smallest_relaxation(constraints: Constraints, words: list[str]) -> None:
    with pytest.raises(Infeasible) as caught:
        settled(constraints)
    for word in words:
        assert word in str(caught.value)


def test_a_ball_raised_as_told_is_enough_and_less_is_not() -> None:
    near = Near(weights={"code/c": 1, "code/py": 1, "web": 2}, nats=0.01)
    caps = {"code/*": 0.1}
    # Within the groups the middle's shares stay, so the nearest is (0.05, 0.05, 0.9).
    least = 0.1 * np.log(0.1 / 0.5) + 0.9 * np.log(0.9 / 0.5)
    space = settled(Constraints(near=replace(near, nats=0.3681), group_upper=caps))
    assert space.inside_d == pytest.approx([0.05, 0.05, 0.9], abs=1e-6)
    with pytest.raises(Infeasible):
        settled(Constraints(near=replace(near, nats=least - 1e-6), group_upper=caps))


def test_licence_tiers_shut_out_what_is_not_allowed() -> None:
    tiers = {"code/*": "copyleft", "code/py": "open", "web": "open"}
    space = settled(Constraints(tiers=tiers, allowed_tiers=("open",)))
    assert space.upper_d.tolist() == [0.0, 1.0, 1.0]
    assert space.binding(Mixture.of({"web": 1.0}))[0] == "code/c ≤ 0 (licence tier copyleft)"
    with pytest.raises(InputError, match="`web` has no licence tier"):
        settled(Constraints(tiers={"code/*": "open"}, allowed_tiers=("open",)))
    with pytest.raises(InputError, match="did you mean `open`"):
        Constraints(tiers=tiers, allowed_tiers=("opne",))


def test_epochs_are_given_exactly_or_capped_by_pattern() -> None:
    limits = Constraints(max_epochs=4.0, epoch_caps={"web": 1.0}, epochs={"code/c": 2.0})
    space = Space.build(limits, NAMES, corpus_of(50, 100, 600), Scale(n_tokens=1000))
    assert space.lower_d == pytest.approx([0.1, 0.0, 0.0])
    assert space.upper_d == pytest.approx([0.1, 0.4, 0.6])
    assert space.why_lower[0] == "code/c = 2 epochs (0.1 of the run)"
    with pytest.raises(InputError, match="`epochs` cannot be applied to `web`"):
        Space.build(Constraints(epochs={"web": 1.0}), NAMES, corpus_of(50, 100, None), Scale(n_tokens=1000))


@pytest.mark.parametrize(
    "limits",
    [
        Constraints(group_upper={"wbe": 0.1}),
        Constraints(rules=(Rule(name="r", terms={"wbe": 1.0}, most=0.1),)),
        Constraints(near=Near(weights={"wbe": 1.0}, nats=0.1)),
        Constraints(pool=(Mixture.of({"wbe": 1.0}),)),
        Constraints(tiers={"wbe": "open"}),
    ],
)
def test_unknown_names_are_refused_everywhere(limits: Constraints) -> None:
    with pytest.raises(InputError, match="did you mean `web`"):
        settled(limits)


@pytest.mark.parametrize("cut", CUTS)
def test_every_search_obeys(cut: str) -> None:
    law = random_law(4, 3)
    view = view_of(4, corners(4), law=law, constraints=CUTS[cut], natural=(0.4, 0.3, 0.2, 0.1))
    space = settled(CUTS[cut], names(4))
    asked = [p.mixture for method in METHODS for p in Design(method=method).ask(view, 30)]
    best = Exact().recommend(view, law)
    found = [best.mixture, RegMix(n_candidates=4_000).recommend(view, law).mixture]
    found += [point.mixture for point in pareto_set(view, law, ("m0", "m1"))]
    worst = max(space.project(np.eye(4)), key=lambda row: float(law.mean(row[None]).mean()))
    found.append(smallest_step(view, law, space.mixture(worst), 1e-3).mixture)
    rows = np.array([mixture.over(names(4)) for mixture in (*asked, *found)])
    assert space.contains(rows, 1e-9).all()
    assert len(asked) >= 30
    assert "could not verify" not in best.why


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        (Constraints(group_upper={"d00[01]": 0.5}), "sum of d00[01] ≤ 0.5"),
        (Constraints(rules=(Rule(name="tilt", terms={"d000": 1.0, "d001": -2.0}, most=-0.4),)), "tilt ≤ -0.4"),
        (Constraints(near=replace(EVEN, nats=0.02)), "near ≤ 0.02 nats"),
    ],
)
def test_the_exact_answer_beats_every_mixture_sampled_and_names_what_holds_it(limits: Constraints, held: str) -> None:
    law = random_law(4, 3, seed=2)
    view = view_of(4, corners(4), law=law, constraints=limits)
    found = Exact(kl=0.0).recommend(view, law)
    space = settled(limits, names(4))
    sampled = space.project(np.random.default_rng(0).dirichlet(np.ones(4), size=20_000))
    assert law.mean(np.array([found.mixture.over(names(4))])).mean() <= law.mean(sampled).mean(axis=1).min() + 1e-9
    assert found.binding == (held,)
