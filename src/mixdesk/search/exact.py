"""Olmix's exact search: the minimum of the predicted objective with a pull to the natural mixture.

    minimise   objective(law(w)) + kl · Σ wᵢ ln(wᵢ / w0ᵢ)
    subject to Σ w = 1, lower ≤ w ≤ upper (epoch caps included), A w ≤ b, KL(w ‖ near) ≤ nats,
               leverage(w) ≤ leverage of the farthest run

For a law that is a sum of exponentials of linear scores and a mean of metrics that are better lower this is convex.
Any other law works too: gradients come from the fit where it has them (`gradient`), else from differences, and the
solver starts from several mixtures. `reduce = "worst"` is solved in epigraph form: minimise z with metric ≤ z.

What we do differently: Olmix solves with cvxpy and stops there. Here SLSQP solves (over many domains the interior-point
method of `interior.py`), a linear programme then verifies that no direction leads down (the first-order condition), and
what cannot be verified is said. A law that is constant in steps has no such condition: there the best simulated
mixtures are averaged. The search stays in the region of the runs; without that a log-linear law walks to a vertex that
nobody tried. Guards are constraints sign · law_m(w) ≤ bound, with the same slopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import linprog, minimize

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, put
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.project import nats_of
from mixdesk.core.protocols import HasGradient, LawFit
from mixdesk.core.trial import StudyView
from mixdesk.search.design import Design
from mixdesk.search.interior import Task, minimise
from mixdesk.search.simulate import simulate
from mixdesk.search.terrain import Terrain

# Weights below this count as this in logarithms: a millionth of a run is less than a sequence.
TAIL = 1e-6
# A step towards each domain for differences: small beside any weight that matters, large beside rounding.
STEP = 1e-5
# Half-width of the box in which the linear programme looks for a way down, and the descent per unit of weight that
# still passes for none (in units of the objective, times 1 + kl).
BOX = 1e-2
FLAT = 1e-4
# Simulated candidates, how many of the best serve as starts, and how many are averaged where the law has no slope.
N_SIMULATED = 2_000
N_STARTS = 4
# Above so many domains the interior-point method descends, from the lowest start, and fewer mixtures are simulated.
MANY, N_SIMULATED_MANY = 150, 400
# No metric of a law is larger in size.
FAR = 1e9
N_AVERAGED = 20
# Mixtures around the optimum and draws of the law that measure how flat it is.
N_AROUND = 600
N_DRAWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Exact:
    """Solve for the best predicted mixture. The first trials are those of `Design`.

    Args:
        kl: price of one nat of distance from the natural mixture (uniform where that is unknown), in the objective's
            unit. Olmix's is 0.05 for a mean of bits per byte, with nothing else to hold the search; here the region of
            the runs holds it, and a fifth of that lost less on every world whose law is right (docs/log.md).
    """

    title: ClassVar[str] = "exact minimum with a pull to the natural mixture"
    reference: ClassVar[str] = "olmix"
    eager: ClassVar[bool] = True

    kl: float = 0.01

    def __post_init__(self) -> None:
        put(self, kl=checks.finite("kl", self.kl, 0.0))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n proposals of the default design."""
        return Design().ask(view, n)

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The minimum; `spread` is half the range of the mixtures that the law cannot tell from it.

        Raises:
            NotEnoughEvidence: no law, or no finished trial.
            Infeasible: no mixture satisfies the constraints, or no candidate keeps the guards.
        """
        terrain = Terrain.of(view, law)
        rng = np.random.default_rng(view.seed)
        n_simulated = N_SIMULATED if len(view.domains) <= MANY else N_SIMULATED_MANY
        simulated = simulate(terrain, n_simulated, n_simulated, rng)
        problem = Problem(terrain, self.kl)
        best, doubt = solve(problem, simulated)
        base = "natural" if view.natural is not None else "uniform"
        pull = f" with a pull of {self.kl:g} per nat to {base}" if self.kl > 0.0 else ""
        return Recommendation(
            mixture=terrain.space.settled(best),
            spread=spread_around(problem, best, simulated, rng),
            binding=terrain.binding(best),
            why=f"minimum of the predicted objective{pull}{doubt}{terrain.caveat}",
        )


class Problem:
    """The function to minimise, at one mixture at a time: value, slope, and the metrics behind `worst`.

    `reference_d` is what the pull leads to: the natural mixture floored at 1e-12 unless given; signs and weights are in
    the law's order of metrics.
    """

    def __init__(self, terrain: Terrain, kl: float, reference_d: Floats | None = None) -> None:
        self.terrain = terrain
        self.kl = kl
        floored = np.maximum(terrain.natural_d, 1e-12) if reference_d is None else reference_d
        self.reference_d: Floats = floored / floored.sum()
        weights = terrain.objective.weights(terrain.metrics)
        self.used = np.flatnonzero(weights > 0.0)
        self.sign_m: Floats = np.array([terrain.metrics[j].sign for j in self.used])
        self.share_m: Floats = weights[self.used] / weights.sum()
        self.is_worst = terrain.objective.reduce == "worst" and len(self.used) > 1
        self.guarded = np.array([limit.metric for limit in terrain.limits], dtype=np.int64)
        self.guard_g: Floats = np.array([limit.sign / limit.unit for limit in terrain.limits])

    def metrics(self, W_qd: Floats) -> Floats:
        """Signed mean prediction of the objective's metrics, (q, m): lower is better."""
        signed: Floats = self.terrain.means(W_qd)[:, self.used] * self.sign_m
        return signed

    def slopes(self, w_d: Floats) -> Floats:
        """Gradient of each of those metrics along the simplex, (m, d), up to a constant per metric."""
        return self.law_slopes(w_d)[self.used] * self.sign_m[:, None]

    def guard_slopes(self, w_d: Floats) -> Floats:
        """Gradient of each guard's excess, (g, d), up to a constant per guard."""
        return self.law_slopes(w_d)[self.guarded] * self.guard_g[:, None]

    def law_slopes(self, w_d: Floats) -> Floats:
        """Gradient of every metric of the law, (m, d), in its own direction."""
        law, domains = self.terrain.law, self.terrain.space.domains
        if isinstance(law, HasGradient):
            place = {name: i for i, name in enumerate(domains)}
            there = [place[name] for name in law.domains]
            back = np.argsort(there)
            exact: Floats = law.gradient(w_d[None, there])[0][:, back]
            return exact
        towards = w_d + STEP * (np.eye(len(domains)) - w_d)
        Y_qm = self.terrain.means(np.vstack([w_d, towards]))
        rise: Floats = (Y_qm[1:] - Y_qm[0]).T / STEP
        return rise

    def pull(self, W_qd: Floats) -> Floats:
        """The priced distance of each row from the reference, (q,)."""
        nats = W_qd * np.log(np.maximum(W_qd, 1e-300) / self.reference_d)
        price: Floats = self.kl * nats.sum(axis=1)
        return price

    def pull_slope(self, w_d: Floats, tail: float = 1e-12) -> Floats:
        """Its gradient, (d,)."""
        slope: Floats = self.kl * (np.log(np.maximum(w_d, tail) / self.reference_d) + 1.0)
        return slope

    def height(self, W_qd: Floats) -> Floats:
        """What is minimised, for each row, (q,); the worst metric is taken as it is."""
        signed = self.metrics(W_qd)
        goal: Floats = signed.max(axis=1) if self.is_worst else signed @ self.share_m
        return goal + self.pull(W_qd)


def _starts(terrain: Terrain, simulated: Floats) -> Floats:
    """Where the solver begins: best seen, natural, uniform and the best simulated mixtures, all inside, (q, d)."""
    d = len(terrain.natural_d)
    rows = [terrain.natural_d, np.full(d, 1.0 / d), *simulated[:N_STARTS]]
    if terrain.best_d is not None:
        rows.insert(0, terrain.best_d)
    return terrain.enter(np.array(rows))


def is_in_steps(problem: Problem, rows: Floats) -> bool:
    """Whether the law has no slope at most of some mixtures: it is constant in steps, as trees are."""
    n_flat = sum(not problem.slopes(row).any() for row in rows)
    return 2 * n_flat > len(rows)


def solve(problem: Problem, simulated: Floats) -> tuple[Floats, str]:
    """The lowest mixture that any start leads to (or is), and a sentence of doubt where it is not verified.

    `simulated` are candidates that keep the guards, best first. A law without slope at most starts is constant in
    steps (trees): there the mean of the lowest simulated mixtures stands in, as in RegMix.
    """
    terrain = problem.terrain
    if terrain.is_finite:
        return simulated[int(problem.height(simulated).argmin())], "; the best of the pool"
    starts = _starts(terrain, simulated)
    if len(terrain.natural_d) > MANY:
        starts = starts[np.argsort(problem.height(starts), kind="stable")[:1]]
    if is_in_steps(problem, starts):
        lowest = simulated[np.argsort(problem.height(simulated), kind="stable")[:N_AVERAGED]]
        stands = terrain.heed(lowest.mean(axis=0), lowest[0])
        return stands, f"; the law is constant in steps: mean of the best {N_AVERAGED} simulated mixtures"
    middle = simulated.mean(axis=0)
    ends = (terrain.heed(_descend(problem, row, middle), simulated[0]) for row in starts)
    found = np.array([*starts, *ends])
    heights = np.where(terrain.keeps(terrain.means(found)), problem.height(found), np.inf)
    best = found[int(np.where(np.isnan(heights), np.inf, heights).argmin())]
    if _descent(problem, best) <= FLAT * (1.0 + problem.kl):
        return best, ""
    return best, "; the solver could not verify it: the best of all starts stands in"


def nats_slope(w_d: Floats, near_d: Floats) -> Floats:
    """Gradient of the distance to the middle of the ball, (d,), up to a constant; 0 where the middle has no weight."""
    ratio = np.maximum(w_d, TAIL * near_d) / np.where(near_d > 0.0, near_d, 1.0)
    slope: Floats = np.where(near_d > 0.0, np.log(np.maximum(ratio, 1e-300)) + 1.0, 0.0)
    return slope


def bounds_of(problem: Problem, n_more: int = 0) -> list[dict[str, Any]]:
    """SLSQP's constraints, shared by every search: Σ w = 1, region, rows, ball, guards; `n_more` variables follow."""
    terrain = problem.terrain
    region, d = terrain.region, len(terrain.natural_d)

    def padded(rows: Floats) -> Floats:
        return np.hstack([np.atleast_2d(rows), np.zeros((len(np.atleast_2d(rows)), n_more))])

    def limit(kind: str, fun: Callable[[Floats], Any], jac: Callable[[Floats], Floats]) -> dict[str, Any]:
        return {"type": kind, "fun": lambda x: fun(x[:d]), "jac": lambda x: padded(jac(x[:d]))}

    limits = [limit("eq", lambda w: w.sum() - 1.0, lambda w: np.ones(d))]
    if region is not None:
        limits.append(
            limit(
                "ineq",
                lambda w: 1.0 - region.leverage(w)[0] / region.limit,
                lambda w: -region.gradient(w) / region.limit,
            )
        )
    space = terrain.space
    if len(space.rows_rd):
        limits.append(limit("ineq", lambda w: space.most_r - space.rows_rd @ w, lambda w: -space.rows_rd))
    if space.near_d is not None:
        near = space.near_d
        limits.append(limit("ineq", lambda w: space.nats - nats_of(w[None], near)[0], lambda w: -nats_slope(w, near)))
    if terrain.limits:
        limits.append(
            limit("ineq", lambda w: -terrain.excess(terrain.means(w[None]))[0], lambda w: -problem.guard_slopes(w))
        )
    return limits


def _descend(problem: Problem, start_d: Floats, middle_d: Floats) -> Floats:
    """SLSQP from one start, moved inside; over many domains the interior-point method, where the middle is off limits.

    For `worst` the last variable is z, the bound on every metric.
    """
    space = problem.terrain.space
    d, n_more = len(start_d), int(problem.is_worst)
    unit = 1.0 + problem.kl

    def value(x: Floats) -> float:
        row = x[None, :d]
        return float(x[d] + problem.pull(row)[0] if problem.is_worst else problem.height(row)[0]) / unit

    def law_slope(x: Floats) -> Floats:
        return (np.append(np.zeros(d), 1.0) if problem.is_worst else problem.share_m @ problem.slopes(x)) / unit

    def pull_slope(x: Floats) -> Floats:
        return np.append(problem.pull_slope(x[:d]), np.zeros(n_more)) / unit

    limits = bounds_of(problem, n_more)
    if problem.is_worst:
        limits.append(
            {
                "type": "ineq",
                "fun": lambda x: x[d] - problem.metrics(x[None, :d])[0],
                "jac": lambda x: np.hstack([-problem.slopes(x[:d]), np.ones((len(problem.used), 1))]),
            }
        )
    if d > MANY:
        reached = _through(problem, value, law_slope, pull_slope, limits[1:], start_d, middle_d)
        if reached is not None:
            inside: Floats = problem.terrain.enter(reached[None, :d])[0]
            return inside
    x0 = np.append(start_d, problem.metrics(start_d[None])[0].max()) if problem.is_worst else start_d
    bounds = [*zip(space.lower_d, space.upper_d, strict=True), *[(None, None)] * n_more]
    done = minimize(
        value,
        x0,
        jac=lambda x: law_slope(x) + pull_slope(x),
        bounds=bounds,
        constraints=limits,
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-12},
    )
    end = done.x[:d] if np.isfinite(done.x).all() else start_d
    moved: Floats = problem.terrain.enter(end[None])[0]
    return moved


def _through(
    problem: Problem,
    value: Callable[[Floats], float],
    law_slope: Callable[[Floats], Floats],
    pull_slope: Callable[[Floats], Floats],
    limits: list[dict[str, Any]],
    start_d: Floats,
    middle_d: Floats,
) -> Floats | None:
    """The end of the interior-point method; None where `middle_d` is not off every limit. `limits` are inequalities.

    The curvature of pull, region and ball is known.
    """
    terrain, d, n_more = problem.terrain, len(start_d), int(problem.is_worst)
    region, space = terrain.region, terrain.space
    # In the order of `bounds_of`: region, rows, ball, guards; then metrics under z.
    is_curved = [True] * (region is not None) + [False] * len(space.rows_rd) + [True] * (space.near_d is not None)
    n_learned = len(terrain.limits) + n_more * len(problem.used)

    def curvature(x: Floats, price_k: Floats) -> Floats:
        whole = np.zeros((len(x), len(x)))
        if region is not None:
            whole[:d, :d] = (2.0 * price_k[0] / region.limit) * region.inverse_dd
        nats = problem.kl / (1.0 + problem.kl) + (price_k[len(is_curved) - 1] if space.near_d is not None else 0.0)
        whole[np.arange(d), np.arange(d)] += nats / np.maximum(x[:d], TAIL * TAIL)
        return whole

    def above(w_d: Floats) -> Floats:
        """The mixture and, under `worst`, a z over all its metrics."""
        return np.append(w_d, np.full(n_more, problem.metrics(w_d[None])[0].max() + 1.0))

    task = Task(
        value=value,
        slope=law_slope,
        known_slope=pull_slope,
        curvature=curvature,
        slack=lambda x: np.concatenate([np.zeros(0), *(np.atleast_1d(limit["fun"](x)) for limit in limits)]),
        slopes=lambda x: np.vstack([np.zeros((0, len(x))), *(limit["jac"](x) for limit in limits)]),
        is_known_k=np.array([*is_curved, *[False] * n_learned], dtype=np.bool_),
        lower_x=np.append(space.lower_d, np.full(n_more, -FAR)),
        upper_x=np.append(space.upper_d, np.full(n_more, FAR)),
        total_x=np.append(np.ones(d), np.zeros(n_more)),
    )
    return minimise(task, above(start_d), above(middle_d))


def _descent(problem: Problem, w_d: Floats) -> float:
    """The steepest first-order descent of the height; under `worst` the variable z bounds all metrics."""
    pull = problem.pull_slope(w_d, TAIL)
    if not problem.is_worst:
        return steepest_descent(problem, w_d, problem.share_m @ problem.slopes(w_d) + pull, *may_go(problem, w_d))
    rises, room = may_go(problem, w_d, 1)
    signed = problem.metrics(w_d[None])[0]
    rises += [np.append(slope, -1.0) for slope in problem.slopes(w_d)]
    room += (signed.max() - signed).tolist()
    return steepest_descent(problem, w_d, np.append(pull, 1.0), rises, room)


def may_go(problem: Problem, w_d: Floats, n_more: int = 0) -> tuple[list[Floats], list[float]]:
    """Slopes of leverage, rows, ball and guards at a mixture, each with the room left; `n_more` variables follow."""
    terrain = problem.terrain
    rises, room = [], []
    if terrain.region is not None:
        rises.append(terrain.region.gradient(w_d))
        room.append(max(terrain.region.limit - float(terrain.region.leverage(w_d)[0]), 0.0))
    space = terrain.space
    if len(space.rows_rd):
        rises += list(space.rows_rd)
        room += np.maximum(space.most_r - space.rows_rd @ w_d, 0.0).tolist()
    if space.near_d is not None:
        rises.append(nats_slope(w_d, space.near_d))
        room.append(max(space.nats - float(nats_of(w_d[None], space.near_d)[0]), 0.0))
    if terrain.limits:
        rises += list(problem.guard_slopes(w_d))
        room += np.maximum(-terrain.excess(terrain.means(w_d[None]))[0], 0.0).tolist()
    return [np.append(slope, np.zeros(n_more)) for slope in rises], room


def steepest_descent(problem: Problem, w_d: Floats, cost: Floats, rises: list[Floats], room: list[float]) -> float:
    """The steepest first-order descent of `cost` from a mixture, per unit of weight; 0 at a minimum.

    A linear programme over steps p within ± BOX: minimise cost · p with Σ p = 0, w + p within its bounds, and each of
    `rises` · p ≤ its `room`. Variables after the d weights are free.
    """
    if not np.isfinite(cost).all():
        return float("inf")
    space, d = problem.terrain.space, len(w_d)
    n_more = len(cost) - d
    low = np.minimum(np.maximum(space.lower_d - w_d, -BOX), 0.0)
    high = np.maximum(np.minimum(space.upper_d - w_d, BOX), 0.0)
    done = linprog(
        cost,
        A_ub=np.array(rises) if rises else None,
        b_ub=room if rises else None,
        A_eq=np.append(np.ones(d), np.zeros(n_more))[None],
        b_eq=[0.0],
        bounds=[*zip(low, high, strict=True), *[(None, None)] * n_more],
    )
    return -float(done.fun) / BOX if done.status == 0 else float("inf")


def spread_around(problem: Problem, best_d: Floats, simulated: Floats, rng: np.random.Generator) -> Pairs:
    """Domain → half the range of the mixtures that the law cannot tell from the best; empty without draws.

    Mixtures between the best and simulated ones (allowed, as both ends are) whose height exceeds the best's by no
    more than one standard deviation, over the law's draws, of their difference in the objective.
    """
    terrain = problem.terrain
    share = rng.random((N_AROUND, 1)) ** 2
    rows = best_d + share * (simulated[rng.integers(len(simulated), size=N_AROUND)] - best_d)
    rows = np.vstack([best_d, simulated]) if terrain.is_finite else rows
    rows[0] = best_d
    prediction = terrain.law.predict(terrain.inputs(rows), N_DRAWS)
    if prediction.draws_kqm is None:
        return ()
    draws = terrain.objective.value(prediction.draws_kqm, terrain.metrics)
    doubt = (draws - draws[:, :1]).std(axis=0)
    height = problem.height(rows)
    is_kept = terrain.keeps(prediction.mean_qm)
    is_kept[0] = True
    near = rows[is_kept & (height - height[0] <= doubt)]
    half = (near.max(axis=0) - near.min(axis=0)) / 2.0
    return tuple(zip(terrain.space.domains, half.tolist(), strict=True))
