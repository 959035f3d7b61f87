"""MoDoMoDo's procedure for few and dear trials: seeds, a surface, and its minimum where that is credible.

    seeds        each domain alone, all but one evenly, all evenly: 2 d + 1 mixtures;  then design mixtures
    recommended  the law's minimum where P(it is better than the best mixture seen) ≥ `credible`, else the best seen

P is over joint draws of the law at both mixtures. Meant for the law `quadratic` (the paper's form: root = false), but
takes any.

What we do differently: the paper samples mixtures and returns the best predicted; here the minimum is solved for, and a
law that is wrong or unsure is not followed. The threshold is calibrated in docs/log.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import Design, n_planned
from mixdesk.search.exact import N_SIMULATED, Problem, solve, spread_around
from mixdesk.search.feasible import settle
from mixdesk.search.simulate import simulate
from mixdesk.search.terrain import Terrain, target_space

# Joint draws of the law behind P.
N_DRAWS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class MoDoMoDo:
    """Seeds, then a design; the law's minimum or the best mixture seen.

    Args:
        credible: probability from which the minimum is believed to be better than the best mixture seen.
    """

    title: ClassVar[str] = "singles and leave-one-outs; the law's minimum where it is credible"
    reference: ClassVar[str] = "modomodo"
    eager: ClassVar[bool] = True

    credible: float = 0.95

    def __post_init__(self) -> None:
        put(self, credible=checks.finite("credible", self.credible, 0.5, 1.0))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n proposals of the list that the first rung does not have yet, within the budget.

        Raises:
            Infeasible: no mixture satisfies the constraints, at the target or in the design.
        """
        target_space(view)
        asked = {trial.spec.mixture for trial in view.at()}
        left = [p for p in self._proposals(view) if p.mixture not in asked]
        return view.affordable(left[:n])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The minimum of the law, or the best allowed mixture seen; `why` says which and how sure that is.

        Raises:
            NotEnoughEvidence: no law, or no finished trial.
            Infeasible: no mixture satisfies the constraints, or no candidate keeps the guards.
        """
        terrain = Terrain.of(view, law)
        rng = np.random.default_rng(view.seed)
        simulated = simulate(terrain, N_SIMULATED, N_SIMULATED, rng)
        problem = Problem(terrain, 0.0)
        best, doubt = solve(problem, simulated)
        seen = terrain.best_d
        why = f"minimum of the predicted objective{doubt}{terrain.caveat}"
        if seen is not None and terrain.keeps(terrain.means(seen[None]))[0]:
            chance = _chance(terrain, best, seen)
            said = "unknown" if chance is None else f"{chance:.2f}"
            if chance is not None and chance >= self.credible:
                why += f"; better than the best mixture seen with probability {said}"
            else:
                best = seen
                why = (
                    f"best mixture measured: the probability that the law's minimum is better is {said}, "
                    f"not {self.credible:g} or more"
                )
        return Recommendation(
            mixture=terrain.space.mixture(best),
            spread=spread_around(problem, best, simulated, rng),
            binding=terrain.binding(best),
            why=why,
        )

    def _proposals(self, view: StudyView) -> list[Proposal]:
        """The whole list: seeds moved inside the bounds, each once, then design mixtures."""
        space = settle(Space.build(view.constraints.without_epochs, view.domains))
        label = view.rungs[0].label
        listed: dict[Mixture, Proposal] = {}
        for why, row in _seeds(space):
            mixture = space.mixture(row)
            listed.setdefault(mixture, Proposal(mixture=mixture, rung=label, why=why))
        for proposal in Design(anchors=False, n_replicates=1).proposals(view):
            listed.setdefault(proposal.mixture, proposal)
        return list(listed.values())[: n_planned(view)]


def _seeds(space: Space) -> list[tuple[str, Floats]]:
    """Reasons and rows of the seeds, inside the bounds; a seed that had to be moved says so."""
    d = len(space.domains)
    wanted = [(f"`{name}` alone", row) for name, row in zip(space.domains, np.eye(d), strict=True)]
    if d > 2:
        without = (1.0 - np.eye(d)) / (d - 1)
        wanted += [(f"all but `{name}`", row) for name, row in zip(space.domains, without, strict=True)]
    wanted.append(("all domains alike", np.full(d, 1.0 / d)))
    is_inside = space.contains(np.array([row for _, row in wanted]))
    return [
        (why, row) if fits else (f"{why}, moved inside the bounds", space.project(row)[0])
        for (why, row), fits in zip(wanted, is_inside, strict=True)
    ]


def _chance(terrain: Terrain, one_d: Floats, other_d: Floats) -> float | None:
    """Probability that the first mixture has the better objective, over draws of the law; None without draws."""
    said = terrain.law.predict(terrain.inputs(np.array([one_d, other_d])), N_DRAWS)
    if said.draws_kqm is None:
        return None
    value_kq = terrain.objective.value(said.draws_kqm, terrain.metrics)
    return float((value_kq[:, 0] < value_kq[:, 1]).mean())
