"""The ground a search walks on: where it may go, where there is evidence, and what a law says of each mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Metric
from mixdesk.core.protocols import LawFit
from mixdesk.core.region import RIM, Region
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView

# How the region is called among the binding constraints of a recommendation.
REGION = "region of the runs"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Terrain:
    """A study's question to a law: objective over the allowed mixtures that lie in the region of the runs.

    `metrics` those of the law, in its order, as the study declares them; `space` at the target; `region` of the
    finished trials at the first rung, None where no allowed mixture lies in it (the constraints then lead away from
    all evidence); `anchor_d` an allowed mixture deep inside the region; `natural_d` the natural mixture, uniform where
    unknown; `best_d` the best mixture seen, None where none is allowed.
    """

    law: LawFit
    objective: Objective
    metrics: tuple[Metric, ...]
    space: Space
    region: Region | None
    anchor_d: Floats
    natural_d: Floats
    best_d: Floats | None

    @classmethod
    def of(cls, view: StudyView, law: LawFit | None) -> Terrain:
        """The terrain of a view.

        Raises:
            NotEnoughEvidence: there is no law, or no finished trial.
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
        tried = view.observations().W_nd
        region = Region.of(tried)
        declared = {metric.name: metric for metric in view.metrics}
        fitted = law.predict(Inputs.of(space.domains, tried[:1])).metrics
        allowed = space.project(np.vstack([region.centre_d, tried]))
        leverage = region.leverage(allowed)
        best = view.best_seen(space)
        anchor = allowed[int(leverage.argmin())]
        return cls(
            law=law,
            objective=view.objective,
            metrics=tuple(declared.get(name, Metric(name=name)) for name in fitted),
            space=space,
            region=region if leverage.min() < region.limit else None,
            anchor_d=anchor,
            natural_d=natural_weights(view),
            best_d=None if best is None else np.array(best.spec.mixture.over(space.domains)),
        )

    def means(self, W_qd: Floats) -> Floats:
        """The law's mean prediction of every metric for each row, (q, m)."""
        return self.law.predict(Inputs.of(self.space.domains, W_qd), level=0.0).mean_qm

    def value(self, W_qd: Floats) -> Floats:
        """Objective of the law's mean prediction of each row, (q,)."""
        return self.objective.value(self.means(W_qd), self.metrics)

    def contains(self, W_qd: Floats) -> NDArray[np.bool_]:
        """Which rows are allowed and lie in the region of the runs, (q,)."""
        inside = self.space.contains(W_qd)
        if self.region is not None:
            inside &= self.region.leverage(W_qd) <= self.region.limit * (1.0 + 1e-6)
        return inside

    def enter(self, W_qd: Floats) -> Floats:
        """Each row moved inside: projected on the space, then pulled into the region, (q, d)."""
        allowed = self.space.project(W_qd)
        return allowed if self.region is None else self.region.pull(allowed, self.anchor_d)

    def binding(self, w_d: Floats) -> tuple[str, ...]:
        """Names of what holds a mixture: constraints it touches, and the region's rim."""
        held = self.space.binding(self.space.mixture(w_d))
        if self.region is not None and float(self.region.leverage(w_d)[0]) >= RIM * self.region.limit:
            held += (REGION,)
        return held

    @property
    def caveat(self) -> str:
        """A sentence when the constraints leave no mixture near the runs, else empty."""
        return "" if self.region is not None else "; no allowed mixture lies in the region of the runs"


def target_space(view: StudyView) -> Space:
    """The space of a study's constraints at its target, the last rung.

    Raises:
        Infeasible: no mixture satisfies the constraints.
    """
    return Space.build(view.constraints, view.domains, view.corpus, view.rungs[-1].scale)


def natural_weights(view: StudyView) -> Floats:
    """The natural mixture over the study's domains, (d,); uniform where it is unknown."""
    d = len(view.domains)
    return np.full(d, 1.0 / d) if view.natural is None else np.array(view.natural.over(view.domains))
