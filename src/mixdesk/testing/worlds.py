"""Synthetic worlds: corpora whose law, optimum and noise are known.

A world answers a mixture the way a training run does: with metrics, mostly in bits per byte and one per domain, and
noise that is partly shared by all mixtures of a replicate. Laws and strategies are tried on it before anything is
trained. `swarm` gives mixtures such as people really run; `testing/scales.py` shows a world at a second size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixdesk.core import checks
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.files import fingerprint
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Ints, Metric, Observations
from mixdesk.core.space import Space
from mixdesk.testing.optimum import minimum

# Of a run's noise variance, the part that all mixtures of its replicate share.
SHARED = 0.36
# Mixtures, even over the simplex, whose spread the noise is relative to.
N_SPREAD = 1024
# Unique tokens of the smallest and the largest domain.
TOKENS = (2_000_000, 20_000_000)
# A swarm as RegMix draws it: natural weights tempered by T, strengths of the Dirichlet, cap in multiples of the natural
# weight, and the step to which weights are rounded (what is below half of it is exactly zero).
TEMPER, STRENGTHS, CAP, STEP = 0.5, (0.1, 5.0), 15.0, 1e-3
# Weights at which a domain's effect bends: below it falls steeply, above it flattens out.
BEND = (0.003, 0.1)
# Added to weights under a power, so that slopes at zero are steep and finite.
FLOOR = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class World:
    """A known law with noise.

    `name` names its noise too; `corpus` domains d00, d01, … with unique tokens ten-fold apart and no shards;
    `metrics` (m,); `law` weights (q, d) → values (q, m); `noise_m` sd of one run around the mean of replicates, times
    `loudness` of its mixture, weights (q, d) → (q, m), where that is given. Where `is_share` the metrics are shares of
    questions answered, 0 to 1, as many questions as give a run at ½ that noise.
    """

    name: str
    corpus: Corpus
    metrics: tuple[Metric, ...]
    law: Callable[[Floats], Floats]
    noise_m: Floats
    loudness: Callable[[Floats], Floats] | None = None
    is_share: bool = False

    @property
    def natural_d(self) -> Floats:
        """The corpus's own proportions, (d,)."""
        tokens_d = np.array([domain.n_tokens for domain in self.corpus.domains], dtype=np.float64)
        natural: Floats = tokens_d / tokens_d.sum()
        return natural

    @property
    def domains(self) -> tuple[str, ...]:
        """Domain names, axis d."""
        return self.corpus.names

    def value(self, W_qd: Floats) -> Floats:
        """True metrics of each mixture, without noise, (q, m)."""
        return self.law(np.atleast_2d(np.asarray(W_qd, dtype=np.float64)))

    def sd(self, W_qd: Floats) -> Floats:
        """Noise of one run of each mixture, (q, m)."""
        W_qd = np.atleast_2d(np.asarray(W_qd, dtype=np.float64))
        loudness_qm = np.ones((len(W_qd), len(self.metrics))) if self.loudness is None else self.loudness(W_qd)
        sd_qm: Floats = self.noise_m * loudness_qm
        return sd_qm

    def measure(self, mixture: Mixture, replicate: int = 0) -> dict[str, float]:
        """What a run of this mixture measures: a pure function of (world, replicate, mixture).

        Part of the noise is a function of (world, replicate) alone, as with real runs that share weights and order.
        """
        weights = np.array([mixture.over(self.domains)])
        true_m, sd_m = self.value(weights)[0], self.sd(weights)[0]
        shared_m = _normal(len(self.metrics), self.name, str(replicate))
        own_m = _normal(len(self.metrics), self.name, str(replicate), repr(mixture.over(self.domains)))
        measured_m = true_m + sd_m * (np.sqrt(SHARED) * shared_m + np.sqrt(1.0 - SHARED) * own_m)
        if self.is_share:
            n_m = np.maximum(np.round(0.25 / np.maximum(self.noise_m, 1e-9) ** 2), 1.0)
            measured_m = np.round(np.clip(measured_m, 0.0, 1.0) * n_m) / n_m
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
        """Weights (d,) and value of the best allowed mixture without noise; see `testing/optimum.py`."""
        return minimum(lambda W_qd: objective.value(self.value(W_qd), self.metrics), space)


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


def power(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """y_m = E_m + Σ_j K_mj (1 + w_j / a_mj)^−γ_mj, all K ≥ 0: every domain helps, steeply near zero, then saturates.

    Each metric is helped most by one domain, by the others by up to a third of that.
    """
    rng = np.random.default_rng(seed)
    E_m, K_md, a_md, g_md = _saturating(d, m, rng)

    def law(W_qd: Floats) -> Floats:
        left_qmd = K_md * (1.0 + np.maximum(W_qd, 0.0)[:, None, :] / a_md) ** -g_md
        values: Floats = E_m + left_qmd.sum(2)
        return values

    return _world(f"power-{d}-{m}-{seed}", law, d, m, noise, rng)


def power_sum(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """y_m = E_m + A_m (b_m + S_m)^−p_m, S_m = Σ_j C_mj w_j^γ_mj + Σ_jk D_mjk √(w_j w_k) over some pairs j, k.

    Domains add knowledge, loss is what is left. Not quite the power sum law: p is 0.5 to 0.8 or 1.3 to 1.8, not 1, and
    pairs help each other (D > 0) or repeat each other (D < 0).
    """
    rng = np.random.default_rng(seed)
    E_m, A_m = rng.uniform(0.5, 1.5, m), rng.uniform(0.5, 2.0, m)
    b_m, p_m = rng.uniform(0.3, 1.0, m), rng.choice([-1.0, 1.0], m)
    p_m = np.where(p_m > 0.0, rng.uniform(1.3, 1.8, m), rng.uniform(0.5, 0.8, m))
    knowledge = _knowledge(d, m, rng)

    def law(W_qd: Floats) -> Floats:
        values: Floats = E_m + A_m * (b_m + knowledge(W_qd)) ** -p_m
        return values

    return _world(f"power_sum-{d}-{m}-{seed}", law, d, m, noise, rng)


def scores(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """Shares of questions answered, better higher: chance + (1 − chance) logistic(4 (S_m − s_m)).

    S_m as in `power_sum`; chance is 0, ¼ or ½. Noise is that of counting: sd ∝ √(y (1 − y)), and values are whole
    numbers of questions.
    """
    rng = np.random.default_rng(seed)
    chance_m, knowledge = rng.choice([0.0, 0.25, 0.5], m), _knowledge(d, m, rng)
    middle_m = knowledge(np.random.default_rng(0).dirichlet(np.ones(d), N_SPREAD)).mean(0) + rng.uniform(-0.2, 0.4, m)

    def law(W_qd: Floats) -> Floats:
        values: Floats = chance_m + (1.0 - chance_m) / (1.0 + np.exp(-4.0 * (knowledge(W_qd) - middle_m)))
        return values

    metrics = tuple(Metric(name=f"accuracy/t{j:02d}", unit="share correct", better="higher") for j in range(m))
    world = replace(_world(f"scores-{d}-{m}-{seed}", law, d, m, noise, rng), metrics=metrics, is_share=True)
    return with_loudness(world, counting(law))


def heteroscedastic(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """The world `power` with uneven noise: a run of one domain alone is four times as noisy as an even one."""
    world = power(d, m, seed, noise)
    world = replace(world, name=f"heteroscedastic-{d}-{m}-{seed}")
    return with_loudness(world, lambda W_qd: np.repeat(4.0 ** W_qd.max(1, keepdims=True), m, axis=1))


def pure_noise(d: int = 8, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """No law at all: every mixture has the same value. `noise` is the sd of a run in bits per byte."""
    rng = np.random.default_rng(seed)
    c_m = rng.uniform(0.5, 1.5, m)
    world = _world(f"noise-{d}-{m}-{seed}", lambda W_qd: np.repeat(c_m[None], len(W_qd), axis=0), d, m, noise, rng)
    return replace(world, noise_m=np.full(m, float(noise)))


def with_loudness(world: World, loudness: Callable[[Floats], Floats]) -> World:
    """The world with noise that depends on the mixture, weights (q, d) → relative sd (q, m).

    The mean square over even mixtures of the simplex stays what it was.
    """
    W_qd = np.random.default_rng(0).dirichlet(np.ones(len(world.domains)), N_SPREAD)
    return replace(world, noise_m=world.noise_m / np.sqrt((loudness(W_qd) ** 2).mean(0)), loudness=loudness)


def counting(law: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Loudness of shares of questions answered: 2 √(y (1 − y)), 1 at ½."""

    def loudness(W_qd: Floats) -> Floats:
        share_qm = law(W_qd)
        relative_qm: Floats = 2.0 * np.sqrt(share_qm * (1.0 - share_qm))
        return relative_qm

    return loudness


def swarm(world: World, n: int, seed: int = 0) -> Floats:
    """Mixtures such as people run, (n, d): many exact zeros, many rows almost of one domain.

    Dirichlet(strength · natural^½) with strengths log-uniform in 0.1 … 5, no weight above 15 times the natural one,
    weights rounded to 0.001, then divided by their sum; no row twice. Reference: RegMix.
    """
    rng = np.random.default_rng(seed)
    tempered_d, cap_d = world.natural_d**TEMPER, np.minimum(CAP * world.natural_d, 1.0)
    tempered_d = tempered_d / tempered_d.sum()
    rows: dict[bytes, Floats] = {}
    while len(rows) < n:
        strength = np.exp(rng.uniform(np.log(STRENGTHS[0]), np.log(STRENGTHS[1])))
        drawn_d = rng.gamma(np.maximum(strength * tempered_d, 1e-3))
        if drawn_d.sum() <= 0.0:
            continue
        w_d = np.round(drawn_d / drawn_d.sum() / STEP)
        if (w_d * STEP <= cap_d).all():
            w_d = w_d / w_d.sum()
            rows.setdefault(w_d.tobytes(), w_d)
    return np.array(list(rows.values()))


# Worlds by name, as `trainers/synthetic.py` is configured.
WORLDS: dict[str, Callable[[int, int, int, float], World]] = {
    "loglinear": loglinear,
    "ridge": ridge,
    "quadratic": quadratic,
    "power": power,
    "power_sum": power_sum,
    "scores": scores,
    "heteroscedastic": heteroscedastic,
    "noise": pure_noise,
}


def _saturating(d: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Level (m,), heights, bends and exponents (m, d) of `power`."""
    K_md = rng.uniform(0.0, 1.0, (m, d)) ** 2 / 3.0
    K_md[np.arange(m), np.arange(m) % d] = rng.uniform(0.7, 1.3, m)
    a_md = np.exp(rng.uniform(np.log(BEND[0]), np.log(BEND[1]), (m, d)))
    return rng.uniform(0.5, 1.5, m), K_md, a_md, rng.uniform(0.2, 0.9, (m, d))


def _knowledge(d: int, m: int, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """S_m of `power_sum`: weights (q, d) → (q, m), never negative."""
    C_md = rng.uniform(0.0, 1.0, (m, d)) ** 2
    C_md[np.arange(m), np.arange(m) % d] = rng.uniform(1.0, 2.0, m)
    g_md = rng.uniform(0.25, 0.8, (m, d))
    # Each domain is in one pair at most, and a pair takes less than half of what its lesser domain gives.
    first_p, second_p = np.split(rng.permutation(d)[: 2 * (d // 2)], 2)
    D_mp = rng.uniform(-0.5, 1.0, (m, len(first_p))) * np.minimum(C_md[:, first_p], C_md[:, second_p])

    def knowledge(W_qd: Floats) -> Floats:
        W_qd = np.maximum(W_qd, 0.0)
        alone_qm = (C_md * ((W_qd[:, None, :] + FLOOR) ** g_md - FLOOR**g_md)).sum(2)
        together: Floats = alone_qm + np.sqrt(W_qd[:, first_p] * W_qd[:, second_p]) @ D_mp.T
        return together

    return knowledge


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
