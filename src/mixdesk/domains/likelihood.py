"""Clusters by likelihood without centroids: a semidefinite relaxation, on arrays.

K-means and EM end where their start leads; a relaxation has one answer. It is cubic in the number of vectors, so it
runs on a sketch and what it finds is lifted: a start for EM. Axis letters: n vectors, p features, g groups.

Reference: `ilasdp`. The alternation of covariances and memberships is the paper's; that both terms of the profile
likelihood are linear in Z_g, the solver (consensus ADMM; an interior point method needs minutes where this needs a
second) and the choice of the best labels seen by likelihood are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from threadpoolctl import threadpool_limits

from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats

Labels = NDArray[np.int64]

# Vectors at most: one step is an eigen-decomposition of n × n per group.
LARGEST = 200
# Weight of the copies' agreement (of 1, 3, 10, 30 and 100 the one whose goal had settled best after 100 steps).
RHO = 10.0
# Steps of the solver, its change at which it stops, rounds of covariances, and the share of the features' mean variance
# added to each covariance.
STEPS, CHANGE, ROUNDS, RIDGE = 150, 1e-5, 6, 0.05


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grouping:
    """Clusters of a sketch: `label_n`, of the plain relaxation `plain_n`, log-likelihood of both, `residual` unsolved.

    `residual` is the largest violation of a constraint that the last solution has: ADMM proves no optimum.
    """

    label_n: Labels
    plain_n: Labels
    likelihood: float
    plain_likelihood: float
    residual: float


def group(X_np: Floats, n_groups: int) -> Grouping:
    """Cluster by the likelihood-adjusted relaxation.

    Given covariances Σ_g, maximise Σ_g ⟨−½ D²(Σ_g) − log|Σ_g| 11ᵀ, Z_g⟩ over Z_g ⪰ 0, Z_g ≥ 0, tr Z_g = 1,
    Σ_g Z_g 1 = 1, with D²_ij(Σ) = (x_i − x_j)ᵀ Σ⁻¹ (x_i − x_j). It begins from the plain relaxation (one Z, D²
    Euclidean, tr Z = number of groups) and alternates with Σ_g of the rounded groups until labels repeat.

    Raises:
        InputError: more than 200 vectors, or no more than groups.
    """
    n = len(X_np)
    if not n_groups < n <= LARGEST:
        raise InputError(
            f"cannot group {n} vectors by semidefinite programming",
            value=n,
            bound=f"more than {n_groups} and at most {LARGEST}",
            remedy="draw a sketch of the vectors",
        )
    Z_gnn, residual = _solve(_affinity(X_np, [np.eye(X_np.shape[1])]), float(n_groups))
    plain_n = _round(Z_gnn[0], n_groups)
    likely = plain = profile(X_np, plain_n, n_groups)
    best_n = label_n = plain_n
    seen = {plain_n.tobytes()}
    for _ in range(ROUNDS):
        Z_gnn, residual = _solve(_affinity(X_np, covariances(X_np, label_n, n_groups)), 1.0)
        label_n = Z_gnn.sum(2).argmax(0)
        if label_n.tobytes() in seen or len(np.unique(label_n)) < n_groups:
            break
        seen.add(label_n.tobytes())
        now = profile(X_np, label_n, n_groups)
        if now > likely:
            likely, best_n = now, label_n
    return Grouping(label_n=best_n, plain_n=plain_n, likelihood=likely, plain_likelihood=plain, residual=residual)


def profile(X_np: Floats, label_n: Labels, n_groups: int) -> float:
    """Log-likelihood of labels with the best means and covariances: −½ Σ_g [|G_g| log|Σ_g| + Σ |x − x̄_g|²_Σ]."""
    total = 0.0
    for g, sigma_pp in enumerate(covariances(X_np, label_n, n_groups)):
        rows = X_np[label_n == g]
        away = rows - rows.mean(0)
        total -= 0.5 * (len(rows) * np.linalg.slogdet(sigma_pp)[1] + (away * np.linalg.solve(sigma_pp, away.T).T).sum())
    return float(total)


def covariances(X_np: Floats, label_n: Labels, n_groups: int) -> list[Floats]:
    """Covariance of each group, plus a twentieth of the features' mean variance on the diagonal."""
    ridge = RIDGE * X_np.var(0).mean() * np.eye(X_np.shape[1])
    found = []
    for g in range(n_groups):
        away = X_np[label_n == g] - X_np[label_n == g].mean(0)
        found.append(away.T @ away / len(away) + ridge)
    return found


def _affinity(X_np: Floats, sigma_gpp: Sequence[Floats]) -> Floats:
    """A_g = −½ D²(Σ_g) − log|Σ_g|, up to one constant that all groups share."""
    A_gnn = []
    heights = np.array([np.linalg.slogdet(sigma)[1] for sigma in sigma_gpp])
    for sigma, height in zip(sigma_gpp, heights - heights.mean(), strict=True):
        white = np.linalg.solve(np.linalg.cholesky(sigma), X_np.T).T
        square_n = (white**2).sum(1)
        A_gnn.append(white @ white.T - 0.5 * (square_n[:, None] + square_n) - height)
    return np.array(A_gnn)


def _solve(A_gnn: Floats, trace: float) -> tuple[Floats, float]:
    """Maximise Σ ⟨A_g, Z_g⟩ by consensus ADMM: copies that are psd, nonnegative, and on the plane of sums and traces.

    One BLAS thread: with two on two busy cores, matrices of this size took fifty times longer.
    """
    A = (A_gnn / np.abs(A_gnn).max() / (3.0 * RHO)).astype(np.float32)
    g, n, _ = A.shape
    Z = np.tile(np.eye(n, dtype=np.float32) * np.float32(trace / n), (g, 1, 1))
    duals = np.zeros((3, *A.shape), np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(STEPS):
            copies = np.stack([_psd(Z - duals[0]), np.maximum(Z - duals[1], 0.0), _plane(Z - duals[2], trace)])
            before, Z = Z, (copies + duals).mean(0) + A
            duals += copies - Z
            if np.abs(Z - before).max() < CHANGE:
                break
    return Z, float(np.abs(copies - Z).max())


def _psd(Z_gnn: Floats) -> Floats:
    """Nearest positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(Z_gnn)
    kept: Floats = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
    return kept


def _plane(Z_gnn: Floats, trace: float) -> Floats:
    """Nearest matrices with Σ_g Z_g 1 = 1 and tr Z_g = trace: a 1ᵀ + 1 aᵀ + b_g I is added."""
    g, n, _ = Z_gnn.shape
    left_n = 1.0 - Z_gnn.sum((0, 2))
    short_g = trace - np.trace(Z_gnn, axis1=1, axis2=2)
    s, b = np.linalg.solve([[2.0 * n * g, n], [2.0 * g, n]], [left_n.sum(), short_g.sum()])
    b_g = (short_g - 2.0 * s) / n
    a_n = ((left_n - b) / g - s) / n
    moved: Floats = Z_gnn + (a_n[:, None] + a_n + b_g[:, None, None] * np.eye(n)).astype(Z_gnn.dtype)
    return moved


def _round(Z_nn: Floats, n_groups: int) -> Labels:
    """Labels from one Z: k-means on its leading eigenvectors, seeded so that the same Z gives the same labels."""
    top_ng = np.linalg.eigh(Z_nn)[1][:, -n_groups:]
    best_n, least = np.zeros(len(Z_nn), np.int64), np.inf
    for seed in range(5):
        centre_gg, label_n = kmeans2(top_ng, n_groups, minit="++", rng=np.random.default_rng(seed))
        error = float(((top_ng - centre_gg[label_n]) ** 2).sum())
        if error < least and len(np.unique(label_n)) == n_groups:
            best_n, least = label_n.astype(np.int64), error
    return best_n
