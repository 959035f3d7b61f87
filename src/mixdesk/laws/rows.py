"""What every law does with its rows: an order of their own, and the noise of one run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Observations


def ordered(obs: Observations, n_least: int, law: str) -> Observations:
    """The same observations in an order that only their content decides; groups are counted from 0.

    Domains go by the weights they were given, rows by mixture, replicate and trial. Random numbers and ties of a law
    then fall the same way however the rows and columns came and whatever they are called.

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
    weights = [sorted(column) for column in obs.W_nd.T.tolist()]
    columns = sorted(range(len(obs.domains)), key=lambda j: (weights[j], obs.domains[j]))
    W_nd = obs.W_nd[:, columns]
    keys = list(zip(W_nd.tolist(), obs.replicate_n.tolist(), obs.trials, strict=True))
    rows = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
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
    than what the crossed block measured within a replicate, and the variance between replicates is added.
    """
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
    values_m, vectors_mm = np.linalg.eigh(covariance_mm)
    factor: Floats = vectors_mm * np.sqrt(np.maximum(values_m, 0.0))
    return factor
