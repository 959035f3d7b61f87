"""Descent over very many domains: an interior-point method, where SLSQP's steps take minutes.

    minimise f(x) − μ Σ ln c_i(x)  subject to  sums that hold as equalities, for μ falling to almost nothing

c_i ≥ 0 are bounds and limits. Each step is Newton's on ∇f − Σ λ_i ∇c_i = 0 and c_i λ_i = μ; what curvature is not known
is learned from slopes by BFGS. One Cholesky factor of d × d per step is all that is of order d³.

Reference: Nocedal and Wright, Numerical Optimization (2006), chapter 19. What differs: every iterate is allowed, so
that a law is never asked about what lies outside; a start is therefore pulled to the middle first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from mixdesk.core.observations import Floats

# Price of a logarithm at first and at last, how it falls, and when: once the conditions hold to so many prices.
FIRST, LAST, FALL, HELD = 1e-3, 3e-11, 0.2, 10.0
# Steps in all, halvings of a step, and what part of the room to a limit a step may take.
N_STEPS, N_HALVINGS, TAKEN = 150, 30, 0.99
# Parts of the way to the middle that a start is pulled, in turn, until it is off every limit.
PULLED = (0.1, 0.4, 1.0)
# Slack at the middle that counts as none: such a bound or limit holds as an equality.
TIED = 1e-9
# Curvature of what is not known, before anything is learned.
CURVATURE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """What is minimised over x, within `lower_x` ≤ x ≤ `upper_x`, `slack(x)` ≥ 0 (k,) and a constant `total_x` · x.

    `value` is f; its slope is `slope` + `known_slope`. `curvature(x, price_k)` is the curvature (x, x) of the second
    part less that of price · slack over the limits `is_known_k`; that of `slope` and the other limits is learned.
    `slopes(x)` are those of slack, (k, x).
    """

    value: Callable[[Floats], float]
    slope: Callable[[Floats], Floats]
    known_slope: Callable[[Floats], Floats]
    curvature: Callable[[Floats, Floats], Floats]
    slack: Callable[[Floats], Floats]
    slopes: Callable[[Floats], Floats]
    is_known_k: NDArray[np.bool_]
    lower_x: Floats
    upper_x: Floats
    total_x: Floats


def minimise(task: Task, start_x: Floats, middle_x: Floats) -> Floats | None:
    """The lowest point that is reached from a start; None where the middle is not off every limit.

    Limits without slack at the middle hold as equalities if they are linear.
    """
    free = np.flatnonzero(np.minimum(middle_x - task.lower_x, task.upper_x - middle_x) > TIED)
    slack = task.slack(middle_x)
    loose = slack > TIED
    tied_rows = task.slopes(middle_x)[~loose]
    if not len(free) or (slack < -TIED).any() or (~loose & task.is_known_k).any():
        return None
    start_x = np.where(task.upper_x - task.lower_x > TIED, start_x, middle_x)
    for share in PULLED:
        x = start_x + share * (middle_x - start_x)
        if (task.slack(x)[loose] > 0.0).all() and (np.minimum(x - task.lower_x, task.upper_x - x)[free] > 0.0).all():
            return _Path(task, x, free, loose, np.vstack([task.total_x, tied_rows])[:, free]).walk()
    return None


class _Path:
    """The way of one start: x, the prices λ of bounds below and above and of limits, and the curvature learned."""

    def __init__(
        self, task: Task, x: Floats, free: NDArray[np.int64], loose: NDArray[np.bool_], equal_ex: Floats
    ) -> None:
        self.task, self.x, self.free, self.loose, self.equal_ex = task, x, free, loose, equal_ex
        self.learned_xx: Floats = CURVATURE * np.eye(len(x))
        self.mu = FIRST
        self.prices = [self.mu / room for room in self.rooms(x)]

    def rooms(self, x: Floats) -> list[Floats]:
        """Room below and above of the free variables, and the slack of loose limits."""
        low, high = (x - self.task.lower_x)[self.free], (self.task.upper_x - x)[self.free]
        return [low, high, self.task.slack(x)[self.loose]]

    def merit(self, x: Floats, rooms: list[Floats]) -> float:
        """The function with its logarithms; infinite outside."""
        if min(float(room.min(initial=np.inf)) for room in rooms) <= 0.0:
            return np.inf
        logs = sum(float(np.log(room).sum()) for room in rooms)
        return self.task.value(x) - self.mu * logs

    def all_prices(self) -> Floats:
        """Prices of all limits, (k,); 0 for those that hold as equalities."""
        price_k = np.zeros(len(self.loose))
        price_k[self.loose] = self.prices[2]
        return price_k

    def walk(self) -> Floats:
        """Steps until the last price's conditions hold, or no step leads down any more."""
        is_fresh = True
        slope, J_kx = self.task.slope(self.x), self.task.slopes(self.x)
        for _ in range(N_STEPS):
            step, changes, miss = self.newton(slope, J_kx)
            if miss <= HELD * self.mu:
                if self.mu <= LAST:
                    break
                self.mu = max(self.mu * FALL, LAST)
                step, changes, _ = self.newton(slope, J_kx)
            moved = self.search(step, slope, J_kx)
            if moved is None:
                if is_fresh:
                    break
                self.learned_xx, is_fresh = CURVATURE * np.eye(len(self.x)), True
                continue
            for i, (price, change) in enumerate(zip(self.prices, changes, strict=True)):
                self.prices[i] = price + _longest(price, change) * change
            new_slope, new_J = self.task.slope(moved), self.task.slopes(moved)
            self.learn(moved - self.x, new_slope - slope, new_J - J_kx)
            self.x, slope, J_kx, is_fresh = moved, new_slope, new_J, False
            self.prices = [
                np.clip(price, self.mu / room / 1e8, self.mu / room * 1e8)
                for price, room in zip(self.prices, self.rooms(self.x), strict=True)
            ]
        return self.x

    def newton(self, slope: Floats, J_kx: Floats) -> tuple[Floats, list[Floats], float]:
        """Newton's step, the changes of the prices, and by how much the conditions are missed."""
        rooms, prices, free = self.rooms(self.x), self.prices, self.free
        J = J_kx[np.ix_(self.loose, free)]
        H = (self.learned_xx + self.task.curvature(self.x, self.all_prices()))[np.ix_(free, free)]
        H += (J.T * (prices[2] / rooms[2])) @ J
        H[np.diag_indices_from(H)] += prices[0] / rooms[0] + prices[1] / rooms[1]
        whole = (slope + self.task.known_slope(self.x))[free]
        pushed = whole - self.mu / rooms[0] + self.mu / rooms[1] - J.T @ (self.mu / rooms[2])
        factor = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, np.column_stack([pushed, self.equal_ex.T]), check_finite=False)
        tension = np.linalg.lstsq(self.equal_ex @ solved[:, 1:], self.equal_ex @ solved[:, 0], rcond=None)[0]
        step = solved[:, 1:] @ tension - solved[:, 0]
        toward = [step, -step, J @ step]
        changes = [self.mu / r - p - p / r * t for r, p, t in zip(rooms, prices, toward, strict=True)]
        left = whole - prices[0] + prices[1] - J.T @ prices[2] - self.equal_ex.T @ tension
        loose_ends = [np.abs(room * price - self.mu) for room, price in zip(rooms, prices, strict=True)]
        miss = max(float(part.max(initial=0.0)) for part in (np.abs(left), *loose_ends))
        full = np.zeros(len(self.x))
        full[free] = step
        return full, changes, miss

    def search(self, step: Floats, slope: Floats, J_kx: Floats) -> Floats | None:
        """The point on the way of a step where the merit has fallen enough; None where it does not fall."""
        rooms, free = self.rooms(self.x), self.free
        low, high, limits = (self.mu / room for room in rooms)
        rise = float((slope + self.task.known_slope(self.x)) @ step)
        rise += float((high - low) @ step[free] - limits @ (J_kx[self.loose] @ step))
        share = min(_longest(rooms[0], step[free]), _longest(rooms[1], -step[free]))
        now = self.merit(self.x, rooms)
        for _ in range(N_HALVINGS):
            moved = self.x + share * step
            there = self.rooms(moved)
            is_inside = (there[2] >= (1.0 - TAKEN) * rooms[2]).all()
            if is_inside and self.merit(moved, there) <= now + 1e-4 * share * rise + 1e-14 * abs(now):
                return moved
            share /= 2.0
        return None

    def learn(self, s: Floats, d_slope: Floats, d_J_kx: Floats) -> None:
        """BFGS on the part whose curvature is not known."""
        price_k = np.where(self.task.is_known_k, 0.0, self.all_prices())
        y = d_slope - price_k @ d_J_kx
        bend, Bs = float(s @ y), self.learned_xx @ s
        have = float(s @ Bs)
        if have <= 1e-300:
            return
        # Powell's damping: what bends the other way counts as a fifth of what was thought.
        share = 1.0 if bend >= 0.2 * have else 0.8 * have / (have - bend)
        y = share * y + (1.0 - share) * Bs
        self.learned_xx += np.outer(y, y / float(s @ y)) - np.outer(Bs, Bs / have)


def _longest(room: Floats, change: Floats) -> float:
    """How far, at most 1, one can go before a share of the room is taken."""
    is_down = change < 0.0
    return float(min(1.0, (TAKEN * room[is_down] / -change[is_down]).min(initial=1.0)))
