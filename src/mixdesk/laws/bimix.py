"""BiMix: loss falls as powers of the weights, each domain on its own.

    general metrics                    f_m(w) = E + Σ_j F_j (max(w_j, 1e-3) ÷ 1e-3)^(−a_j)
    own domain i of each metric,       y_m(w, D) = max(w_i, 1e-3)^(−α) (B (D ÷ D₀)^(−β) + C)
    runs of several lengths

F, a, B, C, β > 0. D is the covariate `n_tokens`, D₀ its geometric mean over runs. The second form is taken where runs
have at least three lengths and every metric names a domain of the mixture; metrics must then be positive.

Reference: bimix (eq. 3); its general-metric form is that of Olmix's rival, F_j w_j^(−a_j). What we do differently:
A = 1, since only A·B and A·C are identified; tokens in place of steps; E, which may have any sign, so that any score
can be fitted and a constant added moves the level alone; weights below 1e-3 count as 1e-3, since powers diverge at
zero; F_j is the amplitude at that floor. A mixture with a weight below all that were fitted has no interval: the form
says nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.laws.descend import Method, Problems, fit_formula
from mixdesk.laws.formula import FormulaFit
from mixdesk.laws.rows import Units, content_order

# Weights below this count as this.
FLOOR = 1e-3
# Exponents of e are held inside this: beyond it lies an accident of extrapolation.
MAX_LOG = 30.0
# Priors of log F (F in sd of the metric) and log a: centres and sds.
CENTRE_F, SD_F, CENTRE_A, SD_A = -5.0, 3.0, -0.5, 0.7
# Domains start with this log F: from below, a log is slow to rise.
START_F = -3.0
# Priors of the own-domain form, metric in units of its mean: exponent of the weight, log B, log β, log C.
OWN_CENTRE, OWN_SD = (0.05, np.log(0.5), np.log(0.3), np.log(0.5)), (0.3, 2.0, 0.7, 1.0)
# Strengths λ of the pull that compete by cross-validation, and the rise of squared errors at which the path ends.
RIDGES = (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12)
OWN_RIDGES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
WORSE = 1.5
# Lengths of runs from which B, β and C can be told apart.
LEAST_LENGTHS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class BiMixFormula:
    """f = E + Σ_j exp(φ_j) (max(w_j, 1e-3) ÷ 1e-3)^(−exp(α_j)); coefficients (E, φ_1 … φ_d, α_1 … α_d).

    φ_j and α_j count as at most 30, and as at least −30.
    """

    form: ClassVar[str] = "bimix"
    covariates: ClassVar[tuple[str, ...]] = ()

    def n_coefficients(self, n_domains: int) -> int:
        """2 d + 1."""
        return 2 * n_domains + 1

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        values: Floats = theta_xp[:, :1] + self._terms(X_qd, theta_xp)[0].sum(2)
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p)."""
        terms_bnd, exponent_bd, log_nd = self._terms(X_nd, theta_bp)
        d = X_nd.shape[1]
        J_bnp = np.empty((*terms_bnd.shape[:2], 2 * d + 1))
        J_bnp[:, :, 0] = 1.0
        J_bnp[:, :, 1 : d + 1] = terms_bnd
        J_bnp[:, :, d + 1 :] = -terms_bnd * exponent_bd[:, None, :] * log_nd
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d); 0 in a weight below the floor."""
        terms_mqd, exponent_md, _ = self._terms(X_qd, theta_mp)
        inverse_qd = np.where(X_qd > FLOOR, 1.0 / np.maximum(X_qd, FLOOR), 0.0)
        return np.swapaxes(-terms_mqd * exponent_md[:, None, :] * inverse_qd, 0, 1)

    def _terms(self, X_qd: Floats, theta_xp: Floats) -> tuple[Floats, Floats, Floats]:
        """F_j (w_j ÷ floor)^(−a_j) (x, q, d), a (x, d) and log(w ÷ floor) (q, d)."""
        d = X_qd.shape[1]
        log_qd = np.log(np.maximum(X_qd, FLOOR) / FLOOR)
        held_xp = np.clip(theta_xp[:, 1:], -MAX_LOG, MAX_LOG)
        exponent_xd = np.exp(held_xp[:, d:])
        return np.exp(held_xp[:, None, :d] - exponent_xd[:, None, :] * log_qd), exponent_xd, log_qd


@dataclass(frozen=True, kw_only=True, slots=True)
class BiMixOwnFormula:
    """f = Π_j max(w_j, 1e-3)^(−max(α_j, 0)) · (exp(b) (D ÷ D₀)^(−exp(β)) + exp(c)), D the last column.

    Coefficients (α_1 … α_d, b, β, c). An α_j of 0 is held there, so that a metric depends on its own domain alone. b,
    β and c count as at most 30, and as at least −30. `reference` is D₀.
    """

    form: ClassVar[str] = "bimix_own"
    covariates: ClassVar[tuple[str, ...]] = ("n_tokens",)

    reference: float

    def n_coefficients(self, n_domains: int) -> int:
        """Of d domains d + 3."""
        return n_domains + 3

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""
        share_xq, fall_xq, rest_x, _ = self._factors(X_qd, theta_xp)
        values: Floats = share_xq * (fall_xq + rest_x[:, None])
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p); 0 in those that are held."""
        share_bn, fall_bn, rest_b, rate_b = self._factors(X_nd, theta_bp)
        d = X_nd.shape[1] - 1
        is_free_bd = (theta_bp[:, :d] > 0.0).astype(np.float64)
        value_bn = share_bn * (fall_bn + rest_b[:, None])
        J_bnp = np.empty((*share_bn.shape, d + 3))
        J_bnp[:, :, :d] = -value_bn[:, :, None] * np.log(np.maximum(X_nd[:, :d], FLOOR)) * is_free_bd[:, None, :]
        J_bnp[:, :, d] = share_bn * fall_bn
        J_bnp[:, :, d + 1] = -share_bn * fall_bn * rate_b[:, None] * np.log(X_nd[:, d] / self.reference)
        J_bnp[:, :, d + 2] = share_bn * rest_b[:, None]
        return J_bnp

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d); 0 in a weight below the floor."""
        d = X_qd.shape[1] - 1
        value_mq, W_qd = self.values(X_qd, theta_mp), X_qd[:, :d]
        inverse_qd = np.where(W_qd > FLOOR, 1.0 / np.maximum(W_qd, FLOOR), 0.0)
        slope_mqd = -value_mq[:, :, None] * np.maximum(theta_mp[:, None, :d], 0.0) * inverse_qd
        return np.swapaxes(slope_mqd, 0, 1)

    def _factors(self, X_qd: Floats, theta_xp: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Π w^(−α) (x, q), B (D ÷ D₀)^(−β) (x, q), C (x,) and β (x,)."""
        d = X_qd.shape[1] - 1
        held_xp = np.clip(theta_xp[:, d:], -MAX_LOG, MAX_LOG)
        rate_x = np.exp(held_xp[:, 1])
        share_xq = np.exp(-np.maximum(theta_xp[:, :d], 0.0) @ np.log(np.maximum(X_qd[:, :d], FLOOR)).T)
        fall_xq = np.exp(held_xp[:, :1] - rate_x[:, None] * np.log(X_qd[:, d] / self.reference))
        return share_xq, fall_xq, np.exp(held_xp[:, 2]), rate_x


@dataclass(frozen=True, kw_only=True, slots=True)
class BiMix:
    """Settings of the BiMix law: `n_draws` fits to resampled mixtures, from which every interval comes."""

    title: ClassVar[str] = "BiMix: powers of the weights, and of tokens where runs differ in length"
    reference: ClassVar[str] = "bimix"

    n_draws: int = 200

    def __post_init__(self) -> None:
        put(self, n_draws=checks.count("n_draws", self.n_draws, 2))

    def fit(self, obs: Observations) -> BiMixFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: fewer than d + 2 mixtures (own domains: 4) have a value of some metric, or the form of
                own domains meets a value that is not positive.
        """
        return self.cross_fit(obs, ())[0]

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[BiMixFit, list[BiMixFit]]:
        """The fit to all rows, and one fit per part (group numbers) to the rows of the other groups."""
        is_own = _has_own_domains(obs)
        fit, folds = fit_formula(obs, self._own_method(obs) if is_own else self._method(len(obs.domains)), parts)
        low_md = _lowest(obs, fit.domains, is_own)
        tokens = float(obs.covariates["n_tokens"].max()) if is_own else 0.0
        made = [BiMixFit(fit=each, low_md=low_md, n_tokens=tokens) for each in (fit, *folds)]
        return made[0], made[1:]

    def restore(self, data: dict[str, Any]) -> BiMixFit:
        """The fit that `BiMixFit.to_dict` wrote."""
        return BiMixFit.from_dict(data)

    def _method(self, d: int) -> Method:
        one = np.ones(d)
        return Method(
            name="BiMix",
            formula=BiMixFormula(),
            n_least=d + 2,
            starts=_starts,
            centre_p=np.concatenate([[0.0], CENTRE_F * one, CENTRE_A * one]),
            pull_pp=np.diag(np.concatenate([[0.0], SD_F**-2.0 * one, SD_A**-2.0 * one])),
            ridges=RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
        )

    def _own_method(self, obs: Observations) -> Method:
        d, tokens_n = len(obs.domains), obs.covariates["n_tokens"]
        weight, *rest = OWN_SD
        return Method(
            name="BiMix",
            formula=BiMixOwnFormula(reference=float(np.exp(np.log(tokens_n).mean()))),
            n_least=4,
            starts=partial(_own_starts, obs),
            centre_p=np.concatenate([np.zeros(d), OWN_CENTRE[1:]]),
            pull_pp=np.diag(np.concatenate([np.full(d, weight**-2.0), np.array(rest) ** -2.0])),
            ridges=OWN_RIDGES,
            worse=WORSE,
            n_draws=self.n_draws,
            units=_own_units,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BiMixFit:
    """A formula with a range: `low_md` the least weight fitted, 0 where the metric does not depend on the domain.

    `n_tokens` is the length of run that a prediction is for where the inputs name none: the longest fitted.
    """

    fit: FormulaFit
    low_md: Floats
    n_tokens: float

    @property
    def domains(self) -> tuple[str, ...]:
        """Axis d of the fit."""
        return self.fit.domains

    @property
    def metrics(self) -> tuple[str, ...]:
        """Axis m of the fit."""
        return self.fit.metrics

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates, as `FormulaFit.predict`; the interval is NaN where a weight is below those fitted.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        if "n_tokens" in self.fit.formula.covariates and "n_tokens" not in inputs.covariates:
            tokens_q = np.full(len(inputs.until_qs), self.n_tokens)
            inputs = replace(inputs, covariates={**inputs.covariates, "n_tokens": tokens_q})
        found = self.fit.predict(inputs, draws, level=level, sense=sense)
        W_qd = np.maximum(inputs.over(self.domains), FLOOR)
        is_below_qm = (W_qd[:, None, :] < np.maximum(self.low_md, FLOOR) - 1e-12).any(axis=2)
        low_qm, high_qm = (np.where(is_below_qm, np.nan, side_qm) for side_qm in (found.low_qm, found.high_qm))
        return replace(found, low_qm=low_qm, high_qm=high_qm)

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d), for runs of `n_tokens`."""
        columns = [np.full(len(W_qd), self.n_tokens) for _ in self.fit.formula.covariates]
        return self.fit.gradient(np.column_stack([W_qd, *columns]))

    def browser(self) -> dict[str, Any]:
        """As `FormulaFit.browser`, with `low` (m, d), below which there is no interval, and `n_tokens` for D."""
        return {**self.fit.browser(), "low": self.low_md.tolist(), "n_tokens": self.n_tokens}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {**self.fit.to_dict(), "low": self.low_md.tolist(), "n_tokens": self.n_tokens}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BiMixFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or an array has another shape than the names ask for.
        """
        fit = FormulaFit.from_dict(data, BiMixFormula, BiMixOwnFormula)
        try:
            low_md, n_tokens = np.array(data["low"], dtype=np.float64), float(data["n_tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(repr(error)) from None
        if low_md.shape != (len(fit.metrics), len(fit.domains)):
            raise _damaged(f"shape {low_md.shape} of `low`")
        return cls(fit=fit, low_md=low_md, n_tokens=n_tokens)


def _damaged(found: str) -> InputError:
    return InputError(
        "this is not a fit of the law `bimix`", value=found, bound="what its `to_dict` wrote", remedy="fit again"
    )


def _has_own_domains(obs: Observations) -> bool:
    """Whether lengths of runs and domains of metrics allow the form in own weight and tokens.

    Raises:
        NotEnoughEvidence: they do, but a value is not positive.
    """
    lengths_n = obs.covariates.get("n_tokens", np.zeros(0))
    if len(np.unique(lengths_n)) < LEAST_LENGTHS or not np.isfinite(lengths_n).all() or lengths_n.min() <= 0.0:
        return False
    if any(metric.domain not in obs.domains for metric in obs.metrics):
        return False
    for metric, y_n in zip(obs.metrics, obs.Y_nm.T, strict=True):
        if np.nanmin(metric.sign * y_n, initial=np.inf) <= 0.0:
            raise NotEnoughEvidence(
                f"BiMix cannot fit `{metric.name}`: it is a product of powers, lower is better",
                value=float(np.nanmin(metric.sign * y_n)),
                bound="values above 0 (after a change of sign where higher is better)",
                remedy="use another law for this metric",
            )
    return True


def _lowest(obs: Observations, domains: tuple[str, ...], is_own: bool) -> Floats:
    """Least weight of each domain over the rows, 0 where a metric has a domain of its own and this is another."""
    low_d = obs.W_nd.min(0)[[obs.domains.index(name) for name in domains]]
    matters_md = [[not is_own or metric.domain == name for name in domains] for metric in obs.metrics]
    return np.where(matters_md, low_d, 0.0)


def _own_units(obs: Observations) -> Units:
    """Metrics in units of their mean, not shifted: the form is a product."""
    units = Units.of(obs)
    return replace(units, shift_m=np.zeros(len(units.shift_m)), scale_m=np.nanmean(obs.Y_nm * units.sign_m, axis=0))


def _starts(problems: Problems) -> Floats:
    """One set of coefficients per metric, (1, m, p): the priors, but for F."""
    starts = np.tile(problems.centre_p, (1, len(problems.Y_bn), 1))
    starts[:, :, 1 : problems.X_nd.shape[1] + 1] = START_F
    return starts


def _own_starts(obs: Observations, problems: Problems) -> Floats:
    """One set of coefficients per metric, (1, m, p): the priors, and an exponent for the own domain alone."""
    start_mp = np.tile(problems.centre_p, (len(problems.Y_bn), 1))
    _, columns = content_order(obs)
    for j, metric in enumerate(obs.metrics):
        own = obs.domains.index(metric.domain or "")
        start_mp[j, int(np.flatnonzero(columns == own)[0])] = OWN_CENTRE[0]
    return start_mp[None]
