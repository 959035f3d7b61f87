"""Scale law: an exponential of the mixture plus power laws in model size and tokens.

    y_m(w, N, D) = c_m + exp(t_m · w) + A_m (N ÷ N₀)^−α + B_m (D ÷ D₀)^−β

α and β are shared by all metrics, A_m, B_m > 0, N₀ and D₀ the geometric means over the runs. A size that does not vary
has no term: with one scale this is the exponential law. Exponents minimise the profile Σ_m ½ n log(error_m), with a
weak log-normal prior around 0.3; draws move them by the curvature of that profile, and the other coefficients with
them, so intervals widen beyond the sizes seen. Checkpoints of one run count as one run there.

Reference: ye2024mixinglaws (§2 additive size and token laws; nested pipeline). What we do differently: all rows in one
fit with shared exponents, in place of one extrapolation after the other; `nested` is the paper's pipeline. Replicates
of several scales get no offsets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Inputs, Observations, Prediction
from mixdesk.laws.descend import Method, Problems, descend, fit_formula
from mixdesk.laws.exponential import MAX_SCORE, RIDGES, WORSE, Exponential
from mixdesk.laws.formula import FormulaFit
from mixdesk.laws.nested import NestedFit
from mixdesk.laws.rows import Units, ordered
from mixdesk.laws.sizes import SIZES, asked_sizes, sizes_of

# Prior of an exponent: log-normal around 0.3 with this sd in logs; published exponents lie in 0.2 to 0.5.
EXPONENT, EXPONENT_SD = 0.3, 0.7
# Weakest pull on log A, log B: where a size does not help, only its pull keeps them finite.
AMPLITUDE_PULL = 0.01
# Ridge of the profile, the floor of its errors (in variances of a metric), and the step of its differences in logs.
RIDGE, LEAST_ERROR, STEP = 1e-6, 1e-12, 0.05
# Relative gain at which a descent has settled: before the exponents are sought, and for them.
ROUGH, FINE = 1e-4, 1e-9
# Draws of the exponents; the draws of the law go round them.
N_EXPONENTS = 50
# Starting levels below the smallest value, and the smallest starting amplitude, in sd of a metric.
DEPTHS, LEAST_AMPLITUDE = (0.1, 1.0, 10.0), 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaledExponential:
    """f = c + exp(min(t · w, 30)) + Σ_e exp(a_e) (s_e ÷ at_e)^−exp(l_e); coefficients (c, t, a, l).

    `terms` the sizes s_e that vary, `at` their reference. The exponents' logs l are held in a fit: their slope is 0.
    """

    form: ClassVar[str] = "scaled_exponential"
    covariates: ClassVar[tuple[str, ...]] = SIZES

    terms: tuple[str, ...]
    at: tuple[float, ...]

    def n_coefficients(self, n_domains: int) -> int:
        """1 + d + 2 per term."""
        return 1 + n_domains + 2 * len(self.terms)

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        values: Floats = theta_xp[:, :1] + self._exponential(X_qd, theta_xp) + self._powers(X_qd, theta_xp).sum(0)
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p); 0 in the exponents."""
        d, e = self._n_domains(theta_bp), len(self.terms)
        J_bnp = np.zeros((len(theta_bp), len(X_nd), theta_bp.shape[1]))
        J_bnp[:, :, 0] = 1.0
        J_bnp[:, :, 1 : 1 + d] = self._exponential(X_nd, theta_bp)[:, :, None] * X_nd[:, :d]
        J_bnp[:, :, 1 + d : 1 + d + e] = np.moveaxis(self._powers(X_nd, theta_bp), 0, 2)
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d): the same at every size."""
        d = self._n_domains(theta_mp)
        slope: Floats = self._exponential(X_qd, theta_mp).T[:, :, None] * theta_mp[:, 1 : 1 + d]
        return slope

    def _n_domains(self, theta_xp: Floats) -> int:
        return int(theta_xp.shape[1]) - 1 - 2 * len(self.terms)

    def _exponential(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        d = self._n_domains(theta_xp)
        exponential: Floats = np.exp(np.minimum(theta_xp[:, 1 : 1 + d] @ X_qd[:, :d].T, MAX_SCORE))
        return exponential

    def _logs(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """exp(l) · log(s ÷ at), (e, x, q)."""
        d, e = self._n_domains(theta_xp), len(self.terms)
        log_eq = np.array(
            [np.log(X_qd[:, d + SIZES.index(name)] / at) for name, at in zip(self.terms, self.at, strict=True)]
        )
        logs: Floats = np.exp(theta_xp[:, 1 + d + e :]).T[:, :, None] * log_eq.reshape(e, 1, len(X_qd))
        return logs

    def _powers(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """The size terms, (e, x, q)."""
        d, e = self._n_domains(theta_xp), len(self.terms)
        amplitude_exq = theta_xp[:, 1 + d : 1 + d + e].T[:, :, None]
        powers: Floats = np.exp(np.minimum(amplitude_exq - self._logs(X_qd, theta_xp), MAX_SCORE))
        return powers


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Settings of the scale law: `n_draws` fits to resampled mixtures, from which every interval comes.

    `nested`: the pipeline of `laws/nested.py` in place of one formula.
    """

    title: ClassVar[str] = "exponential of the mixture plus power laws in size and tokens (data mixing laws)"
    reference: ClassVar[str] = "ye2024mixinglaws"
    spans_scales: ClassVar[bool] = True

    n_draws: int = 200
    nested: bool = False

    def __post_init__(self) -> None:
        put(self, n_draws=checks.count("n_draws", self.n_draws, 2))

    def fit(self, obs: Observations) -> ScaleFit | NestedFit:
        """Fit every metric on the runs of all scales.

        Raises:
            NotEnoughEvidence: a metric has a value at fewer than d + 2 mixtures, or `nested` lacks curves.
        """
        if self.nested:
            return NestedFit.of(Exponential(n_draws=self.n_draws), obs)
        size_s2, scale_n = sizes_of(obs)
        obs = replace(obs, covariates=dict(zip(SIZES, size_s2[scale_n].T, strict=True)))
        if len(size_s2) > 1:
            obs = replace(obs, replicate_n=np.zeros_like(obs.replicate_n))
        varied = [name for name in SIZES if len(np.unique(obs.covariates[name])) > 1]
        at = [float(np.exp(np.log(obs.covariates[name]).mean())) for name in varied]
        formula = ScaledExponential(terms=tuple(varied), at=tuple(at))
        profile = _Profile(formula, ordered(obs, len(obs.domains) + 2, "scale"), self.n_draws)
        log_e, away_rmp = profile.solve()
        fit, _ = fit_formula(obs, profile.method(log_e))
        draw_kmp = fit.draw_kmp + away_rmp[np.arange(self.n_draws) % len(away_rmp)]
        return ScaleFit(formula_fit=replace(fit, draw_kmp=draw_kmp), size_s2=size_s2)

    def restore(self, data: dict[str, Any]) -> ScaleFit | NestedFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or an array has another shape than the names ask for.
        """
        if self.nested:
            return NestedFit.from_dict(Exponential(n_draws=self.n_draws), data)
        if not isinstance(data, dict) or "sizes" not in data:
            raise InputError(
                "this is not a fit of the scale law",
                value=type(data).__name__,
                bound="what its `to_dict` wrote",
                remedy="fit the law again",
            )
        return ScaleFit(
            formula_fit=FormulaFit.from_dict(data, ScaledExponential),
            size_s2=np.array(data["sizes"], dtype=np.float64).reshape(-1, 2),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScaleFit:
    """The formula's fit, and `size_s2` the (n_params, n_tokens) of the scales seen, smallest first."""

    formula_fit: FormulaFit
    size_s2: Floats

    @property
    def domains(self) -> tuple[str, ...]:
        """Axis d of the fit."""
        return self.formula_fit.domains

    @property
    def metrics(self) -> tuple[str, ...]:
        """Axis m of the fit."""
        return self.formula_fit.metrics

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates, each at its own `n_params` and `n_tokens`; not given: at the largest scale seen.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        asked_q2 = asked_sizes(inputs, self.size_s2)
        sized = replace(inputs, covariates=dict(zip(SIZES, asked_q2.T, strict=True)))
        return self.formula_fit.predict(sized, draws, level=level, sense=sense)

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d), columns in the order of `domains`: of every size."""
        return self.formula_fit.gradient(W_qd)

    def browser(self) -> dict[str, Any]:
        """Coefficients, draws and the sizes seen, smallest first.

        The page computes sign · (shift + scale · f), f = c + exp(min(t · w, 30)) + Σ_e exp(a_e − exp(l_e) ·
        log(size_e ÷ at_e)) with theta = (c, t, a, l) and options {terms, at}.
        """
        return {**self.formula_fit.browser(), "sizes": self.size_s2.tolist()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {**self.formula_fit.to_dict(), "sizes": self.size_s2.tolist()}


@dataclass(frozen=True, slots=True)
class _Profile:
    """The error of the best fit as a function of the exponents' logs."""

    formula: ScaledExponential
    obs: Observations
    n_draws: int

    def method(self, log_e: Floats) -> Method:
        """How the law is fitted with these exponents."""
        d, e = len(self.obs.domains), len(self.formula.terms)
        return Method(
            name="scale",
            formula=self.formula,
            n_least=d + 2,
            starts=lambda problems: self._starts(problems, log_e),
            centre_p=np.concatenate([np.zeros(1 + d + e), log_e]),
            pull_pp=np.diag(np.concatenate([[0.0], np.ones(d), np.full(e, AMPLITUDE_PULL), np.zeros(e)])),
            ridges=RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
        )

    def solve(self) -> tuple[Floats, Floats]:
        """The best logs (e,), and what coefficients move by when they are drawn from their posterior, (r, m, p)."""
        e = len(self.formula.terms)
        log_e = np.full(e, np.log(EXPONENT))
        method = self.method(log_e)
        problems = Problems.of(self.obs, Units.of(self.obs), method)
        m, p, n_offsets = len(problems.Y_bn), problems.n_theta, problems.offsets_nr.shape[1]
        if not e:
            return log_e, np.zeros((1, m, p))
        starts = np.pad(method.starts(problems).reshape(-1, p), ((0, 0), (0, n_offsets)))
        s = len(starts) // m
        theta, cost = descend(problems.times(s), starts, np.full(s * m, RIDGE), tolerance=ROUGH)
        best_mp = theta[np.argmin(cost.reshape(s, m), axis=0) * m + np.arange(m)]
        n_m = problems.weight_bn.sum(1)
        share = len(set(self.obs.trials)) / len(self.obs.trials)

        def fitted(at_re: Floats) -> tuple[Floats, Floats]:
            start_rmp = np.tile(best_mp, (len(at_re), 1, 1))
            start_rmp[:, :, p - e : p] = at_re[:, None, :]
            many = problems.times(len(at_re))
            flat = start_rmp.reshape(-1, p + n_offsets)
            found, cost = descend(many, flat, np.full(len(flat), RIDGE), tolerance=FINE)
            error_rm = np.log(cost.reshape(-1, m) / n_m + LEAST_ERROR)
            prior_r = 0.5 * (((at_re - np.log(EXPONENT)) / EXPONENT_SD) ** 2).sum(1)
            return 0.5 * share * error_rm @ n_m + prior_r, found[:, :p].reshape(-1, m, p)

        options = {"xatol": 1e-5, "fatol": 1e-4, "maxfev": 60 * e}
        solved = minimize(lambda at_e: float(fitted(at_e[None])[0][0]), log_e, method="Nelder-Mead", options=options)
        log_e = np.asarray(solved.x, dtype=np.float64)
        factor_ee = _factor(lambda at_re: fitted(at_re)[0], log_e)
        normal_re = np.random.default_rng(2).standard_normal((min(N_EXPONENTS, self.n_draws), e))
        _, found_rmp = fitted(np.vstack([log_e, log_e + normal_re @ factor_ee.T]))
        return log_e, found_rmp[1:] - found_rmp[0]

    def _starts(self, problems: Problems, log_e: Floats) -> Floats:
        """Coefficients (s, m, p): size terms by least squares, then log(y − c) = t · w for levels c."""
        is_there, X_nd, e = problems.weight_bn > 0.0, problems.X_nd, len(log_e)
        d = X_nd.shape[1] - len(SIZES)
        m = len(problems.Y_bn)
        blank = np.concatenate([np.zeros(1 + d + e), log_e])
        power_en = self.formula._powers(X_nd, blank[None])[:, 0]
        amplitude_me, rest_mn = np.full((m, e), LEAST_AMPLITUDE), problems.Y_bn.copy()
        for j in range(m):
            A_nc = np.vstack([np.ones(len(X_nd)), power_en]).T[is_there[j]]
            found = np.linalg.lstsq(A_nc, problems.Y_bn[j, is_there[j]], rcond=None)[0]
            amplitude_me[j] = np.maximum(found[1:], LEAST_AMPLITUDE)
            rest_mn[j] -= amplitude_me[j] @ power_en
        W_nd = X_nd[:, :d]
        H_mdd = np.einsum("mn,nd,ne->mde", is_there, W_nd, W_nd) + np.eye(d)
        least_m = np.where(is_there, rest_mn, np.inf).min(axis=1)
        starts = []
        for depth in DEPTHS:
            log_mn = is_there * np.log(np.where(is_there, rest_mn - (least_m - depth)[:, None], 1.0))
            t_md = np.linalg.solve(H_mdd, (log_mn @ W_nd)[:, :, None])[:, :, 0]
            starts.append(np.column_stack([least_m - depth, t_md, np.log(amplitude_me), np.tile(log_e, (m, 1))]))
        return np.array(starts)


def _factor(value: Callable[[Floats], Floats], at_e: Floats) -> Floats:
    """A factor of the inverse curvature of a function (r, e) → (r,) at its least point, no wider than the prior."""
    step_ee = STEP * np.eye(len(at_e))
    up_e, down_e, middle = value(at_e + step_ee), value(at_e - step_ee), value(at_e[None])[0]
    H_ee = np.diag((up_e + down_e - 2.0 * middle) / STEP**2)
    for i, j in zip(*np.triu_indices(len(at_e), 1), strict=True):
        both = value((at_e + step_ee[i] + step_ee[j])[None])[0]
        H_ee[i, j] = H_ee[j, i] = (both - up_e[i] - up_e[j] + middle) / STEP**2
    values_e, vectors_ee = np.linalg.eigh(H_ee)
    factor_ee: Floats = vectors_ee / np.sqrt(np.maximum(values_e, EXPONENT_SD**-2.0))
    return factor_ee
