"""ParEGO's search: trials along the whole front of the objective's metrics, not at its best compromise alone.

    cost(w) = max_m λ_m z_m(w) + 0.05 Σ_m λ_m z_m(w),   λ ~ Dirichlet(1, …, 1),   z_m the metric from 0 (best) to 1

over the candidates of a round. Each trial of a round minimises the cost of its own λ under its own joint draw of the
law, so doubt about the law spreads the trials too.

Reference: parego. What we do differently: a law per metric in place of one of the cost, draws in place of expected
improvement, rounds of eight; half of the budget is `Design`. The answer is that of `Exact` on the study's objective;
`recipe pareto` shows the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Ints
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit
from mixdesk.core.trial import StudyView
from mixdesk.search.climb import design_of, n_in_rounds, until, untried
from mixdesk.search.exact import Exact
from mixdesk.search.simulate import candidates
from mixdesk.search.terrain import Terrain, learned

# Trials of a round, candidates it chooses from, and the share of the sum beside the largest term.
ROUND, N_CANDIDATES, SUM = 8, 2_000, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class ParEGO:
    """Half of the budget for the design, the rest along the front, eight trials at a time.

    Args:
        law: what predicts before each round.
    """

    title: ClassVar[str] = "rounds of trials along the front of the objective's metrics"
    reference: ClassVar[str] = "parego"
    eager: ClassVar[bool] = False

    law: Law

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n of the current round; the round's whole list depends on the trials before the round alone.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        n_all, n_asked = n_in_rounds(view), len(view.at())
        first = (n_all + 1) // 2
        if n_asked < first:
            return view.affordable(design_of(view, first)[: min(n, first - n_asked)])
        start = first + (n_asked - first) // ROUND * ROUND
        end = min(start + ROUND, n_all)
        asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at()}
        before = until(view, start)
        left = [p for p in self._round(before, end - start) if (p.mixture, p.replicate) not in asked]
        return view.affordable(left[: max(min(n, end - n_asked), 0)])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """As `Exact`."""
        return Exact().recommend(view, law)

    def _round(self, before: StudyView, size: int) -> list[Proposal]:
        """The proposals of a round, given the trials before it; design mixtures where the law has too few."""
        rng = np.random.default_rng((before.seed, len(before.trials)))
        try:
            terrain = Terrain.of(before, learned(before, self.law))
        except NotEnoughEvidence:
            return design_of(before, len(before.at()) + size)[:size]
        tried = np.array([trial.spec.mixture.over(before.domains) for trial in before.at()])
        rows = untried(np.vstack(list(candidates(terrain, N_CANDIDATES, rng))), tried)
        kept = terrain.heeded(rows)[0]
        rows = kept if len(kept) else rows
        used = np.flatnonzero(terrain.objective.weights(terrain.metrics) > 0.0)
        out: list[Proposal] = []
        taken = np.zeros(len(rows))
        for z_qm in _scaled(terrain, rows, used, size)[: len(rows)]:
            share_m = rng.dirichlet(np.ones(len(used)))
            cost_q = (share_m * z_qm).max(axis=1) + SUM * z_qm @ share_m + taken
            place = int(cost_q.argmin())
            taken[place] = np.inf
            most = terrain.metrics[used[int(share_m.argmax())]].name
            out.append(
                Proposal(
                    mixture=terrain.space.mixture(rows[place]),
                    rung=before.rungs[0].label,
                    why=f"along the front, {share_m.max():.0%} of the weight on {most}",
                )
            )
        # Of a pool, what lies outside the region of the runs is no candidate, and left to the design.
        named = {one.mixture for one in out}
        rest = design_of(before, len(before.at()) + size) if len(out) < size else []
        return out + [one for one in rest if one.mixture not in named][: size - len(out)]


def _scaled(terrain: Terrain, rows: Floats, used: Ints, n: int) -> Floats:
    """Draws of the used metrics at each row, lower better, 0 to 1 over the rows, (n, q, m); means without draws."""
    said = terrain.law.predict(terrain.inputs(rows), n)
    draws_kqm = np.repeat(said.mean_qm[None], n, axis=0) if said.draws_kqm is None else said.draws_kqm
    sign_m = np.array([terrain.metrics[j].sign for j in used])
    cost_kqm = draws_kqm[:, :, used] * sign_m
    low, high = cost_kqm.min(axis=1, keepdims=True), cost_kqm.max(axis=1, keepdims=True)
    scaled: Floats = (cost_kqm - low) / np.maximum(high - low, 1e-12)
    return scaled
