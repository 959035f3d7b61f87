"""What a few runs at another scale say beside a law's prediction z there: a line per metric, and a smooth rest.

    y_j(w) = mean y_j + slope_j · (z_j(w) − mean z_j) + rest_j(w) + e

`laws/transfer.py` says where this comes from; here it is solved as Gaussian processes with a flat prior on the level, a
normal one on the slope and a Matérn-5/2 kernel for the rest, all in noise variances, so that leave-one-out errors are
in closed form: α_i ÷ (K⁻¹)_ii with α = K⁻¹ y. The normal prior stands for the log-normal one of `_slopes`: it has the
variance SPREAD_SD² ÷ s² in noise variances, and the mean with which a line alone has the slope found there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri

from mixdesk.core.observations import Floats, Ints, Observations

# A slope of its own takes three mixtures, a rest eight.
LEAST_OWN, LEAST_REST = 3, 8
# A slope is never below this part of what was expected of it: order is kept.
LEAST_PART = 0.1
# Sd in logs of spreads around the common one, of the common one around 1, and of noises around the common one.
SPREAD_SD, COMMON_SD, NOISE_SD = 0.6, 1.0, 1.5
# Logs over which slopes, common spreads and noise variances ÷ slope² are integrated.
LOG_SLOPES, LOG_SPREADS = np.linspace(-5.0, 4.0, 181), np.linspace(-3.0, 3.0, 25)
LOG_NOISES = np.linspace(np.log(1e-4), np.log(1e2), 29)
# Variance of the level before data, in noise variances: flat.
FLAT = 1e4
# Variance of the rest in noise variances, and its length in units of √d; the first candidate is the line alone.
SHARES, LENGTHS = (0.3, 1.0, 3.0, 10.0), (0.7, 1.5, 3.0)
CANDIDATES = ((0.0, 0), *((share, at) for share in SHARES for at in range(len(LENGTHS))))
# Weight of the line before data; candidates below the least weight after it are dropped.
LINE_WEIGHT, LEAST_WEIGHT = 0.9, 0.02
# Power of the weights in which the rest is smooth: loss is steep where a weight is near zero.
POWER = 0.3
# Correlations of the errors over metrics count as much as their mean when this many mixtures were measured.
N_CORRELATED = 8.0
# Draws behind an interval, and the least part of an error's variance that is a new run's own.
N_DRAWS, LEAST_OWN_NOISE = 400, 0.02
# Cosines of which a random smooth function is made.
N_WAVES = 64
# Below this a spread or a variance is rounding.
TINY = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Link:
    """From the predictions z of scale `source` to the values at `scale`, in the metric's unit.

    The i mixtures measured there: `W_id`, `z_im`, values `y_im` (0 where `there_im` is 0); `error_im` leave-one-out
    errors. `level_m`,
    `slope_m`, `rest_lim` the mean; `prior_mc2` slope and its variance before data and `weight_mc`, `variance_mc` per
    candidate; `repeat_m` variance between repeats that means hide; `freedom_m` degrees of freedom (0: no interval);
    `factor_mm` F with F Fᵀ the correlation of errors over metrics; `unit_m` spread of z over the base mixtures.
    """

    scale: int
    source: int
    W_id: Floats
    z_im: Floats
    y_im: Floats
    there_im: Floats
    error_im: Floats
    unit_m: Floats
    level_m: Floats
    slope_m: Floats
    rest_lim: Floats
    prior_mc2: Floats
    weight_mc: Floats
    variance_mc: Floats
    repeat_m: Floats
    freedom_m: Floats
    factor_mm: Floats

    @classmethod
    def of(cls, rows: Mixtures, z_im: Floats, spread_m: Floats, width_d: Floats, *, scale: int, source: int) -> Link:
        """The line and rests of every metric, weighed by their leave-one-out scores.

        `z_im` predictions of the rows by the source, `spread_m` of the base mixtures by the base law; `width_d` scales
        the coordinates w^0.3.
        """
        unit_m = np.where(spread_m > TINY, spread_m, 1.0)
        there_im = np.isfinite(rows.y_im)
        n_m, (n_rows, m) = there_im.sum(0), rows.y_im.shape
        line = _Line.of(rows.y_im, z_im, unit_m)
        kernel_lii = _kernels(rows.W_id, rows.W_id, width_d)
        solved: list[list[_Solved]] = []
        for j in range(m):
            there = there_im[:, j]
            tried = CANDIDATES if n_m[j] >= LEAST_REST else CANDIDATES[: min(1, n_m[j])]
            prior, least = (float(line.prior_m[j]), float(line.pull_m[j])), LEAST_PART * float(line.slope_m[j])
            y_i, z_i, K_ii = line.y_im[there, j], line.z_im[there, j], kernel_lii[:, there][:, :, there]
            solved.append([_Solved.of(y_i, z_i, K_ii[at], share, prior, least) for share, at in tried])
        weight_mc = _weights(solved)
        prior_mc2, variance_mc = np.zeros((m, len(CANDIDATES), 2)), np.zeros((m, len(CANDIDATES)))
        mean_m = np.where(there_im, rows.y_im, 0.0).sum(0) / np.maximum(n_m, 1)
        centre_m = np.where(there_im, z_im, 0.0).sum(0) / np.maximum(n_m, 1)
        slope_m, error_im, rest_lim = line.slope_m.copy(), np.zeros((n_rows, m)), np.zeros((len(LENGTHS), n_rows, m))
        level_m = mean_m.copy()
        for j, options in enumerate(solved):
            slope_m[j] = sum(w * one.slope for w, one in zip(weight_mc[j], options, strict=False)) or slope_m[j]
            for c, one in enumerate(options):
                there, weight = there_im[:, j], weight_mc[j, c] * unit_m[j]
                prior_mc2[j, c], variance_mc[j, c] = one.prior, one.variance * unit_m[j] ** 2
                level_m[j] += weight * one.level
                error_im[there, j] += weight * one.error_i
                rest_lim[CANDIDATES[c][1], there, j] += weight * one.rest_i
        # A metric that nobody measured here is that of the source.
        slope_m, level_m = np.where(n_m > 0, slope_m, 1.0), np.where(n_m > 0, level_m - slope_m * centre_m, 0.0)
        variance_mc, freedom_m = _freedom(variance_mc, n_m, unit_m * slope_m)
        return cls(
            scale=scale,
            source=source,
            W_id=rows.W_id,
            z_im=z_im,
            y_im=np.where(there_im, rows.y_im, 0.0),
            there_im=there_im.astype(np.float64),
            error_im=error_im,
            unit_m=unit_m,
            level_m=level_m,
            slope_m=slope_m,
            rest_lim=rest_lim,
            prior_mc2=prior_mc2,
            weight_mc=weight_mc,
            variance_mc=variance_mc,
            repeat_m=rows.repeat_m,
            freedom_m=freedom_m,
            factor_mm=_correlation_factor(error_im, there_im),
        )

    def mean(self, W_qd: Floats, z_qm: Floats, width_d: Floats) -> Floats:
        """Level + slope · z + rest, (q, m)."""
        mean: Floats = self.level_m + self.slope_m * z_qm
        if self.rest_lim.any():
            mean = mean + np.einsum("lqi,lim->qm", _kernels(W_qd, self.W_id, width_d), self.rest_lim, optimize=True)
        return mean

    def draws(self, W_ad: Floats, z_qm: Floats, away_kam: Floats, width_d: Floats, sense: str) -> Floats:
        """Draws (k, q, m) from the deviations of the source's; axis a: the rows of the link, then the candidates.

        A draw is one candidate's posterior: its line, its rest and, for `sense` "run", the noise around them.
        """
        (n_draws, n_all, m), n_rows = away_kam.shape, len(self.W_id)
        chance = _Chance.of(self, W_ad, width_d)
        out = np.empty((n_draws, n_all - n_rows, m))
        for j in range(m):
            there, unit = self.there_im[:, j] > 0.0, self.unit_m[j]
            centre = float(self.z_im[there, j].mean()) if there.any() else 0.0
            z_i, z_q = (self.z_im[there, j] - centre) / unit, (z_qm[:, j] - centre) / unit
            base_ki, base_kq = self.slope_m[j] * away_kam[:, :n_rows, j][:, there], away_kam[:, n_rows:, j]
            usual = float(base_ki.var(axis=0).mean()) if there.any() else 0.0
            scale_k = _t_scale(n_draws, float(self.freedom_m[j]), j)
            candidate_k = np.searchsorted(np.cumsum(self.weight_mc[j]), chance.even_k, side="right")
            for c in np.unique(candidate_k).tolist():
                (share, at), (slope, pull), k = CANDIDATES[c], self.prior_mc2[j, c], candidate_k == c
                kernel_ai = chance.kernel_lai[at][:, there]
                cross_qi = FLAT + pull * np.outer(z_q, z_i) + share * kernel_ai[n_rows:]
                hat_qi = cross_qi @ _inverse(z_i, kernel_ai[:n_rows][there], pull, share)
                y_i = self.y_im[there, j]
                mean_q = slope * unit * z_q + hat_qi @ (y_i - slope * unit * z_i) if len(y_i) else z_qm[:, j]
                smooth_ka = np.sqrt(share) * chance.weight_kfm[k, :, j] @ chance.wave_laf[at].T
                left_kq = smooth_ka[:, n_rows:] - smooth_ka[:, :n_rows][:, there] @ hat_qi.T
                left_kq += np.sqrt(pull) * chance.slope_km[k, j][:, None] * (z_q - hat_qi @ z_i)
                left_kq += chance.row_kim[k][:, there, j] @ hat_qi.T
                variance = self.variance_mc[j, c]
                part = min(1.0, variance / usual) if usual > 0.0 else 1.0
                if sense == "run":
                    own = max(variance - part * usual, LEAST_OWN_NOISE * variance) + self.repeat_m[j]
                    left_kq += np.sqrt(own / variance) * chance.own_kqm[k, :, j]
                away_kq = np.sqrt(part) * (self.slope_m[j] * base_kq[k] - base_ki[k] @ hat_qi.T)
                out[k, :, j] = mean_q + away_kq + np.sqrt(variance) * scale_k[k, None] * left_kq
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Link:
        """The link that `to_dict` wrote."""
        scale, source = int(data["scale"]), int(data["source"])
        arrays = {
            name: np.array(data[name], dtype=np.float64) for name in cls.__slots__ if name not in ("scale", "source")
        }
        return cls(scale=scale, source=source, **arrays)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mixtures:
    """Runs of one scale, repeats averaged: `W_id`, `y_im` (NaN: not measured), `group_i`; `repeat_m` as in Link."""

    W_id: Floats
    y_im: Floats
    group_i: Ints
    repeat_m: Floats

    @classmethod
    def of(cls, obs: Observations) -> Mixtures:
        """The runs of one scale, in an order that their content decides."""
        groups, first = np.unique(obs.group_n, return_index=True)
        groups = groups[np.lexsort(obs.W_nd[first].T)]
        member_in = (obs.group_n == groups[:, None]).astype(np.float64)
        there_nm = np.isfinite(obs.Y_nm).astype(np.float64)
        n_im = member_in @ there_nm
        y_im = np.where(n_im > 0.0, member_in @ np.nan_to_num(obs.Y_nm) / np.maximum(n_im, 1.0), np.nan)
        error_nm = there_nm * np.nan_to_num(obs.Y_nm - member_in.T @ np.nan_to_num(y_im))
        within_m = (error_nm**2).sum(0) / np.maximum(np.maximum(n_im - 1.0, 0.0).sum(0), 1.0)
        hidden_m = ((n_im > 0.0) * (1.0 - 1.0 / np.maximum(n_im, 1.0))).sum(0) / np.maximum((n_im > 0.0).sum(0), 1)
        W_id = member_in @ obs.W_nd / member_in.sum(1, keepdims=True)
        return cls(W_id=W_id, y_im=y_im, group_i=groups, repeat_m=within_m * hidden_m)


def _kernels(A_ad: Floats, B_bd: Floats, width_d: Floats) -> Floats:
    """Matérn-5/2 of the distance in w^0.3 ÷ widths, for each length, (l, a, b)."""
    a, b = (np.maximum(x, 0.0) ** POWER / width_d for x in (A_ad, B_bd))
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
    x_lab = np.sqrt(5.0 * np.maximum(square, 0.0)) / np.array(LENGTHS)[:, None, None]
    kernel: Floats = (1.0 + x_lab + x_lab**2 / 3.0) * np.exp(-x_lab)
    return kernel


def _inverse(z_i: Floats, kernel_ii: Floats, pull: float, share: float) -> Floats:
    """Inverse covariance of the measured values, in noise variances: level, slope, rest and noise."""
    return np.asarray(np.linalg.inv(FLAT + pull * np.outer(z_i, z_i) + share * kernel_ii + np.eye(len(z_i))))


def _t_scale(n_draws: int, freedom: float, seed: int) -> Floats:
    """What turns normal draws into draws of a t, (k,): √(freedom ÷ χ²), evenly spread."""
    if freedom <= 0.0:
        return np.ones(n_draws)
    even: Floats = chdtri(freedom, (np.random.default_rng(seed).permutation(n_draws) + 0.5) / n_draws)
    return np.asarray(np.sqrt(freedom / even))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Chance:
    """The random numbers of a link's draws, joint over candidates and metrics (axis a: rows, then candidates).

    `even_k` chooses the candidate; `slope_km`, `row_kim`, `own_kqm` are normal with the link's correlation over
    metrics; smooth functions are sums of N_WAVES cosines: `wave_laf` their values, `weight_kfm` their weights.
    """

    kernel_lai: Floats
    even_k: Floats
    slope_km: Floats
    row_kim: Floats
    own_kqm: Floats
    wave_laf: Floats
    weight_kfm: Floats

    @classmethod
    def of(cls, link: Link, W_ad: Floats, width_d: Floats) -> _Chance:
        rng = np.random.default_rng(0)
        n_rows, m = link.y_im.shape
        slope_km, row_kim, own_kqm, weight_kfm = (
            rng.standard_normal((N_DRAWS, *shape, m)) @ link.factor_mm.T
            for shape in ((), (n_rows,), (len(W_ad) - n_rows,), (N_WAVES,))
        )
        # Waves of a Matérn-5/2 function: frequencies are those of a t with five degrees of freedom.
        frequency_df = rng.standard_normal((len(width_d), N_WAVES)) / np.sqrt(rng.chisquare(5.0, N_WAVES) / 5.0)
        angle_af = (np.maximum(W_ad, 0.0) ** POWER / width_d) @ frequency_df
        wave_laf = np.sqrt(2.0 / N_WAVES) * np.cos(
            angle_af / np.array(LENGTHS)[:, None, None] + rng.uniform(0.0, 2.0 * np.pi, N_WAVES)
        )
        return cls(
            kernel_lai=_kernels(W_ad, link.W_id, width_d),
            even_k=(rng.permutation(N_DRAWS) + 0.5) / N_DRAWS,
            slope_km=slope_km,
            row_kim=row_kim,
            own_kqm=own_kqm,
            wave_laf=wave_laf,
            weight_kfm=weight_kfm,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Line:
    """What is expected of slopes, `slope_m`, and as normal priors: means `prior_m`, and variances `pull_m` in noise
    variances (0: the mean is the slope). With the prior a line alone has the slope `slope_m`.

    In units of the spread of z: `y_im`, `z_im` deviations from the means of the measured ones (0 elsewhere).
    """

    y_im: Floats
    z_im: Floats
    slope_m: Floats
    prior_m: Floats
    pull_m: Floats

    @classmethod
    def of(cls, y_im: Floats, z_im: Floats, unit_m: Floats) -> _Line:
        there_im = np.isfinite(y_im)
        n_m = there_im.sum(0)
        y_im, z_im = (
            np.where(there_im, (x - np.where(there_im, x, 0.0).sum(0) / np.maximum(n_m, 1)) / unit_m, 0.0)
            for x in (y_im, z_im)
        )
        slope_m, noise_m = _slopes(n_m, y_im, z_im)
        square_m, product_m = (z_im**2).sum(0), (z_im * y_im).sum(0)
        pull_m = np.where((n_m >= LEAST_OWN) & (square_m > TINY), SPREAD_SD**2 / noise_m, 0.0)
        return cls(
            y_im=y_im,
            z_im=z_im,
            slope_m=slope_m,
            prior_m=slope_m + pull_m * (slope_m * square_m - product_m),
            pull_m=pull_m,
        )


def _slopes(n_m: Ints, y_im: Floats, z_im: Floats) -> tuple[Floats, Floats]:
    """Expected slopes b and noises s² (variance around the line ÷ b²) of the metrics, given all of them.

        r = b (z + e),  e ~ N(0, s²),  log(b √(1 + s²)) ~ N(c, SPREAD_SD²),  log s² ~ N(g, NOISE_SD²)

    Errors grow with the spread of a metric, so spreads b √(1 + s²) are alike in logs, and slopes are never negative; a
    metric that z does not tell has a large s². The common c ~ N(0, COMMON_SD²) and g (flat) are integrated over, on
    grids; without two mixtures of any metric slopes are 1.
    """
    slopes, noises = np.ones(len(n_m)), np.ones(len(n_m))
    if not (n_m >= 2).any():
        return slopes, noises
    near_gs = _normal(LOG_NOISES - LOG_NOISES[:, None], NOISE_SD)
    share_gs = np.exp(near_gs) / np.exp(near_gs).sum(1, keepdims=True)
    spread_sb = LOG_SLOPES + 0.5 * np.log1p(np.exp(LOG_NOISES))[:, None]
    prior_scb = _normal(spread_sb[:, None, :] - LOG_SPREADS[:, None], SPREAD_SD)
    log_gc, said = _normal(LOG_SPREADS, COMMON_SD) + np.zeros((len(LOG_NOISES), 1)), []
    for n, y_i, z_i in zip(np.maximum(n_m, 1).tolist(), y_im.T, z_im.T, strict=True):
        square_b = ((y_i[:, None] * np.exp(-LOG_SLOPES) - z_i[:, None]) ** 2).sum(0)
        log_sb = -0.5 * square_b * np.exp(-LOG_NOISES)[:, None]
        log_sb -= 0.5 * (n - 1) * (LOG_NOISES[:, None] + 2.0 * LOG_SLOPES)
        share_scb = log_sb[:, None, :] + prior_scb
        top = share_scb.max()
        share_scb = np.exp(share_scb - top)
        sum_sc = share_scb.sum(2)
        sum_gc = share_gs @ sum_sc + 1e-300
        said.append((share_gs @ (share_scb @ LOG_SLOPES) / sum_gc, share_gs @ (sum_sc.T * LOG_NOISES).T / sum_gc))
        log_gc = log_gc + np.log(sum_gc) + top
    weight_gc = np.exp(log_gc - log_gc.max())
    weight_gc /= weight_gc.sum()
    found_m2 = np.exp([[float((weight_gc * one).sum()) for one in each] for each in said])
    return found_m2[:, 0], found_m2[:, 1]


def _normal(x: Floats, sd: float) -> Floats:
    log: Floats = -0.5 * (x / sd) ** 2
    return log


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Solved:
    """One candidate's answer for one metric, in units of the spread of z."""

    prior: tuple[float, float]
    level: float
    slope: float
    rest_i: Floats
    error_i: Floats
    variance: float
    score: float

    @classmethod
    def of(
        cls, y_i: Floats, z_i: Floats, kernel_ii: Floats, share: float, prior: tuple[float, float], least: float
    ) -> _Solved:
        slope, pull = prior
        inverse = _inverse(z_i, kernel_ii, pull, share)
        alpha_i = inverse @ (y_i - slope * z_i)
        sharp_i = np.diag(inverse)
        variance = float(np.mean(alpha_i**2 / sharp_i))
        own = slope + pull * float(z_i @ alpha_i)
        if own < least and pull > 0.0:
            return cls.of(y_i, z_i, kernel_ii, share, (least, 0.0), least)
        return cls(
            prior=prior,
            level=FLAT * float(alpha_i.sum()),
            slope=own,
            rest_i=share * alpha_i,
            error_i=alpha_i / sharp_i,
            variance=variance,
            score=-0.5 * float(len(y_i) * np.log(variance + TINY) - np.log(sharp_i).sum()),
        )


def _weights(solved: list[list[_Solved]]) -> Floats:
    """Weights of the candidates, (m, c): prior times the exponential of half own score, half mean over metrics."""
    weight_mc = np.zeros((len(solved), len(CANDIDATES)))
    weight_mc[:, 0] = 1.0
    full = [j for j, options in enumerate(solved) if len(options) == len(CANDIDATES)]
    if full:
        score_mc = np.array([[one.score for one in solved[j]] for j in full])
        prior_c = np.full(len(CANDIDATES), (1.0 - LINE_WEIGHT) / (len(CANDIDATES) - 1))
        prior_c[0] = LINE_WEIGHT
        score_mc = 0.5 * score_mc + 0.5 * score_mc.mean(axis=0) + np.log(prior_c)
        found_mc = np.exp(score_mc - score_mc.max(axis=1, keepdims=True))
        found_mc /= found_mc.sum(axis=1, keepdims=True)
        found_mc[found_mc < LEAST_WEIGHT] = 0.0
        weight_mc[full] = found_mc / found_mc.sum(axis=1, keepdims=True)
    return weight_mc


def _freedom(variance_mc: Floats, n_m: Ints, unknown_m: Floats) -> tuple[Floats, Floats]:
    """Variances and degrees of freedom, (m, c) and (m,).

    Two mixtures tell little of one metric: those with two share their variance, relative to the spread a metric has
    here. Where nothing is known an error is as large as that spread, and there are no degrees of freedom.
    """
    variance_mc, freedom_m = variance_mc.copy(), np.maximum(n_m - 2.0, 0.0)
    two = n_m == 2
    n_two = int(two.sum())
    if n_two > 1:
        variance_mc[two, 0] = (variance_mc[two, 0] / unknown_m[two] ** 2).mean() * unknown_m[two] ** 2
        freedom_m[two] = n_two - 1.0
    variance_mc[freedom_m == 0.0, 0] = unknown_m[freedom_m == 0.0] ** 2
    return variance_mc, freedom_m


def _correlation_factor(error_im: Floats, there_im: Floats) -> Floats:
    """F (m, m) with F Fᵀ the correlation of the errors, drawn towards its mean over pairs of metrics."""
    m = error_im.shape[1]
    length_m = np.sqrt(np.maximum((error_im**2).sum(0) / np.maximum(there_im.sum(0), 1), TINY**2))
    both_mm = there_im.T.astype(np.float64) @ there_im
    correlation_mm = (error_im / length_m).T @ (error_im / length_m) / np.maximum(both_mm, 1.0)
    mean = float(correlation_mm[~np.eye(m, dtype=bool)].mean()) if m > 1 else 0.0
    mean = min(max(mean, 0.0), 1.0)
    trust_mm = both_mm / (both_mm + N_CORRELATED)
    correlation_mm = trust_mm * correlation_mm + (1.0 - trust_mm) * mean
    np.fill_diagonal(correlation_mm, 1.0)
    values_m, vectors_mm = np.linalg.eigh(correlation_mm)
    factor: Floats = vectors_mm * np.sqrt(np.maximum(values_m, 0.0))
    return factor
