"""A fit whose prediction is a formula with coefficients: the one result type of all laws that have one.

    y_m(w) = sign_m · (shift_m + scale_m · f(x; θ_m))

f is the law's formula in numbers of size one, x the weights and whatever covariates the formula names. Draws are
further sets of coefficients, joint over metrics; intervals are quantiles of their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import InputError, MixdeskError
from mixdesk.core.files import from_data, to_data
from mixdesk.core.observations import Floats, Inputs, Prediction

# The browser gets this many draws at most, each number to so many digits: enough for a 90 % band.
N_BROWSER_DRAWS, N_DIGITS = 100, 9
# Draws are evaluated for as many candidates at once as keep (draws × metrics × candidates × domains) below this.
N_AT_ONCE = 4_000_000


class Formula(Protocol):
    """f(x; θ): a frozen dataclass whose fields, if it has any, are plain JSON data.

    Rows x are the weights in the order of the fit's domains, then the columns that `covariates` names.
    """

    form: ClassVar[str]
    covariates: ClassVar[tuple[str, ...]]

    def n_coefficients(self, n_domains: int) -> int:
        """Length of θ."""

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """Value at each row under each set of coefficients, (x, q)."""

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p)."""

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FormulaFit:
    """y_m(w) = sign_m · (shift_m + scale_m · f(x; θ_m)), with draws of (shift, θ) that are joint over metrics.

    `sign_m` −1 where higher is better; `shift_m`, `scale_m` (m,) in the metric's unit; `theta_mp` (m, p) coefficients;
    `draw_shift_km` (k, m), `draw_kmp` (k, m, p); `noise_mm` a factor F with covariance F Fᵀ of one run around the mean
    of seeds.
    """

    formula: Formula
    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    sign_m: Floats
    shift_m: Floats
    scale_m: Floats
    theta_mp: Floats
    draw_shift_km: Floats
    draw_kmp: Floats
    noise_mm: Floats

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates; intervals are quantiles of the draws, plus the noise of a run for `sense` "run".

        More draws than the fit holds are taken by going round again. Level 0 asks for no interval, which is quicker.

        Raises:
            InputError: other domains than those of the fit, a covariate that is not there, or a level or sense that
                does not exist.
        """
        checks.one_of("sense", sense, ("mean", "run"))
        checks.finite("level", level, 0.0, 1.0)
        X_qd = self._rows(inputs)
        low_qm = high_qm = mean_qm = self._values(X_qd, self.shift_m[None], self.theta_mp[None])[0]
        draws_kqm = None
        if level > 0.0 or draws:
            draws_kqm = self._values(X_qd, self.draw_shift_km, self.draw_kmp)
            if sense == "run":
                normal_kqm = np.random.default_rng(0).standard_normal(draws_kqm.shape)
                draws_kqm = draws_kqm + normal_kqm @ self.noise_mm.T
            low_qm, high_qm = np.quantile(draws_kqm, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=np.minimum(low_qm, mean_qm),
            high_qm=np.maximum(high_qm, mean_qm),
            level=level,
            sense=sense,
            draws_kqm=draws_kqm[np.arange(draws) % len(draws_kqm)] if draws and draws_kqm is not None else None,
        )

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d), columns in the order of `domains`.

        A formula with covariates needs them behind the weights.
        """
        slope: Floats = (self.sign_m * self.scale_m)[:, None] * self.formula.slope(W_qd, self.theta_mp)
        return slope

    def browser(self) -> dict[str, Any]:
        """Coefficients and ≤ 100 draws of them: {form, options, domains, metrics, sign, shift, scale, theta, draws}.

        The page computes sign_m · (shift_m + scale_m · f(w; theta_m)), f as the formula of that `form` says, and for
        draw i the same with draws.shift[i] and draws.theta[i].
        """
        data = self.to_dict()
        keep = slice(0, N_BROWSER_DRAWS)
        keys = ("form", "options", "domains", "metrics", "sign", "shift", "scale", "theta")
        draws = {"shift": _short(self.draw_shift_km[keep]), "theta": _short(self.draw_kmp[keep])}
        return {**{key: data[key] for key in keys}, "draws": draws}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {
            "form": self.formula.form,
            "options": to_data(self.formula),
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "sign": self.sign_m.tolist(),
            "shift": self.shift_m.tolist(),
            "scale": self.scale_m.tolist(),
            "theta": self.theta_mp.tolist(),
            "draw_shift": self.draw_shift_km.tolist(),
            "draw_theta": self.draw_kmp.tolist(),
            "noise": self.noise_mm.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], *formulas: type[Formula]) -> FormulaFit:
        """The fit that `to_dict` wrote; its form is one of `formulas`.

        Raises:
            InputError: a key is missing, the form is another, or an array has another shape than the names ask for.
        """
        keys = ("sign", "shift", "scale", "theta", "draw_shift", "draw_theta", "noise")
        known = {each.form: each for each in formulas}
        try:
            formula: Formula = from_data(known[data["form"]], data["options"])
            domains, metrics = tuple(data["domains"]), tuple(data["metrics"])
            sign, shift, scale, theta, draw_shift, draw, noise = (np.array(data[key], dtype=np.float64) for key in keys)
        except (KeyError, TypeError, ValueError, MixdeskError) as error:
            raise _damaged(repr(error), known) from None
        m, k, p = len(metrics), len(draw_shift), formula.n_coefficients(len(domains))
        shapes = ((m,), (m,), (m,), (m, p), (k, m), (k, m, p), (m, m))
        found = tuple(array.shape for array in (sign, shift, scale, theta, draw_shift, draw, noise))
        if found != shapes or not k:
            raise _damaged(f"shapes {found}", known)
        return cls(
            formula=formula,
            domains=domains,
            metrics=metrics,
            sign_m=sign,
            shift_m=shift,
            scale_m=scale,
            theta_mp=theta,
            draw_shift_km=draw_shift,
            draw_kmp=draw,
            noise_mm=noise,
        )

    def _rows(self, inputs: Inputs) -> Floats:
        return rows_of(inputs.over(self.domains), inputs.covariates, self.formula.covariates)

    def _values(self, X_qd: Floats, shift_km: Floats, theta_kmp: Floats) -> Floats:
        """Metrics of each row under each set of coefficients, (k, q, m)."""
        k, m, p = theta_kmp.shape
        n_rows = max(N_AT_ONCE // (k * m * X_qd.shape[1]), 1)
        parts = [
            self.formula.values(X_qd[i : i + n_rows], theta_kmp.reshape(k * m, p)).reshape(k, m, -1)
            for i in range(0, len(X_qd), n_rows)
        ]
        f_kqm = np.swapaxes(np.concatenate(parts, axis=2), 1, 2) if parts else np.empty((k, 0, m))
        values: Floats = self.sign_m * (shift_km[:, None, :] + self.scale_m * f_kqm)
        return values


def rows_of(W_qd: Floats, covariates: Any, names: tuple[str, ...]) -> Floats:
    """What a formula reads of each row: its weights, then its covariates by name.

    Raises:
        InputError: a covariate is not there.
    """
    for name in names:
        if name not in covariates:
            raise InputError(
                f"this law needs `{name}` of every mixture",
                value=", ".join(sorted(covariates)) or "no covariates",
                bound=f"a column `{name}`",
                remedy="pass it as a covariate of the inputs",
            )
    return np.column_stack([W_qd, *(covariates[name] for name in names)])


def _short(array: Floats) -> Any:
    """Nested lists of the numbers to nine significant digits."""
    exponent = np.floor(np.log10(np.where(array == 0.0, 1.0, np.abs(array))))
    unit = 10.0 ** np.clip(N_DIGITS - 1 - exponent, -300.0, 300.0)
    return (np.round(array * unit) / unit).tolist()


def _damaged(found: str, known: dict[str, type[Formula]]) -> InputError:
    return InputError(
        "this is not a fit of the law" + (f" `{next(iter(known))}`" if known else ""),
        value=found,
        bound="what its `to_dict` wrote",
        remedy="fit the law again",
    )
