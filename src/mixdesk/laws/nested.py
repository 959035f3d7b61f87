"""Nested scale law: token laws, then size laws, then a mixing law at the size asked for.

    1  each run's checkpoints:     y_m(D) = c + A (D ÷ D₀)^−α      α shared by all runs and metrics
    2  each mixture over sizes:    y_m(N) = c + B (N ÷ N₀)^−β      β shared by all mixtures and metrics, at the
                                                                   tokens asked for
    3  the mixing law:             the exponential law on the predictions of 2, at the size asked for

A stage whose size does not vary is passed over. Where one does, a run of a single checkpoint or a mixture of a single
size has no curve and is left out, and one at least must have three.

Reference: ye2024mixinglaws (nested pipeline). What we do differently: one α for all runs, where the paper has one per
run; amplitudes by least squares for every exponent of a grid, in place of thousands of starts. Checkpoints are taken as
given, so they must come from one schedule. Intervals are those of the mixing law alone: errors of the first two stages
that mixtures share do not widen them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import from_data, to_data
from mixdesk.core.observations import Floats, Inputs, Ints, Metric, Observations, Prediction
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.formula import FormulaFit
from mixdesk.laws.sizes import SIZES, asked_sizes, sizes_of

# Exponents tried, and the checkpoints or sizes that a curve of three numbers takes.
EXPONENTS = np.geomspace(0.02, 2.0, 93)
LEAST_POINTS = 3
# Below this a spread is rounding.
TINY = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NestedFit:
    """The runs of all sizes and the mixing law at the largest one seen, `fit`; at other sizes it is fitted when asked.

    `law` the mixing law, `obs` the runs with both covariates, `size_s2` the scales seen, smallest first.
    """

    law: Exponential
    obs: Observations
    size_s2: Floats
    fit: FormulaFit

    @classmethod
    def of(cls, law: Exponential, obs: Observations) -> NestedFit:
        """The three stages at the largest scale seen.

        Raises:
            NotEnoughEvidence: too few mixtures, or sizes that vary without a series of three.
        """
        size_s2, scale_n = sizes_of(obs)
        obs = replace(obs, covariates=dict(zip(SIZES, size_s2[scale_n].T, strict=True)))
        return cls(law=law, obs=obs, size_s2=size_s2, fit=law.fit(at_size(obs, *size_s2[-1].tolist())))

    @property
    def domains(self) -> tuple[str, ...]:
        """Axis d of the fit."""
        return self.obs.domains

    @property
    def metrics(self) -> tuple[str, ...]:
        """Axis m of the fit."""
        return tuple(metric.name for metric in self.obs.metrics)

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates, each at its own `n_params` and `n_tokens`; not given: at the largest scale seen.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        asked_q2, W_qd = asked_sizes(inputs, self.size_s2), inputs.over(self.domains)
        sizes, which_q = np.unique(asked_q2, axis=0, return_inverse=True)
        if not len(sizes):
            return self.fit.predict(inputs, draws, level=level, sense=sense)
        parts = [np.flatnonzero(which_q.reshape(-1) == i) for i in range(len(sizes))]
        each = [
            self._at(size_2).predict(Inputs.of(self.domains, W_qd[part]), draws, level=level, sense=sense)
            for size_2, part in zip(sizes, parts, strict=True)
        ]
        back = np.argsort(np.concatenate(parts))
        joint = [one.draws_kqm for one in each if one.draws_kqm is not None]
        return replace(
            each[0],
            mean_qm=np.concatenate([one.mean_qm for one in each])[back],
            low_qm=np.concatenate([one.low_qm for one in each])[back],
            high_qm=np.concatenate([one.high_qm for one in each])[back],
            draws_kqm=np.concatenate(joint, axis=1)[:, back] if joint else None,
        )

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight at the largest scale, (q, m, d), in the order of `domains`."""
        columns = [self.domains.index(name) for name in self.fit.domains]
        slope_qmd = np.empty((len(W_qd), len(self.metrics), len(columns)))
        slope_qmd[:, :, columns] = self.fit.gradient(W_qd[:, columns])
        return slope_qmd

    def browser(self) -> dict[str, Any]:
        """The mixing law's data at the largest scale seen: the page has no other."""
        return self.fit.browser()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the runs and the mixing law's fit; floats read back bit for bit."""
        obs = self.obs
        return {
            "domains": list(obs.domains),
            "metrics": [to_data(metric) for metric in obs.metrics],
            "trials": list(obs.trials),
            "weights": obs.W_nd.tolist(),
            "values": [[y if np.isfinite(y) else None for y in row] for row in obs.Y_nm.tolist()],
            "groups": obs.group_n.tolist(),
            "sizes": [obs.covariates[name].tolist() for name in SIZES],
            "fit": self.fit.to_dict(),
        }

    @classmethod
    def from_dict(cls, law: Exponential, data: dict[str, Any]) -> NestedFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or an array has another shape than the names ask for.
        """
        try:
            obs = Observations.of(
                tuple(data["domains"]),
                np.array(data["weights"], dtype=np.float64),
                np.array(data["values"], dtype=np.float64),
                tuple(from_data(Metric, metric) for metric in data["metrics"]),
                trials=tuple(data["trials"]),
                covariates=dict(zip(SIZES, np.array(data["sizes"], dtype=np.float64), strict=True)),
            )
            obs = replace(obs, group_n=np.array(data["groups"], dtype=np.int64))
            fit = law.restore(data["fit"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "this is not a nested fit of the scale law",
                value=repr(error),
                bound="what its `to_dict` wrote",
                remedy="fit the law again",
            ) from None
        return cls(law=law, obs=obs, size_s2=sizes_of(obs)[0], fit=fit)

    def _at(self, size_2: Floats) -> FormulaFit:
        if np.array_equal(size_2, self.size_s2[-1]):
            return self.fit
        return self.law.fit(at_size(self.obs, *size_2.tolist()))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Curves:
    """Power laws of many series x → (metrics): level (x, m), amplitude (x, m), one exponent, reference (x,)."""

    level_xm: Floats
    amplitude_xm: Floats
    exponent: float
    at_x: Floats

    def values(self, size: float) -> Floats:
        """Values at one size, (x, m)."""
        power_x = (size / self.at_x) ** -self.exponent
        values: Floats = self.level_xm + self.amplitude_xm * power_x[:, None]
        return values


def at_size(obs: Observations, n_params: float, n_tokens: float) -> Observations:
    """One row per mixture: what its runs are predicted to measure at `n_params` and `n_tokens`.

    `obs` has both covariates. A metric that a run or mixture lacks at some point has no value there.

    Raises:
        NotEnoughEvidence: sizes vary but no mixture has been run at three of them.
    """
    sign_m = np.array([metric.sign for metric in obs.metrics])
    Y_nm, N_n, D_n = obs.Y_nm * sign_m, obs.covariates["n_params"], obs.covariates["n_tokens"]
    _, run_n = np.unique(np.array(obs.trials), return_inverse=True)
    rows, Y_rm = _stage(run_n, D_n, Y_nm, n_tokens, "checkpoints of a run")
    group_r, N_r = obs.group_n[rows], N_n[rows]
    kept, Y_gm = _stage(group_r, N_r, Y_rm, n_params, "sizes of a mixture")
    one = obs.take(rows[kept])
    return replace(one, Y_nm=Y_gm * sign_m, replicate_n=np.zeros(len(kept), dtype=np.int64), covariates={})


def _stage(series_n: Ints, size_n: Floats, Y_nm: Floats, target: float, what: str) -> tuple[Ints, Floats]:
    """First row and value at the target size of each series that has a curve; its mean where no size varies."""
    series = np.unique(series_n)
    rows = [np.flatnonzero(series_n == one) for one in series]
    n_sizes = np.array([len(np.unique(size_n[each])) for each in rows])
    if n_sizes.max() < 2:
        return np.array([each[0] for each in rows]), np.array([Y_nm[each].mean(axis=0) for each in rows])
    if n_sizes.max() < LEAST_POINTS:
        raise NotEnoughEvidence(
            f"too few {what} for a power law",
            value=int(n_sizes.max()),
            bound=f"at least {LEAST_POINTS}",
            remedy="add more, or use the scale law without `nested`",
        )
    long = [each for each, n in zip(rows, n_sizes, strict=True) if n >= 2]
    curves = _curves([size_n[each] for each in long], [Y_nm[each] for each in long])
    return np.array([each[0] for each in long]), curves.values(target)


def _curves(sizes: list[Floats], values: list[Floats]) -> _Curves:
    """The power law of each series with the exponent of the grid that is best for all, amplitudes not below zero."""
    unit_nm = np.vstack([y_pm - y_pm.mean(axis=0) for y_pm in values])
    unit_m = np.sqrt(np.nan_to_num(unit_nm**2).sum(axis=0) / np.maximum(np.isfinite(unit_nm).sum(axis=0), 1))
    unit_m = np.where(unit_m > TINY, unit_m, 1.0)
    at_x = np.array([np.exp(np.log(size_p).mean()) for size_p in sizes])
    m = values[0].shape[1]
    level_axm, amplitude_axm = (np.zeros((len(EXPONENTS), len(sizes), m)) for _ in range(2))
    error_a = np.zeros(len(EXPONENTS))
    for x, (size_p, y_pm) in enumerate(zip(sizes, values, strict=True)):
        power_ap = (size_p / at_x[x]) ** -EXPONENTS[:, None]
        away_ap = power_ap - power_ap.mean(axis=1, keepdims=True)
        slope_am = np.maximum(away_ap @ (y_pm - y_pm.mean(axis=0)) / (away_ap**2).sum(axis=1, keepdims=True), 0.0)
        amplitude_axm[:, x] = slope_am
        level_axm[:, x] = y_pm.mean(axis=0) - slope_am * power_ap.mean(axis=1, keepdims=True)
        left_apm = y_pm - level_axm[:, x, None] - slope_am[:, None] * power_ap[:, :, None]
        error_a += np.nansum((left_apm / unit_m) ** 2, axis=(1, 2))
    best = int(error_a.argmin())
    return _Curves(
        level_xm=level_axm[best], amplitude_xm=amplitude_axm[best], exponent=float(EXPONENTS[best]), at_x=at_x
    )
