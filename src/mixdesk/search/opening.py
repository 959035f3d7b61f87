"""What strategies that learn ask before they have learned anything, and where they look afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Space
from mixdesk.core.trial import FEW_AT_SCALE, StudyView
from mixdesk.search.design import Design, dirichlet
from mixdesk.search.sample import hit_and_run
from mixdesk.search.terrain import target_space

# Mixtures of the first rung that are run at each dearer one too: how far sizes agree takes pairs to tell.
N_PAIRED = 8
# At most so many design mixtures per domain at the first rung, where they are that cheap.
PER_DOMAIN = 4
# Corners are candidates where there are this many candidates for each; concentrations of the rest around the base.
CORNER_SHARE = 4
STRENGTHS = (1.0, 2.0, 5.0, 12.0)


def opening(view: StudyView, n_start: int | None, rungs: Sequence[Rung]) -> list[Proposal]:
    """What is left of the opening: a design at the first rung, then some of its mixtures at the others.

    The design has `n_start` mixtures, default 2 (d + 1) and at most half of what the budget allows there; where there
    are dearer rungs, up to 4 (d + 1) as long as it costs no more than the pairs at the last. Runs that are in the
    record already count. The pairs are spread evenly over the ranks at the first rung, the best among them; a budget
    that would lose more than half to the fewest a law can use has none.

    Raises:
        Infeasible: no mixture satisfies the constraints.
    """
    space, first = target_space(view), rungs[0]
    seen = {trial.spec.mixture for trial in view.at(first.label)}
    n_start = _default(view, rungs) if n_start is None else n_start
    if len(seen) < n_start:
        listed = Design(n_replicates=1).proposals(replace(view, budget=Budget(n_trials=n_start)))
        if new := [one for one in listed if one.mixture not in seen]:
            return new[: n_start - len(seen)]
    n_pairs = _pairs(view, rungs)
    if n_pairs < FEW_AT_SCALE or not any(trial.final for trial in view.at(first.label)):
        return []
    obs = view.observations(first.label)
    value_n = view.objective.value(obs.Y_nm, obs.metrics)
    mixture_of = {trial.id: trial.spec.mixture for trial in view.at(first.label)}
    ranked = [mixture_of[obs.trials[i]] for i in np.argsort(value_n, kind="stable") if np.isfinite(value_n[i])]
    ranked = [one for one in dict.fromkeys(ranked) if space.contains(np.array(one.over(view.domains)))[0]]
    chosen = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, min(n_pairs, len(ranked))).astype(int))]
    out = []
    for rung in rungs[1:]:
        asked_there = {trial.spec.mixture for trial in view.at(rung.label)}
        if len(asked_there) < len(chosen):
            why = f"a mixture of `{first.label}` at `{rung.label}`, to learn how far the two agree"
            out += [Proposal(mixture=one, rung=rung.label, why=why) for one in chosen if one not in asked_there]
    return out


def _pairs(view: StudyView, rungs: Sequence[Rung]) -> int:
    """Mixtures to run at every rung; 0 with one rung alone."""
    if len(rungs) == 1:
        return 0
    price = sum(rung.flops or 0.0 for rung in rungs[1:])
    if view.budget is None or view.budget.flops is None or not price:
        return N_PAIRED
    return min(N_PAIRED, int(view.budget.flops / 2.0 / price))


def _default(view: StudyView, rungs: Sequence[Rung]) -> int:
    """Design mixtures at the first rung, at least 2."""
    wanted = 2 * (len(view.domains) + 1)
    price, dearest = rungs[0].flops, rungs[-1].flops
    if len(rungs) > 1 and price and dearest:
        wanted = max(wanted, min(PER_DOMAIN * (len(view.domains) + 1), int(N_PAIRED * dearest / price)))
    budget = view.budget
    if budget is not None and budget.n_trials is not None:
        wanted = min(wanted, budget.n_trials // 2)
    if budget is not None and budget.flops is not None and price:
        wanted = min(wanted, int(budget.flops / price) // 2)
    return max(wanted, 2)


def wide(space: Space, base_d: Floats, n: int, rng: np.random.Generator) -> Floats:
    """About n allowed mixtures all over a space, (q, d): its corners where they are few, then draws; of a pool, all."""
    if space.pool_qd is not None:
        return space.pool_qd
    d = len(base_d)
    corners = space.project(np.eye(d)) if CORNER_SHARE * d <= n else np.empty((0, d))
    n_drawn = n - len(corners)
    drawn = dirichlet(space, base_d, n_drawn, rng, STRENGTHS) if space.is_box else hit_and_run(space, n_drawn, rng)
    return np.vstack([corners, drawn])


def near(best_bd: Floats, wide_qd: Floats, n: int, reach: float, rng: np.random.Generator) -> Floats:
    """N mixtures near the best, (n, d): each a part of the way, reach · 10^−2u, from one of them to one of `wide_qd`.

    Both ends are allowed and a space is convex, so every one is.
    """
    start, end = best_bd[rng.integers(len(best_bd), size=n)], wide_qd[rng.integers(len(wide_qd), size=n)]
    share = reach * 10.0 ** (-2.0 * rng.random((n, 1)))
    return np.asarray(start + share * (end - start))
