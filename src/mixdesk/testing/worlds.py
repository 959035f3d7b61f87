"""Synthetic worlds: corpora whose law, optimum and noise are known.

A world answers a mixture the way a training run does: with metrics in bits per byte, one per domain, and noise that is
partly shared by all mixtures of a replicate. Laws and strategies are tried on it before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mixdesk.core import checks
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.files import fingerprint
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Ints, Metric, Observations
from mixdesk.core.space import Space

# Of a run's noise variance, the part that all mixtures of its replicate share.
SHARED = 0.36
# Mixtures, even over the simplex, whose spread the noise is relative to.
N_SPREAD = 1024
# Unique tokens of the smallest and the largest domain.
TOKENS = (2_000_000, 20_000_000)
# Starts of the reference solver beside uniform and the vertices.
N_STARTS = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class World:
    """A known law with noise.

    `name` names its noise too; `corpus` domains d00, d01, … with unique tokens ten-fold apart and no shards;
    `metrics` (m,); `law` weights (q, d) → values (q, m); `noise_m` sd of one run around the mean of replicates.
    """

    name: str
    corpus: Corpus
    metrics: tuple[Metric, ...]
    law: Callable[[Floats], Floats]
    noise_m: Floats

    @property
    def domains(self) -> tuple[str, ...]:
        """Domain names, axis d."""
        return self.corpus.names

    def value(self, W_qd: Floats) -> Floats:
        """True metrics of each mixture, without noise, (q, m)."""
        return self.law(np.atleast_2d(np.asarray(W_qd, dtype=np.float64)))

    def measure(self, mixture: Mixture, replicate: int = 0) -> dict[str, float]:
        """What a run of this mixture measures: a pure function of (world, replicate, mixture).

        Part of the noise is a function of (world, replicate) alone, as with real runs that share weights and order.
        """
        true_m = self.value(np.array([mixture.over(self.domains)]))[0]
        shared_m = _normal(len(self.metrics), self.name, str(replicate))
        own_m = _normal(len(self.metrics), self.name, str(replicate), repr(mixture.over(self.domains)))
        measured_m = true_m + self.noise_m * (np.sqrt(SHARED) * shared_m + np.sqrt(1.0 - SHARED) * own_m)
        return {metric.name: float(y) for metric, y in zip(self.metrics, measured_m, strict=True)}

    def observations(self, W_nd: Floats, replicate_n: Ints | None = None) -> Observations:
        """Runs of the rows of `W_nd` as a law sees them; all of replicate 0 unless told otherwise."""
        replicates = np.zeros(len(W_nd), dtype=np.int64) if replicate_n is None else replicate_n
        Y_nm = []
        for w_d, replicate in zip(W_nd, replicates, strict=True):
            mixture = Mixture.of(dict(zip(self.domains, w_d.tolist(), strict=True)), normalise=True)
            measured = self.measure(mixture, int(replicate))
            Y_nm.append([measured[metric.name] for metric in self.metrics])
        return Observations.of(self.domains, W_nd, np.array(Y_nm), self.metrics, replicate_n=replicates)

    def optimum(self, objective: Objective, space: Space) -> tuple[Floats, float]:
        """Weights (d,) and value of the best allowed mixture without noise, by SLSQP from many starts."""
        d = len(self.domains)

        def true(w_d: Floats) -> float:
            return float(objective.value(self.value(w_d), self.metrics)[0])

        extra = np.random.default_rng(0).dirichlet(np.ones(d), N_STARTS)
        starts = space.project(np.vstack([np.full((1, d), 1.0 / d), np.eye(d), extra]))
        best_d, best = starts[0], np.inf
        for start in starts:
            found = minimize(
                true,
                start,
                method="SLSQP",
                bounds=list(zip(space.lower_d, space.upper_d, strict=True)),
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(len(w))},
                options={"ftol": 1e-14, "maxiter": 500},
            )
            w_d = space.project(found.x)[0]
            if true(w_d) < best:
                best_d, best = w_d, true(w_d)
        return best_d, best


def loglinear(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """y_m = c_m + exp(t_m · w): each metric is helped by one domain (t −5 … −1), the others hardly matter.

    `noise` is the sd of one run relative to the sd of the metric over mixtures even on the simplex.
    """
    rng = np.random.default_rng(seed)
    c_m, t_md = _coefficients(d, m, rng)
    return _world(f"loglinear-{d}-{m}-{seed}", lambda W_qd: c_m + np.exp(W_qd @ t_md.T), d, m, noise, rng)


def ridge(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """The smaller of two log-linear worlds: a ridge between two valleys, which no log-linear law can follow."""
    rng = np.random.default_rng(seed)
    (c_m, t_md), (other_m, other_md) = _coefficients(d, m, rng), _coefficients(d, m, rng)

    def law(W_qd: Floats) -> Floats:
        lower: Floats = np.minimum(c_m + np.exp(W_qd @ t_md.T), other_m + np.exp(W_qd @ other_md.T))
        return lower

    return _world(f"ridge-{d}-{m}-{seed}", law, d, m, noise, rng)


def quadratic(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """y_m = c_m + |A_m (w − v_m)|²: a bowl around a mixture v_m inside the simplex."""
    rng = np.random.default_rng(seed)
    c_m, centre_md = rng.uniform(0.5, 1.5, m), rng.dirichlet(np.full(d, 3.0), m)
    A_mde = rng.standard_normal((m, d, d)) + 2.0 * np.eye(d)

    def law(W_qd: Floats) -> Floats:
        away = np.einsum("mde,qme->qmd", A_mde, W_qd[:, None, :] - centre_md)
        bowl: Floats = c_m + (away**2).sum(2)
        return bowl

    return _world(f"quadratic-{d}-{m}-{seed}", law, d, m, noise, rng)


# Worlds by name, as `trainers/synthetic.py` is configured.
WORLDS: dict[str, Callable[[int, int, int, float], World]] = {
    "loglinear": loglinear,
    "ridge": ridge,
    "quadratic": quadratic,
}


def _coefficients(d: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    c_m, t_md = rng.uniform(0.5, 1.5, m), rng.uniform(-0.3, 0.5, (m, d))
    t_md[np.arange(m), np.arange(m) % d] = -rng.uniform(1.0, 5.0, m)
    return c_m, t_md


def _world(name: str, law: Callable[[Floats], Floats], d: int, m: int, noise: float, rng: np.random.Generator) -> World:
    checks.count("d", d, 2)
    checks.count("m", m, 1)
    relative = checks.finite("noise", noise, 0.0)
    names = [f"d{j:02d}" for j in range(d)]
    tokens = rng.permutation(np.geomspace(*TOKENS, d).astype(int))
    corpus = Corpus(
        name=name,
        tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=fingerprint("bytes")),
        domains=tuple(
            Domain(
                name=each, n_tokens=int(n), n_bytes=int(n), n_docs=int(n) // 1000, fingerprint=fingerprint(name, each)
            )
            for each, n in zip(names, tokens, strict=True)
        ),
    )
    metrics = [
        Metric(name=f"bpb/domain/{names[j]}", domain=names[j]) if j < d else Metric(name=f"bpb/set/s{j:02d}")
        for j in range(m)
    ]
    spread_m = law(np.random.default_rng(0).dirichlet(np.ones(d), N_SPREAD)).std(0)
    return World(name=name, corpus=corpus, metrics=tuple(metrics), law=law, noise_m=relative * spread_m)


def _normal(n: int, *key: str) -> Floats:
    """Normal numbers (n,) that are a function of the key."""
    return np.random.default_rng(int(fingerprint(*key, length=32), 16)).standard_normal(n)
