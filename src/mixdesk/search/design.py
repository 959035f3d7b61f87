"""First mixtures: what to try before anything is known.

Natural, uniform, what tells most about the mixtures not tried (see `informative.py`), and a crossed block of repeats
that measures the noise. Candidates are half even over the space, half Dirichlet draws around the square root of the
natural mixture (RegMix's tempering, T = 0.5) with total concentration 2, 5 and 12 in turn: peaked rows show a law its
corners, calm rows the middle. RegMix tries such draws as they come; at a hundred domains that costs twice the regret,
and once each domain in the lead, a third of such a budget, as much again (docs/log.md).

What we do differently: RegMix applies epoch caps to the design. We follow Olmix (its table 4): the design ignores
epoch caps and only the optimum obeys them, which was best (0.7647 bits per byte against 0.7855 with both capped). A
proxy that repeats a small domain is allowed; with simulated epochs it even shows what repeating costs. Bounds that a
person wrote hold for the design too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import ClassVar

import numpy as np
from scipy.stats import qmc

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.feasible import settle
from mixdesk.search.informative import choose, of_pool
from mixdesk.search.sample import hit_and_run
from mixdesk.search.terrain import natural_weights, target_space

METHODS = ("informative", "dirichlet", "low_discrepancy", "farthest_point", "grid", "random")
CONCENTRATIONS = (2.0, 5.0, 12.0)
# Draws per row before a bound counts as too tight for rejection: about one in a hundred must be allowed.
N_TRIES = 100
# Candidates from which farthest points are chosen, and low-discrepancy points that are looked through.
N_POOL = 2048
# Candidates from which what tells most is chosen.
N_CANDIDATES = 512
# Exponent of the coordinates in which mixtures are spread: small weights count, as losses bend most near zero.
ROOT = 0.3
# Points of a lattice that are looked through at most.
N_LATTICE = 100_000
# Rows closer than this are the same mixture.
SAME = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """A fixed list of mixtures, the same for every answer.

    Natural, uniform, then design mixtures; once d + 1 mixtures (or a third of them) are asked,
    the crossed block repeats natural, uniform and the design mixture farthest from both. The list is as long as the
    budget's trials or FLOPs allow, 3 (d + 1) mixtures and the block where they are not set. The block is left out of a
    budget it would fill by half, or in which it leaves fewer mixtures than the d + 2 of the smallest law.

    Args:
        method: how design mixtures are found: informative (from candidates around the natural mixture and even over the
            space, what tells most about the others), dirichlet, low_discrepancy, farthest_point, grid (a simplex
            lattice, then the farthest from all before) or random (even over the space). From a pool random takes any
            order, farthest_point the farthest from all before, every other what tells most about the rest.
        n_repeat_mixtures: mixtures that are repeated.
        n_replicates: runs of each of them, the first included; 1 leaves the block out.
        anchors: whether natural and uniform are asked.
    """

    title: ClassVar[str] = "a fixed design around the natural mixture"
    reference: ClassVar[str] = "regmix"
    eager: ClassVar[bool] = True

    method: str = "informative"
    n_repeat_mixtures: int = 3
    n_replicates: int = 3
    anchors: bool = True

    def __post_init__(self) -> None:
        checks.one_of("method", self.method, METHODS)
        put(
            self,
            n_repeat_mixtures=checks.count("n_repeat_mixtures", self.n_repeat_mixtures, 2),
            n_replicates=checks.count("n_replicates", self.n_replicates, 1),
        )

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n proposals of the list that the first rung does not have yet, within the budget.

        Raises:
            Infeasible: no mixture satisfies the constraints, at the target or in the design.
        """
        target_space(view)
        asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at()}
        left = [p for p in self.proposals(view) if (p.mixture, p.replicate) not in asked]
        return view.affordable(left[:n])

    def recommend(self, view: StudyView, law: LawFit | None = None) -> Recommendation:
        """The best allowed mixture that was measured; the law is not asked.

        Raises:
            NotEnoughEvidence: none was measured.
        """
        space = target_space(view)
        best = view.best_seen(space)
        if best is None:
            raise NotEnoughEvidence(
                "no allowed mixture has been measured",
                value=f"{len(view.at())} trials at `{view.rungs[0].label}`",
                bound="at least one finished trial inside the constraints, with every metric of the objective",
                remedy="run more trials, or loosen the constraints",
            )
        mixture = space.mixture(np.array(best.spec.mixture.over(space.domains)))
        return Recommendation(mixture=mixture, binding=space.binding(mixture), why="best mixture measured")

    def proposals(self, view: StudyView) -> list[Proposal]:
        """The whole list. A proposal depends on the study's question and seed only, never on an answer."""
        space = settle(Space.build(view.constraints.without_epochs, view.domains))
        n_extra = self.n_repeat_mixtures * (self.n_replicates - 1)
        n_trials = n_planned(view, n_extra)
        if n_trials - n_extra < max(n_extra, len(view.domains) + 2):
            n_extra = 0
        n_mixtures = n_trials - n_extra
        singles = self._singles(view, space, n_mixtures)
        if not n_extra:
            return singles
        first = min(max(self.n_repeat_mixtures, min(len(view.domains) + 1, n_mixtures // 3)), len(singles))
        repeated = self._repeated(space, singles[:first])
        block = [
            Proposal(
                mixture=single.mixture,
                rung=single.rung,
                replicate=replicate,
                why=f"repeat {replicate + 1} of {self._short(single)}, to measure noise",
            )
            for replicate in range(1, self.n_replicates)
            for single in repeated
        ]
        return singles[:first] + block + singles[first:]

    def _singles(self, view: StudyView, space: Space, n: int) -> list[Proposal]:
        """Up to `n` distinct mixtures as replicate 0: natural, uniform, design; fewer where the space has no more."""
        d, rung = len(view.domains), view.rungs[0].label
        anchors = [] if view.natural is None else [("natural mixture", view.natural)]
        anchors.append(("uniform mixture", Mixture.uniform(view.domains)))
        rows: list[Floats] = []
        out: list[Proposal] = []

        def add(why: str, row: Floats, mixture: Mixture | None = None) -> None:
            if len(out) < n and all(np.abs(row - other).max() > SAME for other in rows):
                rows.append(row)
                out.append(Proposal(mixture=mixture or space.mixture(row), rung=rung, why=why))

        for why, anchor in anchors if self.anchors else ():
            wanted = np.array(anchor.over(view.domains))
            if space.contains(wanted)[0]:
                # As it is, to the last bit: rivals are found among the trials by equality.
                add(why, wanted, anchor)
            else:
                add(f"{why}, moved inside the bounds", space.project(wanted)[0])
        if float((space.upper_d - space.lower_d).max()) > SAME and d > 1:
            # Two rows to spare: a draw may repeat an anchor.
            base = base_mixture(None if view.natural is None else natural_weights(view), d)
            for why, row in self._draw(space, base, np.array(rows).reshape(-1, d), n + 2, view.seed):
                add(why, row)
        elif not rows:
            add("the only mixture allowed", space.project(np.full((1, d), 1.0 / d))[0])
        return out

    def _draw(self, space: Space, base_d: Floats, before_ad: Floats, n: int, seed: int) -> Iterator[tuple[str, Floats]]:
        """Reasons and rows of the chosen method, about n; `before_ad` are there already."""
        rng, pool = np.random.default_rng(seed), space.pool_qd
        if self.method == "random":
            rows = hit_and_run(space, max(N_POOL, n), rng)[:n] if pool is None else rng.permutation(pool)
            yield from (("even over the " + ("space" if pool is None else "pool"), row) for row in rows)
        elif self.method == "low_discrepancy" and pool is None:
            yield from (("low-discrepancy point", row) for row in low_discrepancy(space, n, seed))
        elif self.method == "dirichlet" and pool is None:
            yield from _drawn(space, base_d, n, rng)
        elif self.method == "informative" or (self.method != "farthest_point" and pool is not None):
            rows = candidates(space, base_d, seed)
            if pool is None:
                rows = np.vstack([before_ad, rows])
            is_before = [np.abs(before_ad - row).max(axis=1).min(initial=np.inf) <= SAME for row in rows]
            why = "tells most about the other mixtures" + ("" if pool is None else " of the pool")
            yield from ((why, rows[i]) for i in choose(rows, n, np.flatnonzero(is_before).tolist()))
            if pool is None and n > N_CANDIDATES:
                yield from _drawn(space, base_d, n, rng)
        else:
            if self.method == "grid" and pool is None:
                k, rows = lattice(space, n - 2 - len(before_ad))
                yield from ((f"point of the lattice of {k} steps", row) for row in rows)
                before_ad = np.vstack([before_ad, rows])
            why = "farthest from all before" if pool is None else "farthest of the pool from all before"
            if pool is None:
                n_pool = max(N_POOL, 4 * n)
                pool = dirichlet(space, base_d, n_pool, rng) if space.is_box else hit_and_run(space, n_pool, rng)
            yield from ((why, row) for row in farthest_point(space, pool, n, before_ad))

    def _repeated(self, space: Space, singles: Sequence[Proposal]) -> list[Proposal]:
        """The mixtures of the crossed block: the anchors, then those farthest from what is chosen."""
        chosen = [p for p in singles if p.why.startswith(("natural", "uniform"))][: self.n_repeat_mixtures]
        others = [p for p in singles if p not in chosen]
        n_more = min(self.n_repeat_mixtures - len(chosen), len(others))
        if n_more > 0:
            pool, start = (np.array([p.mixture.over(space.domains) for p in part]) for part in (others, chosen))
            for row in farthest_point(space, pool, n_more, start):
                chosen.append(others[int(np.abs(pool - row).sum(1).argmin())])
        return chosen

    @staticmethod
    def _short(single: Proposal) -> str:
        name = single.why.split(" ")[0].rstrip(",")
        return name if name in ("natural", "uniform") else f"a far mixture ({single.why})"


def n_planned(view: StudyView, n_extra: int = 0) -> int:
    """Trials of the first rung that the budget pays for; 3 (d + 1) and some more where it says nothing of them."""
    budget, price = view.budget, view.rungs[0].flops
    limits = [] if budget is None or budget.n_trials is None else [budget.n_trials]
    if budget is not None and budget.flops is not None and price:
        limits.append(int(budget.flops * (1.0 + 1e-9) / price))
    return min(limits, default=3 * (len(view.domains) + 1) + n_extra)


def base_mixture(natural_d: Floats | None, d: int) -> Floats:
    """natural^½ renormalised, (d,), each weight at least a hundredth of uniform; uniform where natural is None."""
    if natural_d is None:
        return np.full(d, 1.0 / d)
    root = np.maximum(np.sqrt(natural_d) / np.sqrt(natural_d).sum(), 0.01 / d)
    base: Floats = root / root.sum()
    return base


def candidates(space: Space, base_d: Floats, seed: int) -> Floats:
    """Mixtures to choose from, (q, d): the pool, or half around `base_d` and half even over the space."""
    if space.pool_qd is not None:
        return of_pool(space, seed)
    rng = np.random.default_rng(seed)
    near = dirichlet(space, base_d, N_CANDIDATES // 2, rng)
    return np.vstack([near, hit_and_run(space, N_CANDIDATES - len(near), rng)])


def dirichlet(
    space: Space,
    base_d: Floats,
    n: int,
    rng: np.random.Generator,
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> Floats:
    """Draws around `base_d` inside the space, (n, d): row i ~ Dirichlet(concentrations[i mod 3] · base), rows sum to 1.

    Rejection; where fewer than one draw in a hundred is allowed, a draw is projected on the space and pulled a random
    part of the way to its middle. Row i does not depend on n.
    """
    out = np.empty((n, len(base_d)))
    middle = _middle(space)
    for i in range(n):
        alpha = concentrations[i % len(concentrations)] * base_d
        drawn = rng.dirichlet(alpha, size=1)
        allowed = space.contains(drawn, 0.0)
        if not allowed[0]:
            drawn = rng.dirichlet(alpha, size=N_TRIES)
            allowed = space.contains(drawn, 0.0)
        if allowed.any():
            out[i] = drawn[int(allowed.argmax())]
        else:
            out[i] = _pulled(space, drawn[:1], rng.random(1), middle)[0]
    return out


def _drawn(space: Space, base_d: Floats, n: int, rng: np.random.Generator) -> Iterator[tuple[str, Floats]]:
    around = "natural^½" if np.ptp(base_d) > SAME else "uniform"
    for i, row in enumerate(dirichlet(space, base_d, n, rng)):
        yield f"Dirichlet around {around}, concentration {CONCENTRATIONS[i % 3]:g}", row


def low_discrepancy(space: Space, n: int, seed: int) -> Floats:
    """Evenly spread mixtures inside the space, (n, d): scrambled Sobol points as quantiles of exponentials, normalised.

    That maps the cube to the uniform law on the simplex. Rejection; what the sequence does not yield within 16,384
    points is projected and pulled as in `dirichlet`. Row i does not depend on n.
    """
    sobol = qmc.Sobol(len(space.domains) + 1, scramble=True, seed=seed)
    cube = sobol.random_base2(10)
    while True:
        quantiles = -np.log(np.clip(cube[:, :-1], 1e-12, 1.0 - 1e-12))
        points = quantiles / quantiles.sum(1, keepdims=True)
        allowed = space.contains(points, 0.0)
        if allowed.sum() >= n:
            return np.asarray(points[allowed][:n])
        if len(cube) >= max(16_384, 2 * n):
            rest = ~allowed
            moved = _pulled(space, points[rest], cube[rest, -1], _middle(space))
            return np.asarray(np.vstack([points[allowed], moved])[:n])
        cube = np.vstack([cube, sobol.random_base2(int(np.log2(len(cube))))])


def lattice(space: Space, n: int) -> tuple[int, Floats]:
    """Steps k and allowed points (≤ n, d) of the finest simplex lattice {d, k} with 1 to n of them; vertices first.

    Weights are multiples of 1/k. Points of equal Σ w² are in the order of the domains; k is 0 and there is no point
    where every lattice of at most 100,000 points has none or too many in the space. Reference: Scheffé (1958).
    """
    d, k, found = len(space.domains), 0, (0, np.empty((0, len(space.domains))))
    while d > 1 and comb(d + k, d - 1) <= N_LATTICE:
        k += 1
        bars = np.array(list(combinations(range(d + k - 1), d - 1)))
        edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), d + k - 1)])
        points = (np.diff(edges, axis=1) - 1) / k
        inside = points[space.contains(points)]
        if 1 <= len(inside) <= n:
            found = k, inside
        elif len(inside) > n and space.is_box:
            break
    order = np.lexsort([*(-found[1].T[::-1]), -np.round((found[1] ** 2).sum(axis=1), 9)])
    return found[0], found[1][order]


def farthest_point(space: Space, candidates_qd: Floats, n: int, start_ad: Floats | None = None) -> Floats:
    """N of the allowed candidates, each the farthest from all before it in coordinates w^0.3, (n, d).

    `start_ad` are mixtures that are there already; without them the first candidate starts. Fewer rows come back
    when there are fewer distinct candidates.
    """
    rows = candidates_qd[space.contains(candidates_qd)]
    if not len(rows):
        return rows
    spread = np.clip(rows, 0.0, 1.0) ** ROOT
    chosen: list[int] = []
    if start_ad is None or not len(start_ad):
        chosen.append(0)
        start = spread[:1]
    else:
        start = np.clip(start_ad, 0.0, 1.0) ** ROOT
    nearest = np.full(len(rows), np.inf)
    for point in start:
        nearest = np.minimum(nearest, np.linalg.norm(spread - point, axis=1))
    while len(chosen) < n and nearest.max() > 0.0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(spread - spread[chosen[-1]], axis=1))
    return np.asarray(rows[chosen[:n]])


def _middle(space: Space) -> Floats:
    """A mixture off every bound that some allowed mixture is off: the mean of the vertices' projections, (d,)."""
    middle: Floats = space.project(np.eye(len(space.domains))).mean(axis=0)
    return middle


def _pulled(space: Space, W_qd: Floats, share_q: Floats, middle_d: Floats) -> Floats:
    """Rows projected on the space, then pulled to its middle so that a uniform share fills it evenly, (q, d)."""
    reach = share_q[:, None] ** (1.0 / max(len(middle_d) - 1, 1))
    pulled: Floats = middle_d + reach * (space.project(W_qd) - middle_d)
    return pulled
