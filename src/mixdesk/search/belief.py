"""What is believed of many mixtures at once, and what a run of one of them would be worth.

The belief is a joint Gaussian over q candidates at r rungs, of which one is the target. The objective is minimised:

    noisy EI            E max(b − f(w), 0) at the target, b the best of the true values f of the mixtures seen
    max-value entropy   mean over draws y* of −½ log(1 − ρ² λ (λ + γ)): γ = (μ − y*) / σ, λ = pdf(γ) / cdf(γ), ρ the
                        correlation of a noisy run of (w, rung) with f(w) at the target
    knowledge gradient  min μ − E min (μ after the run), by Gauss-Hermite nodes

The entropy formula matches the moments of a truncated Gaussian. At the target, without noise, the exact value
γ λ / 2 − log cdf(γ) is somewhat larger; one formula serves all rungs, so that they compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.stats import norm

from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.scale import Rung
from mixdesk.core.trial import StudyView

# Joint draws of the values; nodes of the knowledge gradient, and the best candidates among which a minimum may move.
N_DRAWS, N_NODES, N_LOWEST = 128, 16, 256
# What is added to variances, relative to the largest, against rounding.
JITTER = 1e-8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """A run worth most: place of its mixture and of its rung, and what is `expected` at the target, in words."""

    q: int
    r: int
    expected: str


class Belief:
    """A joint Gaussian over candidates at rungs, that runs narrow: a mutable thing, held by one ask alone.

    `mean_qr` and `cov` over (q · r, q · r), candidates slowest; `noise_r` variance of a run at each rung; `target`
    place of the rung that counts; `seen` how many of the first candidates have been run.
    """

    def __init__(
        self, mean_qr: Floats, cov: Floats, noise_r: Floats, target: int, seen: int, rng: np.random.Generator
    ) -> None:
        """Take the moments as they are; draws come from `rng` once and serve every gain (common random numbers)."""
        self.mean_qr, self.cov, self.noise_r, self.target = mean_qr, cov.copy(), noise_r, target
        q, self.n_rungs = mean_qr.shape
        self.is_seen: NDArray[np.bool_] = np.arange(q) < seen
        self._normal_kq = rng.standard_normal((N_DRAWS, q))

    @property
    def var_qr(self) -> Floats:
        """Variance of the true value of each candidate at each rung, (q, r)."""
        diagonal = np.diag(self.cov)
        var: Floats = np.maximum(diagonal, 1e-12 * diagonal.max() + 1e-150).reshape(self.mean_qr.shape)
        return var

    def narrow(self, q: int, r: int) -> None:
        """Count a run of candidate q at rung r as made, and as having come out at its mean."""
        i = q * self.n_rungs + r
        column = self.cov[:, i].copy()
        self.cov -= np.outer(column, column) / (column[i] + self.noise_r[r])
        self.is_seen[q] |= r == self.target

    def gain(self, kind: str) -> Floats:
        """What a run of each candidate at each rung is worth, (q, r), never negative: "noisy_ei", "entropy" or
        "knowledge". Noisy EI is about the target alone, 0 elsewhere.
        """
        if kind == "knowledge":
            return self._knowledge()
        draws_kq = self._draws()
        if kind == "entropy":
            return self._entropy(draws_kq.min(axis=1))
        known = draws_kq[:, self.is_seen] if self.is_seen.any() else draws_kq.max(axis=1, keepdims=True)
        gain_qr = np.zeros(self.mean_qr.shape)
        gain_qr[:, self.target] = np.maximum(known.min(axis=1)[:, None] - draws_kq, 0.0).mean(axis=0)
        # Where no draw is better, what is expected by mean and spread still orders the candidates.
        gain_qr[:, self.target] += 1e-6 * self._expected(float(known.min(axis=1).mean()))
        return gain_qr

    def _expected(self, best: float) -> Floats:
        mean, sd = self.mean_qr[:, self.target], np.sqrt(self.var_qr[:, self.target])
        z = (best - mean) / sd
        expected: Floats = sd * (z * norm.cdf(z) + norm.pdf(z))
        return expected

    def _draws(self) -> Floats:
        """Joint draws of the values at the target, (k, q)."""
        there = slice(self.target, None, self.n_rungs)
        cov = self.cov[there, there]
        scale = float(np.diag(cov).max())
        for power in range(6):
            try:
                root = np.linalg.cholesky(cov + JITTER * 10.0**power * scale * np.eye(len(cov)))
                break
            except np.linalg.LinAlgError:
                continue
        else:
            root = np.diag(np.sqrt(np.maximum(np.diag(cov), 0.0)))
        drawn: Floats = self.mean_qr[:, self.target] + self._normal_kq @ root.T
        return drawn

    def _entropy(self, lowest_k: Floats) -> Floats:
        mean, var = self.mean_qr[:, self.target], self.var_qr[:, self.target]
        # Beyond ± 30 the gain is that of certainty, and logarithms of the tails cancel badly.
        gamma_kq = np.clip((mean - lowest_k[:, None]) / np.sqrt(var), -30.0, 30.0)
        ratio_kq = np.exp(norm.logpdf(gamma_kq) - norm.logcdf(gamma_kq))
        shrink_kq = np.clip(ratio_kq * (ratio_kq + gamma_kq), 0.0, 1.0)
        gain_qr = np.empty(self.mean_qr.shape)
        every = np.arange(len(mean)) * self.n_rungs
        for r in range(self.n_rungs):
            shared = self.cov[every + self.target, every + r]
            rho2 = shared**2 / (var * (self.var_qr[:, r] + self.noise_r[r]))
            gain_qr[:, r] = -0.5 * np.log1p(-np.minimum(rho2, 1.0 - 1e-9) * shrink_kq).mean(axis=0)
        return gain_qr

    def _knowledge(self) -> Floats:
        nodes, weights = hermegauss(N_NODES)
        mean = self.mean_qr[:, self.target]
        low = np.argsort(mean, kind="stable")[:N_LOWEST]
        noise = np.tile(self.noise_r, len(mean))
        move = self.cov[low * self.n_rungs + self.target] / np.sqrt(np.diag(self.cov) + noise)
        after = np.zeros(self.cov.shape[0])
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            after += weight * (mean[low][:, None] + node * move).min(axis=0)
        gain: Floats = np.maximum(mean[low].min() - after, 0.0).reshape(self.mean_qr.shape)
        return gain


def most_worth(
    view: StudyView,
    belief: Belief,
    kind: str,
    mixtures: Sequence[Mixture],
    rungs: Sequence[Rung],
    price_r: Floats,
    n: int,
) -> list[Pick]:
    """N runs by worth per price, each as if those before had come out at their means.

    What the view was asked already, or cannot pay for, is left out; of equal mixtures one is taken.
    """
    taken, left = {(trial.rung, trial.spec.mixture) for trial in view.trials}, view.flops_left
    is_free_qr = np.array([[(rung.label, one) not in taken for rung in rungs] for one in mixtures])
    if left is not None:
        is_free_qr &= price_r <= left * (1.0 + 1e-9)
    out: list[Pick] = []
    while len(out) < n and is_free_qr.any():
        worth_qr = np.where(is_free_qr, belief.gain(kind) / price_r, -np.inf)
        q, r = (int(i) for i in np.unravel_index(int(worth_qr.argmax()), worth_qr.shape))
        mean, sd = belief.mean_qr[q, belief.target], np.sqrt(belief.var_qr[q, belief.target])
        out.append(Pick(q=q, r=r, expected=f"{mean:.4g} ± {sd:.2g} expected"))
        belief.narrow(q, r)
        is_free_qr[[i for i, mixture in enumerate(mixtures) if mixture == mixtures[q]], r] = False
    return out
