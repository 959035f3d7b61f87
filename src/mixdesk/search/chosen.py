"""The mixtures from which a law learns most about the others, chosen before any answer (see `informative.py`).

Candidates are a pool, or mixtures around the natural one and even over the space.

Reference: Cohn (1996). What we do differently: the kernel is fixed and stands for laws of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import base_mixture, candidates, n_planned
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle
from mixdesk.search.informative import choose
from mixdesk.search.terrain import natural_weights, target_space


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Each trial tells the most about the mixtures that were not tried; what the study holds already counts."""

    title: ClassVar[str] = "the mixtures that tell a law most about the others"
    reference: ClassVar[str] = "cohn1996"
    eager: ClassVar[bool] = True

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n mixtures, given all that the first rung has been asked; as many as `Design` without a budget.

        Raises:
            Infeasible: no mixture satisfies the constraints, at the target or in the design.
        """
        target_space(view)
        space = settle(Space.build(view.constraints.without_epochs, view.domains))
        base = base_mixture(None if view.natural is None else natural_weights(view), len(view.domains))
        known = list(dict.fromkeys(trial.spec.mixture for trial in view.at()))
        drawn = dict.fromkeys(space.mixture(row) for row in candidates(space, base, view.seed))
        both = [*(mixture for mixture in drawn if mixture not in set(known)), *known]
        W_qd = np.array([mixture.over(view.domains) for mixture in both])
        n = min(n, n_planned(view) - len(view.at()), len(both) - len(known))
        why = "tells most about the other mixtures" + (" of the pool" if space.pool_qd is not None else "")
        places = choose(W_qd, n, range(len(both) - len(known), len(both))) if n > 0 else []
        return view.affordable([Proposal(mixture=both[i], rung=view.rungs[0].label, why=why) for i in places])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """As `Exact`."""
        return Exact().recommend(view, law)
