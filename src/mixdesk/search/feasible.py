"""Whether constraints leave any mixture, exactly: linear programmes, and for a ball the dual of the nearest mixture.

    elastic programme: minimise Σ relaxations s ≥ 0 with Σ w = 1, 0 ≤ w ≤ 1, every named limit loosened by its s
    ball:              maximise over λ ≥ 0 the least of KL(w ‖ near) + λ · (A w − b) within the bounds

The programme's optimum is the smallest relaxation and its multipliers name the clash. Every value of the ball's dual is
a distance below which no allowed mixture lies. `core` knows no solver: what it builds is settled here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import linprog, minimize

from mixdesk.core.errors import Infeasible
from mixdesk.core.observations import Floats
from mixdesk.core.project import TOLERANCE, nats_of, project_rows, pull_to_rows
from mixdesk.core.space import Space, rounded_up

# HiGHS's own tolerance is 1e-7: a constraint here holds to 1e-9.
PRECISE = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def settle(space: Space) -> Space:
    """The space with a mixture that it allows, and a pool with its allowed mixtures only.

    Raises:
        Infeasible: there is none; names the clash and the smallest relaxation.
    """
    if space.is_box:
        return space
    inside = centre(space)
    if space.near_d is not None:
        inside = _nearest(space, inside)
    settled = replace(space, inside_d=inside)
    if space.pool_qd is None:
        return settled
    is_allowed = replace(settled, pool_qd=None).contains(space.pool_qd)
    if not is_allowed.any():
        raise _pool_clash(settled, space.pool_qd)
    return replace(settled, pool_qd=space.pool_qd[is_allowed])


def centre(space: Space) -> Floats:
    """A mixture off every bound and row that some allowed mixture is off, as far as linear programmes see, (d,).

    The mean of the mixture of largest least slack and those of largest slack of each row. The ball is not looked at.
    """
    d, unit_r = len(space.domains), np.linalg.norm(space.rows_rd, axis=1)
    is_free = (space.upper_d > space.lower_d).astype(np.float64)[:, None]
    sides = np.vstack([np.hstack([np.eye(d), is_free]), np.hstack([-np.eye(d), is_free])])
    A = np.vstack([sides, np.column_stack([space.rows_rd.reshape(-1, d), unit_r])])
    b = np.concatenate([space.upper_d, -space.lower_d, space.most_r])
    goals = [np.append(np.zeros(d), -1.0), *(np.append(row, 0.0) for row in space.rows_rd)]
    found = []
    for goal in goals:
        done = linprog(
            goal,
            A_ub=A,
            b_ub=b,
            A_eq=np.append(np.ones(d), 0.0)[None],
            b_eq=[1.0],
            bounds=[(0.0, 1.0)] * (d + 1),
            options=PRECISE,
        )
        if done.status != 0:
            return _loosest(space)
        found.append(done.x[:d])
    mean = np.mean(found, axis=0)[None]
    mended: Floats = project_rows(mean, space.lower_d, space.upper_d, space.rows_rd, space.most_r)[0]
    return mended


def _loosest(space: Space) -> Floats:
    """The mixture that misses the constraints by least, where that is rounding.

    Raises:
        Infeasible: it is not; names the clash and the smallest relaxation.
    """
    d = len(space.domains)
    named = [(-np.eye(d)[i], -space.lower_d[i], why) for i, why in enumerate(space.why_lower) if why]
    named += [(np.eye(d)[i], space.upper_d[i], why) for i, why in enumerate(space.why_upper) if why]
    named += list(zip(space.rows_rd, space.most_r, space.why_row, strict=True))
    rows, most = np.array([row for row, _, _ in named]), np.array([value for _, value, _ in named])
    done = linprog(
        np.append(np.zeros(d), np.ones(len(named))),
        A_ub=np.hstack([rows, -np.eye(len(named))]),
        b_ub=most,
        A_eq=np.append(np.ones(d), np.zeros(len(named)))[None],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * d + [(0.0, None)] * len(named),
        options=PRECISE,
    )
    gap = np.where(done.x[d:] > TOLERANCE / 10.0, done.x[d:], 0.0)
    if gap.sum() <= TOLERANCE:
        loosest: Floats = project_rows(done.x[None, :d], space.lower_d, space.upper_d, space.rows_rd, space.most_r)[0]
        return loosest
    clash = [why for (_, _, why), price in zip(named, done.ineqlin.marginals, strict=True) if abs(price) > 1e-9]
    loosened = [(why, float(miss)) for (_, _, why), miss in zip(named, gap, strict=True) if miss > 0.0]
    raise Infeasible(
        "no mixture satisfies all of " + ", ".join(f"`{why}`" for why in clash),
        value=f"missed by {gap.sum():.4g} in all at best",
        bound="a mixture that sums to 1 within every limit",
        remedy="loosen " + " and ".join(f"`{why}` by {rounded_up(miss)}" for why, miss in loosened),
    )


def _nearest(space: Space, inside_d: Floats) -> Floats:
    """The allowed mixture of least KL divergence from the middle of the ball, (d,).

    Raises:
        Infeasible: it lies outside the ball.
    """
    near = space.near_d
    assert near is not None
    log_near = np.log(np.maximum(near, 1e-300))

    def least(price_r: Floats) -> Floats:
        tilt = log_near - price_r @ space.rows_rd
        low, high = -800.0, 800.0
        for _ in range(120):
            shift = (low + high) / 2.0
            w: Floats = np.clip(np.exp(np.clip(tilt + shift, -700.0, 50.0)), space.lower_d, space.upper_d)
            low, high = (shift, high) if w.sum() < 1.0 else (low, shift)
        return w

    def fall(price_r: Floats) -> tuple[float, Floats]:
        w = least(price_r)
        miss = space.rows_rd @ w - space.most_r
        return -float(nats_of(w[None], near)[0] + price_r @ miss), -miss

    price = np.zeros(len(space.rows_rd))
    if len(price):
        limits = [(0.0, None)] * len(price)
        settings = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-11}
        price = minimize(fall, price, jac=True, bounds=limits, method="L-BFGS-B", options=settings).x
    w = least(price)
    found = project_rows(w[None], space.lower_d, space.upper_d, space.rows_rd, space.most_r)
    found = pull_to_rows(found, space.rows_rd, space.most_r, inside_d)
    distance = max(float(nats_of(found, near)[0]), 0.0)
    if distance <= space.nats + TOLERANCE / 10.0:
        return np.asarray(found[0])
    held = [why for why, is_low in zip(space.why_lower, w <= space.lower_d, strict=True) if why and is_low]
    held += [why for why, is_high in zip(space.why_upper, w >= space.upper_d, strict=True) if why and is_high]
    held += [why for why, each in zip(space.why_row, price, strict=True) if each > 1e-9]
    raise Infeasible(
        f"no mixture satisfies `{space.why_near}` and all of " + ", ".join(f"`{why}`" for why in dict.fromkeys(held)),
        value=f"{distance:.4g} nats at the nearest allowed mixture",
        bound=f"≤ {space.nats:g} nats",
        remedy=f"raise near.nats to {rounded_up(distance)}, or loosen the limits that lead away from it",
    )


def _pool_clash(space: Space, pool_qd: Floats) -> Infeasible:
    """The error that no mixture of a pool is allowed: what the one that misses least misses."""
    misses = [
        (why, miss_q)
        for whys, miss_dq in (
            (space.why_lower, (space.lower_d - pool_qd).T),
            (space.why_upper, (pool_qd - space.upper_d).T),
            (space.why_row, (pool_qd @ space.rows_rd.T - space.most_r).T),
        )
        for why, miss_q in zip(whys, miss_dq, strict=True)
        if why
    ]
    if space.near_d is not None:
        is_in_support = (pool_qd[:, space.near_d == 0.0] <= TOLERANCE).all(axis=1)
        misses.append((space.why_near, np.where(is_in_support, nats_of(pool_qd, space.near_d) - space.nats, 0.0)))
    least = int(np.sum([np.maximum(miss_q, 0.0) for _, miss_q in misses], axis=0).argmin())
    missed = [(why, float(miss_q[least])) for why, miss_q in misses if miss_q[least] > TOLERANCE / 10.0]
    loosened = " and ".join(f"`{why}` by {rounded_up(miss)}" for why, miss in missed)
    return Infeasible(
        "no mixture of the pool satisfies the constraints",
        value=f"number {least + 1} of {len(pool_qd)} misses least: " + ", ".join(f"`{why}`" for why, _ in missed),
        bound="at least one allowed mixture in `pool`",
        remedy=f"loosen {loosened}, or widen the pool",
    )
