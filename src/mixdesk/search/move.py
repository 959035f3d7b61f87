"""The smallest step from today's mixture that gains enough.

    minimise   KL(w ‖ today) = Σ wᵢ ln(wᵢ / todayᵢ)
    subject to objective(law(w)) ≤ objective(law(today)) − gain, the space, the region of the runs, the guards

A weight that is 0 today counts as a millionth, so that a domain may enter at a price. SLSQP solves it from several
starts; the step is verified as `exact.py` does: no direction leads nearer to today without giving up the gain. For a
law that is constant in steps the nearest of many mixtures between today and simulated ones stands in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mixdesk.core import checks
from mixdesk.core.errors import Infeasible
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.protocols import LawFit
from mixdesk.core.trial import StudyView
from mixdesk.search.exact import (
    FLAT,
    N_SIMULATED,
    TAIL,
    Problem,
    bounds_of,
    is_in_steps,
    may_go,
    solve,
    steepest_descent,
)
from mixdesk.search.simulate import simulate
from mixdesk.search.terrain import Terrain

# Steps on the way from today to each simulated mixture.
N_STEPS = 12
# Starts of the solver: the nearest mixtures that gain enough.
N_STARTS = 4
# A gain short by this part of the objective's spread is the solver's rounding.
SHORT = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step: `mixture`, its `gain` by the law's mean and the `largest` there is, `kl` in nats from today, what holds
    it, and a sentence of `doubt` where the solver could not verify it.
    """

    mixture: Mixture
    gain: float
    largest: float
    kl: float
    binding: tuple[str, ...]
    doubt: str = ""


def smallest_step(view: StudyView, law: LawFit | None, today: Mixture, gain: float) -> Step:
    """The step of least KL divergence from `today` whose predicted objective is better by `gain` (its unit).

    Raises:
        InputError: `gain` is not positive.
        NotEnoughEvidence: no law, or no finished trial.
        Infeasible: no allowed mixture gains so much; says the largest gain there is.
    """
    checks.finite("gain", gain, 0.0, open_low=True)
    terrain = Terrain.of(view, law)
    rng = np.random.default_rng(view.seed)
    today_d = np.array(today.over(terrain.space.domains))
    floored = np.maximum(today_d, TAIL)
    problem = Problem(terrain, 1.0, floored / floored.sum())
    simulated = simulate(terrain, N_SIMULATED, N_SIMULATED, rng)
    free = Problem(terrain, 0.0)
    level = float(free.height(today_d[None])[0])
    best, _ = solve(free, simulated)
    largest = level - float(free.height(best[None])[0])
    if largest < gain:
        raise Infeasible(
            f"no allowed mixture gains {gain:g}",
            value=f"a largest predicted gain of {largest:.4g}",
            bound=f"≥ {gain:g}",
            remedy=f"ask for {rounded_down(largest)} at most, or loosen guards and constraints"
            if largest > 0.0
            else "stay with today's mixture",
        )
    target = level - gain
    spread = float(np.std(free.height(simulated))) or 1.0
    pool = _pool(free, terrain, today_d, np.vstack([best, simulated]), target)
    pool = pool[np.argsort(problem.pull(pool), kind="stable")]
    if terrain.is_finite:
        found, doubt = pool[0], ""
    elif is_in_steps(free, pool[:N_STARTS]):
        found, doubt = pool[0], "the law is constant in steps: the nearest of the mixtures tried"
    else:
        found, doubt = _nearest(problem, free, pool, target, SHORT * spread)
    mixture = terrain.space.mixture(found)
    return Step(
        mixture=mixture,
        gain=level - float(free.height(found[None])[0]),
        largest=largest,
        kl=max(float(problem.pull(found[None])[0]), 0.0),
        binding=terrain.binding(found),
        doubt=doubt,
    )


def rounded_down(value: float) -> str:
    """`value` > 0 in three digits, rounded down: a gain that is asked to the letter must be there."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return f"{np.floor(value / unit) * unit:.3g}"


def _pool(free: Problem, terrain: Terrain, today_d: Floats, towards: Floats, most: float) -> Floats:
    """Allowed mixtures on the way from today to others whose objective is at most `most`, (q, d)."""
    share = np.linspace(0.0, 1.0, N_STEPS + 1)[:, None, None]
    rows = terrain.enter((today_d + share * (towards - today_d)).reshape(-1, len(today_d)))
    is_enough = free.height(rows) <= most
    if terrain.limits:
        is_enough &= terrain.keeps(terrain.means(rows))
    return np.asarray(rows[is_enough])


def _nearest(problem: Problem, free: Problem, pool: Floats, target: float, short: float) -> tuple[Floats, str]:
    """The nearest mixture that the solver reaches from the nearest of the pool, and a sentence of doubt."""
    terrain = problem.terrain

    def gained(w: Floats) -> Floats:
        signed = free.metrics(w[None])[0]
        found: Floats = target - (signed if free.is_worst else np.atleast_1d(signed @ free.share_m))
        return found

    def slopes(w: Floats) -> Floats:
        return free.slopes(w) if free.is_worst else np.atleast_2d(free.share_m @ free.slopes(w))

    limits = [*bounds_of(problem), {"type": "ineq", "fun": gained, "jac": lambda w: -slopes(w)}]
    found = [pool[0]]
    for start in pool[:: max(len(pool) // N_STARTS, 1)][:N_STARTS]:
        done = minimize(
            lambda w: float(problem.pull(w[None])[0]),
            start,
            jac=problem.pull_slope,
            bounds=list(zip(terrain.space.lower_d, terrain.space.upper_d, strict=True)),
            constraints=limits,
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-12},
        )
        end = terrain.enter(np.nan_to_num(done.x, nan=0.0)[None])[0] if np.isfinite(done.x).all() else start
        if gained(end).min() >= -short and terrain.keeps(terrain.means(end[None]))[0]:
            found.append(end)
    nearest = found[int(problem.pull(np.array(found)).argmin())]
    rises, room = may_go(problem, nearest)
    rises += list(slopes(nearest))
    room += np.maximum(gained(nearest), 0.0).tolist()
    if steepest_descent(problem, nearest, problem.pull_slope(nearest, TAIL), rises, room) <= FLAT * 100:
        return nearest, ""
    return nearest, "the solver could not verify it: the nearest of all starts stands in"
