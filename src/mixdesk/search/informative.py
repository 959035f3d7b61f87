"""Which mixtures tell most about the others: greedy reduction of what is left unknown, before any answer.

    next = argmax over candidates i of  Σ_j S_ij² / (S_ii + noise),   then  S ← S − S_·i S_i· / (S_ii + noise)
    S before any run:  1 + u · u' / mean |u|² + Matérn-5/2(|u − u'| ÷ 2 median distance),   u = √w − mean √w

S is the covariance of a Gaussian process over the candidates; its variance does not depend on answers, so the whole
list is known at once. The chosen mixture is the one that lowers the average variance over all candidates most
(integrated variance, I-optimality), where a spread-out design goes for what is most uncertain: rims and corners.

Reference: Cohn (1996). What we do differently: the kernel is fixed and stands for laws of any kind. On RegMix's runs
and on swarms of synthetic worlds √w beat w^0.3, and a common unit a unit per domain (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixdesk.core.observations import Floats
from mixdesk.core.space import Space

# Noise variance beside a signal of three, and the length scale in median distances.
NOISE, LENGTH = 0.05, 2.0
# Gains this near to the best are equal: the first candidate wins, whatever rounding says.
EQUAL = 1e-9
# Mixtures of a pool that are looked at: the cost is their square.
N_OF_POOL = 2_048


def choose(W_qd: Floats, n: int, known: Sequence[int] = ()) -> list[int]:
    """Places of ≤ n rows that lower the average variance over all rows most, one after the other.

    `known` are places of rows that are measured already; they are not chosen again. S itself is never formed: it is
    the prior less L L', and the sums Σ_j S_ij² are kept up to date. Cost: q² per row.
    """
    K_qq = prior(W_qd)
    variance_q, sum_q = np.diag(K_qq).copy(), (K_qq**2).sum(axis=0)
    L_qk, done = np.zeros((len(K_qq), len(known) + n)), list(known)
    n_all = min(len(known) + n, len(W_qd))
    for k in range(n_all):
        if k == len(done):
            gain_q = sum_q / (variance_q + NOISE)
            gain_q[done] = -1.0
            done.append(int((gain_q >= gain_q.max() * (1.0 - EQUAL)).argmax()))
        column = K_qq[:, done[k]] - L_qk @ L_qk[done[k]]
        pivot = column[done[k]] + NOISE
        along_q = K_qq @ column - L_qk @ (L_qk.T @ column)
        sum_q += column * (column * (column @ column) / pivot - 2.0 * along_q) / pivot
        variance_q -= column**2 / pivot
        L_qk[:, k] = column / np.sqrt(pivot)
    return done[len(known) :]


def prior(W_qd: Floats) -> Floats:
    """Covariance of the candidates before any run, (q, q): a level, a slope and a shape of equal weight."""
    U_qd = np.sqrt(np.maximum(W_qd, 0.0))
    U_qd = U_qd - U_qd.mean(axis=0)
    inner_qq = U_qd @ U_qd.T
    norm_q = np.diag(inner_qq)
    distance_qq = np.sqrt(np.maximum(norm_q[:, None] + norm_q - 2.0 * inner_qq, 0.0))
    apart = distance_qq[np.triu_indices(len(W_qd), 1)]
    r = np.sqrt(5.0) * distance_qq / (LENGTH * max(float(np.median(apart)) if len(apart) else 0.0, 1e-9))
    slope_qq = inner_qq / max(float(norm_q.mean()), 1e-18)
    covariance: Floats = 1.0 + slope_qq + (1.0 + r + r * r / 3.0) * np.exp(-r)
    return covariance


def of_pool(space: Space, seed: int) -> Floats:
    """The allowed mixtures of a pool, or as many of them at random as can be looked at, (q, d)."""
    assert space.pool_qd is not None
    rows = space.pool_qd[space.contains(space.pool_qd)]
    if len(rows) > N_OF_POOL:
        rows = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:N_OF_POOL])]
    return np.asarray(rows)
