"""The first trials: inside the bounds, distinct, reproducible, prefix-stable, with a crossed block that gives noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import corners, names, trial, view_of

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Rule, Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import METHODS, Design, base_mixture, dirichlet, farthest_point, lattice, low_discrepancy

NATURAL = (0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.015, 0.005)
BOUNDS = Constraints(lower={"d000": 0.1}, upper={"d001": 0.2, "d00[2-7]": 0.4})


def answered(view: StudyView, n: int, design: Design) -> StudyView:
    """The view after the design's next n proposals were asked and answered, whatever they were."""
    rng = np.random.default_rng(len(view.trials))
    new = tuple(trial(p.mixture, rng.normal(size=1), p.replicate) for p in design.ask(view, n))
    return replace(view, trials=view.trials + new)


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_distinct_mixtures_inside_the_bounds(method: str) -> None:
    view = view_of(8, natural=NATURAL, constraints=BOUNDS)
    asked = Design(method=method).ask(view, 100)
    first = np.array([p.mixture.over(view.domains) for p in asked if p.replicate == 0])
    assert len(asked) == 38
    assert len(np.unique(np.round(first, 9), axis=0)) == len(first) == 32
    assert np.allclose(first.sum(1), 1.0, atol=1e-12)
    assert Space.build(BOUNDS, view.domains).contains(first, 1e-9).all()
    assert all(p.rung == "proxy" and p.why for p in asked)


@pytest.mark.parametrize("method", METHODS)
def test_asking_in_pieces_is_asking_at_once(method: str) -> None:
    design = Design(method=method)
    view = view_of(8, natural=NATURAL)
    whole = design.ask(view, 38)
    pieces = []
    for n in (1, 2, 7, 3, 25, 5):
        pieces += design.ask(view, n)
        view = answered(view, n, design)
    assert pieces == whole
    assert design.ask(view, 5) == []


def test_the_seed_chooses_the_design_and_not_the_anchors() -> None:
    one, same, other = (Design().ask(view_of(8, natural=NATURAL, seed=seed), 38) for seed in (3, 3, 4))
    assert one == same
    n_fixed = 2  # anchors
    assert one[:n_fixed] == other[:n_fixed]
    rest = [{p.mixture for p in asked[n_fixed:] if p.replicate == 0} for asked in (one, other)]
    assert not rest[0] & rest[1]


def test_what_tells_most_reaches_the_corners_by_itself() -> None:
    asked = Design().ask(view_of(8, natural=NATURAL, budget=Budget(n_trials=64)), 64)
    weights = np.array([p.mixture.weights for p in asked])
    assert (weights.max(axis=0) >= 0.4).all()
    assert "tells most about the other mixtures" in asked[-1].why


def test_a_list_longer_than_the_candidates_goes_on_around_the_natural_mixture() -> None:
    view = view_of(3, natural=(0.6, 0.3, 0.1), budget=Budget(n_trials=700))
    asked = Design(n_replicates=1).ask(view, 700)
    assert len({p.mixture for p in asked}) == 700
    assert asked[-1].why.startswith("Dirichlet around natural")


def test_anchors_come_first_unchanged_to_the_last_bit() -> None:
    view = view_of(8, natural=NATURAL)
    first, second = Design().ask(view, 2)
    assert first.mixture == view.natural
    assert second.mixture == Mixture.uniform(view.domains)
    assert (first.why, second.why) == ("natural mixture", "uniform mixture")


def test_an_anchor_outside_the_bounds_is_moved_and_says_so() -> None:
    view = view_of(8, natural=NATURAL, constraints=Constraints(upper={"d000": 0.2}))
    first = Design().ask(view, 1)[0]
    assert first.mixture.as_dict()["d000"] == pytest.approx(0.2)
    assert first.why == "natural mixture, moved inside the bounds"


def test_natural_unknown_or_uniform_is_asked_once() -> None:
    for natural in (None, (0.25,) * 4):
        whys = [p.why for p in Design().ask(view_of(4, natural=natural), 38) if p.replicate == 0]
        assert whys[0].startswith("uniform" if natural is None else "natural")
        assert set(whys[1:]) == {"tells most about the other mixtures"}
        assert len(whys) == 32


def test_the_crossed_block_comes_early_and_gives_noise() -> None:
    design = Design()
    view = view_of(8, natural=NATURAL)
    asked = design.ask(view, 38)
    repeats = [i for i, p in enumerate(asked) if p.replicate > 0]
    assert repeats == list(range(9, 15))
    assert asked[9].why == "repeat 2 of natural, to measure noise"
    assert view.noise() == ()
    (noise,) = answered(view, 15, design).noise()
    assert (noise.n_mixtures, noise.n_replicates) == (3, 3)


def test_the_third_repeated_mixture_is_far_from_the_anchors() -> None:
    asked = Design().ask(view_of(8, natural=NATURAL), 38)
    far = np.array(asked[11].mixture.weights)
    others = np.array([p.mixture.weights for p in asked[2:9]])
    distance = [
        min(np.abs(w**0.3 - np.array(a.mixture.weights) ** 0.3).sum() for a in asked[:2]) for w in (far, *others)
    ]
    assert distance[0] >= np.median(distance)


def test_length_without_a_trial_budget_and_of_a_small_one() -> None:
    view = view_of(8, natural=NATURAL, budget=Budget(seconds=60.0))
    assert len(Design().ask(view, 1000)) == 3 * 9 + 6
    small = Design().ask(view_of(8, natural=NATURAL, budget=Budget(n_trials=11)), 1000)
    assert [p.replicate for p in small] == [0] * 11


def test_told_trials_use_up_the_budget_but_hide_no_anchor() -> None:
    view = view_of(8, np.eye(8)[:5], natural=NATURAL)
    asked = Design().ask(view, 100)
    assert len(asked) == 33
    assert asked[0].mixture == view.natural


def test_the_design_ignores_epoch_caps_but_an_impossible_target_is_told_at_once() -> None:
    corpus = Corpus(
        name="c",
        tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""),
        domains=tuple(Domain(name=name, n_tokens=100_000) for name in names(4)),
    )
    view = view_of(4, corpus=corpus, constraints=Constraints(max_epochs=4.0))
    weights = np.array([p.mixture.weights for p in Design().ask(view, 38)])
    assert weights.max() > 0.4
    with pytest.raises(Infeasible, match=r"max_epochs to 2\.5"):
        Design().ask(replace(view, constraints=Constraints(max_epochs=1.0)), 1)


def test_a_space_without_room_yields_its_one_mixture() -> None:
    fixed = Constraints(lower={"d000": 0.3, "d001": 0.7})
    asked = Design().ask(view_of(2, constraints=fixed), 38)
    assert [p.replicate for p in asked] == [0, 1, 2]
    assert asked[0].mixture.weights == pytest.approx((0.3, 0.7))
    assert [p.mixture.weights for p in Design().ask(view_of(1), 1)] == [(1.0,)]


def test_recommend_names_the_best_allowed_measurement() -> None:
    W = corners(3)
    values = np.array([[1.0], [np.nan], [3.0], [2.0]])
    assert Design().recommend(view_of(3, W, values)).mixture.weights == (1.0, 0.0, 0.0)
    bounded = view_of(3, W, values, constraints=Constraints(upper={"d000": 0.5}))
    assert Design().recommend(bounded).mixture.weights == pytest.approx((1 / 3,) * 3)
    higher = view_of(3, W, values, law=None, metrics=tuple(replace(m, better="higher") for m in bounded.metrics))
    assert Design().recommend(higher).mixture.weights == (0.0, 0.0, 1.0)


def test_recommend_averages_repeats_and_passes_over_unfinished_trials() -> None:
    a, b, c = (Mixture.of(dict(zip(names(2), w, strict=True))) for w in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)))
    trials = (
        trial(a, [0.0]),
        trial(a, [4.0], replicate=1),
        trial(b, [1.5]),
        trial(c, [0.1], state="failed"),
        trial(c, [0.1], replicate=1, state="diverged"),
    )
    view = replace(view_of(2, np.eye(2)), trials=trials)
    assert Design().recommend(view).mixture == b
    with pytest.raises(NotEnoughEvidence, match="no allowed mixture has been measured"):
        Design().recommend(replace(view, trials=trials[3:]))


def test_dirichlet_rows_depend_on_seed_and_place_alone() -> None:
    space = Space.build(BOUNDS, names(8))
    base = base_mixture(np.array(NATURAL), 8)
    long, short = (dirichlet(space, base, n, np.random.default_rng(5)) for n in (40, 7))
    assert np.array_equal(long[:7], short)


def test_dirichlet_centres_on_the_base() -> None:
    base = base_mixture(np.array(NATURAL), 8)
    rows = dirichlet(Space.build(Constraints(), names(8)), base, 3000, np.random.default_rng(0))
    assert np.abs(rows.mean(0) - base).max() < 0.02
    spread = [rows[i::3].std(0).sum() for i in range(3)]
    assert spread[0] > spread[1] > spread[2]


def test_tight_bounds_leave_distinct_rows_off_the_boundary() -> None:
    space = Space.build(Constraints(lower={"d0*": 0.11}, upper={"d0*": 0.14}), names(8))
    for rows in (
        dirichlet(space, np.full(8, 0.125), 50, np.random.default_rng(0)),
        low_discrepancy(space, 50, 0),
    ):
        assert space.contains(rows, 1e-12).all()
        assert len(np.unique(np.round(rows, 9), axis=0)) == 50
        assert np.abs(rows.sum(1) - 1.0).max() < 1e-12


def test_low_discrepancy_is_more_even_than_chance() -> None:
    space = Space.build(Constraints(), names(4))
    even = low_discrepancy(space, 128, 0)
    chance = np.random.default_rng(0).dirichlet(np.ones(4), size=128)
    assert np.abs(even.mean(0) - 0.25).max() < np.abs(chance.mean(0) - 0.25).max()
    assert np.array_equal(low_discrepancy(space, 9, 0), even[:9])


def test_farthest_points_spread_wider_than_the_pool() -> None:
    space = Space.build(Constraints(), names(5))
    pool = dirichlet(space, np.full(5, 0.2), 400, np.random.default_rng(0))
    chosen = farthest_point(space, pool, 20)

    def nearest(rows: np.ndarray) -> float:
        gaps = np.linalg.norm(rows[:, None] ** 0.3 - rows[None] ** 0.3, axis=2)
        return float((gaps + 9.0 * np.eye(len(rows))).min())

    assert nearest(chosen) > 3.0 * nearest(pool[:20])
    assert len(farthest_point(space, pool[[0, 0, 0]], 3)) == 1


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="did you mean `dirichlet`"):
        Design(method="dirichlett")
    with pytest.raises(InputError, match="n_repeat_mixtures"):
        Design(n_repeat_mixtures=1)


def test_a_lattice_is_whole_and_as_fine_as_fits() -> None:
    space = Space.build(Constraints(), names(3))
    k, points = lattice(space, 12)
    assert k == 3
    assert len(points) == 10
    assert points[:4].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [2 / 3, 1 / 3, 0]]
    assert points[-1].tolist() == [1 / 3, 1 / 3, 1 / 3]
    assert lattice(space, 15)[0] == 4
    half = Space.build(Constraints(upper={"d000": 0.5}), names(3))
    k, points = lattice(half, 12)
    assert k == 4
    assert len(points) == 12
    assert (points[:, 0] <= 0.5).all()
    assert lattice(space, 2)[0] == 0


def test_a_grid_without_anchors_is_the_lattice_then_far_points() -> None:
    view = view_of(3, natural=(0.6, 0.3, 0.1), budget=Budget(n_trials=12))
    asked = Design(method="grid", anchors=False, n_replicates=1).ask(view, 99)
    assert [p.why for p in asked] == ["point of the lattice of 3 steps"] * 10 + ["farthest from all before"] * 2
    assert np.allclose([p.mixture.over(view.domains) for p in asked[:10]], lattice_of(3, 12))


def lattice_of(d: int, n: int) -> Floats:
    return lattice(Space.build(Constraints(), names(d)), n)[1]


def test_random_is_even_over_the_space() -> None:
    limits = Constraints(rules=(Rule(name="more a than b", terms={"d000": -1.0, "d001": 1.0}, most=0.0),))
    view = view_of(3, natural=(0.8, 0.1, 0.1), constraints=limits, budget=Budget(n_trials=400))
    asked = Design(method="random", anchors=False, n_replicates=1).ask(view, 400)
    W = np.array([p.mixture.over(view.domains) for p in asked])
    assert len(np.unique(W, axis=0)) == 400
    # The centre of the half triangle a ≥ b.
    assert np.abs(W.mean(axis=0) - [0.5, 1 / 6, 1 / 3]).max() < 0.04
    shorter = Design(method="random", anchors=False, n_replicates=1).ask(
        view_of(3, constraints=limits, budget=Budget(n_trials=20)), 99
    )
    assert shorter == asked[:20]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_pool(method: str) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 30)
    pool = tuple(Mixture.of(dict(zip(names(4), row, strict=True)), normalise=True) for row in rows)
    view = view_of(4, constraints=Constraints(pool=pool, upper={"d000": 0.7}), budget=Budget(n_trials=20))
    asked = Design(method=method, anchors=False, n_replicates=1).ask(view, 99)
    W = np.array([p.mixture.over(names(4)) for p in asked])
    assert len(asked) == 20
    assert np.abs(W[:, None] - rows).max(axis=2).min(axis=1).max() < 1e-12
    assert len(np.unique(np.round(W, 9), axis=0)) == 20
    assert W[:, 0].max() <= 0.7
    other = Design(method=method, anchors=False, n_replicates=1).ask(replace(view, seed=1), 99)
    assert (other != asked) == (method == "random")


def test_a_design_without_anchors_in_a_space_of_one_mixture_asks_it() -> None:
    view = view_of(2, constraints=Constraints(lower={"d000": 0.3, "d001": 0.7}))
    assert [p.mixture.weights for p in Design(anchors=False, n_replicates=1).ask(view, 9)] == [(0.3, 0.7)]


def test_repeats_leave_enough_mixtures_for_a_law() -> None:
    for n, n_repeats in ((12, 0), (15, 0), (16, 6)):
        asked = Design().ask(view_of(8, natural=(0.3, *[0.1] * 7), budget=Budget(n_trials=n)), 99)
        assert len(asked) == n
        assert sum(proposal.replicate > 0 for proposal in asked) == n_repeats
