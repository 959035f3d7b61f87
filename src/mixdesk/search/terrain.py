"""The ground a search walks on: where it may go, where there is evidence, and what a law says of each mixture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.errors import Infeasible, InputError, NotEnoughEvidence
from mixdesk.core.objective import BEST_SEEN, NATURAL, UNIFORM, Objective
from mixdesk.core.observations import Floats, Inputs, Metric
from mixdesk.core.protocols import Law, LawFit
from mixdesk.core.region import RIM, Region
from mixdesk.core.scale import Scale
from mixdesk.core.space import Space, rounded_up
from mixdesk.core.trial import StudyView, inputs_at
from mixdesk.search.feasible import settle

# How the region is called among the binding constraints of a recommendation.
REGION = "region of the runs"
# A guard may be missed by this share of its metric's spread over the runs (rounding), and binds this near to its limit.
MISS, TOUCH = 1e-4, 1e-3
# Halvings of the way back to a mixture that keeps the guards.
N_HALVINGS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A guard on one metric, as the search keeps it: sign × the law's mean ≤ `bound`.

    `metric` place in the law's order; `unit` spread of the law's means over the runs, in which misses are measured;
    `words` for people.
    """

    metric: int
    sign: float
    bound: float
    unit: float
    words: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Terrain:
    """A study's question to a law: objective over the allowed mixtures that lie in the region of the runs.

    A guard counts as kept where the law's mean keeps it: the probability is then a half or more, and the recipe says
    how much more.

    `scale` at which the law is asked; `metrics` those of the law, in its order, as the study declares them; `space` at
    the target; `region` of the finished trials at the fullest rung, None where no allowed mixture lies in it (the
    constraints then lead away from all evidence); `anchor_d` an allowed mixture deep inside the region; `natural_d` the
    natural mixture, uniform where unknown; `best_d` the best mixture seen, None where none is allowed; `limits` from
    the guards; `haven_d` an allowed mixture that keeps them, where a rival does.
    """

    law: LawFit
    scale: Scale
    objective: Objective
    metrics: tuple[Metric, ...]
    space: Space
    region: Region | None
    anchor_d: Floats
    natural_d: Floats
    best_d: Floats | None
    limits: tuple[Limit, ...] = ()
    haven_d: Floats | None = None

    @classmethod
    def of(cls, view: StudyView, law: LawFit | None) -> Terrain:
        """The terrain of a view.

        Raises:
            NotEnoughEvidence: there is no law, or no finished trial.
            InputError: a guard names an unknown metric, or the natural mixture where that is unknown.
            Infeasible: no mixture satisfies the constraints.
        """
        if law is None:
            raise NotEnoughEvidence(
                "this strategy recommends by a law",
                value="no fitted law",
                bound="a law fitted on the study's trials",
                remedy="run more trials, or use the strategy `design`, which names the best mixture seen",
            )
        space = target_space(view)
        tried = view.observations(view.fullest.label).W_nd
        region = Region.of(tried)
        declared = {metric.name: metric for metric in view.metrics}
        scale = view.standing.scale
        Y_nm = law.predict(inputs_at(scale, space.domains, tried), level=0.0)
        allowed = space.project(np.vstack([region.centre_d, tried]))
        leverage = region.leverage(allowed)
        if space.pool_qd is not None:
            is_near = region.leverage(space.pool_qd) <= region.limit * (1.0 + 1e-6)
            space = replace(space, pool_qd=space.pool_qd[is_near]) if is_near.any() else space
        best = view.best_seen(space)
        open_terrain = cls(
            law=law,
            scale=scale,
            objective=view.objective,
            metrics=tuple(declared.get(name, Metric(name=name)) for name in Y_nm.metrics),
            space=space,
            region=region if leverage.min() < region.limit else None,
            anchor_d=allowed[int(leverage.argmin())],
            natural_d=natural_weights(view),
            best_d=None if best is None else np.array(best.spec.mixture.over(space.domains)),
        )
        if not view.objective.guards:
            return open_terrain
        guarded = replace(open_terrain, limits=_limits(open_terrain, view, Y_nm.mean_qm.std(axis=0)))
        refuges = guarded.enter(np.array([*_rivals(view).values(), guarded.anchor_d]))
        kept = refuges[guarded.keeps(guarded.means(refuges))]
        return replace(guarded, haven_d=kept[0]) if len(kept) else guarded

    def means(self, W_qd: Floats) -> Floats:
        """The law's mean prediction of every metric for each row, (q, m)."""
        return self.law.predict(self.inputs(W_qd), level=0.0).mean_qm

    def inputs(self, W_qd: Floats) -> Inputs:
        """Rows of weights as the law is asked about them."""
        return inputs_at(self.scale, self.space.domains, W_qd)

    def value(self, W_qd: Floats) -> Floats:
        """Objective of the law's mean prediction of each row, (q,)."""
        return self.objective.value(self.means(W_qd), self.metrics)

    def excess(self, means_qm: Floats) -> Floats:
        """How much worse than its guards allow each row of means is, (q, g), in units of each metric's spread."""
        columns = [(limit.sign * means_qm[:, limit.metric] - limit.bound) / limit.unit for limit in self.limits]
        return np.column_stack(columns) if columns else np.zeros((len(means_qm), 0))

    def keeps(self, means_qm: Floats) -> NDArray[np.bool_]:
        """Which rows of means keep every guard, (q,)."""
        return np.asarray((self.excess(means_qm) <= MISS).all(axis=1))

    def heeded(self, W_qd: Floats) -> tuple[Floats, Floats]:
        """Rows that keep the guards, (r, d), with their objective, (r,): the rest pulled to the haven, or left out."""
        means_qm = self.means(W_qd)
        if not self.limits:
            return W_qd, self.objective.value(means_qm, self.metrics)
        rows, means_qm = W_qd.copy(), means_qm.copy()
        wrong = np.flatnonzero(~self.keeps(means_qm))
        for _ in range(N_HALVINGS):
            if self.haven_d is None or self.is_finite or not len(wrong):
                break
            rows[wrong] = (rows[wrong] + self.haven_d) / 2.0
            means_qm[wrong] = self.means(rows[wrong])
            wrong = wrong[~self.keeps(means_qm[wrong])]
        right = np.delete(np.arange(len(rows)), wrong)
        return rows[right], self.objective.value(means_qm[right], self.metrics)

    def heed(self, w_d: Floats, safe_d: Floats) -> Floats:
        """A mixture that keeps the guards, on the way from a safe one (which does) to `w_d`, as far as can be, (d,)."""
        if not self.limits or self.keeps(self.means(w_d[None]))[0]:
            return w_d
        if self.is_finite:
            return safe_d
        share = np.linspace(1.0, 0.0, 201)[:, None]
        rows = safe_d + share * (w_d - safe_d)
        return np.asarray(rows[int(self.keeps(self.means(rows)).argmax())])

    def clash(self, W_qd: Floats) -> Infeasible:
        """The error that no mixture keeps the guards, with the smallest relaxation found among some candidates."""
        excess_qg = np.maximum(self.excess(self.means(W_qd)), 0.0)
        least = excess_qg[int(excess_qg.sum(axis=1).argmin())]
        missed = [(limit, float(e) * limit.unit) for limit, e in zip(self.limits, least, strict=True) if e > MISS]
        return Infeasible(
            "no allowed mixture keeps " + " and ".join(f"`{limit.words}`" for limit, _ in missed),
            value="missed by " + ", ".join(f"{gap:.3g}" for _, gap in missed) + " at the nearest of the mixtures tried",
            bound="the law's prediction within every guard",
            remedy="loosen " + " and ".join(f"`{limit.words}` by {rounded_up(gap, 3)}" for limit, gap in missed),
        )

    def contains(self, W_qd: Floats) -> NDArray[np.bool_]:
        """Which rows are allowed and lie in the region of the runs, (q,)."""
        inside = self.space.contains(W_qd)
        if self.region is not None:
            inside &= self.region.leverage(W_qd) <= self.region.limit * (1.0 + 1e-6)
        return inside

    def enter(self, W_qd: Floats) -> Floats:
        """Each row moved inside: projected on the space, then pulled into the region, (q, d).

        Of a finite pool the nearest mixture: of those in the region where there are any.
        """
        allowed = self.space.project(W_qd)
        return allowed if self.region is None or self.is_finite else self.region.pull(allowed, self.anchor_d)

    def binding(self, w_d: Floats) -> tuple[str, ...]:
        """Names of what holds a mixture: constraints it touches, and the region's rim."""
        held = self.space.binding(self.space.mixture(w_d))
        if self.region is not None and float(self.region.leverage(w_d)[0]) >= RIM * self.region.limit:
            held += (REGION,)
        touched = self.excess(self.means(w_d[None]))[0] >= -TOUCH
        return held + tuple(limit.words for limit, is_held in zip(self.limits, touched, strict=True) if is_held)

    @property
    def is_finite(self) -> bool:
        """Whether the allowed mixtures are a pool: then none lies between two."""
        return self.space.pool_qd is not None

    @property
    def caveat(self) -> str:
        """A sentence when the constraints leave no mixture near the runs, else empty."""
        return "" if self.region is not None else "; no allowed mixture lies in the region of the runs"


def learned(view: StudyView, law: Law) -> LawFit:
    """The law fitted on a view's runs: of every scale where it spans them, else of the rung with the most mixtures.

    Raises:
        NotEnoughEvidence: no trial is done, or too few for the law.
    """
    if getattr(law, "spans_scales", False):
        return law.fit(view.observations(every_scale=True))
    return law.fit(view.observations(view.fullest.label))


def target_space(view: StudyView) -> Space:
    """The space of a study's constraints at its target.

    Raises:
        Infeasible: no mixture satisfies the constraints.
    """
    return settle(Space.build(view.constraints, view.domains, view.corpus, view.target))


def natural_weights(view: StudyView) -> Floats:
    """The natural mixture over the study's domains, (d,); uniform where it is unknown."""
    d = len(view.domains)
    return np.full(d, 1.0 / d) if view.natural is None else np.array(view.natural.over(view.domains))


def _rivals(view: StudyView) -> dict[str, Floats]:
    """Weights of the rivals that a view knows, by name."""
    best, d = view.best_seen(), len(view.domains)
    known = {NATURAL: view.natural, BEST_SEEN: None if best is None else best.spec.mixture}
    found = {name: np.array(mixture.over(view.domains)) for name, mixture in known.items() if mixture is not None}
    return {UNIFORM: np.full(d, 1.0 / d), **found}


def _limits(terrain: Terrain, view: StudyView, spread_m: Floats) -> tuple[Limit, ...]:
    """The guards of a view over the law's metrics; a rival's value is what the law says of it."""
    rivals = _rivals(view)
    means = {name: terrain.means(row[None])[0] for name, row in rivals.items()}
    found = []
    for guard in view.objective.guards:
        if guard.than is not None and guard.than not in rivals:
            raise InputError(
                f"the guard on `{guard.metric}` needs the {guard.than} mixture",
                value="unknown",
                bound="one of " + ", ".join(rivals),
                remedy="give token counts, or guard against another rival or a number",
            )
        for j in guard.over(terrain.metrics):
            metric = terrain.metrics[j]
            limit = guard.limit(metric, None if guard.than is None else float(means[guard.than][j]))
            unit = float(spread_m[j]) or max(abs(limit), 1.0)
            found.append(Limit(metric=j, sign=metric.sign, bound=limit, unit=unit, words=guard.words(metric)))
    return tuple(found)
