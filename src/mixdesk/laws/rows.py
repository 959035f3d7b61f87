"""What laws do with their rows: an order and units of their own, replicate offsets, and the noise of one run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from threadpoolctl import threadpool_limits

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Ints, Observations

# Share of left-out runs that an interval for one run is made to cover, and the normal quantile of that interval.
COVERED = 0.9
REACH = NormalDist().inv_cdf((1.0 + COVERED) / 2.0)
# Errors of a law that is exactly as sure as it may be, which `stretch` adds to those observed.
N_PRIOR = 10
# Variance of a run ÷ variance of its replicate's offset, where no crossed block measures it, and the range allowed: a
# smaller ratio would leave the level of a law to rounding, the largest means no offsets.
OFFSET_RATIO, OFFSET_RATIOS = 1.0, (1e-4, 1e6)


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread while a law is fitted: its matrices are small, and threads that wait for each other
    made the default law 2 to 14 times slower (docs/log.md).
    """
    limit: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limit


def content_order(obs: Observations) -> tuple[Ints, Ints]:
    """Rows and columns of the observations in an order that only their content decides.

    Domains go by the weights they were given, rows by mixture, replicate and trial.
    """
    weights = [sorted(column) for column in obs.W_nd.T.tolist()]
    columns = sorted(range(len(obs.domains)), key=lambda j: (weights[j], obs.domains[j]))
    keys = list(zip(obs.W_nd[:, columns].tolist(), obs.replicate_n.tolist(), obs.trials, strict=True))
    rows = sorted(range(len(keys)), key=keys.__getitem__)
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)


def ordered(obs: Observations, n_least: int, law: str) -> Observations:
    """The same observations in `content_order`; groups are counted from 0.

    Random numbers and ties of a law then fall the same way however the rows and columns came and whatever they are
    called.

    Raises:
        NotEnoughEvidence: a metric has a value at fewer than `n_least` mixtures.
    """
    for metric, y_n in zip(obs.metrics, obs.Y_nm.T, strict=True):
        n_groups = len(np.unique(obs.group_n[np.isfinite(y_n)]))
        if n_groups < n_least:
            raise NotEnoughEvidence(
                f"too few mixtures to fit `{metric.name}` by the {law} law",
                value=n_groups,
                bound=f"at least {n_least} mixtures with a value, for {len(obs.domains)} domains",
                remedy="run more trials, or merge domains",
            )
    rows, columns = content_order(obs)
    _, first, group_n = np.unique(obs.group_n[rows], return_index=True, return_inverse=True)
    unique_tokens = obs.unique_tokens_d
    return replace(
        obs.take(rows),
        domains=tuple(obs.domains[j] for j in columns),
        W_nsd=obs.W_nsd[rows][:, :, columns],
        group_n=np.argsort(np.argsort(first))[group_n.reshape(-1)],
        unique_tokens_d=None if unique_tokens is None else unique_tokens[columns],
    )


def run_noise(obs: Observations, residual_nm: Floats, variance_m: Floats) -> Floats:
    """A factor F (m, m): F Fᵀ is the covariance over metrics of one run around the mean of seeds.

    Correlations come from the residuals (0 where not measured), variances from `variance_m`; no variance is smaller
    than what the crossed block measured within a replicate, and the variance between replicates is added. The same
    random numbers through F mirror themselves where a metric is mirrored (better higher).
    """
    sign_m = np.array([metric.sign for metric in obs.metrics])
    is_there_nm = np.isfinite(obs.Y_nm).astype(np.float64)
    length_m = np.sqrt(np.maximum((residual_nm**2).sum(0), 1e-300))
    overlap_mm = is_there_nm.T @ is_there_nm / np.sqrt(np.outer(is_there_nm.sum(0), is_there_nm.sum(0)))
    correlation_mm = residual_nm.T @ residual_nm / np.outer(length_m, length_m) * overlap_mm
    covariance_mm = correlation_mm * np.sqrt(np.outer(variance_m, variance_m))
    wanted_m = variance_m.copy()
    noise = {one.metric: one for one in obs.noise()}
    for j, metric in enumerate(obs.metrics):
        if metric.name in noise:
            wanted_m[j] = max(variance_m[j], noise[metric.name].within ** 2) + noise[metric.name].between ** 2
    np.fill_diagonal(covariance_mm, wanted_m)
    values_m, vectors_mm = np.linalg.eigh(covariance_mm * np.outer(sign_m, sign_m))
    factor: Floats = sign_m[:, None] * vectors_mm * np.sqrt(np.maximum(values_m, 0.0))
    return factor


def calibrated_noise(obs: Observations, error_nm: Floats, sd_nm: Floats) -> Floats:
    """The noise of one run, as `run_noise`, so that intervals cover 90 % of the runs that the law had not seen.

    `error_nm` measured less predicted without that run's mixture (0 where not measured), `sd_nm` what the law itself
    claims as the sd of its prediction there. Per metric the variance v is the least for which ⌈.9 (n + 1)⌉ of the n
    errors are within 1.645 √(sd² + v): a split-conformal quantile.
    """
    is_there_nm = np.isfinite(obs.Y_nm)
    needed_nm = np.maximum((error_nm / REACH) ** 2 - sd_nm**2, 0.0)
    variance_m = np.zeros(len(obs.metrics))
    for j in range(len(obs.metrics)):
        needed_n = np.sort(needed_nm[is_there_nm[:, j], j])
        rank = int(np.ceil(COVERED * (len(needed_n) + 1)))
        variance_m[j] = needed_n[min(rank, len(needed_n)) - 1]
    return run_noise(obs, np.where(is_there_nm, error_nm, 0.0), variance_m)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Units:
    """How a metric's values become numbers of mean 0 and sd 1, smaller is better: (sign × value − shift) ÷ scale.

    A metric that does not vary keeps its scale: its numbers are all 0.
    """

    sign_m: Floats
    shift_m: Floats
    scale_m: Floats

    @classmethod
    def of(cls, obs: Observations) -> Units:
        """The units of each metric's measured values."""
        sign_m = np.array([metric.sign for metric in obs.metrics])
        signed_nm = np.where(np.isfinite(obs.Y_nm), obs.Y_nm, np.nan) * sign_m
        shift_m, scale_m = np.nanmean(signed_nm, axis=0), np.nanstd(signed_nm, axis=0)
        is_varied = scale_m > 1e-12 * np.abs(shift_m)
        return cls(sign_m=sign_m, shift_m=shift_m, scale_m=np.where(is_varied, scale_m, 1.0))

    def numbers(self, obs: Observations) -> Floats:
        """The values in these units, (m, n), NaN where not measured."""
        numbers: Floats = ((obs.Y_nm * self.sign_m - self.shift_m) / self.scale_m).T
        return numbers


def offset_columns(obs: Observations, scale_m: Floats) -> tuple[Floats, Floats]:
    """Indicators of each replicate (n, r), none where there is only one, and the ridge on their offsets (m,).

    The ridge is variance of a run ÷ variance of what its replicate shares, in squares of residuals; it makes the
    offsets sum to zero, so that the level of a law is that of the mean replicate.
    """
    replicates, replicate_n = np.unique(obs.replicate_n, return_inverse=True)
    n_offsets = len(replicates) if len(replicates) > 1 else 0
    noise = {one.metric: one for one in obs.noise()}
    ratio_m = np.full(len(obs.metrics), OFFSET_RATIO)
    for j, metric in enumerate(obs.metrics):
        if metric.name in noise:
            within, between = noise[metric.name].within, noise[metric.name].between
            is_shared = between > 1e-9 * scale_m[j]
            ratio_m[j] = np.clip(within**2 / between**2, *OFFSET_RATIOS) if is_shared else OFFSET_RATIOS[1]
    return np.eye(len(replicates))[replicate_n.reshape(-1)][:, :n_offsets], ratio_m


def level_draws(obs: Observations, n_draws: int) -> Floats:
    """How far the mean of the replicates seen may lie from the mean of all, (k, m): 0 where no block measured it.

    All mixtures share it, so it cancels in every difference.
    """
    n_replicates = len(np.unique(obs.replicate_n))
    between = {one.metric: one.between for one in obs.noise()}
    sd_m = np.array([between.get(metric.name, 0.0) for metric in obs.metrics]) / np.sqrt(n_replicates)
    shift: Floats = np.random.default_rng(1).standard_normal((n_draws, len(sd_m))) * sd_m
    return shift


def stretch(z_mn: Floats, least: float = 1.0) -> Floats:
    """How much wider a law's intervals must be so that they cover 90 % of the runs it had not seen, (m,).

    `z_mn` errors of left-out runs in the law's own sd, NaN where there is none. The factor is the 90 % quantile of
    |z| (rank ⌈.9 (n + 1)⌉, as in split-conformal prediction) over that of a normal, with `N_PRIOR` normal errors
    added, so that a handful of runs does not decide alone; never below
    `least`.
    """
    prior = np.array([NormalDist().inv_cdf(0.5 + 0.5 * (i + 0.5) / N_PRIOR) for i in range(N_PRIOR)])
    out = np.ones(len(z_mn))
    for j, z_n in enumerate(z_mn):
        size = np.sort(np.concatenate([np.abs(z_n[np.isfinite(z_n)]), prior]))
        rank = min(int(np.ceil(COVERED * (len(size) + 1))), len(size))
        out[j] = max(size[rank - 1] / REACH, least)
    return out


def folds(obs: Observations, n_parts: int = 10, seed: int = 0) -> list[Ints]:
    """Group numbers in at most `n_parts` parts of equal size, as the rows' content and the seed decide."""
    rows, _ = content_order(obs)
    groups = list(dict.fromkeys(obs.group_n[rows].tolist()))
    shuffled = np.random.default_rng(seed).permutation(np.array(groups, dtype=np.int64))
    return np.array_split(shuffled, min(n_parts, len(groups)))
