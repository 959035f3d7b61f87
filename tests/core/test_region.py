"""The region of the runs: leverage, its limits, and the way back inside."""

from __future__ import annotations

import numpy as np
import pytest

from mixdesk.core.region import Region


def test_leverage_is_squared_distance_in_standard_deviations() -> None:
    W = np.array([[0.4, 0.6], [0.6, 0.4]])
    region = Region.of(W)
    # One direction with variance 0.02 per coordinate: S⁻¹ acts on (δ, −δ) as δ² ÷ 0.02.
    assert region.leverage(np.array([[0.5, 0.5], [0.7, 0.3]])) == pytest.approx([0.0, 2.0], rel=2e-3)
    assert region.limit == pytest.approx(0.5, rel=2e-3)


def test_every_run_is_inside_and_nine_in_ten_are_inner() -> None:
    W = np.random.default_rng(0).dirichlet(np.ones(6), size=40)
    region = Region.of(W)
    leverage = region.leverage(W)
    assert leverage.max() == pytest.approx(region.limit)
    assert (leverage <= region.inner * (1 + 1e-9)).sum() == 36
    assert region.leverage(np.eye(6)).max() > region.limit


def test_repeats_and_order_do_not_count() -> None:
    W = np.random.default_rng(0).dirichlet(np.ones(4), size=12)
    one, other = Region.of(W), Region.of(np.vstack([W[::-1], W[3], W[3]]))
    probe = np.eye(4)
    assert one.leverage(probe) == pytest.approx(other.leverage(probe))


def test_more_domains_than_runs_makes_unseen_directions_far() -> None:
    W = np.zeros((5, 20))
    W[:, :4] = np.random.default_rng(0).dirichlet(np.ones(4), size=5)
    region = Region.of(W)
    seen, unseen = W.mean(0), W.mean(0)
    unseen = 0.9 * unseen + 0.1 * np.eye(20)[10]
    assert region.leverage(seen)[0] < region.limit < region.leverage(unseen)[0]


def test_pull_moves_only_what_is_outside_and_to_the_rim() -> None:
    W = np.random.default_rng(0).dirichlet(5.0 * np.ones(4), size=30)
    region = Region.of(W)
    towards = W[int(region.leverage(W).argmin())]
    inside = W[region.leverage(W) < region.inner]
    assert region.pull(inside, towards) == pytest.approx(inside)
    moved = region.pull(np.eye(4), towards)
    assert region.leverage(moved) == pytest.approx(np.full(4, region.limit))
    assert moved.sum(1) == pytest.approx(np.ones(4))


def test_gradient_is_the_slope_of_leverage() -> None:
    region = Region.of(np.random.default_rng(0).dirichlet(np.ones(4), size=30))
    w, step = np.full(4, 0.25), 1e-6 * np.eye(4)
    rise = (region.leverage(w + step) - region.leverage(w - step)) / 2e-6
    assert region.gradient(w) == pytest.approx(rise, rel=1e-6)


def test_a_single_mixture_is_a_region_of_its_own() -> None:
    region = Region.of(np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert region.limit == 0.0
    assert region.leverage(np.array([0.6, 0.4]))[0] > 0.0
