"""Worlds in which text runs out: passes over a domain are worth less and less, so the best mixture moves with scale.

With e = w_j · R / U_j epochs over the U_j unique tokens of domain j in a run of R tokens, it counts for

    U_j · e                                    e ≤ 1
    U_j · (1 + r (1 − exp(−(e − 1) / r)))      e > 1, r = 15.4

effective tokens: the first pass counts in full, a repeat at first as much as new text, and all repeats together never
for more than r passes. A short run does not see it; in a long one what is scarce is soon worth no more.

Reference: Muennighoff et al. (2023), from which form and r are. What differs: theirs counts a whole corpus, ours each
domain by itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixdesk.core.observations import Floats
from mixdesk.testing.worlds import N_SPREAD, World

# Passes that repeats are worth at most.
R_REPEATS = 15.4


def effective(n_epochs_qd: Floats) -> Floats:
    """What so many epochs are worth in epochs of new text, elementwise."""
    repeats_qd = np.maximum(n_epochs_qd - 1.0, 0.0)
    worth: Floats = np.minimum(n_epochs_qd, 1.0) + R_REPEATS * -np.expm1(-repeats_qd / R_REPEATS)
    return worth


def with_repeats(world: World, n_tokens: int, unit: int) -> World:
    """The world at a run of `n_tokens`, each domain counting for its effective tokens ÷ `unit` in place of its weight.

    `unit` is the run at which the world's law is meant. `world` must be one whose law takes amounts, not only weights:
    `power`, `power_sum`, `scores` and what is made of them. Noise is as large, relative to the metric's spread over
    even mixtures, as it is in `world`.
    """
    unique_d = np.array([domain.n_tokens for domain in world.corpus.domains], dtype=np.float64)

    def law(W_qd: Floats) -> Floats:
        return world.law(unique_d / unit * effective(np.maximum(W_qd, 0.0) * n_tokens / unique_d))

    W_qd = np.random.default_rng(0).dirichlet(np.ones(len(unique_d)), N_SPREAD)
    ratio_m = law(W_qd).std(0) / np.maximum(world.value(W_qd).std(0), 1e-12)
    return replace(world, name=f"{world.name}-repeats-{n_tokens}-{unit}", law=law, noise_m=world.noise_m * ratio_m)
