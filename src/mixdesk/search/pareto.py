"""The mixtures that no other beats in every metric.

Candidates: simulated mixtures, the optimum of each metric (`exact.py` without a pull), and the optimum of weighted
means of the metrics in units of their spread. A candidate is kept where no other is as good in every metric and better
in one, by the law's mean; of many the optima and those farthest apart along the front stay.

How sure the front is comes from joint draws of the law for the mean of runs: in each draw some points of the set are
beaten by others; the probability of a point is the share of draws in which it is not. Draws for single runs would ask
about the luck of two runs instead, and points near each other would all be beaten half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.errors import InputError
from mixdesk.core.objective import Objective, matching
from mixdesk.core.observations import Floats, Metric
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import ParetoPoint
from mixdesk.core.trial import StudyView
from mixdesk.search.exact import N_SIMULATED, Problem, solve
from mixdesk.search.simulate import simulate
from mixdesk.search.terrain import Terrain

# Points of the set at most, weighted means that are solved for, draws of the law.
N_POINTS, N_WEIGHTINGS, N_DRAWS = 30, 9, 200
# Mixtures between neighbours of the front that are looked at too.
N_BETWEEN = 4


def pareto_set(view: StudyView, law: LawFit | None, metrics: Sequence[str]) -> tuple[ParetoPoint, ...]:
    """At most 30 mixtures along the front of some metrics (names or patterns), by the first metric, best first.

    All lie in the space, in the region of the runs and within the guards.

    Raises:
        InputError: fewer than two metrics are named, or one is unknown.
        NotEnoughEvidence: no law, or no finished trial.
        Infeasible: no mixture satisfies constraints and guards.
    """
    terrain = Terrain.of(view, law)
    names = [metric.name for metric in terrain.metrics]
    used = [names.index(name) for name in wanted(terrain.metrics, metrics)]
    rng = np.random.default_rng(view.seed)
    simulated = simulate(terrain, N_SIMULATED, N_SIMULATED, rng)
    sign_m = np.array([terrain.metrics[j].sign for j in used])
    spread_m = np.maximum(terrain.means(simulated)[:, used].std(axis=0), 1e-12)
    weightings = np.vstack([np.eye(len(used)), _weightings(len(used), rng)])
    optima = []
    for weights in weightings:
        terms = {
            terrain.metrics[j].name: w for j, w, s in zip(used, weights / spread_m, spread_m, strict=True) if s > 0
        }
        single = replace(terrain, objective=Objective(terms=tuple(terms.items()), guards=view.objective.guards))
        optima.append(solve(Problem(single, 0.0), simulated)[0])
    rows = np.vstack([*optima, simulated])

    def cost(W_qd: Floats) -> Floats:
        scaled: Floats = terrain.means(W_qd)[:, used] * sign_m / spread_m
        return scaled

    front = rows[_is_free(cost(rows))]
    front = front[np.argsort(cost(front)[:, 0], kind="stable")]
    between = [front[:-1] + t * (front[1:] - front[:-1]) for t in np.linspace(0, 1, N_BETWEEN + 2)[1:-1]]
    rows = front if terrain.is_finite else np.vstack([front, *between])
    rows = rows[terrain.keeps(terrain.means(rows))] if terrain.limits else rows
    rows = rows[_is_free(cost(rows))]
    # The best in each metric, the ends of the front, stay; the solver may have missed what a simulated mixture has.
    cost_qm = cost(rows)
    ends = [int(np.lexsort((cost_qm.sum(axis=1), column))[0]) for column in cost_qm.T]
    chosen = _spread_out(cost_qm, list(dict.fromkeys(ends)))
    chosen.sort(key=lambda q: float(cost_qm[q, 0]))
    best_of = [tuple(terrain.metrics[j].name for j, end in zip(used, ends, strict=True) if end == q) for q in chosen]
    rows = rows[chosen]
    return _points(terrain, rows, used, sign_m, best_of)


def wanted(metrics: Sequence[Metric], patterns: Sequence[str]) -> tuple[str, ...]:
    """Names of the metrics that names or patterns mean.

    Raises:
        InputError: fewer than two, or an unknown one.
    """
    names = tuple(dict.fromkeys(metrics[j].name for one in patterns for j in matching(one, metrics, "the Pareto set")))
    if len(names) < 2:
        raise InputError(
            "a Pareto set needs two metrics", value=", ".join(names) or "none", bound="≥ 2", remedy="name another"
        )
    return names


def _points(
    terrain: Terrain, rows: Floats, used: Sequence[int], sign_m: Floats, best_of: Sequence[tuple[str, ...]]
) -> tuple[ParetoPoint, ...]:
    said = terrain.law.predict(terrain.inputs(rows), N_DRAWS)
    chance_q = None
    if said.draws_kqm is not None:
        chance_q = np.mean([_is_free(draw_qm) for draw_qm in said.draws_kqm[:, :, used] * sign_m], axis=0)
    return tuple(
        ParetoPoint(
            mixture=terrain.space.mixture(row),
            values=tuple((terrain.metrics[j].name, float(said.mean_qm[q, j])) for j in used),
            probability=None if chance_q is None else float(chance_q[q]),
            best_of=best_of[q],
        )
        for q, row in enumerate(rows)
    )


def _weightings(m: int, rng: np.random.Generator) -> Floats:
    """Weights of the metrics between the corners, (9, m): an even grid of two, draws from the simplex of more."""
    if m == 2:
        share = np.linspace(0.0, 1.0, N_WEIGHTINGS + 2)[1:-1]
        return np.column_stack([share, 1.0 - share])
    drawn: Floats = rng.dirichlet(np.ones(m), N_WEIGHTINGS)
    return drawn


def _is_free(cost_qm: Floats) -> NDArray[np.bool_]:
    """Which rows no other row beats: as good in every column and better in one, (q,)."""
    free = np.ones(len(cost_qm), dtype=np.bool_)
    for q in np.argsort(cost_qm.sum(axis=1), kind="stable"):
        if free[q]:
            beaten = (cost_qm >= cost_qm[q]).all(axis=1) & (cost_qm > cost_qm[q]).any(axis=1)
            free &= ~beaten
    return free


def _spread_out(cost_qm: Floats, first: Sequence[int]) -> list[int]:
    """Rows of at most 30: the first ones, then each the farthest from those chosen, until all are there."""
    chosen = list(first)
    distance = np.min([np.linalg.norm(cost_qm - cost_qm[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < N_POINTS and distance.max() > 1e-6:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(cost_qm - cost_qm[chosen[-1]], axis=1))
    return chosen
