"""The scales of rows and candidates: their covariates `n_params` and `n_tokens`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.observations import Floats, Inputs, Ints, Observations

SIZES = ("n_params", "n_tokens")


def sizes_of(obs: Observations) -> tuple[Floats, Ints]:
    """The scales of some rows: distinct (n_params, n_tokens), smallest product first, (s, 2), and each row's, (n,).

    A size that is not known is 1.
    """
    unknown = np.ones(len(obs.trials))
    given_n2 = np.column_stack([obs.covariates.get(name, unknown) for name in SIZES])
    size_s2, scale_n = np.unique(np.where(given_n2 > 0.0, given_n2, 1.0), axis=0, return_inverse=True)
    order = np.lexsort((size_s2[:, 0], size_s2.prod(axis=1)))
    return size_s2[order], np.argsort(order)[scale_n.reshape(-1)].astype(np.int64)


def asked_sizes(inputs: Inputs, size_s2: Floats) -> Floats:
    """(n_params, n_tokens) of each candidate, (q, 2).

    What a candidate does not give is that of the largest scale seen, among those that agree with what it gives.
    """
    n_q = len(inputs.until_qs)
    asked_q2 = np.column_stack([inputs.covariates.get(name, np.full(n_q, np.nan)) for name in SIZES])
    asked_q2 = np.where(asked_q2 > 0.0, asked_q2, 0.0)
    patterns, pattern_q = np.unique(asked_q2, axis=0, return_inverse=True)
    for pattern in patterns:
        fitting = np.flatnonzero(((pattern == 0.0) | (size_s2 == pattern)).all(axis=1))
        pattern[:] = np.where(pattern == 0.0, size_s2[fitting[-1] if len(fitting) else -1], pattern)
    return np.asarray(patterns[pattern_q.reshape(-1)], dtype=np.float64)


def nearest_size(asked_q2: Floats, size_s2: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """The scale seen that is nearest to each size asked, (q,), and whether it is that size."""
    away_qs = np.abs(np.log(asked_q2)[:, None, :] - np.log(size_s2)).sum(axis=2)
    scale_q = away_qs.argmin(axis=1)
    return scale_q.astype(np.int64), (asked_q2 == size_s2[scale_q]).all(axis=1)
