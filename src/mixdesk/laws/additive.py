"""Additive power law: every domain takes its own share of the loss away, by a shifted power of its weight.

    f_m(w) = E + Σ_j K_j (1 + w_j ÷ a_j)^(−γ_j)        a_j, γ_j > 0

The terms of AutoScale, (N_j + R w_j)^(−γ_j), are those with K_j = (R a_j)^(−γ_j) and a_j = N_j ÷ R: tokens that other
domains are worth. Domains do not interact.

Reference: autoscale (the curves of its domain-wise fits, and the sum of them that Olmix fits as a rival). What we do
differently: amplitudes K_j, without which terms at 10⁹ tokens vanish; K_j may be negative (a domain that harms); all
domains are fitted at once from runs of any mixtures; coefficients are pulled as strongly as cross-validation asks for:
K towards 0 (a constant), log a and log γ towards log 0.05 and log ½.
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

# Exponents of e are held inside this: beyond it lies an accident of extrapolation.
MAX_LOG = 30.0
# Prior sd of K in sd of the metric, of log a and of log γ; the centres of the latter two.
SD_K, SD_A, SD_GAMMA = 3.0, 1.5, 0.7
CENTRE_A, CENTRE_GAMMA = 0.05, 0.5
# Strengths λ of the pull that compete by cross-validation, and the rise of squared errors at which the path ends.
RIDGES = (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12)
WORSE = 1.5
# Every domain starts with this amplitude.
START_K = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class AdditiveFormula:
    """f = E + Σ_j K_j (1 + w_j exp(−α_j))^(−exp(g_j)); coefficients (E, K_1 … K_d, α_1 … α_d, g_1 … g_d).

    α_j and g_j count as at most 30, and as at least −30.
    """

    form: ClassVar[str] = "additive"
    covariates: ClassVar[tuple[str, ...]] = ()

    def n_coefficients(self, n_domains: int) -> int:
        """3 d + 1."""
        return 3 * n_domains + 1

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        power_xqd, _, _, _ = _powers(X_qd, theta_xp)
        d = X_qd.shape[1]
        values: Floats = theta_xp[:, :1] + (power_xqd @ theta_xp[:, 1 : d + 1, None])[:, :, 0]
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p)."""
        power_bnd, log_bnd, share_bnd, gamma_bd = _powers(X_nd, theta_bp)
        d = X_nd.shape[1]
        falling_bnd = power_bnd * (theta_bp[:, 1 : d + 1] * gamma_bd)[:, None, :]
        J_bnp = np.empty((*power_bnd.shape[:2], 3 * d + 1))
        J_bnp[:, :, 0] = 1.0
        J_bnp[:, :, 1 : d + 1] = power_bnd
        J_bnp[:, :, d + 1 : 2 * d + 1] = falling_bnd * share_bnd
        J_bnp[:, :, 2 * d + 1 :] = -falling_bnd * log_bnd
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d)."""
        power_mqd, log_mqd, _, gamma_md = _powers(X_qd, theta_mp)
        d = X_qd.shape[1]
        inverse_md = np.exp(-np.clip(theta_mp[:, d + 1 : 2 * d + 1], -MAX_LOG, MAX_LOG))
        factor_md = -theta_mp[:, 1 : d + 1] * gamma_md * inverse_md
        return np.swapaxes(power_mqd * np.exp(-log_mqd) * factor_md[:, None, :], 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Additive:
    """Settings of the additive power law: `n_draws` fits to resampled mixtures, from which every interval comes."""

    title: ClassVar[str] = "additive powers: each domain's own term (AutoScale's curves with amplitudes)"
    reference: ClassVar[str] = "autoscale"

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
        return FormulaFit.from_dict(data, AdditiveFormula)

    def _method(self, d: int) -> Method:
        one = np.ones(d)
        return Method(
            name="additive power",
            formula=AdditiveFormula(),
            n_least=d + 2,
            starts=_starts,
            centre_p=np.concatenate([[0.0], 0.0 * one, np.log(CENTRE_A) * one, np.log(CENTRE_GAMMA) * one]),
            pull_pp=np.diag(np.concatenate([[0.0], SD_K**-2.0 * one, SD_A**-2.0 * one, SD_GAMMA**-2.0 * one])),
            ridges=RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
        )


def _powers(X_qd: Floats, theta_xp: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(1 + w/a)^−γ, log(1 + w/a), (w/a) ÷ (1 + w/a), (x, q, d) each, and γ (x, d)."""
    d = X_qd.shape[1]
    log_a_xd = np.clip(theta_xp[:, d + 1 : 2 * d + 1], -MAX_LOG, MAX_LOG)
    gamma_xd = np.exp(np.clip(theta_xp[:, 2 * d + 1 :], -MAX_LOG, MAX_LOG))
    ratio_xqd = np.maximum(X_qd, 0.0) * np.exp(-log_a_xd)[:, None, :]
    log_xqd = np.log1p(ratio_xqd)
    return np.exp(-gamma_xd[:, None, :] * log_xqd), log_xqd, ratio_xqd / (1.0 + ratio_xqd), gamma_xd


def _starts(problems: Problems) -> Floats:
    """One set of coefficients per metric, (1, m, p): small equal amplitudes, everything else at its prior."""
    d = problems.X_nd.shape[1]
    start_mp = np.tile(problems.centre_p, (len(problems.Y_bn), 1))
    start_mp[:, 1 : d + 1] = START_K
    return start_mp[None]
