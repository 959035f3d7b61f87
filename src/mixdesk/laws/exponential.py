"""Exponential law: what each metric loses by the exponential of a linear score of the mixture.

    f_m(w) = c_m + Σ_h exp(t_mh · w)          h = 1 … n_terms

with c the level that no mixture can beat and t_mj < 0 where domain j helps metric m. Weights sum to one, so a factor k
before the exponential adds log k to every t: we fix log k = 0 (the gauge of Olmix), which leaves d + 1 numbers per
metric and term. Several terms are the implicit domains of a metric whose own composition is unknown.

Reference: ye2024mixinglaws (eq. 7 and its implicit domains), olmix (log-linear law). What we do differently: damped
least squares in place of a Huber loss over thousands of random starts; c may have any sign; the scores t are pulled
towards zero as strongly as cross-validation asks for; offsets per replicate; implicit domains are a few terms fitted
directly in place of an AdaBoost of thirty networks with thirty; draws from a bootstrap over mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Ints, Observations
from mixdesk.laws.descend import Method, Problems, fit_formula
from mixdesk.laws.formula import FormulaFit

# exp(30) is 10¹³ of any metric's unit: a score beyond it is an accident of extrapolation and is held there.
MAX_SCORE = 30.0
# Ridges on t, in the metric's sd over runs, that compete by cross-validation: noise first, worlds without noise last.
RIDGES = (10.0, 1.0, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
# The path of ridges ends where squared errors are this many times the least: they may rise and fall again.
WORSE = 2.2
# More terms than this are no longer a law but a network.
MAX_TERMS = 4
# Starting levels c, in sd below the smallest value: from a sharp bend to nearly a plane.
START_DEPTHS = (0.1, 1.0, 10.0)
# Where a metric has several terms, their starts differ by normal numbers of this sd, drawn so many times.
SPREAD, N_SPREADS = 2.0, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentialFormula:
    """f = c + Σ_h exp(min(t_h · w, 30)); coefficients (c, t_1 …, t_2 …), `n_terms` runs of d scores."""

    form: ClassVar[str] = "exponential"
    covariates: ClassVar[tuple[str, ...]] = ()

    n_terms: int = 1

    def n_coefficients(self, n_domains: int) -> int:
        """1 + n_terms · d."""
        return 1 + self.n_terms * n_domains

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        terms_xhq, _ = self._terms(X_qd, theta_xp)
        values: Floats = theta_xp[:, :1] + terms_xhq.sum(1)
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p); 0 in the scores of a term that is held at exp(30)."""
        terms_bhn, is_free_bhn = self._terms(X_nd, theta_bp)
        J_bnp = np.empty((len(theta_bp), len(X_nd), theta_bp.shape[1]))
        J_bnp[:, :, 0] = 1.0
        inner_bnh = np.swapaxes(terms_bhn * is_free_bhn, 1, 2)
        J_bnp[:, :, 1:] = (inner_bnh[:, :, :, None] * X_nd[:, None, :]).reshape(len(theta_bp), len(X_nd), -1)
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d)."""
        terms_mhq, is_free_mhq = self._terms(X_qd, theta_mp)
        t_mhd = theta_mp[:, 1:].reshape(len(theta_mp), self.n_terms, -1)
        slope: Floats = np.einsum("mhq,mhd->qmd", terms_mhq * is_free_mhq, t_mhd)
        return slope

    def _terms(self, X_qd: Floats, theta_xp: Floats) -> tuple[Floats, Floats]:
        """exp(min(t · w, 30)) and whether the score is below 30, (x, h, q) each."""
        score = theta_xp[:, 1:].reshape(-1, X_qd.shape[1]) @ X_qd.T
        score_xhq = score.reshape(len(theta_xp), self.n_terms, -1)
        return np.exp(np.minimum(score_xhq, MAX_SCORE)), (score_xhq < MAX_SCORE).astype(np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exponential:
    """Settings of the exponential law: `n_draws` fits to resampled mixtures, from which every interval comes.

    `n_terms` exponentials per metric: 1, or up to 4 implicit domains.
    """

    title: ClassVar[str] = "exponential of a linear score (data mixing laws; Olmix's log-linear law)"
    reference: ClassVar[str] = "ye2024mixinglaws"

    n_draws: int = 200
    n_terms: int = 1

    def __post_init__(self) -> None:
        put(self, n_draws=checks.count("n_draws", self.n_draws, 2), n_terms=checks.count("n_terms", self.n_terms, 1))
        if self.n_terms > MAX_TERMS:
            raise InputError(
                "`n_terms` is too large", value=self.n_terms, bound=f"at most {MAX_TERMS}", remedy="use fewer terms"
            )

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
        return FormulaFit.from_dict(data, ExponentialFormula)

    def _method(self, d: int) -> Method:
        pull_p = np.ones(1 + self.n_terms * d)
        pull_p[0] = 0.0
        return Method(
            name="exponential",
            formula=ExponentialFormula(n_terms=self.n_terms),
            n_least=d + 2,
            starts=self._starts,
            centre_p=np.zeros(len(pull_p)),
            pull_pp=np.diag(pull_p),
            ridges=RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
        )

    def _starts(self, problems: Problems) -> Floats:
        """Coefficients (s, m, p) for levels below the smallest value: there log(y − c) = t · w is linear."""
        W_nd, is_there = problems.X_nd, (problems.weight_bn > 0.0).astype(np.float64)
        d, h = W_nd.shape[1], self.n_terms
        H = np.einsum("bn,nd,ne->bde", is_there, W_nd, W_nd) + RIDGES[1] * np.eye(d)
        least_m = np.where(is_there > 0.0, problems.Y_bn, np.inf).min(axis=1)
        spread_shd = np.random.default_rng(0).standard_normal((N_SPREADS if h > 1 else 1, h, d)) * (
            SPREAD if h > 1 else 0.0
        )
        starts = []
        for depth in START_DEPTHS:
            away_mn = np.where(is_there > 0.0, problems.Y_bn - (least_m - depth)[:, None], 1.0)
            t_md = np.linalg.solve(H, ((is_there * np.log(away_mn)) @ W_nd)[:, :, None])[:, :, 0]
            for spread_hd in spread_shd:
                t_mhd = t_md[:, None, :] - np.log(h) + spread_hd
                starts.append(np.column_stack([least_m - depth, t_mhd.reshape(len(t_md), -1)]))
        return np.array(starts)
