"""The best mixture of a known function: what a world's own answer is judged by.

    minimise height(w)  subject to  Σ w = 1, lower ≤ w ≤ upper, A w ≤ b, KL(w ‖ near) ≤ nats

SLSQP from many starts, first in roots u = √w, in which powers of weights and waves of √w are smooth at zero, then in
the weights themselves, since slopes in u vanish at zero and a weight that should leave it cannot. Slopes come from
differences, all of a step in one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linprog, minimize

from mixdesk.core.observations import Floats
from mixdesk.core.project import nats_of
from mixdesk.core.space import Space

Height = Callable[[Floats], Floats]

# Mixtures that are looked at, and the best of them from which the solver starts, beside the uniform mixture.
N_TRIED, N_STARTS = 1_000, 5
# Concentrations of the Dirichlets they are drawn from.
CALM = (0.1, 0.3, 1.0, 3.0, 10.0)
# Step of a difference in a root, and in a weight relative to it and at zero.
STEP_ROOT, STEP, STEP_ZERO = 1e-5, 1e-4, 1e-9


def minimum(height: Height, space: Space) -> tuple[Floats, float]:
    """Weights (d,) and height of the best mixture of a space; of a pool its best row.

    `height` maps weights (q, d) to (q,). The answer is allowed to 1e-9; on a function of several valleys it is the best
    of many starts.

    Raises:
        AssertionError: the space is empty.
    """
    if space.pool_qd is not None:
        rows = space.pool_qd[replace(space, pool_qd=None).contains(space.pool_qd)]
        assert len(rows), "the pool has an allowed mixture"
        heights = height(rows)
        return rows[int(heights.argmin())], float(heights.min())
    space = space if space.is_box or space.inside_d is not None else replace(space, inside_d=_inside(space))
    tried = _tried(space)
    heights = height(tried)
    unit = max(float(heights.std()), 1e-12)

    def scaled(W_qd: Floats) -> Floats:
        return height(W_qd) / unit

    starts = tried[[0, *np.argsort(heights, kind="stable")[:N_STARTS]]]
    ends = np.array([_descend(scaled, space, _descend(scaled, space, start, 2), 1) for start in starts])
    ends = np.vstack([ends, starts])
    heights = height(ends)
    return ends[int(heights.argmin())], float(heights.min())


def _tried(space: Space) -> Floats:
    """Allowed mixtures to start from, (q, d): uniform first, vertices, draws calm and peaked."""
    d, rng = len(space.domains), np.random.default_rng(0)
    drawn = [rng.dirichlet(np.full(d, calm), N_TRIED // len(CALM)) for calm in CALM]
    return space.project(np.vstack([np.full((1, d), 1.0 / d), np.eye(d), *drawn]))


def _descend(height: Height, space: Space, start_d: Floats, power: int) -> Floats:
    """SLSQP in x with w = x^power, `power` 1 or 2; the end moved inside."""

    def weights(x: Floats) -> Floats:
        return x**power

    def bend(x: Floats) -> Floats:
        """How fast each weight moves with its variable, (d,)."""
        return power * x ** (power - 1)

    def slope(x: Floats) -> Floats:
        step = np.full(len(x), STEP_ROOT) if power == 2 else np.maximum(STEP * x, STEP_ZERO)
        down = np.where(x >= step, step, 0.0)
        moved = np.vstack([x + np.diag(step), x - np.diag(down)])
        ahead, behind = np.split(height(weights(moved)), 2)
        found: Floats = (ahead - behind) / (step + down)
        return found

    def limit(kind: str, fun: Callable[[Floats], Any], jac: Callable[[Floats], Floats]) -> dict[str, Any]:
        return {"type": kind, "fun": lambda x: fun(weights(x)), "jac": lambda x: jac(weights(x)) * bend(x)}

    limits = [limit("eq", lambda w: w.sum() - 1.0, lambda w: np.ones(len(w)))]
    if len(space.rows_rd):
        limits.append(limit("ineq", lambda w: space.most_r - space.rows_rd @ w, lambda w: -space.rows_rd))
    if space.near_d is not None:
        near = space.near_d
        limits.append(limit("ineq", lambda w: space.nats - nats_of(w[None], near)[0], lambda w: -_nats_slope(w, near)))
    bounds = np.column_stack([space.lower_d, space.upper_d]) ** (1.0 / power)
    done = minimize(
        lambda x: float(height(weights(x)[None])[0]),
        start_d ** (1.0 / power),
        jac=slope,
        method="SLSQP",
        bounds=bounds,
        constraints=limits,
        options={"ftol": 1e-12, "maxiter": 300},
    )
    end = weights(done.x) if np.isfinite(done.x).all() else start_d
    allowed = space.project(np.vstack([end, start_d]))
    lowest: Floats = allowed[int(height(allowed).argmin())]
    return lowest


def _nats_slope(w_d: Floats, near_d: Floats) -> Floats:
    """Slope of the divergence from the middle of the ball, (d,); 0 for domains the middle has none of."""
    slope: Floats = np.where(near_d > 0.0, np.log(np.maximum(w_d, 1e-12) / np.maximum(near_d, 1e-300)) + 1.0, 0.0)
    return slope


def _inside(space: Space) -> Floats:
    """An allowed mixture, (d,): of largest least slack under rows; in a ball the nearest to its middle."""
    d = len(space.domains)
    length = np.linalg.norm(space.rows_rd, axis=1) if len(space.rows_rd) else np.zeros(0)
    done = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([space.rows_rd.reshape(-1, d), length]) if len(length) else None,
        b_ub=space.most_r if len(length) else None,
        A_eq=np.append(np.ones(d), 0.0)[None],
        b_eq=[1.0],
        bounds=[*zip(space.lower_d, space.upper_d, strict=True), (0.0, 1.0)],
    )
    assert done.status == 0, "the space has a mixture"
    inside: Floats = done.x[:d]
    if space.near_d is None:
        return inside
    near = space.near_d
    ball = replace(space, near_d=None, nats=np.inf, inside_d=inside)
    nearest = _descend(lambda W_qd: nats_of(W_qd, near), ball, inside, 1)
    assert nats_of(nearest[None], near)[0] <= space.nats, "the ball has a mixture within the other limits"
    return nearest
