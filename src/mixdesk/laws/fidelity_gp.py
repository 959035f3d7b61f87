"""Multi-fidelity Gaussian process: autoregressive co-kriging over the scales of the runs.

    y_s(w) = level_s + slope_s · y_{s−1}(w) + δ_s(w)        y_0 and δ_s Gaussian processes in powers of the weights

per metric, one scale after the other: the posterior of a cheap scale enters the next one by its mean and its draws.
This is the transfer law with the mixture GP for base.

Reference: kennedy2000 (the autoregressive model). What we do differently: scales are fitted in turn, not jointly;
slopes are positive and share a prior over metrics; the hyper-parameters of δ are averaged over, with the line alone
among them; δ is left out below 8 mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mixdesk.core.observations import Observations
from mixdesk.laws.gp import MixtureGP
from mixdesk.laws.transfer import Transfer, TransferFit


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityGP:
    """The multi-fidelity Gaussian process; it has no settings."""

    title: ClassVar[str] = "multi-fidelity Gaussian process, autoregressive over scales"
    reference: ClassVar[str] = "kennedy2000"
    spans_scales: ClassVar[bool] = True

    def fit(self, obs: Observations) -> TransferFit:
        """Fit the process of the scale with most runs, then each other scale given those before it.

        Raises:
            NotEnoughEvidence: too few runs at the scale with most.
        """
        return Transfer(law=MixtureGP()).fit(obs)

    def restore(self, data: dict[str, Any]) -> TransferFit:
        """The fit that `TransferFit.to_dict` wrote.

        Raises:
            InputError: a key is missing or a value is no number.
        """
        return Transfer(law=MixtureGP()).restore(data)
