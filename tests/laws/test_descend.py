"""The solver that formulas share: minima, penalties, masks, levels of replicates, pieces."""

from dataclasses import replace

import numpy as np
from law_worlds import design

from mixdesk.core.observations import Inputs
from mixdesk.laws import descend
from mixdesk.laws.descend import Problems, fit_formula
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.rows import Units, ordered
from mixdesk.testing.worlds import loglinear


def problems(n=40, m=3, seed=0):
    world = loglinear(5, m, seed, 0.1)
    obs = ordered(world.observations(design(world, n, np.random.default_rng(seed))), 7, "test")
    method = Exponential()._method(5)
    return obs, method, Problems.of(obs, Units.of(obs), method)


def test_the_minimum_has_no_slope_and_no_neighbour_below_it():
    _, method, some = problems()
    ridge = np.full(3, 0.01)
    theta, cost = descend.descend(some, method.starts(some)[0], ridge, tolerance=1e-12)
    np.testing.assert_allclose(some.model(ridge, theta)[0], 0.0, atol=1e-4)
    for step in 0.01 * np.random.default_rng(0).standard_normal((20, *theta.shape)):
        assert (some.cost(ridge, theta + step) > cost).all()


def test_problems_in_pieces_are_the_problems_together(monkeypatch):
    _, method, some = problems()
    start, ridge = method.starts(some)[0], np.full(3, 0.01)
    wanted, _ = descend.descend(some, start, ridge, tolerance=1e-12)
    monkeypatch.setattr(descend, "N_AT_ONCE", 1)
    np.testing.assert_allclose(descend.descend(some, start, ridge, tolerance=1e-12)[0], wanted, rtol=1e-9)


def test_a_row_without_weight_is_not_seen():
    _, method, some = problems()
    weight = some.weight_bn.copy()
    weight[:, :5] = 0.0
    wild = some.Y_bn.copy()
    wild[:, :5] = 1e3
    start, ridge = method.starts(some)[0], np.full(3, 0.01)
    one, two = (
        descend.descend(replace(some, weight_bn=weight, Y_bn=Y), start, ridge, tolerance=1e-12)[0]
        for Y in (some.Y_bn, wild)
    )
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_parts_are_named_by_the_groups_they_were_given_with():
    world = loglinear(5, 2, 1, 0.0)
    obs = world.observations(design(world, 40, np.random.default_rng(1)))
    out = obs.group_n[:3]
    wild = replace(obs, Y_nm=np.where(np.isin(obs.group_n, out)[:, None], obs.Y_nm + 0.5, obs.Y_nm))
    method = Exponential()._method(5)
    full, (fold,) = fit_formula(wild, method, [out])
    kept = np.flatnonzero(~np.isin(obs.group_n, out))
    inputs = Inputs.of(obs.domains, obs.W_nd[kept])
    gap, other = (np.abs(fit.predict(inputs).mean_qm - obs.Y_nm[kept]).mean() for fit in (fold, full))
    assert gap < 0.2 * other
