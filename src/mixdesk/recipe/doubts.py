"""Where the law knows least about a mixture: for each domain, the step of its weight whose effect is least certain.

A weight is halved and doubled (a small one goes to the uniform weight), all else in proportion, as far as bounds let.
The law's joint draws give the difference of the objective to the mixture's own, and the width of its 90 % interval is
the doubt. A trial at the far end of the widest tells most about this mixture, as far as the law is right about its own
uncertainty; where the end lies outside the region of the runs, it is extrapolating.
"""

from __future__ import annotations

import numpy as np

from mixdesk.core.checks import core_type
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.protocols import LawFit
from mixdesk.core.region import Region
from mixdesk.core.trial import StudyView
from mixdesk.recipe.predicted import LEVEL_OF_VALUES
from mixdesk.recipe.why import MOVED, SMALL, Line, objective_draws


@core_type
class Doubt:
    """A `domain` of a mixture, its `weight` there, and the step `to` another weight that is least certain.

    `difference` of the predicted objective to the mixture's, in its unit (positive: worse), with its 90 % interval;
    `leverage` of the step's end relative to the farthest trial: above 1 it lies outside the region of the runs. `trial`
    is the mixture at that end.
    """

    domain: str
    weight: float
    to: float
    difference: float
    low: float
    high: float
    leverage: float
    trial: Mixture

    @property
    def spread(self) -> float:
        """Width of the interval."""
        return self.high - self.low


@core_type
class Doubts:
    """The doubts about a mixture, the largest first, by the `law` at the rung `rung`; `notes` what to mind."""

    found: tuple[Doubt, ...]
    law: str
    rung: str
    notes: tuple[str, ...] = ()


def doubts(view: StudyView, fit: LawFit, mixture: Mixture) -> tuple[Doubt, ...]:
    """The doubt about each domain of a mixture, the largest first; domains that constraints hold are left out.

    Raises:
        InputError: the mixture has a domain that the study has not.
        NotEnoughEvidence: the law gives no draws, so it does not say how sure it is.
    """
    w_d, region = np.array(mixture.over(view.domains)), Region.of(view.observations(view.fullest.label).W_nd)
    ends, of = [w_d], []
    for i in range(len(w_d)):
        in_d = np.arange(len(w_d)) == i
        line = Line.of(view, w_d, in_d)
        wishes = [line.weight / 2.0, 2.0 * line.weight] if line.weight >= SMALL else [1.0 / len(w_d)]
        for wish in wishes:
            end_d, _ = line.reach(min(wish, 1.0))
            if abs(end_d[i] - w_d[i]) > MOVED:
                ends.append(end_d)
                of.append(i)
    mean_q, draws_kq = objective_draws(view, fit, np.array(ends))
    if draws_kq is None:
        raise NotEnoughEvidence(
            "the law does not say how sure it is", value="no draws", bound="a law with draws",
            remedy="choose another with --law",
        )  # fmt: skip
    tail = (1.0 - LEVEL_OF_VALUES) / 2.0
    found: dict[int, Doubt] = {}
    for q, i in enumerate(of, start=1):
        low, high = np.quantile(draws_kq[:, q] - draws_kq[:, 0], [tail, 1.0 - tail]).tolist()
        one = Doubt(
            domain=view.domains[i], weight=float(w_d[i]), to=float(ends[q][i]),
            difference=float(mean_q[q] - mean_q[0]), low=low, high=high,
            leverage=float(region.leverage(ends[q])[0]) / region.limit if region.limit > 0.0 else 0.0,
            trial=Mixture.of(dict(zip(view.domains, ends[q].tolist(), strict=True)), normalise=True),
        )  # fmt: skip
        if i not in found or found[i].spread < one.spread:
            found[i] = one
    return tuple(sorted(found.values(), key=lambda one: -one.spread))
