"""Ask in rounds where the study's own law expects most to be learned about the best mixture.

After an opening by the design, each round fits the law on what is known, draws jointly from it over many allowed
mixtures, and takes those whose run tells most about the value of the best mixture at the target (max-value entropy,
see `belief.py`). With a law that spans scales the rungs compete by what a run is worth per FLOP, as in ADMIRE; with any
other all questions go to the first rung. The answer is that of `exact`.

What we do differently: ADMIRE's surrogate is one Gaussian process on the objective; here it is whatever law the study
has, metric by metric, so the intervals that calibrate a recipe are those that steer the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Inputs, Prediction
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit, SpansScales
from mixdesk.core.scale import Rung
from mixdesk.core.trial import FEW_AT_SCALE, StudyView, inputs_at
from mixdesk.search.belief import Belief, most_worth
from mixdesk.search.design import Design, base_mixture
from mixdesk.search.exact import Exact
from mixdesk.search.opening import near, opening, wide
from mixdesk.search.simulate import simulate
from mixdesk.search.terrain import Terrain, learned

# Candidates of a round, the simulated mixtures behind them, and joint draws of the law.
N_CANDIDATES, N_SIMULATED, N_DRAWS = 384, 4_000, 256
# Best simulated mixtures near which half of the candidates lie.
N_BEST = 8
# Half-width of a normal 90 % interval, in sd.
HALF_WIDTH = 1.6448536269514722


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptive:
    """Design, then rounds of the runs that tell most about the optimum; `exact` answers.

    Args:
        law: what learns between the rounds.
        n_start: design mixtures before the first round; default as in `opening`.
        batch: trials of a round; default one per four domains, at least 4.
        kl: pull of the answer, as in `exact`.
    """

    title: ClassVar[str] = "rounds of the runs that tell most about the optimum"
    reference: ClassVar[str] = "admire"
    eager: ClassVar[bool] = False

    law: Law
    n_start: int | None = None
    batch: int | None = None
    kl: float = 0.01

    def __post_init__(self) -> None:
        put(
            self,
            n_start=None if self.n_start is None else checks.count("n_start", self.n_start, 2),
            batch=None if self.batch is None else checks.count("batch", self.batch, 1),
            kl=checks.finite("kl", self.kl, 0.0),
        )

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ min(n, batch) proposals, within the budget.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        n = n if view.trials_left is None else min(n, view.trials_left)
        rungs = view.rungs if isinstance(self.law, SpansScales) else view.rungs[:1]
        first = opening(view, self.n_start, rungs)
        if first or n < 1:
            return view.affordable(first[:n])
        try:
            terrain = Terrain.of(view, learned(view, self.law))
        except NotEnoughEvidence:
            return view.affordable(Design(n_replicates=1).ask(view, n))
        return view.affordable(
            self._choose(view, terrain, rungs, min(n, self.batch or max(-(-len(view.domains) // 4), 4)))
        )

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The minimum of the law, as `exact` finds it. Errors as there."""
        return Exact(kl=self.kl).recommend(view, law)

    def _choose(self, view: StudyView, terrain: Terrain, rungs: Sequence[Rung], n: int) -> list[Proposal]:
        """N proposals by what a run tells per price, each as if those before had come out at their means."""
        rng = np.random.default_rng((view.seed, len(view.trials)))
        rungs = [rung for rung in rungs if rung == rungs[0] or view.n_mixtures(rung) >= FEW_AT_SCALE]
        rows = _candidates(terrain, rng)
        belief = _belief(terrain, rows, rungs, rng)
        mixtures = [terrain.space.mixture(row) for row in rows]
        price_r = np.array([rung.flops or 1.0 for rung in rungs])
        return [
            Proposal(
                mixture=mixtures[pick.q],
                rung=rungs[pick.r].label,
                why=f"tells most about the best mixture: {pick.expected} there",
            )
            for pick in most_worth(view, belief, "entropy", mixtures, rungs, price_r, n)
        ]


def _candidates(terrain: Terrain, rng: np.random.Generator) -> Floats:
    """Allowed mixtures in the region of the runs: half all over it, half near the best simulated; of a pool, all."""
    base = base_mixture(terrain.natural_d, len(terrain.natural_d))
    far = wide(terrain.space, base, N_CANDIDATES // 2, rng)
    if terrain.is_finite:
        return far
    far = terrain.enter(far)
    best = simulate(terrain, N_SIMULATED, N_BEST, rng)
    return np.vstack([best, near(best, far, N_CANDIDATES - len(best) - len(far), 1.0, rng), far])


def _belief(terrain: Terrain, rows: Floats, rungs: Sequence[Rung], rng: np.random.Generator) -> Belief:
    """The law's joint draws of the objective over mixtures and rungs, as their mean and covariance."""
    parts = [inputs_at(rung.scale, terrain.space.domains, rows) for rung in rungs]
    names = set.intersection(*(set(part.covariates) for part in parts))
    inputs = Inputs.of(
        terrain.space.domains,
        np.vstack([rows] * len(rungs)),
        {name: np.concatenate([part.covariates[name] for part in parts]) for name in names},
    )
    found = terrain.law.predict(inputs, N_DRAWS)
    assert found.draws_kqm is not None
    value_krq = terrain.objective.value(found.draws_kqm, terrain.metrics).reshape(N_DRAWS, len(rungs), len(rows))
    value_kqr = np.swapaxes(value_krq, 1, 2)
    run = terrain.law.predict(inputs, sense="run")
    noise_rq = _noise(terrain, run, found).reshape(len(rungs), len(rows))
    deviation = (value_kqr - value_kqr.mean(axis=0)).reshape(N_DRAWS, -1)
    return Belief(
        value_kqr.mean(axis=0), deviation.T @ deviation / (N_DRAWS - 1), noise_rq.mean(axis=1), len(rungs) - 1, 0, rng
    )


def _noise(terrain: Terrain, run: Prediction, mean: Prediction) -> Floats:
    """Variance of the objective of one run around its mixture's mean, (q,), from the law's intervals of both.

    Metrics are taken as independent, the worst as the noisiest.
    """
    half_qm = [np.nan_to_num((each.high_qm - each.low_qm) / 2.0 / HALF_WIDTH) for each in (run, mean)]
    excess_qm = np.maximum(half_qm[0] ** 2 - half_qm[1] ** 2, 0.0)
    weights = terrain.objective.weights(terrain.metrics)
    if terrain.objective.reduce == "worst":
        return np.asarray(excess_qm[:, weights > 0.0].max(axis=1))
    return np.asarray(excess_qm @ (weights / weights.sum()) ** 2)
