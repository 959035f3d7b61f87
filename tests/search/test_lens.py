"""Lenses: tied groups allow what their expansion allows, temperatures lie between natural and uniform, quality curves
integrate, fall with rank and leave other domains alone.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from search_worlds import corners, law_of, names, random_law, view_of

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.project import nats_of
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Near, Rule, Space
from mixdesk.search.design import Design
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle
from mixdesk.search.lens import Curves, Leaves, Tied, merged, temper, token_rank
from mixdesk.search.simulate import RegMix

SIX = names(6)
GROUPS = {
    "old": Mixture.of({"d000": 0.25, "d001": 0.25, "d002": 0.5}),
    "pair": Mixture.of({"d004": 0.9, "d005": 0.1}),
}
TIED = Tied.of(SIX, GROUPS)
LEAVES = ("web/q2", "web/q1", "web/q3", "web/q4", "code/q1", "code/q2", "books")
TOKENS = np.array([300.0, 100.0, 400.0, 200.0, 60.0, 40.0, 900.0])


def corpus_of(domains: tuple[str, ...], tokens: tuple[int, ...]) -> Corpus:
    found = tuple(Domain(name=name, n_tokens=n) for name, n in zip(domains, tokens, strict=True))
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""), domains=found)


def bins(domain: str, n: int = 4) -> tuple[str, ...]:
    return tuple(f"{domain}/q{b}" for b in range(1, n + 1))


# Tied groups.


def test_the_example_of_the_paper() -> None:
    tied = Tied.of(("a", "b", "c", "new"), {"old": Mixture.of({"a": 0.25, "b": 0.25, "c": 0.5})})
    assert tied.names == ("old", "new")
    np.testing.assert_allclose(tied.expand(np.array([0.4, 0.6])), [[0.1, 0.1, 0.2, 0.6]])
    np.testing.assert_allclose(tied.reduce(np.array([0.1, 0.1, 0.2, 0.6])), [[0.4, 0.6]])


def test_groups_stand_where_their_first_domain_stood_and_natural_is_the_sum() -> None:
    tied = Tied.of(("a", "b", "c", "d"), {"bd": Mixture.of({"b": 0.5, "d": 0.5})})
    assert tied.names == ("a", "bd", "c")
    np.testing.assert_allclose(tied.reduce(np.array([0.1, 0.2, 0.3, 0.4])), [[0.1, 0.6, 0.3]])


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(),
        Constraints(lower={"d001": 0.05, "d005": 0.01}, upper={"d002": 0.3, "d003": 0.5, "d004": 0.35}),
        Constraints(max_epochs=4.0, epoch_caps={"d000": 1.0}),
        Constraints(group_upper={"d00[14]": 0.3}, group_lower={"d00[35]": 0.2}),
        Constraints(rules=(Rule(name="tilt", terms={"d000": 1.0, "d003": -2.0, "d005": 3.0}, most=-0.1),)),
        Constraints(near=Near(weights=dict(zip(SIX, (4.0, 1.0, 2.0, 3.0, 3.0, 2.0), strict=True)), nats=0.3)),
        Constraints(near=Near(weights=dict(zip(SIX, (4.0, 1.0, 2.0, 3.0, 0.0, 2.0), strict=True)), nats=0.7)),
    ],
    ids=["all", "bounds", "epochs", "groups", "rule", "ball", "ball with a hole"],
)
def test_a_reduced_mixture_is_allowed_exactly_where_its_expansion_is(constraints: Constraints) -> None:
    corpus = corpus_of(SIX, (300, 500, 900, 800, 700, 200))
    full = settle(Space.build(constraints, SIX, corpus, Scale(n_tokens=4000)))
    reduced = TIED.space(full)
    rng = np.random.default_rng(0)
    V_qv = np.vstack([rng.dirichlet(np.ones(3), 3000), reduced.project(rng.dirichlet(np.ones(3), 500))])
    is_allowed = full.contains(TIED.expand(V_qv))
    assert is_allowed[3000:].all()
    assert is_allowed[:3000].mean() > 0.01 or constraints.near is not None
    near_rim = full.contains(TIED.expand(V_qv), 1e-7) != full.contains(TIED.expand(V_qv), -1e-7)
    assert (reduced.contains(V_qv) == is_allowed)[~near_rim].all()


def test_the_scarcest_domain_caps_its_group() -> None:
    corpus = corpus_of(SIX, (300, 500, 900, 800, 700, 200))
    full = Space.build(Constraints(max_epochs=4.0), SIX, corpus, Scale(n_tokens=9000))
    reduced = TIED.space(full)
    assert reduced.upper_d[0] == pytest.approx(
        min(4 * 300 / (9000 * 0.25), 4 * 500 / (9000 * 0.25), 4 * 900 / (9000 * 0.5))
    )
    assert reduced.why_upper[0].startswith("old ≤ 0.533333 (for d000 ≤ 4 epochs")
    assert reduced.why_upper[1].startswith("d003 ≤ 4 epochs")


def test_a_ball_is_as_far_away_in_both_spaces() -> None:
    near = Near(weights=dict(zip(SIX, (4.0, 1.0, 2.0, 3.0, 3.0, 2.0), strict=True)), nats=0.3)
    full = settle(Space.build(Constraints(near=near), SIX))
    reduced = TIED.space(full)
    V_qv = np.random.default_rng(1).dirichlet(np.ones(3), 50)
    np.testing.assert_allclose(nats_of(V_qv, reduced.near_d), nats_of(TIED.expand(V_qv), full.near_d), atol=1e-12)


def test_a_pool_keeps_its_mixtures_with_the_frozen_shares() -> None:
    V_qv = np.random.default_rng(2).dirichlet(np.ones(3), 4)
    rows = np.vstack([TIED.expand(V_qv), np.random.default_rng(3).dirichlet(np.ones(6), 4)])
    pool = tuple(Mixture.of(dict(zip(SIX, row.tolist(), strict=True)), normalise=True) for row in rows)
    reduced = TIED.space(settle(Space.build(Constraints(pool=pool), SIX)))
    np.testing.assert_allclose(reduced.pool_qd, V_qv)
    with pytest.raises(Infeasible, match="no mixture of the pool has the tied inner shares"):
        TIED.space(settle(Space.build(Constraints(pool=pool[4:]), SIX)))


def test_what_the_shares_forbid_is_told() -> None:
    clash = Constraints(lower={"d001": 0.2}, upper={"d002": 0.3})
    with pytest.raises(Infeasible, match=r"`old ≥ 0.8 \(for d001 ≥ 0.2\)`, `old ≤ 0.6 \(for d002 ≤ 0.3\)`"):
        TIED.space(Space.build(clash, SIX))
    without = Tied.of(SIX, {"old": Mixture.of({"d000": 1.0, "d001": 0.0})})
    np.testing.assert_allclose(without.expand(np.full(5, 0.2))[0], [0.2, 0.0, 0.2, 0.2, 0.2, 0.2])
    with pytest.raises(Infeasible, match="has none of it"):
        without.space(Space.build(clash, SIX))


def test_wrong_groups_are_refused() -> None:
    one = Mixture.of({"d000": 1.0})
    with pytest.raises(InputError, match="tied twice"):
        Tied.of(SIX, {"a": one, "b": one})
    with pytest.raises(InputError, match="name twice"):
        Tied.of(SIX, {"d003": one})
    with pytest.raises(InputError, match="unknown domain"):
        Tied.of(SIX, {"a": Mixture.of({"elsewhere": 1.0})})


def test_reuse_keeps_the_law_and_never_beats_the_free_search() -> None:
    law = random_law(4, 3, seed=4)
    tied = Tied.of(names(4), {"d000": Mixture.of({"d000": 0.3, "d003": 0.7})})
    collapsed = law_of(law.t_md @ tied.share_vd.T)
    V_qv = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    np.testing.assert_allclose(collapsed.mean(V_qv), law.mean(tied.expand(V_qv)))
    free = Exact(kl=0.0).recommend(view_of(4, corners(4), law=law), law).mixture.over(names(4))
    reused = Exact(kl=0.0).recommend(view_of(3, corners(3), law=collapsed), collapsed).mixture.over(names(3))
    assert law.mean(np.array([free])).mean() < law.mean(tied.expand(np.array(reused))).mean()


@pytest.mark.parametrize("strategy", [Exact(kl=0.0), RegMix(n_candidates=2_000), Design()])
def test_as_rules_the_ties_hold_in_any_study(strategy: Exact | RegMix | Design) -> None:
    law = random_law(6, 3, seed=4)
    limits = Constraints(rules=TIED.rules, upper={"d002": 0.3})
    asked = [p.mixture.over(SIX) for p in strategy.ask(view_of(6, constraints=limits), 38)]
    W = np.vstack([TIED.expand(np.eye(3)), asked])
    found = strategy.recommend(view_of(6, W, law=law, constraints=limits), law).mixture.over(SIX)
    for rows in (np.array(asked), np.array([found])):
        np.testing.assert_allclose(TIED.expand(TIED.reduce(rows)), rows, atol=1e-8)
    assert len(np.unique(np.round(asked, 6), axis=0)) > 20
    reduced = TIED.space(settle(Space.build(Constraints(upper={"d002": 0.3}), SIX)))
    V_qv = reduced.project(np.random.default_rng(0).dirichlet(np.ones(3), 2000))
    values = law.mean(TIED.expand(V_qv)).mean(axis=1)
    assert law.mean(np.array([found])).mean() < values.min() + 0.1 * np.ptp(values)


# Temperature.


def test_temperatures_run_from_natural_to_uniform() -> None:
    natural = np.array([0.6, 0.3, 0.1])
    W = temper(natural, np.array([1.0, 2.0, np.inf]))
    np.testing.assert_allclose(W[0], natural)
    np.testing.assert_allclose(W[1], np.sqrt(natural) / np.sqrt(natural).sum())
    np.testing.assert_allclose(W[2], 1 / 3)
    many = temper(natural, np.geomspace(1.0, 100.0, 20))
    assert (np.diff(many[:, 0]) < 0.0).all()
    assert (np.diff(many[:, 2]) > 0.0).all()
    np.testing.assert_allclose(temper(np.array([0.5, 0.5, 0.0]), np.inf), [[0.5, 0.5, 0.0]])
    with pytest.raises(InputError, match="temperature"):
        temper(natural, 0.5)


def test_temperature_within_groups_keeps_their_weights() -> None:
    natural = np.array([0.6, 0.1, 0.25, 0.05])
    W = temper(natural, np.array([1.0, np.inf]), within=("a/x", "a/y", "b/x", "b/y"))
    np.testing.assert_allclose(W, [natural, [0.35, 0.35, 0.15, 0.15]])


# Quality curve.


def test_the_curve_rises_to_its_end_and_jumps_to_the_floor() -> None:
    curve = Curves.of(steep=20.0, kept=0.4, power=0.8, floor=0.01)
    rank = np.linspace(0.0, 1.0, 4001)
    copies = curve.copies(rank)[0, 0]
    assert (np.diff(copies) <= 1e-12).all()
    assert np.abs(np.diff(copies[rank < 0.4])).max() < 0.01
    assert curve.copies(np.array([0.4, 0.4 + 1e-9]))[0, 0] == pytest.approx([1.01, 0.01])
    assert copies.max() <= 2.0**0.8 + 0.01


@pytest.mark.parametrize(
    ("steep", "power", "wanted"), [(50.0, 0.0, 1.0), (0.0, 0.7, 1.0), (1e12, 0.7, 2.0**0.7)], ids=["η 0", "λ 0", "λ ∞"]
)
def test_limits_of_the_curve(steep: float, power: float, wanted: float) -> None:
    curve = Curves.of(steep=steep, kept=0.3, power=power, floor=0.001)
    np.testing.assert_allclose(curve.copies(np.array([0.0, 0.1, 0.299]))[0, 0], wanted + 0.001)


@pytest.mark.parametrize("steep", [0.0, 0.5, 30.0, 400.0, 1000.0, 1e5])
@pytest.mark.parametrize("kept", [0.0, 0.07, 0.25, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 3.0])
def test_the_mass_of_a_bin_is_the_integral_of_the_curve(steep: float, kept: float, power: float) -> None:
    curve = Curves.of(steep=steep, kept=kept, power=power, floor=0.02)
    edges = np.array([0.0, 0.1, 0.3, 0.7, 1.0])
    mass = curve.mass(np.zeros(4, dtype=np.int64), edges[:-1], edges[1:])[0]

    def copies(r: float) -> float:
        return float(curve.copies(np.array([r]))[0, 0, 0])

    for a, b, found in zip(edges[:-1], edges[1:], mass, strict=True):
        turns = [t for t in (kept, kept - 1 / max(steep, 1e-9), kept - 40 / max(steep, 1e-9)) if a < t < b]
        pieces = [a, *sorted(turns), b]
        true = sum(quad(copies, p, q, epsabs=1e-11)[0] for p, q in pairwise(pieces))
        assert found == pytest.approx(true, abs=1e-9)


def test_leaves_read_their_order_from_their_names() -> None:
    leaves = Leaves.of(LEAVES, TOKENS)
    assert leaves.groups == ("web", "code", "books")
    np.testing.assert_allclose(leaves.start_d, [0.1, 0.0, 0.4, 0.8, 0.0, 0.6, 0.0], atol=1e-12)
    np.testing.assert_allclose(leaves.end_d, [0.4, 0.1, 0.8, 1.0, 0.6, 1.0, 1.0])
    np.testing.assert_allclose(leaves.natural_g, [0.5, 0.05, 0.45])
    assert leaves.has_bins
    assert not Leaves.of(SIX, np.ones(6)).has_bins


@pytest.mark.parametrize("stray", [("web/q1", "web/q3"), ("web", "web/q1"), ("web/q2", "code")])
def test_bins_out_of_order_are_refused(stray: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"web/q1 \(the best\)"):
        Leaves.of(stray, np.ones(len(stray)))


@pytest.mark.parametrize(
    "neutral",
    [
        Curves.of(steep=100.0, kept=1.0, power=0.0, floor=0.3),
        Curves.of(steep=0.0, kept=1.0, power=0.6, floor=0.0),
        Curves.of(steep=5.0, kept=0.0, power=1.0, floor=0.1),
    ],
)
def test_neutral_parameters_are_natural_sampling(neutral: Curves) -> None:
    leaves = Leaves.of(LEAVES, TOKENS)
    np.testing.assert_allclose(leaves.weights(neutral)[0], TOKENS / TOKENS.sum(), atol=1e-12)


def test_weights_are_copies_and_rates_integrate_to_the_budget() -> None:
    leaves, budget = Leaves.of(LEAVES, TOKENS), 5e6
    rng = np.random.default_rng(0)
    for _ in range(20):
        curves = Curves.of(
            steep=1000 * rng.random(), kept=rng.random(3), power=rng.random(), floor=float(rng.random() / 1000)
        )
        epochs = leaves.weights(curves)[0] * budget / TOKENS
        assert (epochs * TOKENS).sum() == pytest.approx(budget, rel=1e-6)
        # Documents, a hundred thousand per domain: expected tokens by rank against the leaves'.
        rank = (np.arange(100_000) + 0.5) / 100_000
        copies = curves.copies(rank)[0]
        expected = np.array(
            [
                copies[g, (rank > a) & (rank <= b)].sum() / 100_000 * n
                for g, a, b, n in zip(
                    leaves.group_d, leaves.start_d, leaves.end_d, leaves.natural_g[leaves.group_d], strict=True
                )
            ]
        )
        np.testing.assert_allclose(leaves.weights(curves)[0], expected / expected.sum(), atol=1e-4)


def test_better_bins_have_no_fewer_copies() -> None:
    domains = (*bins("a"), *bins("b"))
    leaves = Leaves.of(domains, np.array([1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0]))
    rng = np.random.default_rng(1)
    curves = Curves(
        steep_qg=1000.0 * rng.random((200, 1)),
        kept_qg=rng.random((200, 2)),
        power_qg=rng.random((200, 1)),
        floor_qg=rng.random((200, 1)),
    )
    copies = curves.mass(leaves.group_d, leaves.start_d, leaves.end_d) / (leaves.end_d - leaves.start_d)
    assert (np.diff(copies[:, :4], axis=1) <= 1e-12).all()
    assert (np.diff(copies[:, 4:], axis=1) <= 1e-12).all()


def test_parameters_of_one_domain_leave_the_copies_of_others_alone() -> None:
    leaves = Leaves.of(LEAVES, TOKENS)
    one, two = (Curves.of(steep=30.0, kept=(0.3, kept, 0.5), power=0.5, floor=0.01) for kept in (0.2, 0.9))
    mass = [c.mass(leaves.group_d, leaves.start_d, leaves.end_d)[0] for c in (one, two)]
    is_code = np.array([name.startswith("code") for name in LEAVES])
    np.testing.assert_array_equal(mass[0][~is_code], mass[1][~is_code])
    assert (mass[0][is_code] < mass[1][is_code]).all()


def test_given_weights_of_domains_are_kept() -> None:
    leaves = Leaves.of(LEAVES, TOKENS)
    V = np.array([[0.2, 0.3, 0.5]])
    W = leaves.weights(Curves.of(steep=30.0, kept=0.3, power=0.5, floor=0.01), V)[0]
    assert [W[leaves.group_d == g].sum() for g in range(3)] == pytest.approx([0.2, 0.3, 0.5])
    assert W[1] / 100 > W[0] / 300 > W[2] / 400


def test_impossible_curves_are_refused() -> None:
    with pytest.raises(InputError, match="steep_qg"):
        Curves.of(steep=-1.0, kept=0.3, power=0.5, floor=0.01)
    with pytest.raises(InputError, match="power_qg"):
        Curves.of(steep=1.0, kept=0.3, power=np.nan, floor=0.01)
    with pytest.raises(InputError, match="keeps nothing"):
        Curves.of(steep=1.0, kept=(0.3, 0.0), power=0.5, floor=0.0)


# Scores of documents.


def test_ranks_count_tokens_and_no_monotone_transform_moves_them() -> None:
    quality, tokens = np.array([0.3, 0.1, 0.3, 0.9]), np.array([10.0, 40.0, 20.0, 30.0])
    np.testing.assert_allclose(token_rank(quality, tokens), [0.5, 0.4, 0.7, 1.0])
    rng = np.random.default_rng(0)
    score, tokens = rng.normal(size=200), rng.integers(1, 500, 200).astype(float)
    alone = token_rank(merged(score[None], tokens, np.ones(1)), tokens)
    np.testing.assert_allclose(alone, token_rank(score, tokens))
    np.testing.assert_allclose(token_rank(merged(np.exp(score)[None], tokens, np.ones(1)), tokens), alone)


def test_scores_are_merged_by_their_weights() -> None:
    tokens = np.ones(4)
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [40.0, 30.0, 20.0, 10.0]])
    np.testing.assert_allclose(merged(scores, tokens, np.array([3.0, 1.0])), [0.4375, 0.5625, 0.6875, 0.8125])
