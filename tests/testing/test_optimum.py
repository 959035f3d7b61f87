"""The best mixture of a function under every kind of limit."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from mixdesk.core.mixture import Mixture
from mixdesk.core.space import Constraints, Near, Rule, Space
from mixdesk.testing import optimum
from mixdesk.testing.optimum import minimum
from mixdesk.testing.scales import two_scales
from mixdesk.testing.worlds import power, power_sum, swarm

LIMITS = {
    "box": Constraints(upper={"d*": 0.3}, lower={"d01": 0.05}),
    "groups": Constraints(group_upper={"d0[0-2]": 0.25}, group_lower={"d0[34]": 0.4}),
    "rule": Constraints(rules=(Rule(name="r", terms={"d00": 2.0, "d0[1-4]": 1.0}, most=0.5),), upper={"d05": 0.4}),
    "ball": Constraints(near=Near(weights={f"d{j:02d}": 1.0 + j for j in range(12)}, nats=0.1)),
    "ball and group": Constraints(
        near=Near(weights={f"d{j:02d}": 1.0 for j in range(12)}, nats=0.05), group_upper={"d0[0-2]": 0.15}
    ),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_no_linear_step_leads_down_from_the_optimum_of_a_convex_world(kind):
    """A convex function lies above its tangent, so the best linear step bounds what any mixture could gain."""
    world = power(12, 2, 3)
    space = Space.build(LIMITS[kind], world.domains)

    def height(W_qd):
        return world.value(W_qd).mean(1)

    w, least = minimum(height, space)
    assert space.contains(w, 1e-9)[0]
    assert height(w[None])[0] == least
    if space.near_d is None:
        step = 1e-7
        slope = (height(w + step * np.eye(12)) - least) / step
        best = linprog(
            slope,
            A_ub=space.rows_rd if len(space.rows_rd) else None,
            b_ub=space.most_r if len(space.rows_rd) else None,
            A_eq=np.ones((1, 12)),
            b_eq=[1.0],
            bounds=np.column_stack([space.lower_d, space.upper_d]),
        )
        gap = slope @ w - best.fun
    else:
        rng = np.random.default_rng(0)
        near = w + rng.choice([1e-1, 1e-2, 1e-3], (20_000, 1)) * (rng.dirichlet(np.full(12, 0.3), 20_000) - w)
        gap = least - height(near[space.contains(near)]).min()
    assert gap <= 1e-6 * height(swarm(world, 512)).std()


def test_the_best_row_of_a_pool_and_only_an_allowed_one():
    world = power(4, 1, 0)
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 30)
    pool = tuple(Mixture.of(dict(zip(world.domains, row, strict=True)), normalise=True) for row in rows)
    value = world.value(rows)[:, 0]
    for upper in (1.0, 0.5):
        space = Space.build(Constraints(pool=pool, upper={"d00": upper}), world.domains)
        w, least = minimum(lambda W_qd: world.value(W_qd)[:, 0], space)
        assert least == pytest.approx(value[rows[:, 0] <= upper].min(), abs=1e-12)
        assert np.abs(rows - w).max(1).min() < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_more_starts_find_nothing_better_where_there_are_valleys(seed, monkeypatch):
    world = two_scales(power_sum(17, 2, seed), seed, 0.9).large
    space = Space.build(Constraints(upper={"d*": 0.5}), world.domains)

    def height(W_qd):
        return world.value(W_qd).mean(1)

    _, least = minimum(height, space)
    monkeypatch.setattr(optimum, "N_STARTS", 25)
    assert least <= minimum(height, space)[1] + 1e-6 * height(swarm(world, 512)).std()


def test_weights_return_from_zero_where_slopes_of_roots_vanish():
    """The start in d00 alone has no slope in any other root."""
    space = Space.build(Constraints(), ("a", "b", "c"))
    star = np.array([0.2, 0.5, 0.3])
    w, least = minimum(lambda W_qd: ((W_qd - star) ** 2).sum(1), space)
    assert w == pytest.approx(star, abs=1e-6)
    assert least < 1e-10
    empty = replace(Space.build(Constraints(group_upper={"*": 1.0}), ("a", "b")), most_r=np.array([0.5]))
    with pytest.raises(AssertionError):
        minimum(lambda W_qd: W_qd[:, 0], empty)
