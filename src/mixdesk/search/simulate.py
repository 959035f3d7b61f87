"""RegMix's search: simulate a great many mixtures, average the best.

    candidates w ~ Dirichlet(a · natural^½), log a uniform;  recommended = mean of the `top` with the best prediction

The average is part of the method: tree laws are piecewise constant, and their single best candidate is noise. The
candidates lie in a convex set (constraints and the region of the runs), so the average does too.

What we do differently: the released notebook searches wherever Dirichlet(natural) goes; here the search stays in the
region of the runs, and the spread of the averaged mixtures is reported, since it shows how flat the optimum is. With
guards, candidates that break one are pulled to a rival that keeps them, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.trial import StudyView
from mixdesk.search.design import Design, base_mixture
from mixdesk.search.sample import hit_and_run
from mixdesk.search.terrain import Terrain

# Candidates that are held and predicted at once.
CHUNK = 4_000
# Total concentration of a candidate's Dirichlet, log-uniform between these: from one domain alone to nearly the base.
STRENGTH = (1.0, 100.0)
# Where no candidate keeps the guards, how near to the one that misses them least new candidates are drawn, in turn.
NEARER = (0.3, 0.1, 0.03)

# Where candidates come from: (terrain, how many, random numbers) → chunks (q, d).
Draw = Callable[[Terrain, int, np.random.Generator], Iterator[Floats]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegMix:
    """Simulate and average. The first trials are those of `Design`.

    Args:
        n_candidates: mixtures simulated.
        top: how many of the best are averaged.
    """

    title: ClassVar[str] = "simulate mixtures, average the best predicted"
    reference: ClassVar[str] = "regmix"
    eager: ClassVar[bool] = True

    n_candidates: int = 100_000
    top: int = 100

    def __post_init__(self) -> None:
        put(self, top=checks.count("top", self.top, 1))
        put(self, n_candidates=checks.count("n_candidates", self.n_candidates, self.top))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n proposals of the default design."""
        return Design().ask(view, n)

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """Mean of the best simulated mixtures; `spread` is half their range from the 5th to the 95th percentile.

        Raises:
            NotEnoughEvidence: no law, or no finished trial.
            Infeasible: no mixture satisfies the constraints, or no candidate keeps the guards.
        """
        terrain = Terrain.of(view, law)
        best = simulate(terrain, self.n_candidates, self.top, np.random.default_rng(view.seed))
        return averaged(terrain, best, f"mean of the best {len(best)} of {self.n_candidates:,} simulated mixtures")


def averaged(terrain: Terrain, best_qd: Floats, why: str) -> Recommendation:
    """The mean of the best candidates, best first, with half their range from the 5th to the 95th percentile.

    Of a pool the best itself; where the mean breaks a guard, as far towards it as the best lets it.
    """
    low, high = np.quantile(best_qd, (0.05, 0.95), axis=0)
    mean = best_qd[0] if terrain.is_finite else terrain.heed(best_qd.mean(axis=0), best_qd[0])
    return Recommendation(
        mixture=terrain.space.mixture(mean),
        spread=tuple(zip(terrain.space.domains, ((high - low) / 2.0).tolist(), strict=True)),
        binding=terrain.binding(mean),
        why="best predicted of the pool" if terrain.is_finite else why + terrain.caveat,
    )


def simulate(terrain: Terrain, n: int, top: int, rng: np.random.Generator, draw: Draw | None = None) -> Floats:
    """The `top` of n candidates with the best predicted objective, best first, (≤ top, d); all keep the guards.

    `draw` yields allowed candidates in chunks, as `candidates` does, which stands in where it is not given.

    Raises:
        Infeasible: none keeps them; names the smallest relaxation seen.
    """
    draw = draw or candidates
    best = np.empty((0, len(terrain.space.domains)))
    value = np.empty(0)
    missed = [terrain.anchor_d[None]]
    for rows in draw(terrain, n, rng):
        kept, found = terrain.heeded(rows)
        best, value = best_of((best, value), (kept, found), top)
        if not len(best):
            missed.append(_nearest_miss(terrain, np.vstack([*missed[-1:], rows]))[None])
    for share in () if len(best) or terrain.is_finite else NEARER:
        rows = next(draw(terrain, CHUNK, rng))
        near = missed[-1] + share * (rows - missed[-1])
        best, value = best_of((best, value), terrain.heeded(near), top)
        if len(best):
            break
        missed.append(_nearest_miss(terrain, np.vstack([missed[-1], near]))[None])
    if not len(best):
        raise terrain.clash(missed[-1])
    return best


def best_of(one: tuple[Floats, Floats], other: tuple[Floats, Floats], top: int) -> tuple[Floats, Floats]:
    """The best `top` rows of two lots, best first, with their values."""
    rows, value = np.vstack([one[0], other[0]]), np.concatenate([one[1], other[1]])
    order = np.argsort(value, kind="stable")[:top]
    return rows[order], value[order]


def _nearest_miss(terrain: Terrain, rows: Floats) -> Floats:
    """The row that misses the guards by least, (d,)."""
    excess_qg = np.maximum(terrain.excess(terrain.means(rows)), 0.0)
    nearest: Floats = rows[int(excess_qg.sum(axis=1).argmin())]
    return nearest


def candidates(terrain: Terrain, n: int, rng: np.random.Generator) -> Iterator[Floats]:
    """N allowed mixtures in the region of the runs, in chunks (q, d).

    A draw outside is projected on the constraints and pulled to the region's rim; half of those then go a random
    part of the way to the middle of the region, so that tight caps leave more than the boundary to look at. Under rows
    or a ball those are drawn evenly from the space instead. A pool is its own candidates, whatever `n`.
    """
    if terrain.space.pool_qd is not None:
        yield terrain.space.pool_qd
        return
    base = base_mixture(terrain.natural_d, len(terrain.natural_d))
    for start in range(0, n, CHUNK):
        q = min(CHUNK, n - start)
        strength = np.exp(rng.uniform(np.log(STRENGTH[0]), np.log(STRENGTH[1]), size=(q, 1)))
        gamma = rng.standard_gamma(strength * base) + 1e-300
        rows = gamma / gamma.sum(1, keepdims=True)
        outside = ~terrain.contains(rows)
        rows[outside] = terrain.enter(rows[outside])
        if not terrain.space.is_box:
            again = outside & (rng.random(q) < 0.5)
            if again.any():
                rows[again] = terrain.enter(hit_and_run(terrain.space, int(again.sum()), rng))
        share = np.where(outside & (rng.random(q) < 0.5), rng.random(q), 1.0)[:, None]
        yield terrain.anchor_d + share * (rows - terrain.anchor_d)
