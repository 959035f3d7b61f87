"""Mixtures spread evenly over a space, however many domains and however tight: hit-and-run.

A chain moves along a line through its mixture to a uniform point of what the space leaves of that line. Lines shift
weight between two domains; a box moves d/2 disjoint pairs at once, which do not touch each other. Where a row of the
space can only hold as an equality, lines are Gaussian within it. In a ball a point outside is drawn again from the
part of the line on the mixture's side of it, as in slice sampling, which leaves the uniform law as it is.

Reference: Smith (1984); what differs: many short chains from scattered starts, not one long chain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.observations import Floats
from mixdesk.core.project import nats_of
from mixdesk.core.space import Space
from mixdesk.search.feasible import centre

# Chains at most, and how often each weight moves before the first mixture is kept and between those kept.
N_CHAINS, BURN, BETWEEN = 2_000, 15, 3
# Draws of a point of a line before the chain stays where it is.
N_DRAWS = 8
# A row with less slack than this at the centre holds as an equality.
TIED = 1e-9

Inside = Callable[[Floats], NDArray[np.bool_]]
Move = Callable[[Space, Floats, np.random.Generator], None]


def hit_and_run(space: Space, n: int, rng: np.random.Generator) -> Floats:
    """N mixtures of a space that `feasible.settle` has settled, (n, d); of the pool where it has one.

    Uniform over the space in the limit of long chains.
    """
    d, q = len(space.domains), min(n, N_CHAINS)
    if space.pool_qd is not None:
        return np.asarray(space.pool_qd[rng.integers(len(space.pool_qd), size=n)])
    if d == 1:
        return np.ones((n, 1))
    corners = space.project(rng.dirichlet(np.full(d, 0.5), size=3 * q))
    W_qd: Floats = corners.reshape(3, q, d).mean(axis=0)
    if not len(space.rows_rd) and space.near_d is None:
        move: Move = _pairs_at_once
        n_moves = 1
    else:
        pairs = _pairs(space)
        move = _line_within(space) if pairs is None else _Pair(space, W_qd, pairs)
        n_moves = max(d // 4, 8) if pairs is None else -(-d // 2)
    kept = []
    for i in range(-(-n // q)):
        for _ in range((BURN if i == 0 else BETWEEN) * n_moves):
            move(space, W_qd, rng)
        # Sums drift by rounding over thousands of moves; what is allowed stays as it is but for that.
        kept.append(space.project(W_qd))
    return np.asarray(np.vstack(kept)[:n])


def _tied(space: Space) -> NDArray[np.bool_]:
    """Which rows can only hold as equalities, (r,)."""
    return np.asarray(space.most_r - space.rows_rd @ centre(space) < TIED)


def _pairs(space: Space) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Pairs of domains between which weight can move within the tied rows; None where that is not every way there is.

    Domains with the same coefficients in every tied row can; that is every way if there are as many kinds of
    domains as independent tied rows, the sum among them.
    """
    tied_td = space.rows_rd[_tied(space)]
    kinds, kind_d = np.unique(tied_td, axis=1, return_inverse=True)
    if kinds.shape[1] > np.linalg.matrix_rank(np.vstack([np.ones(kinds.shape[1]), kinds])):
        return None
    one, other = np.triu_indices(len(space.domains), 1)
    is_same = kind_d.ravel()[one] == kind_d.ravel()[other]
    return one[is_same], other[is_same]


def _pairs_at_once(space: Space, W_qd: Floats, rng: np.random.Generator) -> None:
    """Weight moves between the two domains of d/2 disjoint pairs, in place."""
    order = rng.permutation(W_qd.shape[1])
    one, other = order[: len(order) // 2], order[len(order) // 2 : len(order) // 2 * 2]
    total = W_qd[:, one] + W_qd[:, other]
    low = np.maximum(space.lower_d[one], total - space.upper_d[other])
    high = np.maximum(np.minimum(space.upper_d[one], total - space.lower_d[other]), low)
    W_qd[:, one] = low + rng.random(low.shape) * (high - low)
    W_qd[:, other] = total - W_qd[:, one]


class _Pair:
    """Weight moves between two domains of each chain, in place; what rows and ball have left is kept up to date."""

    def __init__(self, space: Space, W_qd: Floats, pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
        self.pairs = pairs
        self.columns_dr: Floats = np.ascontiguousarray(space.rows_rd.T)
        self.room_qr: Floats = space.most_r - W_qd @ self.columns_dr
        self.rows = np.arange(len(W_qd))
        self.log_near_d = None if space.near_d is None else np.log(np.maximum(space.near_d, 1e-300))
        self.nats_q = np.zeros(len(W_qd)) if space.near_d is None else nats_of(W_qd, space.near_d)

    def __call__(self, space: Space, W_qd: Floats, rng: np.random.Generator) -> None:
        """One move of every chain."""
        if not len(self.pairs[0]):
            return
        chosen = rng.integers(len(self.pairs[0]), size=len(W_qd))
        one, other = self.pairs[0][chosen], self.pairs[1][chosen]
        w, v = W_qd[self.rows, one], W_qd[self.rows, other]
        low = np.maximum(space.lower_d[one] - w, v - space.upper_d[other])
        high = np.minimum(space.upper_d[one] - w, v - space.lower_d[other])
        slope_qr = self.columns_dr[one] - self.columns_dr[other]
        if slope_qr.shape[1]:
            low, high = _within_rows(self.room_qr, slope_qr, low, high)
        if self.log_near_d is None:
            step = _drawn(low, high, rng, None)
        else:
            log_one, log_other = self.log_near_d[one], self.log_near_d[other]

            def nats(step_q: Floats) -> Floats:
                return _nats(w + step_q, log_one) + _nats(v - step_q, log_other)

            rest = self.nats_q - nats(np.zeros(len(w)))
            step = _drawn(low, high, rng, lambda step_q: rest + nats(step_q) <= space.nats)
            self.nats_q = rest + nats(step)
        W_qd[self.rows, one] = w + step
        W_qd[self.rows, other] = v - step
        if slope_qr.shape[1]:
            self.room_qr -= slope_qr * step[:, None]


def _nats(w_q: Floats, log_near_q: Floats) -> Floats:
    """The terms w ln(w / near) of single weights, 0 at 0."""
    positive = np.maximum(w_q, 1e-300)
    found: Floats = positive * (np.log(positive) - log_near_q)
    return found


def _line_within(space: Space) -> Move:
    """The move along Gaussian lines within the rows that hold as equalities."""
    tied = _tied(space)
    is_free = space.upper_d > space.lower_d
    fixed = np.vstack([np.ones(len(is_free)), space.rows_rd[tied]]) * is_free
    _, size, right = np.linalg.svd(fixed)
    basis = right[int((size > 1e-9 * size[0]).sum()) :] * is_free
    basis = basis[np.linalg.norm(basis, axis=1) > 1e-9]

    def move(space: Space, W_qd: Floats, rng: np.random.Generator) -> None:
        way = rng.standard_normal((len(W_qd), len(basis))) @ basis
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(space.lower_d - W_qd) / way, (space.upper_d - W_qd) / way])
        is_still = np.abs(way) < 1e-14
        low = np.where(is_still, -np.inf, ends.min(axis=0)).max(axis=1)
        high = np.where(is_still, np.inf, ends.max(axis=0)).min(axis=1)
        loose = ~tied
        room = (space.most_r - W_qd @ space.rows_rd.T)[:, loose]
        low, high = _within_rows(room, (way @ space.rows_rd.T)[:, loose], low, high)
        inside: Inside | None = None
        if space.near_d is not None:
            near = space.near_d

            def is_in(step_q: Floats) -> NDArray[np.bool_]:
                return np.asarray(nats_of(W_qd + step_q[:, None] * way, near) <= space.nats)

            inside = is_in
        W_qd += _drawn(low, high, rng, inside)[:, None] * way

    return move


def _within_rows(room_qr: Floats, slope_qr: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The part of each line on which slope · step ≤ room."""
    with np.errstate(divide="ignore", invalid="ignore"):
        end = np.maximum(room_qr, 0.0) / slope_qr
    high = np.minimum(high, np.where(slope_qr > 1e-14, end, np.inf).min(axis=1, initial=np.inf))
    low = np.maximum(low, np.where(slope_qr < -1e-14, end, -np.inf).max(axis=1, initial=-np.inf))
    return low, high


def _drawn(low: Floats, high: Floats, rng: np.random.Generator, is_in: Inside | None) -> Floats:
    """A uniform step of each line, (q,); with `is_in` drawn again on the near side of what lies outside."""
    # A line without length has no ends: nothing moves along it.
    low, high = np.maximum(np.minimum(low, 0.0), -1e9), np.minimum(np.maximum(high, 0.0), 1e9)
    step: Floats = low + rng.random(len(low)) * (high - low)
    if is_in is None:
        return step
    for _ in range(N_DRAWS):
        outside = ~is_in(step)
        if not outside.any():
            return step
        low, high = np.where(outside & (step < 0.0), step, low), np.where(outside & (step > 0.0), step, high)
        step = np.where(outside, low + rng.random(len(low)) * (high - low), step)
    return np.asarray(np.where(is_in(step), step, 0.0))
