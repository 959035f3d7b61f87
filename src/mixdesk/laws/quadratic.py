"""Quadratic law: a plane plus what every two domains do together.

    y_m(w) = Σ_i b_mi w_i + Σ_{i<j} b_mij w_i w_j + o_mr

is Scheffé's canonical form: on the simplex it is the whole quadratic a + b · w + wᵀ C w, each coefficient determined.
b_mi is the metric of a run on domain i alone, b_mij ÷ 4 what an even mix of two domains gains or loses against the mean
of the two. By default (`root`) it is written in √w, of which it is a quadratic too, with √w_i and √(w_i w_j) beside
w_i: that follows the steep fall of a loss where a weight leaves zero. o_mr is what all mixtures of replicate r share.

Reference: modomodo (Alg. 4: least squares on 1, w and w ⊗ w, of five random splits the one with the best test R²). What
we do differently: the canonical form; roots; all rows in the fit; a ridge by leave-one-out error and marginal
likelihood, which draws the pairs towards zero first. `root` false and `ridge` 0 is the paper's form by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.observations import Ints, Observations
from mixdesk.laws.features import FeatureLaw, Features
from mixdesk.laws.formula import FormulaFit

# Rival prior sds of the pairs, that of the other features being 1: from nearly no pairs to pairs like the rest.
PAIR_PRIORS = (0.03, 0.1, 0.3, 1.0)
# Step for second differences at the uniform mixture, of a uniform weight; a bend smaller than this part of the largest
# is none.
STEP = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Quadratic:
    """Settings of the quadratic law: `root` for roots beside the weights.

    `ridge` per run, for features in units of their sd over runs and metrics in units of theirs; None for the best of 31
    by leave-one-out error and marginal likelihood. `n_draws` draws of the coefficients give every interval.
    """

    title: ClassVar[str] = "quadratic with every pair of domains (MoDoMoDo, Scheffé's canonical form)"
    reference: ClassVar[str] = "modomodo"

    root: bool = True
    ridge: float | None = None
    n_draws: int = 200

    def __post_init__(self) -> None:
        if self.ridge is not None:
            put(self, ridge=checks.finite("ridge", self.ridge, 0.0))
        put(self, n_draws=checks.count("n_draws", self.n_draws, 2))

    def fit(self, obs: Observations) -> FormulaFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: a metric has a value at fewer than 8 mixtures (d + 2 where that is less).
        """
        return self._law.fit(obs)

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[FormulaFit, list[FormulaFit]]:
        """The fit to all rows, and one per part (group numbers) to the rows of the other groups, with its ridges.

        Raises:
            NotEnoughEvidence: as `fit`, of all rows or of those that a part leaves.
        """
        return self._law.cross_fit(obs, parts)

    def restore(self, data: dict[str, Any]) -> FormulaFit:
        """The fit that `FormulaFit.to_dict` wrote."""
        return FormulaFit.from_dict(data, Features)

    @property
    def _law(self) -> FeatureLaw:
        return FeatureLaw(
            name="quadratic",
            features=Features(blocks=("weight", "root", "root pairs") if self.root else ("weight", "pairs")),
            priors=tuple((1.0, 1.0, own) if self.root else (1.0, own) for own in PAIR_PRIORS),
            ridge=self.ridge,
            n_draws=self.n_draws,
        )


def bends_down(fit: FormulaFit) -> tuple[str, ...]:
    """Metrics that get better along some direction both ways from the uniform mixture: their best is on a face.

    Without roots the bend is the same at every mixture; with roots it is that at the uniform one.
    """
    d = len(fit.domains)
    step_dd = (np.eye(d) - 1.0 / d) * STEP / d
    slope_xmd = [fit.gradient(1.0 / d + way * step_dd) for way in (1.0, -1.0)]
    bend_mdd = np.swapaxes((slope_xmd[0] - slope_xmd[1]) / (2.0 * STEP / d), 0, 1) * fit.sign_m[:, None, None]
    within_mdd = (np.eye(d) - 1.0 / d) @ bend_mdd
    values_md = np.linalg.eigvalsh((within_mdd + np.swapaxes(within_mdd, 1, 2)) / 2.0)
    is_down_m = values_md[:, 0] < -STEP * np.abs(values_md).max(axis=1)
    return tuple(name for name, is_down in zip(fit.metrics, is_down_m, strict=True) if is_down)
