"""Transfer law: many cheap runs and a few at a larger scale.

A base law is fitted at the scale with most runs. Mixtures keep their order at another scale, metric by metric, while
level and spread change; so from the k mixtures measured there each metric j gets a line in the base law's prediction
z, with a rest that is smooth in the mixture once there are 8 of them:

    y_j(w) = mean y_j + slope_j · (z_j(w) − mean z_j) + rest_j(w) + e
    slope_j √(1 + s_j²) ~ log-normal around what is common to the metrics,   variance of e = (slope_j s_j)²

in units of the spread of z over the base mixtures. So a metric whose spread shrinks is one whose errors shrink, noisy
slopes are drawn to each other in logs, and all are positive: a line orders a metric as the base law does. In words of
a Gaussian process: a flat prior on the level, a normal one on the slope (`laws/link.py`), a Matérn-5/2 kernel in the
coordinates w^0.3 for the rest. The line and rests of 12 sizes and lengths are averaged by their closed-form
leave-one-out scores; the line starts with nine tenths of the weight, so that a rest which the runs do not ask for
cannot spoil the base law's order.

Intervals are t intervals of the leave-one-out errors with k − 2 degrees of freedom, wider where the base law is less
sure than it is at the k mixtures. Rows of a scale with few runs are never taken as more of the base scale.

A third scale starts from the transferred law of the scale nearest below it where that has 32 runs, else from the base.
Of a scale without runs the nearest one's order is all that is said: its means, and no interval.

Reference: none; the line is the repair of "rank of the parts is not rank of the average" found on recorded tables.
With a Gaussian process for base this is autoregressive co-kriging: `laws/fidelity_gp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.core.protocols import CrossFits, Law, LawFit
from mixdesk.laws.average import Average
from mixdesk.laws.link import LENGTHS, N_DRAWS, POWER, TINY, Link, Mixtures
from mixdesk.laws.rows import folds
from mixdesk.laws.sizes import asked_sizes, nearest_size, sizes_of

# A scale that others may start from has this many mixtures.
LEAST_SOURCE = 32
# Parts in which mixtures of the base scale that others have run too are predicted without their own runs.
N_PARTS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """Settings of the transfer law: `law`, fitted at the scale with most runs."""

    title: ClassVar[str] = "few-shot transfer of a law to larger scales by pooled slopes and a smooth rest"
    reference: ClassVar[str] = ""
    spans_scales: ClassVar[bool] = True

    law: Law = field(default_factory=Average)

    def fit(self, obs: Observations) -> TransferFit:
        """Fit the base law at the scale with most runs (the larger of equals), then a link to each other scale.

        Raises:
            NotEnoughEvidence: too few runs for the base law.
        """
        size_s2, scale_n = sizes_of(obs)
        n_runs = np.bincount(scale_n)
        start = int(np.flatnonzero(n_runs == n_runs.max())[-1])
        base_obs = obs.take(np.flatnonzero(scale_n == start))
        base, parts, left_out = _cross_fit(self.law, base_obs, np.unique(obs.group_n[scale_n != start]))
        W_nd = base_obs.W_nd
        unit_m = _values(base, obs.domains, W_nd).std(axis=0)
        width_d = (W_nd**POWER).std(axis=0)
        fit = TransferFit(
            domains=obs.domains,
            metrics=tuple(metric.name for metric in obs.metrics),
            base=base,
            start=start,
            size_s2=size_s2,
            width_d=np.where(width_d > TINY, width_d, 1.0) * np.sqrt(len(width_d)),
            links=(),
        )
        loo: dict[int, dict[int, Floats]] = {start: {}}
        for part, without in zip(parts, left_out, strict=True):
            first = [int(np.flatnonzero(obs.group_n == group)[0]) for group in part]
            loo[start] |= dict(zip(part.tolist(), _values(without, obs.domains, obs.W_nd[first]), strict=True))
        away_s = np.abs(np.log(size_s2 / size_s2[start])).sum(axis=1)
        for scale in sorted(set(range(len(size_s2))) - {start}, key=lambda s: (away_s[s], s)):
            rows = Mixtures.of(obs.take(np.flatnonzero(scale_n == scale)))
            smaller = [one.scale for one in fit.links if start < one.scale < scale and len(one.W_id) >= LEAST_SOURCE]
            source = max(smaller, default=start)
            z_im = fit.means(source, rows.W_id)
            for i, group in enumerate(rows.group_i.tolist()):
                z_im[i] = loo[source].get(group, z_im[i])
            link = Link.of(rows, z_im, unit_m, fit.width_d, scale=scale, source=source)
            seen_i = np.where(np.isfinite(rows.y_im), rows.y_im - link.error_im, fit.means(source, rows.W_id))
            loo[scale] = dict(zip(rows.group_i.tolist(), seen_i, strict=True))
            fit = replace(fit, links=(*fit.links, link))
        return fit

    def restore(self, data: dict[str, Any]) -> TransferFit:
        """The fit that `TransferFit.to_dict` wrote.

        Raises:
            InputError: a key is missing or a value is no number.
        """
        try:
            return TransferFit(
                domains=tuple(data["domains"]),
                metrics=tuple(data["metrics"]),
                base=self.law.restore(data["base"]),
                start=int(data["start"]),
                size_s2=np.array(data["sizes"], dtype=np.float64),
                width_d=np.array(data["widths"], dtype=np.float64),
                links=tuple(Link.from_dict(one) for one in data["links"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "this is not a fit of the transfer law",
                value=repr(error),
                bound="what its `to_dict` wrote, with the same base law",
                remedy="fit the law again",
            ) from None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TransferFit:
    """A base law's fit and a link from it to every other scale.

    `size_s2` (n_params, n_tokens) of each scale, smallest first (1 where unknown); `start` the scale of `base`;
    `width_d` what w^0.3 is divided by in the rest's kernel; `links` in the order in which they were made.
    """

    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    base: LawFit
    start: int
    size_s2: Floats
    width_d: Floats
    links: tuple[Link, ...]

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates, each at its own `n_params` and `n_tokens`; not given: at the largest scale seen.

        At a scale without runs the means are those of the nearest scale, for their order, and the interval is NaN.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        checks.one_of("sense", sense, ("mean", "run"))
        checks.finite("level", level, 0.0, 1.0)
        asked_q2 = asked_sizes(inputs, self.size_s2)
        scale_q, is_seen_q = nearest_size(asked_q2, self.size_s2)
        W_qd = inputs.over(self.domains)
        if is_seen_q.all() and (scale_q == self.start).all():
            return self.base.predict(inputs, draws, level=level, sense=sense)
        mean_qm = np.empty((len(W_qd), len(self.metrics)))
        low_qm, high_qm = np.full_like(mean_qm, np.nan), np.full_like(mean_qm, np.nan)
        draws_kqm = np.empty((draws, *mean_qm.shape)) if draws else None
        for scale in np.unique(scale_q).tolist():
            q = np.flatnonzero(scale_q == scale)
            mean_qm[q] = low_qm[q] = high_qm[q] = self.means(scale, W_qd[q])
            if level > 0.0 or draws:
                found_kqm = self._draws(scale, W_qd[q], sense)
                ends = np.quantile(found_kqm, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
                low_qm[q], high_qm[q] = np.minimum(ends[0], mean_qm[q]), np.maximum(ends[1], mean_qm[q])
                if draws_kqm is not None:
                    draws_kqm[:, q] = found_kqm[np.arange(draws) % len(found_kqm)]
            if level > 0.0 and scale != self.start:
                is_unknown_qm = (self._link(scale).freedom_m == 0.0) | np.zeros((len(q), 1), dtype=bool)
                low_qm[q], high_qm[q] = (np.where(is_unknown_qm, np.nan, x[q]) for x in (low_qm, high_qm))
        if level > 0.0:
            low_qm[~is_seen_q] = high_qm[~is_seen_q] = np.nan
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=low_qm,
            high_qm=high_qm,
            level=level,
            sense=sense,
            draws_kqm=draws_kqm,
        )

    def means(self, scale: int, W_qd: Floats) -> Floats:
        """Means at one of the scales seen, columns in the order of `domains`, (q, m)."""
        if scale == self.start:
            return _values(self.base, self.domains, W_qd)
        link = self._link(scale)
        return link.mean(W_qd, self.means(link.source, W_qd), self.width_d)

    def browser(self) -> dict[str, Any]:
        """The base law's data, and per scale what the page adds to it.

        mean = level + slope · z + Σ_l Σ_i weights[l][i] · κ(|w^power ÷ widths − rows[i]^power ÷ widths| ÷ lengths[l]),
        κ(r) = (1 + x + x²/3) exp(−x) with x = √5 r, z the mean at scale `source`; the base law itself at `start`.
        Without `rest`, the line alone.
        """
        scales: list[dict[str, Any]] = [{"n_params": n, "n_tokens": t} for n, t in self.size_s2.tolist()]
        for link in self.links:
            scales[link.scale] |= {
                "source": link.source,
                "n_mixtures": len(link.W_id),
                "level": link.level_m.tolist(),
                "slope": link.slope_m.tolist(),
            }
            if link.rest_lim.any():
                scales[link.scale]["rest"] = {"rows": link.W_id.tolist(), "weights": link.rest_lim.tolist()}
        return {
            "form": "transfer",
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "base": self.base.browser(),
            "start": self.start,
            "scales": scales,
            "power": POWER,
            "widths": self.width_d.tolist(),
            "lengths": list(LENGTHS),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "base": self.base.to_dict(),
            "start": self.start,
            "sizes": self.size_s2.tolist(),
            "widths": self.width_d.tolist(),
            "links": [link.to_dict() for link in self.links],
        }

    def _link(self, scale: int) -> Link:
        return next(link for link in self.links if link.scale == scale)

    def _draws(self, scale: int, W_qd: Floats, sense: str) -> Floats:
        """Joint draws at one of the scales seen, (k, q, m).

        Where the base law errs at the measured mixtures, the link takes it back: its draws enter as deviations at
        the candidates less what the same deviations at those mixtures move the link by.
        """
        if scale == self.start:
            inputs = Inputs.of(self.domains, W_qd)
            found = self.base.predict(inputs, N_DRAWS, level=0.0, sense=sense).draws_kqm
            assert found is not None, "draws come when they are asked for"
            return found
        link = self._link(scale)
        W_all = np.vstack([link.W_id, W_qd])
        z_all = self.means(link.source, W_all)
        away_kam = self._draws(link.source, W_all, "mean") - z_all
        return link.draws(W_all, z_all[len(link.W_id) :], away_kam, self.width_d, sense)


def _values(fit: LawFit, domains: tuple[str, ...], W_qd: Floats) -> Floats:
    return np.array(fit.predict(Inputs.of(domains, W_qd), level=0.0).mean_qm)


def _cross_fit(law: Law, obs: Observations, groups: Ints) -> tuple[LawFit, list[Ints], list[LawFit]]:
    """The base fit; and for those of `groups` it has runs of, parts of them with fits to mixtures of other parts."""
    shared = np.intersect1d(obs.group_n, groups)
    if not len(shared):
        return law.fit(obs), [], []
    parts = folds(obs, N_PARTS)
    mine = [np.intersect1d(part, shared) for part in parts]
    kept = [i for i, part in enumerate(mine) if len(part)]
    try:
        if isinstance(law, CrossFits):
            # Of every part, also of those without shared mixtures: an average weighs its members on all of them.
            fit, without = law.cross_fit(obs, parts)
            return fit, [mine[i] for i in kept], [without[i] for i in kept]
        rests = [obs.take(np.flatnonzero(~np.isin(obs.group_n, parts[i]))) for i in kept]
        return law.fit(obs), [mine[i] for i in kept], [law.fit(rest) for rest in rests]
    except NotEnoughEvidence:
        # Too few mixtures without those shared: the base law's own fit stands in, or says itself what is missing.
        return law.fit(obs), [], []
