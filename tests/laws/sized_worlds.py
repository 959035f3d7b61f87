"""A world whose metrics fall with model size and tokens."""

from __future__ import annotations

import numpy as np

from mixdesk.core.observations import Inputs, Observations
from mixdesk.testing.worlds import loglinear

ALPHA, BETA = 0.34, 0.28


class Sized:
    """y = c + exp(t · w) + A N^−α + B D^−β, with checkpoints of every run."""

    def __init__(self, seed, *, noise=0.0, d=5, m=4):
        self.world, self.noise = loglinear(d=d, m=m, seed=seed, noise=0.0), noise
        self.rng = np.random.default_rng(seed)
        self.A, self.B = self.rng.uniform(0.2, 0.8, m), self.rng.uniform(0.2, 0.6, m)

    def value(self, W, N, D):
        powers = (np.asarray(N)[:, None] / 1e8) ** -ALPHA * self.A + (np.asarray(D)[:, None] / 1e10) ** -BETA * self.B
        return self.world.value(W) + powers

    def observations(self, n, sizes=(7e7, 1.6e8, 3e8), tokens=(1e10, 1.5e10, 2e10, 3e10)):
        W = self.rng.dirichlet(np.ones(len(self.world.domains)), n)
        runs, per = np.repeat(np.arange(n * len(sizes)), len(tokens)), len(sizes) * len(tokens)
        W, N, D = np.repeat(W, per, axis=0), np.tile(np.repeat(sizes, len(tokens)), n), np.tile(tokens, n * len(sizes))
        Y = self.value(W, N, D)
        Y = Y + self.noise * Y.std(0) * self.rng.normal(size=Y.shape)
        return Observations.of(
            self.world.domains,
            W,
            Y,
            self.world.metrics,
            trials=[f"run{i}" for i in runs],
            covariates={"n_params": N, "n_tokens": D},
        )

    def candidates(self, n, size, tokens):
        W = self.rng.dirichlet(np.ones(len(self.world.domains)), n)
        N, D = np.full(n, size), np.full(n, tokens)
        return Inputs.of(self.world.domains, W, {"n_params": N, "n_tokens": D}), self.value(W, N, D)
