"""Power-sum law: every domain adds knowledge, a power of its weight, and loss is what knowledge leaves.

    f_m(w) = E + A ÷ (1 + Σ_j C_j max(w_j, 1e-9)^γ_j)        C_j, γ_j > 0

E + A is the loss of a model that has seen nothing of use, E that of one that knows all; a domain that never helps has
C_j → 0. Loss falls steeply near w_j = 0 where γ_j < 1, which is what recorded runs show.

Reference: none; a saturating sum of the power terms of data-mixing laws (autoscale's, with amplitudes, inside one
reciprocal). Coefficients are pulled as strongly as the noise asks for: A towards 0 (a constant), log C_j towards their
mean, log γ_j towards log ½.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.observations import Floats, Ints, Observations
from mixdesk.laws.descend import Method, Problems, fit_formula
from mixdesk.laws.formula import FormulaFit

# A weight below this counts as this: a power of zero has no slope.
LEAST_WEIGHT = 1e-9
# Exponents of e are held inside this: beyond it lies an accident of extrapolation.
MAX_LOG = 30.0
# Prior sd of A in sd of the metric, of log C_j around their mean, of that mean, and of log γ_j around log ½.
SD_A, SD_C, SD_MEAN_C, SD_GAMMA = 10.0, 1.5, 3.0, 0.7
MEAN_C, GAMMA = 0.5, 0.5
# Strengths λ of the pull that compete by cross-validation.
RIDGES = (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-6, 1e-9)
# The path of ridges ends where squared errors are this many times the least.
WORSE = 1.2
# Starts: E this many ranges of the metric below its least value.
START_DEPTHS = (0.05, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSumFormula:
    """f = E + A ÷ (1 + Σ_j exp(θ_j) max(w_j, 1e-9)^exp(g_j)); coefficients (E, A, θ_1 … θ_d, g_1 … g_d).

    θ_j and g_j count as at most 30, and as at least −30.
    """

    form: ClassVar[str] = "power_sum"
    covariates: ClassVar[tuple[str, ...]] = ()

    def n_coefficients(self, n_domains: int) -> int:
        """2 d + 2."""
        return 2 * n_domains + 2

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        terms_xqd, _, _ = _terms(X_qd, theta_xp)
        values: Floats = theta_xp[:, :1] + theta_xp[:, 1:2] / (1.0 + terms_xqd.sum(2))
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p)."""
        terms_bnd, gamma_bd, log_nd = _terms(X_nd, theta_bp)
        d = X_nd.shape[1]
        rest_bn = 1.0 / (1.0 + terms_bnd.sum(2))
        J_bnp = np.empty((len(theta_bp), len(X_nd), 2 * d + 2))
        J_bnp[:, :, 0] = 1.0
        J_bnp[:, :, 1] = rest_bn
        J_bnp[:, :, 2 : d + 2] = (-theta_bp[:, 1:2] * rest_bn**2)[:, :, None] * terms_bnd
        J_bnp[:, :, d + 2 :] = J_bnp[:, :, 2 : d + 2] * log_nd * gamma_bd[:, None, :]
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d); 0 in a weight below 1e-9."""
        terms_mqd, gamma_md, _ = _terms(X_qd, theta_mp)
        rest_mq = 1.0 / (1.0 + terms_mqd.sum(2))
        outer_mq = -theta_mp[:, 1:2] * rest_mq**2
        inner_mqd = (
            terms_mqd * gamma_md[:, None, :] * np.where(X_qd > LEAST_WEIGHT, 1.0 / np.maximum(X_qd, LEAST_WEIGHT), 0.0)
        )
        return np.swapaxes(outer_mq[:, :, None] * inner_mqd, 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSum:
    """Settings of the power-sum law: `n_draws` fits near the best one, from which every interval comes."""

    title: ClassVar[str] = "power sum: loss is what the knowledge of all domains leaves"
    reference: ClassVar[str] = ""

    n_draws: int = 200

    def __post_init__(self) -> None:
        put(self, n_draws=checks.count("n_draws", self.n_draws, 2))

    def fit(self, obs: Observations) -> FormulaFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: fewer than d + 2 mixtures have a value of some metric.
        """
        return fit_formula(obs, self._method(len(obs.domains)))[0]

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[FormulaFit, list[FormulaFit]]:
        """The fit to all rows, and one fit per part (group numbers) to the rows of the other groups."""
        return fit_formula(obs, self._method(len(obs.domains)), parts)

    def restore(self, data: dict[str, Any]) -> FormulaFit:
        """The fit that `FormulaFit.to_dict` wrote."""
        return FormulaFit.from_dict(data, PowerSumFormula)

    def _method(self, d: int) -> Method:
        centre_p = np.concatenate([[0.0, 0.0], np.full(d, MEAN_C), np.full(d, np.log(GAMMA))])
        pull_pp = np.zeros((2 * d + 2, 2 * d + 2))
        pull_pp[1, 1] = SD_A**-2.0
        pull_pp[2 : d + 2, 2 : d + 2] = (np.eye(d) - 1.0 / d) / SD_C**2 + 1.0 / (d * SD_MEAN_C) ** 2
        pull_pp[d + 2 :, d + 2 :] = np.eye(d) / SD_GAMMA**2
        return Method(
            name="power sum",
            formula=PowerSumFormula(),
            n_least=d + 2,
            starts=_starts,
            centre_p=centre_p,
            pull_pp=pull_pp,
            ridges=RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
        )


def _terms(X_qd: Floats, theta_xp: Floats) -> tuple[Floats, Floats, Floats]:
    """C_j w_j^γ_j (x, q, d), γ (x, d) and log w (q, d)."""
    d = X_qd.shape[1]
    log_qd = np.log(np.maximum(X_qd, LEAST_WEIGHT))
    gamma_xd = np.exp(np.clip(theta_xp[:, d + 2 :], -MAX_LOG, MAX_LOG))
    log_c_xd = np.clip(theta_xp[:, 2 : d + 2], -MAX_LOG, MAX_LOG)
    return np.exp(log_c_xd[:, None, :] + gamma_xd[:, None, :] * log_qd), gamma_xd, log_qd


def _starts(problems: Problems) -> Floats:
    """Coefficients (s, m, p): E below the least value, A the way from there to the largest, C and γ at their priors."""
    is_there = problems.weight_bn > 0.0
    low_m = np.where(is_there, problems.Y_bn, np.inf).min(1)
    high_m = np.where(is_there, problems.Y_bn, -np.inf).max(1)
    starts = np.tile(problems.centre_p, (len(START_DEPTHS), len(low_m), 1))
    for start_mp, depth in zip(starts, START_DEPTHS, strict=True):
        start_mp[:, 0] = low_m - depth * (high_m - low_m)
        start_mp[:, 1] = 2.0 * (high_m - start_mp[:, 0])
    return starts
