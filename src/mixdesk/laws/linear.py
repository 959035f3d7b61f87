"""Linear law: each metric a weighted mean of what the domains give alone.

    y_m(w) = Σ_i b_mi w_i + o_mr

with b_mi the metric of a run on domain i alone, and o_mr what all mixtures of replicate r share. Weights sum to one, so
an intercept would be redundant.

Reference: regmix (the linear baseline: least squares of minimum norm without intercept). What we do differently: a
ridge draws the b_mi together as strongly as mixtures left out ask for; `ridge` 0 is plain least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.observations import Ints, Observations
from mixdesk.laws.features import FeatureLaw, Features
from mixdesk.laws.formula import FormulaFit


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """Settings of the linear law.

    `ridge` per run, for weights in units of their sd over runs and metrics in units of theirs; None for the best of 31
    by leave-one-out error and marginal likelihood. `n_draws` draws of the coefficients give every interval.
    """

    title: ClassVar[str] = "linear in the weights (RegMix's baseline)"
    reference: ClassVar[str] = "regmix"

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
            name="linear",
            features=Features(blocks=("weight",)),
            priors=((1.0,),),
            ridge=self.ridge,
            n_draws=self.n_draws,
        )
