"""Ridge law: a sum of one curve per domain, each made of its weight, the root of it and the logarithm of it.

    y_m(w) = Σ_i b_mi w_i + c_mi √w_i + e_mi log(1 + w_i ÷ 0.01) + o_mr

with o_mr what all mixtures of replicate r share. A loss falls steeply where a domain's weight leaves zero: the root and
the logarithm can follow that, a plane cannot. Domains do not interact.

Reference: regmix, whose baseline is a ridge on the weights. What we do differently: the roots and logarithms; the ridge
goes by leave-one-out error and marginal likelihood.
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
class Ridge:
    """Settings of the ridge law.

    `ridge` per run, for features in units of their sd over runs and metrics in units of theirs; None for the best of 31
    by leave-one-out error and marginal likelihood. `n_draws` draws of the coefficients give every interval.
    """

    title: ClassVar[str] = "a curve per domain: weight, root and logarithm, with a ridge"
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
            name="ridge",
            features=Features(blocks=("weight", "root", "log")),
            priors=((1.0, 1.0, 1.0),),
            ridge=self.ridge,
            n_draws=self.n_draws,
        )
