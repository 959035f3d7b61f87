"""QuaDMix's search: domains and the quality kept of each are tuned together, by quality curves over `domain/q1` … bins.

    w_gb ∝ v_g · share of bin b under S_g(r) = (2 / (1 + exp(−λ (ω_g − r))))^η + ε for r ≤ ω_g, else ε
    knobs: λ, η, ε of all domains, ω_g and v_g of each
    recommended = mean of the mixtures of the `top` parameter sets with the best prediction

The trials are parameter sets too, so that a law over the leaves is learned where it is asked. A leaf's bin is the last
step of its name, `q1` the best (`search/lens.py`); a domain without bins has a weight and no curve.

Reference: quadmix (eq. 1-3, algorithm 1). What we do differently: the law is the study's, over the leaves' weights, in
place of trees over (N + 4) · M parameters; λ, η and ε are shared, the weights α of several scores are settled when bins
are cut, and a domain's weight v is a knob of its own (Dirichlet around natural^½) rather than what its curve leaves.
The paper draws λ to 1000, ω to 0.1 and ε to 0.001 evenly, for single documents; a few bins would all but lose the
lower ones that way, so λ and ε are log-uniform, to 1000 and 1, and ω goes to 1. Region, guards and bounds as in RegMix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaincinv

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import SAME, base_mixture
from mixdesk.search.feasible import settle
from mixdesk.search.lens import Curves, Leaves
from mixdesk.search.simulate import CHUNK, STRENGTH, averaged, candidates, simulate
from mixdesk.search.terrain import Terrain, natural_weights, target_space

KNOBS = ("joint", "quality", "mixture")
# λ and ε are log-uniform between these; η and ω uniform in 0 … 1.
STEEP, FLOOR = (1.0, 1000.0), (1e-3, 1.0)
# The crossed block that measures noise: so many mixtures, each run so often.
N_REPEATED, N_RUNS = 3, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class QuaDMix:
    """Search over quality curves and domain weights; the trials are natural, uniform and random parameter sets.

    The list of trials is fixed, as `Design`'s is: same length, same block of repeats, epoch caps at the target only.

    Args:
        n_candidates: parameter sets whose mixtures are predicted.
        top: how many of the best are averaged.
        knobs: what is tuned: joint, quality alone (domains keep their natural weights) or mixture alone (bins keep
            their natural shares).
    """

    title: ClassVar[str] = "quality curves and domain weights together"
    reference: ClassVar[str] = "quadmix"
    eager: ClassVar[bool] = True

    n_candidates: int = 20_000
    top: int = 10
    knobs: str = "joint"

    def __post_init__(self) -> None:
        put(self, top=checks.count("top", self.top, 1), knobs=checks.one_of("knobs", self.knobs, KNOBS))
        put(self, n_candidates=checks.count("n_candidates", self.n_candidates, self.top))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n proposals of the list that the first rung does not have yet, within the budget.

        Raises:
            Infeasible: no mixture satisfies the constraints, at the target or in the design.
            InputError: bins are not q1 … qK, or quality is to be tuned and there are none.
        """
        target_space(view)
        asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at()}
        left = [p for p in self.proposals(view) if (p.mixture, p.replicate) not in asked]
        return view.affordable(left[:n])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """Mean of the best predicted parameter sets' mixtures; `spread` as in RegMix.

        Raises:
            NotEnoughEvidence: no law, or no finished trial.
            Infeasible: no mixture satisfies the constraints, or no candidate keeps the guards.
            InputError: as in `ask`.
        """
        terrain = Terrain.of(view, law)
        leaves = self._leaves(view)

        def draw(terrain: Terrain, n: int, rng: np.random.Generator) -> Iterator[Floats]:
            if terrain.is_finite:
                yield from candidates(terrain, n, rng)
                return
            for start in range(0, n, CHUNK):
                rows = self.drawn(leaves, min(CHUNK, n - start), rng)
                outside = ~terrain.contains(rows)
                rows[outside] = terrain.enter(rows[outside])
                yield rows

        best = simulate(terrain, self.n_candidates, self.top, np.random.default_rng(view.seed), draw)
        return averaged(terrain, best, f"mean of the best {len(best)} of {self.n_candidates:,} parameter sets")

    def proposals(self, view: StudyView) -> list[Proposal]:
        """The whole list: a function of the study's question and seed only."""
        n_block = N_REPEATED * (N_RUNS - 1)
        limit = None if view.budget is None else view.budget.n_trials
        n_trials = 3 * (len(view.domains) + 1) + n_block if limit is None else limit
        n_block = n_block if 2 * n_block <= n_trials else 0
        singles = self._singles(view, n_trials - n_block)
        first = max(N_REPEATED, min(len(view.domains) + 1, len(singles) // 3))
        block = [
            Proposal(mixture=p.mixture, rung=p.rung, replicate=i, why=f"repeat {i + 1} of {p.why}, to measure noise")
            for i in range(1, N_RUNS)
            for p in singles[:N_REPEATED]
        ]
        return singles[:first] + (block if n_block else []) + singles[first:]

    def drawn(self, leaves: Leaves, n: int, rng: np.random.Generator) -> Floats:
        """Mixtures of n random parameter sets, (n, d); row i does not depend on n."""
        g = len(leaves.groups)
        U_qk = rng.random((n, 4 + 2 * g))
        curves = Curves(
            steep_qg=_between(STEEP, U_qk[:, :1]),
            kept_qg=U_qk[:, 4 : 4 + g],
            power_qg=U_qk[:, 1:2],
            floor_qg=_between(FLOOR, U_qk[:, 2:3]),
        )
        if self.knobs == "quality":
            return leaves.weights(curves, np.repeat(leaves.natural_g[None], n, axis=0))
        strength = _between(STRENGTH, U_qk[:, 3:4])
        gamma = gammaincinv(strength * base_mixture(leaves.natural_g, g), U_qk[:, 4 + g :]) + 1e-300
        V_qg = gamma / gamma.sum(axis=1, keepdims=True)
        neutral = Curves.of(steep=0.0, kept=1.0, power=0.0, floor=0.0)
        return leaves.weights(neutral if self.knobs == "mixture" else curves, V_qg)

    def _leaves(self, view: StudyView) -> Leaves:
        leaves = Leaves.of(view.domains, natural_weights(view))
        if self.knobs == "quality" and not leaves.has_bins:
            raise InputError(
                "there is no quality to tune",
                value=", ".join(view.domains),
                bound="domains cut into bins `domain/q1` (the best), `domain/q2`, …",
                remedy="cut the corpus into bins, or tune `mixture`",
            )
        return leaves

    def _singles(self, view: StudyView, n: int) -> list[Proposal]:
        """Up to `n` distinct mixtures as replicate 0: natural, uniform, parameter sets."""
        space = settle(Space.build(view.constraints.without_epochs, view.domains))
        anchors = [] if view.natural is None else [("natural mixture", view.natural)]
        if self.knobs == "joint":
            anchors.append(("uniform mixture", Mixture.uniform(view.domains)))
        rows = [np.array(mixture.over(view.domains)) for _, mixture in anchors]
        # Twice as many as needed: bounds may move several to one place.
        wanted = np.vstack([*rows, self.drawn(self._leaves(view), 2 * n, np.random.default_rng(view.seed))])
        is_allowed = space.contains(wanted)
        allowed = np.where(is_allowed[:, None], wanted, space.project(wanted))
        out: list[Proposal] = []
        kept: list[int] = []
        for i, row in enumerate(allowed):
            if len(out) == n or (kept and np.abs(allowed[kept] - row).max(axis=1).min() <= SAME):
                continue
            kept.append(i)
            why = anchors[i][0] if i < len(anchors) else "random parameter set"
            # An anchor as it is, to the last bit: rivals are found among the trials by equality.
            is_anchor = i < len(anchors) and bool(is_allowed[i])
            out.append(
                Proposal(
                    mixture=anchors[i][1] if is_anchor else space.mixture(row),
                    rung=view.rungs[0].label,
                    why=why if is_allowed[i] else f"{why}, moved inside the bounds",
                )
            )
        return out


def _between(ends: tuple[float, float], share: Floats) -> Floats:
    """Log-uniform between two ends, from uniform numbers."""
    low, high = np.log(ends)
    between: Floats = np.exp(low + share * (high - low))
    return between
