"""RegMix's search: near the optimum of a bowl, inside constraints and region, honest about flatness."""

from __future__ import annotations

import numpy as np
import pytest
from search_worlds import Quadratic, corners, law_of, names, view_of

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.region import Region
from mixdesk.core.space import Constraints, Space
from mixdesk.search.simulate import RegMix
from mixdesk.search.terrain import REGION

STAR = np.array([0.4, 0.3, 0.2, 0.1])


def test_the_average_of_the_best_finds_the_bottom_of_a_bowl() -> None:
    law = Quadratic(domains=names(4), star_d=STAR)
    found = RegMix().recommend(view_of(4, corners(4), law=law), law)
    assert np.abs(np.array(found.mixture.weights) - STAR).sum() < 0.1
    spread = dict(found.spread)
    assert set(spread) == set(names(4))
    assert all(0.0 < value < 0.1 for value in spread.values())
    assert found.binding == ()
    assert found.why == "mean of the best 100 of 100,000 simulated mixtures"


def test_fewer_candidates_are_less_exact_and_the_seed_decides() -> None:
    law = Quadratic(domains=names(4), star_d=STAR)
    views = [view_of(4, corners(4), law=law, seed=seed) for seed in (0, 0, 1)]
    a, b, c = (RegMix(n_candidates=2_000, top=20).recommend(view, law) for view in views)
    assert a == b
    assert a.mixture != c.mixture


@pytest.mark.parametrize("upper", [0.26, 0.3, 0.6])
def test_caps_hold_however_tight(upper: float) -> None:
    law = law_of([[-4.0, 0.0, 0.0, 0.0]])
    limits = Constraints(upper={"d*": upper})
    found = RegMix(n_candidates=20_000).recommend(view_of(4, corners(4), law=law, constraints=limits), law)
    weights = np.array(found.mixture.weights)
    assert Space.build(limits, names(4)).contains(weights, 1e-9)
    assert upper - 0.02 < weights[0] <= upper + 1e-9


def test_the_search_stays_in_the_region_of_the_runs() -> None:
    law = law_of([[-4.0, 0.0, 0.0]])
    rng = np.random.default_rng(0)
    W = rng.dirichlet(30.0 * np.ones(3), size=20)
    found = RegMix(n_candidates=20_000, top=10).recommend(view_of(3, W, law=law), law)
    region = Region.of(W)
    weights = np.array(found.mixture.weights)
    assert region.leverage(weights)[0] <= region.limit * (1 + 1e-9)
    assert weights[0] > W[:, 0].max() - 0.05
    assert found.binding in ((REGION,), ())


def test_constraints_that_leave_the_region_are_obeyed_and_told() -> None:
    law = law_of([[-4.0, 0.0, 0.0]])
    W = np.random.default_rng(0).dirichlet(200.0 * np.ones(3), size=20)
    away = view_of(3, W, law=law, constraints=Constraints(lower={"d001": 0.9}))
    found = RegMix(n_candidates=2_000, top=10).recommend(away, law)
    assert found.mixture.as_dict()["d001"] >= 0.9 - 1e-9
    assert found.why.endswith("no allowed mixture lies in the region of the runs")


def test_without_law_or_answers_there_is_no_recommendation() -> None:
    law = law_of([[-4.0, 0.0]])
    with pytest.raises(NotEnoughEvidence, match="by a law"):
        RegMix().recommend(view_of(2, corners(2), law=law), None)
    with pytest.raises(NotEnoughEvidence, match="no trial has an answer"):
        RegMix().recommend(view_of(2, law=law), law)
    with pytest.raises(InputError, match="n_candidates"):
        RegMix(n_candidates=10, top=20)
