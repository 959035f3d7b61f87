"""A world seen at two sizes: what small runs tell about large ones, and what they do not.

At the larger size each metric is a line of its small value with a smooth part of its own:

    large_m = level_m + spread_m · (small_m − mean_m) + own_m(w)

The own part is as large as leaves the asked rank correlation between the sizes for every metric. The spreads differ
over metrics, so the order of a *mean* over metrics may change much more: the trap of transfer. Shares of questions
follow the same line in their logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixdesk.core.observations import Floats, Observations
from mixdesk.testing.worlds import World, counting, swarm

# (n_params, n_tokens) of the runs at both sizes.
SMALL, LARGE = (1e6, 1e9), (6e7, 2.5e10)
# Smallest and largest spread of a metric at the larger size, relative to the smaller.
SPREADS = (0.3, 2.0)
# Rank correlation of a metric between the sizes, over the mixtures of a swarm.
RANK = 0.95
# Mixtures over which means, spreads and ranks are set; waves of the own part.
N_ROWS, N_WAVES = 512, 32
# How fast the own part turns, unless told: about twice over the simplex.
BEND = 2.0
# The smallest loss at the larger size, in the metric's unit.
LEAST = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TwoScales:
    """The same metrics at two sizes: `small` and `large` worlds, `spread_m` of the large relative to the small."""

    small: World
    large: World
    spread_m: Floats

    def observations(self, small_nd: Floats, large_nd: Floats) -> Observations:
        """Runs of the rows of `small_nd` at the small and of `large_nd` at the large size, in that order.

        Covariates `n_params` and `n_tokens` say which is which; a mixture run at both sizes is one group.
        """
        parts = [self.small.observations(small_nd), self.large.observations(large_nd)]
        n_s = [len(small_nd), len(large_nd)]
        return Observations.of(
            self.small.domains,
            np.vstack([small_nd, large_nd]),
            np.vstack([part.Y_nm for part in parts]),
            self.small.metrics,
            covariates={
                name: np.repeat([SMALL[i], LARGE[i]], n_s).astype(np.float64)
                for i, name in enumerate(("n_params", "n_tokens"))
            },
        )


def two_scales(world: World, seed: int = 0, rank: float = RANK, bend: float = BEND) -> TwoScales:
    """The world as the small size, and a large size whose metrics rank mixtures with correlation `rank` to it.

    `bend` is how fast the large size's own part turns over the simplex, in radians per unit of √w and domain.

    Relative to the metric's spread, a large run is as noisy as a small one; shares are counted over the same questions.
    """
    rng = np.random.default_rng(seed)
    m = len(world.metrics)
    W_qd = swarm(world, N_ROWS, seed=0)
    straight, unbend = (_logit, _logistic) if world.is_share else (_same, _same)
    small_qm = straight(world.value(W_qd))
    mean_m, sd_m = small_qm.mean(0), np.maximum(small_qm.std(0), 1e-12)
    spread_m = rng.permutation(np.geomspace(*SPREADS, m))
    waves = _waves(len(world.domains), m, bend, rng)
    centre_m = waves(W_qd).mean(0)
    standard_qm = (small_qm - mean_m) / sd_m
    slope_m = (standard_qm * (waves(W_qd) - centre_m)).mean(0)

    def own(W_qd: Floats, standard_qm: Floats) -> Floats:
        """The part that small runs do not tell, uncorrelated with them, (q, m)."""
        rest: Floats = waves(W_qd) - centre_m - slope_m * standard_qm
        return rest

    own_qm = own(W_qd, standard_qm)
    share_m = np.array([_share(standard_qm[:, j], own_qm[:, j], rank) for j in range(m)])
    moved_qm = spread_m * sd_m * (standard_qm + share_m * own_qm)
    level_m = mean_m if world.is_share else LEAST - moved_qm.min(0)

    def law(W_qd: Floats) -> Floats:
        standard_qm = (straight(world.value(W_qd)) - mean_m) / sd_m
        return unbend(level_m + spread_m * sd_m * (standard_qm + share_m * own(W_qd, standard_qm)))

    large = replace(world, name=f"{world.name}-large-{seed}", law=law)
    if world.is_share:
        large = replace(large, loudness=counting(law))
    else:
        ratio_m = law(W_qd).std(0) / np.maximum(world.value(W_qd).std(0), 1e-12)
        large = replace(large, noise_m=world.noise_m * ratio_m)
    return TwoScales(small=world, large=large, spread_m=spread_m)


def _waves(d: int, m: int, bend: float, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """Random smooth functions of √w, (q, d) → (q, m), of variance about 1."""
    turn_dk, phase_k = rng.normal(0.0, bend, (d, N_WAVES)), rng.uniform(0.0, 2.0 * np.pi, N_WAVES)
    height_km = rng.standard_normal((N_WAVES, m)) * np.sqrt(2.0 / N_WAVES)

    def waves(W_qd: Floats) -> Floats:
        heights: Floats = np.cos(np.sqrt(np.maximum(W_qd, 0.0)) @ turn_dk + phase_k) @ height_km
        return heights

    return waves


def _share(small_q: Floats, own_q: Floats, rank: float) -> float:
    """How much of the own part leaves that rank correlation with the small size, by bisection."""
    low, high = 0.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _spearman(small_q, small_q + middle * own_q) > rank else (low, middle)
    return low


def _spearman(a_q: Floats, b_q: Floats) -> float:
    """Rank correlation of numbers without ties."""
    return float(np.corrcoef(a_q.argsort().argsort(), b_q.argsort().argsort())[0, 1])


def _same(y_qm: Floats) -> Floats:
    return y_qm


def _logit(y_qm: Floats) -> Floats:
    clipped_qm = np.clip(y_qm, 1e-6, 1.0 - 1e-6)
    logit: Floats = np.log(clipped_qm / (1.0 - clipped_qm))
    return logit


def _logistic(z_qm: Floats) -> Floats:
    share: Floats = 1.0 / (1.0 + np.exp(-z_qm))
    return share
