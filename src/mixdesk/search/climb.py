"""CLIMB's search: a few rounds, each asking only mixtures that the law so far likes.

    round 1: the design;  round k: fit the law on all trials, simulate mixtures, ask random ones of the best `keep`
    rounds 4 : 2 : 1 of the budget (64, 32 and 16 of 112 trials);  recommended = mean of the 100 best predicted

The random choice among the best is part of the method: the very best are the law's own optimism. An eighth of each
later round lies around the recommendation of its start, as a hedge against a law that is good there alone.

What we do differently: CLIMB answers with the single best prediction of one kind of trees; here any law predicts, and
RegMix's average answers, a third of whose candidates lie around the best so far. The first round is `Design` with its
repeats, and the search keeps to constraints, guards and the region of the runs, which grows with the rounds.

Measured (docs/log.md): rounds pay with many domains and a law that follows the world; a wrong law misleads them more
than RegMix's wide candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import Infeasible, NotEnoughEvidence
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit
from mixdesk.core.scale import Budget
from mixdesk.core.trial import StudyView
from mixdesk.search.design import SAME, Design, n_planned
from mixdesk.search.simulate import averaged, best_of, simulate
from mixdesk.search.terrain import Terrain, learned, target_space

# Shares of the budget that the rounds get.
ROUNDS = (4, 2, 1)
# One trial in so many of a later round is a hedge, and the total concentration of the Dirichlet it is drawn from.
HEDGE, AROUND = 8, 50.0
# The answer: mixtures simulated, and how many of the best are averaged.
N_ANSWER, TOP = 50_000, 100
# Total concentrations of the Dirichlets around the best so far, in turn.
NEARER = (100.0, 300.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Climb:
    """Design, fit, prune, in three rounds.

    Args:
        law: what predicts between the rounds.
        n_candidates: mixtures simulated before a round.
        keep: how many of the best are drawn from.
    """

    title: ClassVar[str] = "three rounds, each among the mixtures predicted best"
    reference: ClassVar[str] = "climb"
    eager: ClassVar[bool] = False

    law: Law
    n_candidates: int = 20_000
    keep: int = 200

    def __post_init__(self) -> None:
        put(self, keep=checks.count("keep", self.keep, 1))
        put(self, n_candidates=checks.count("n_candidates", self.n_candidates, self.keep))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n of the current round; the round's whole list depends on the trials before the round alone.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        n_asked = len(view.at())
        ends = round_ends(n_in_rounds(view))
        k = sum(end <= n_asked for end in ends)
        if k == len(ends):
            return []
        if k == 0:
            return view.affordable(design_of(view, ends[0])[: min(n, ends[0] - n_asked)])
        start = ends[k - 1]
        before = until(view, start)
        asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at()}
        left = [p for p in self._round(before, k, ends) if (p.mixture, p.replicate) not in asked]
        return view.affordable(left[: min(n, ends[k] - n_asked)])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """Mean of the best simulated mixtures; `spread` is half their range from the 5th to the 95th percentile.

        Raises:
            NotEnoughEvidence: no law, or no finished trial.
            Infeasible: no mixture satisfies the constraints, or no candidate keeps the guards.
        """
        terrain = Terrain.of(view, law)
        best = climbed(terrain, N_ANSWER, TOP, np.random.default_rng(view.seed))
        return averaged(
            terrain, best, f"mean of the best {len(best)} simulated mixtures, the last of them near the best"
        )

    def _round(self, before: StudyView, k: int, ends: tuple[int, ...]) -> list[Proposal]:
        """The proposals of a later round, given the trials before it; design mixtures where the law has too few."""
        size = ends[k] - ends[k - 1]
        rng = np.random.default_rng((before.seed, ends[k - 1]))
        try:
            terrain, best = self._best(before, rng)
        except NotEnoughEvidence:
            return design_of(before, ends[-1])[:size]
        tried = np.array([trial.spec.mixture.over(before.domains) for trial in before.at()])
        best = untried(best, tried)
        n_hedge = 0 if terrain.is_finite else size // HEDGE
        drawn = best[rng.permutation(len(best))[: size - n_hedge]]
        centre = terrain.heed(best.mean(axis=0), best[0]) if n_hedge else np.empty(0)
        around = terrain.enter(rng.dirichlet(AROUND * centre + 1e-6, size=n_hedge)) if n_hedge else drawn[:0]
        words = f"round {k + 1}: one of the best {len(best):,} predicted"
        reasons = [words] * len(drawn) + [f"round {k + 1}: near the recommendation, as a hedge"] * n_hedge
        label = before.rungs[0].label
        return [
            Proposal(mixture=terrain.space.mixture(row), rung=label, why=why)
            for row, why in zip([*drawn, *around], reasons, strict=True)
        ]

    def _best(self, before: StudyView, rng: np.random.Generator) -> tuple[Terrain, Floats]:
        """Terrain and best simulated mixtures; where none keeps the guards, they wait for a better law."""
        fit = learned(before, self.law)
        try:
            terrain = Terrain.of(before, fit)
            return terrain, climbed(terrain, self.n_candidates, self.keep, rng)
        except Infeasible:
            terrain = Terrain.of(replace(before, objective=replace(before.objective, guards=())), fit)
            return terrain, climbed(terrain, self.n_candidates, self.keep, rng)


def climbed(terrain: Terrain, n: int, top: int, rng: np.random.Generator) -> Floats:
    """The best `top` of n simulated mixtures and of as many again near the best of those, best first, (≤ top, d)."""
    best = simulate(terrain, n, top, rng)
    value = terrain.value(best)
    for strength in () if terrain.is_finite else NEARER:
        centres = best[rng.integers(len(best), size=n // (2 * len(NEARER)))]
        gamma = rng.standard_gamma(strength * centres) + 1e-300
        near = terrain.enter(gamma / gamma.sum(axis=1, keepdims=True))
        best, value = best_of((best, value), terrain.heeded(near), top)
    return best


def round_ends(n: int, shares: tuple[int, ...] = ROUNDS) -> tuple[int, ...]:
    """How many of n trials are asked when each round is over; the last is n.

    >>> round_ends(112)
    (64, 96, 112)
    """
    return tuple(round(n * int(part) / sum(shares)) for part in np.cumsum(shares))


def n_in_rounds(view: StudyView) -> int:
    """Trials of the first rung over all rounds: what the budget pays for, of a pool no more than it has.

    Raises:
        Infeasible: no mixture satisfies the constraints.
    """
    pool = target_space(view).pool_qd
    return n_planned(view) if pool is None else min(n_planned(view), len(pool))


def until(view: StudyView, n: int) -> StudyView:
    """The view as it was when the first rung had n trials, with the answers they have now."""
    nth = view.at()[n - 1]
    return replace(view, trials=view.trials[: view.trials.index(nth) + 1])


def design_of(view: StudyView, n: int) -> list[Proposal]:
    """What the first rung lacks of a design of n trials."""
    asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at()}
    whole = Design().proposals(replace(view, budget=Budget(n_trials=n)))
    return [p for p in whole if (p.mixture, p.replicate) not in asked]


def untried(rows: Floats, tried: Floats) -> Floats:
    """The rows that were not tried, (q, d)."""
    is_new = [np.abs(tried - row).max(axis=1).min() > SAME for row in rows]
    return rows[np.array(is_new, dtype=np.bool_)]
