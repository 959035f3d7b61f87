"""Pareto sets: nothing on them is beaten, both ends are there, and doubt shows in the probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from search_worlds import Quadratic, corners, law_of, names, random_law, view_of

from mixdesk.core.errors import InputError
from mixdesk.core.objective import Guard
from mixdesk.core.observations import Inputs, Prediction
from mixdesk.search.pareto import pareto_set

LAW = law_of([[-2.0, 0.0], [0.0, -2.0]])


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Two metrics that jump where a weight passes one of 60 heights, as a bag of trees does."""

    domains: tuple[str, ...]

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        W_qd, rng = inputs.over(self.domains), np.random.default_rng(1)
        which, height = rng.integers(len(self.domains), size=60), rng.uniform(0.0, 0.5, 60)
        mean_qm = (W_qd[:, which] > height) @ rng.standard_normal((60, 2))
        return Prediction(metrics=("m0", "m1"), mean_qm=mean_qm, low_qm=mean_qm, high_qm=mean_qm)


def test_two_domains_that_compete_give_the_whole_line() -> None:
    points = pareto_set(view_of(2, corners(2), law=LAW), LAW, ["m0", "m1"])
    first = [point.mixture.weights[0] for point in points]
    assert 10 <= len(points) <= 30
    assert first == sorted(first, reverse=True)
    assert (first[0], first[-1]) == pytest.approx((1.0, 0.0), abs=1e-3)
    assert points[0].best_of == ("m0",)
    assert points[-1].best_of == ("m1",)
    assert max(np.abs(np.diff(first))) < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_no_candidate_beats_a_point_by_much(seed: int) -> None:
    law = replace(random_law(5, 3, seed), sign_m=np.array([1.0, -1.0, 1.0]))
    view = view_of(5, corners(5), law=law)
    points = pareto_set(view, law, ["m*"])
    sign = np.array([1.0, -1.0, 1.0])
    pool = np.random.default_rng(seed).dirichlet(np.ones(5), size=20_000)
    Y = law.predict(Inputs.of(names(5), pool)).mean_qm * sign
    for point in points:
        mine = np.array([value for _, value in point.values]) * sign
        assert not (mine - 0.03 > Y).all(axis=1).any()
    assert {name for point in points for name in point.best_of} == {"m0", "m1", "m2"}


def test_doubt_lowers_the_probability() -> None:
    W = corners(3)
    chances = []
    for doubt in (0.0, 1.0):
        law = law_of([[-2.0, -1.9, 0.0], [0.0, -1.9, -2.0]], doubt=doubt)
        points = pareto_set(view_of(3, W, law=law), law, ["m0", "m1"])
        chances.append([point.probability for point in points])
    assert all(chance == 1.0 for chance in chances[0])
    assert np.mean(chances[1]) < 0.95


def test_the_best_in_each_metric_is_an_end_where_the_law_has_steps() -> None:
    law = Steps(domains=names(4))
    points = pareto_set(view_of(4, corners(4), law=random_law(4, 2, 1)), law, ["m*"])
    for name in ("m0", "m1"):
        best = min(dict(point.values)[name] for point in points)
        assert [dict(point.values)[name] for point in points if name in point.best_of] == [best]


def test_guards_hold_on_the_front() -> None:
    view = view_of(2, corners(2), law=LAW)
    view = replace(view, objective=replace(view.objective, guards=(Guard(metric="m1", at_most=2.5),)))
    points = pareto_set(view, LAW, ["m0", "m1"])
    assert max(dict(point.values)["m1"] for point in points) == pytest.approx(2.5, abs=1e-3)


def test_one_metric_is_no_front_and_a_law_without_draws_gives_no_probability() -> None:
    bowl = Quadratic(domains=names(3), star_d=np.array([0.5, 0.3, 0.2]))
    with pytest.raises(InputError, match="two metrics"):
        pareto_set(view_of(3, corners(3), law=bowl), bowl, ["m*"])
    with pytest.raises(InputError, match="unknown metric"):
        pareto_set(view_of(2, corners(2), law=LAW), LAW, ["m0", "x"])
