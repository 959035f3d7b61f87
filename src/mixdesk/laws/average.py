"""Average law: what several forms say, weighted per metric by how well each foretold runs it had not seen.

    mean = Σ_k ω_k μ_k        variance = Σ_k ω_k (σ_k² + μ_k²) − mean²

Nobody knows which form is right, and the best at one scale need not be the best at the next: an average loses little to
its best member and much less than its worst. The weights ω maximise the log score of that mean and variance on runs
that each member predicted without their mixture, with a prior that bounds them away from certainty; what is used is
their posterior mean. Intervals are stretched to cover what was left out, and draws are mixed over metrics so that
their deviations go together as the errors on left-out runs do: a mean over metrics then has an interval of its own.

Reference: universalitylens (a mixture pays for the prior weight of what is near the truth). What we do differently:
stacking rather than the Bayesian posterior, which settles on one member even where all are wrong; the score is that of
the averaged mean and variance, since these are what is reported; one family, one vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.core.protocols import CrossFits, HasGradient, Law, LawFit
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.gp import LEAST_MIXTURES, MixtureGP
from mixdesk.laws.power_sum import PowerSum
from mixdesk.laws.rows import REACH, content_order, folds, one_thread, stretch

# The forms, one per family: anything smooth, diminishing returns, a log-linear score. A further member must earn its
# time: ridge and trees gained nothing beside these three on worlds and tables (docs/log.md).
MEMBERS: Mapping[str, Law] = {"gp": MixtureGP(), "power_sum": PowerSum(), "exponential": Exponential()}
# Weights are looked for on this grid of the simplex, each point weighed by its score and a prior worth as many runs.
GRID_STEP, PRIOR_RUNS = 0.1, 2.0
# A weight of zero counts as this in the prior.
LEAST_WEIGHT = 0.02
# Members may say at most this many ranges of the metric beyond the values seen: a form that is wrong can say anything.
BEYOND = 1.0
# Parts in which runs are left out.
N_PARTS = 10
# The browser gets this many draws: no member sends fewer.
N_BROWSER_DRAWS = 32
# Draws from which the correlation of deviations over metrics is taken.
N_MIXING_DRAWS = 64
# Intervals may shrink to this part of what the members claim together: an average can be surer than they are.
LEAST_STRETCH = 0.75
# Least sd of a prediction, in sd of the metric.
LEAST_SD = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Average:
    """The average of a Gaussian process, the power sum and the exponential law; it has no settings."""

    title: ClassVar[str] = "average over forms, weighted by out-of-fold log score"
    reference: ClassVar[str] = "universalitylens"

    def fit(self, obs: Observations) -> AverageFit:
        """Fit every member and weigh them; a member that needs more runs than a metric has is left out there.

        Raises:
            NotEnoughEvidence: too few mixtures for every member.
        """
        return self.cross_fit(obs, ())[0]

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[AverageFit, list[AverageFit]]:
        """The average of all rows, and one per part without its groups.

        The weights of the latter come from the runs of the other parts, by members that had not seen them. Groups that
        no part holds are left out in parts of their own, as every run has a say in the weights.
        """
        # Weights come from intervals, some of them drawn at random row by row: the rows' order must be their own.
        obs = obs.take(content_order(obs)[0])
        n_asked, parts = len(parts), [*parts, *_rest(obs, parts)]
        members: dict[str, _Crossed] = {}
        for name, law in MEMBERS.items():
            with suppress(NotEnoughEvidence), one_thread():
                members[name] = _Crossed.of(law, obs, parts)
        for metric, y_n in zip(obs.metrics, obs.Y_nm.T, strict=True):
            if not any(metric.name in one.full.metrics for one in members.values()):
                raise NotEnoughEvidence(
                    f"too few mixtures to fit `{metric.name}` by any law, and to test it without some of them",
                    value=len(np.unique(obs.group_n[np.isfinite(y_n)])),
                    bound=f"more than {LEAST_MIXTURES} mixtures with a value, for {len(obs.domains)} domains",
                    remedy="run more trials, or merge domains",
                )
        crossed = _Members.of(members, _limits(obs))
        full = crossed.average(obs, np.arange(len(obs.trials)), {name: one.full for name, one in members.items()})
        seen_pn = [np.flatnonzero(~np.isin(obs.group_n, part)) for part in parts]
        held = [
            crossed.average(obs, seen_n, {name: one.held[p] for name, one in members.items()})
            for p, seen_n in enumerate(seen_pn)
        ]
        mean_nm, sd_nm = _moments(full.weight_km, crossed.mean_knm, crossed.sd_knm)
        away_knm = np.zeros((N_MIXING_DRAWS, *obs.Y_nm.shape))
        for part, fit in zip(parts, held, strict=True):
            rows = np.flatnonzero(np.isin(obs.group_n, part))
            said = fit.predict(obs.take(rows).inputs(), N_MIXING_DRAWS, level=0.0, sense="run")
            assert said.draws_kqm is not None, "draws were asked for"
            away_knm[:, rows] = said.draws_kqm - said.mean_qm
        error_nm = obs.Y_nm - mean_nm

        def mixed(fit: AverageFit, rows_n: Ints) -> AverageFit:
            return replace(fit, mix_mm=_mixing(error_nm[rows_n], away_knm[:, rows_n], sd_nm[rows_n]))

        fits = [mixed(*one) for one in zip(held, seen_pn, strict=True)]
        return mixed(full, np.arange(len(error_nm))), fits[:n_asked]

    def restore(self, data: dict[str, Any]) -> AverageFit:
        """The fit that `AverageFit.to_dict` wrote."""
        return AverageFit.from_dict(data)


@dataclass(frozen=True, slots=True, eq=False)
class _Crossed:
    """A member fitted to all rows and without each part; mean and sd of one run at each row by the fit without it.

    A metric for which the member has too few runs is NaN.
    """

    full: LawFit
    held: list[LawFit]
    mean_nm: Floats
    sd_nm: Floats

    @classmethod
    def of(cls, law: Law, obs: Observations, parts: Sequence[Ints]) -> _Crossed:
        """A member on all metrics, or on those that have runs enough.

        Raises:
            NotEnoughEvidence: no metric has.
        """
        m = len(obs.metrics)
        try:
            return cls._on(law, obs, parts, list(range(m)))
        except NotEnoughEvidence:
            able = [j for j in range(m) if m > 1 and _can(law, obs, parts, j)]
            if not able:
                raise
            return cls._on(law, obs, parts, able)

    @classmethod
    def _on(cls, law: Law, obs: Observations, parts: Sequence[Ints], columns: list[int]) -> _Crossed:
        mine = _only(obs, columns)
        if isinstance(law, CrossFits):
            full, held = law.cross_fit(mine, parts)
        else:
            rests = [mine.take(np.flatnonzero(~np.isin(mine.group_n, part))) for part in parts]
            full, held = law.fit(mine), [law.fit(rest) for rest in rests]
        mean_nm, sd_nm = np.full(obs.Y_nm.shape, np.nan), np.full(obs.Y_nm.shape, np.nan)
        for part, fit in zip(parts, held, strict=True):
            rows = np.flatnonzero(np.isin(obs.group_n, part))
            where = np.ix_(rows, np.array(columns))
            mean_nm[where], sd_nm[where] = _said(fit, obs.take(rows).inputs(), "run")
        return cls(full, held, mean_nm, sd_nm)


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """Mean and sd of one run at each row by each member that had not seen it, (k, n, m), within the limits."""

    mean_knm: Floats
    sd_knm: Floats
    limits_2m: Floats

    @classmethod
    def of(cls, members: Mapping[str, _Crossed], limits_2m: Floats) -> _Members:
        mean_knm, sd_knm = (np.array([getattr(one, name) for one in members.values()]) for name in ("mean_nm", "sd_nm"))
        return cls(*_bounded(mean_knm, sd_knm, limits_2m), limits_2m)

    def average(self, obs: Observations, seen_n: Ints, fits: dict[str, LawFit]) -> AverageFit:
        """The average of `fits`, weighed and stretched by the rows `seen_n`; its draws are not mixed yet."""
        Y_nm, mean_knm, sd_knm = obs.Y_nm[seen_n], self.mean_knm[:, seen_n], self.sd_knm[:, seen_n]
        weight_km = _weights(mean_knm, sd_knm, Y_nm)
        mean_nm, sd_nm = _moments(weight_km, mean_knm, sd_knm)
        return AverageFit(
            domains=obs.domains,
            metrics=tuple(metric.name for metric in obs.metrics),
            members=fits,
            weight_km=weight_km,
            stretch_m=stretch(((Y_nm - mean_nm) / sd_nm).T, LEAST_STRETCH),
            mix_mm=np.eye(Y_nm.shape[1]),
            limits_2m=self.limits_2m,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AverageFit:
    """Fits of the members by name, their weights `weight_km` per metric (columns sum to one), `stretch_m` of the
    intervals, `mix_mm` by which a draw's deviations (a row) are multiplied, and `limits_2m`, the least and greatest
    value a member may say.
    """

    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    members: dict[str, LawFit]
    weight_km: Floats
    stretch_m: Floats
    mix_mm: Floats
    limits_2m: Floats

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates. A draw is that of a member, which is picked by weight, once for all candidates.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        checks.one_of("sense", sense, ("mean", "run"))
        checks.finite("level", level, 0.0, 1.0)
        said = [self._all(*_said(fit, inputs, sense, with_sd=level > 0.0), fit) for fit in self.members.values()]
        mean_kqm, sd_kqm = _bounded(np.array([x for x, _ in said]), np.array([x for _, x in said]), self.limits_2m)
        mean_qm, sd_qm = _moments(self.weight_km, mean_kqm, sd_kqm)
        reach = NormalDist().inv_cdf((1.0 + min(level, 1.0 - 1e-9)) / 2.0) if level > 0.0 else 0.0
        half_qm = reach * self.stretch_m * sd_qm if level > 0.0 else np.zeros_like(mean_qm)
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=mean_qm - half_qm,
            high_qm=mean_qm + half_qm,
            level=level,
            sense=sense,
            draws_kqm=self._draws(inputs, draws, sense, mean_qm) if draws else None,
        )

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d), columns in the order of `domains`."""
        slope = np.zeros((len(W_qd), len(self.metrics), len(self.domains)))
        inputs = Inputs.of(self.domains, W_qd)
        for weight_m, fit in zip(self.weight_km, self.members.values(), strict=True):
            assert isinstance(fit, HasGradient), "every member knows its slope"
            mine = [self.metrics.index(name) for name in fit.metrics]
            theirs = [fit.domains.index(name) for name in self.domains]
            back = [self.domains.index(name) for name in fit.domains]
            mean_qm = fit.predict(inputs, level=0.0).mean_qm
            is_free = (mean_qm > self.limits_2m[0, mine]) & (mean_qm < self.limits_2m[1, mine])
            steep = fit.gradient(W_qd[:, back])[:, :, theirs]
            slope[:, mine] += weight_m[mine, None] * np.where(is_free[:, :, None], steep, 0.0)
        return slope

    def browser(self) -> dict[str, Any]:
        """Members as their own browser data; the page averages what they say, held within `limits`, by `weights`.

        A metric that a member does not know has weight 0 there. Draw k of metric m is
        mean + stretch · Σ_l `mix`[l][m] · (draw k of member `picks`[k][l] of metric l − its mean).
        """
        plain = [fit.browser() for fit in self.members.values()]
        return {
            "form": "average",
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "members": plain,
            "weights": self.weight_km.tolist(),
            "stretch": self.stretch_m.tolist(),
            "mix": self.mix_mm.tolist(),
            "limits": self.limits_2m.tolist(),
            "picks": self._picks(N_BROWSER_DRAWS).tolist(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "members": {name: fit.to_dict() for name, fit in self.members.items()},
            "weights": self.weight_km.tolist(),
            "stretch": self.stretch_m.tolist(),
            "mix": self.mix_mm.tolist(),
            "limits": self.limits_2m.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AverageFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or an array has another shape than the names ask for.
        """
        try:
            domains, metrics = tuple(data["domains"]), tuple(data["metrics"])
            weight, stretched, mix, limits = (
                np.array(data[key], dtype=np.float64) for key in ("weights", "stretch", "mix", "limits")
            )
            members = {name: MEMBERS[name].restore(inner) for name, inner in data["members"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(repr(error)) from None
        m = len(metrics)
        found = (weight.shape, stretched.shape, mix.shape, limits.shape)
        if found != ((len(members), m), (m,), (m, m), (2, m)):
            raise _damaged(f"shapes {found}")
        return cls(
            domains=domains,
            metrics=metrics,
            members=members,
            weight_km=weight,
            stretch_m=stretched,
            mix_mm=mix,
            limits_2m=limits,
        )

    def _all(self, mean_qm: Floats, sd_qm: Floats, fit: LawFit) -> tuple[Floats, Floats]:
        """A member's columns in the order of our metrics, NaN where it does not know one."""
        out = np.full((2, len(mean_qm), len(self.metrics)), np.nan)
        mine = [self.metrics.index(name) for name in fit.metrics]
        out[0][:, mine], out[1][:, mine] = mean_qm, sd_qm
        return out[0], out[1]

    def _draws(self, inputs: Inputs, n_draws: int, sense: str, mean_qm: Floats) -> Floats:
        picks_km = self._picks(n_draws)
        draws_kqm = np.empty((n_draws, *mean_qm.shape))
        for number, fit in enumerate(self.members.values()):
            found = fit.predict(inputs, n_draws, sense=sense).draws_kqm
            assert found is not None, "draws were asked for"
            for j, name in enumerate(fit.metrics):
                mine = self.metrics.index(name)
                rows = np.flatnonzero(picks_km[:, mine] == number)
                draws_kqm[rows, :, mine] = found[rows, :, j]
        draws_kqm = np.clip(draws_kqm, *self.limits_2m)
        spread: Floats = mean_qm + self.stretch_m * ((draws_kqm - mean_qm) @ self.mix_mm)
        return spread

    def _picks(self, n_draws: int) -> Ints:
        """Which member each draw of each metric is taken from, (k, m): as often as its weight says."""
        u_k = (np.random.default_rng(3).permutation(n_draws) + 0.5) / max(n_draws, 1)
        above_km = np.cumsum(self.weight_km, axis=0)
        picks: Ints = (u_k[:, None, None] > above_km[None]).sum(1)
        return np.minimum(picks, len(above_km) - 1)


def _damaged(found: str) -> InputError:
    return InputError(
        "this is not a fit of the average law",
        value=found,
        bound="what its `to_dict` wrote",
        remedy="fit the law again",
    )


def _rest(obs: Observations, parts: Sequence[Ints]) -> list[Ints]:
    """Parts of the groups that no given part holds."""
    rows = np.flatnonzero(~np.isin(obs.group_n, np.concatenate([*parts, np.array([], dtype=np.int64)])))
    return folds(obs.take(rows), N_PARTS) if len(rows) else []


def _only(obs: Observations, columns: list[int]) -> Observations:
    """The same rows with some of the metrics."""
    return replace(obs, metrics=tuple(obs.metrics[j] for j in columns), Y_nm=obs.Y_nm[:, columns])


def _can(law: Law, obs: Observations, parts: Sequence[Ints], j: int) -> bool:
    """Whether a member can be fitted to metric j when any part is left out."""
    mine = _only(obs, [j])
    fewest = min(
        (mine.take(np.flatnonzero(~np.isin(mine.group_n, part))) for part in parts),
        key=lambda rest: len(np.unique(rest.group_n[np.isfinite(rest.Y_nm[:, 0])])),
        default=mine,
    )
    try:
        law.fit(fewest)
    except NotEnoughEvidence:
        return False
    return True


def _said(fit: LawFit, inputs: Inputs, sense: str, *, with_sd: bool = True) -> tuple[Floats, Floats]:
    """Mean and sd of a fit, from its 90 % interval."""
    found = fit.predict(inputs, level=0.9 if with_sd else 0.0, sense=sense)
    return found.mean_qm, (found.high_qm - found.low_qm) / (2.0 * REACH)


def _limits(obs: Observations) -> Floats:
    """Least and greatest value that a member may say of each metric, (2, m)."""
    least_m, most_m = np.nanmin(obs.Y_nm, axis=0), np.nanmax(obs.Y_nm, axis=0)
    span_m = BEYOND * np.maximum(most_m - least_m, 1e-12 * np.maximum(np.abs(most_m), 1.0))
    return np.array([least_m - span_m, most_m + span_m])


def _bounded(mean_kqm: Floats, sd_kqm: Floats, limits_2m: Floats) -> tuple[Floats, Floats]:
    """Means within the limits, and sds no larger than a third of what lies between them."""
    return np.clip(mean_kqm, *limits_2m), np.minimum(sd_kqm, (limits_2m[1] - limits_2m[0]) / 3.0)


def _moments(weight_km: Floats, mean_kqm: Floats, sd_kqm: Floats) -> tuple[Floats, Floats]:
    """Mean and sd of the average, (q, m) each; a member of weight 0 may be NaN."""
    weight_k1m = weight_km[:, None, :]
    mean_kqm, sd_kqm = (np.where(weight_k1m > 0.0, one, 0.0) for one in (mean_kqm, sd_kqm))
    mean_qm = (weight_k1m * mean_kqm).sum(0)
    variance_qm = (weight_k1m * (sd_kqm**2 + (mean_kqm - mean_qm) ** 2)).sum(0)
    return mean_qm, np.sqrt(np.maximum(variance_qm, 1e-300))


def _mixing(error_nm: Floats, away_knm: Floats, sd_nm: Floats) -> Floats:
    """What turns deviations of draws (rows) into such as go together as the errors (NaN: not measured) do, (m, m).

    In units of each metric's sd it is the symmetric T with T C T = R, C the correlation of the deviations and R that
    of the errors, drawn towards C by one part in √n: the map that moves the draws least.
    """
    C_mm = _correlation((away_knm / sd_nm).reshape(-1, sd_nm.shape[1]))
    shrink = 1.0 / np.sqrt(max(len(error_nm), 2))
    R_mm = (1.0 - shrink) * _correlation(np.nan_to_num(error_nm / sd_nm)) + shrink * C_mm
    root_mm = _power(C_mm, 0.5)
    inverse_mm = _power(C_mm, -0.5)
    T_mm = inverse_mm @ _power(root_mm @ R_mm @ root_mm, 0.5) @ inverse_mm
    unit_m = np.sqrt((sd_nm**2).mean(0))
    mixing: Floats = T_mm / unit_m[:, None] * unit_m
    return mixing


def _correlation(rows_nm: Floats) -> Floats:
    """Correlation of columns around zero; a column of zeros has none."""
    square_mm = rows_nm.T @ rows_nm
    length_m = np.sqrt(np.maximum(np.diag(square_mm), 1e-300))
    correlation_mm: Floats = square_mm / np.outer(length_m, length_m)
    np.fill_diagonal(correlation_mm, 1.0)
    return correlation_mm


def _power(S_mm: Floats, exponent: float) -> Floats:
    """Power of a symmetric matrix whose eigenvalues count as 1e-6 at least."""
    values_m, vectors_mm = np.linalg.eigh((S_mm + S_mm.T) / 2.0)
    power: Floats = (vectors_mm * np.maximum(values_m, 1e-6) ** exponent) @ vectors_mm.T
    return power


def _weights(mean_knm: Floats, sd_knm: Floats, Y_nm: Floats) -> Floats:
    """Posterior mean of the members' weights per metric, (k, m)."""
    out = np.zeros((len(mean_knm), Y_nm.shape[1]))
    for j, y_n in enumerate(Y_nm.T):
        able = np.flatnonzero(np.isfinite(mean_knm[:, :, j]).any(1))
        rows = np.flatnonzero(np.isfinite(y_n) & np.isfinite(mean_knm[able, :, j]).all(0))
        grid_gk = _grid(len(able))
        mean_kn, sd_kn = mean_knm[able][:, rows, j], sd_knm[able][:, rows, j]
        mean_gn = grid_gk @ mean_kn
        variance_gn = grid_gk @ (sd_kn**2 + mean_kn**2) - mean_gn**2
        variance_gn = np.maximum(variance_gn, (LEAST_SD * (float(np.std(y_n[rows])) or 1.0)) ** 2)
        score_g = -0.5 * (np.log(variance_gn) + (y_n[rows] - mean_gn) ** 2 / variance_gn).sum(1)
        score_g += PRIOR_RUNS * np.log(grid_gk + LEAST_WEIGHT).mean(1)
        share_g = np.exp(score_g - score_g.max())
        out[able, j] = share_g @ grid_gk / share_g.sum()
    return out


def _grid(k: int) -> Floats:
    """Every set of k weights that are multiples of the step and sum to one, (g, k)."""
    n = round(1.0 / GRID_STEP)
    return np.array([counts for counts in product(range(n + 1), repeat=k) if sum(counts) == n]) / n
