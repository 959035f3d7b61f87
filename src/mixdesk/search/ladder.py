"""For strategies that ask in rounds: a study's rungs, what its trials were worth, and which proposals come next.

A round is a list of proposals that is made when all rounds before it are answered. A strategy yields its rounds one
after the other, always from the first, out of the view alone; `next_of` goes through them to the first that is not
asked in full. So the strategy has no state, and a resumed study asks what an undisturbed one asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.plan import FIRST_FRESH_REPLICATE, Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit, SpansScales
from mixdesk.core.scale import Rung
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView, Trial
from mixdesk.search.design import Design
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle

WAITING = ("waiting", "running")


def proxy_rungs(view: StudyView) -> tuple[Rung, ...]:
    """The rungs that a strategy asks: all but the target, which is for confirmation; a study's only rung is its own."""
    return view.rungs[:-1] or view.rungs


def asking_space(view: StudyView) -> Space:
    """The mixtures that may be asked: the constraints without those on epochs, which only hold at the target.

    Raises:
        Infeasible: there are none.
    """
    return settle(Space.build(view.constraints.without_epochs, view.domains))


def general_mixture(view: StudyView, space: Space) -> Mixture:
    """The natural mixture (uniform where unknown) as it is where it is allowed, else the nearest that is."""
    mixture = view.natural or Mixture.uniform(view.domains)
    wanted = np.array(mixture.over(view.domains))
    return mixture if space.contains(wanted)[0] else space.mixture(space.project(wanted)[0])


def next_of(view: StudyView, rounds: Iterable[Sequence[Proposal]], n: int) -> list[Proposal]:
    """The next ≤ n proposals that are not asked yet, within the budget, all of one round; none while one is out."""
    for proposals in rounds:
        found = [trial_of(view, proposal) for proposal in proposals]
        new = [proposal for proposal, trial in zip(proposals, found, strict=True) if trial is None]
        if new:
            return view.affordable(new[:n])
        if any(trial is not None and trial.state in WAITING for trial in found):
            return []
    return []


def trial_of(view: StudyView, proposal: Proposal) -> Trial | None:
    """The trial that a proposal asked; None where it was not asked."""
    asked = (proposal.mixture, proposal.replicate, proposal.rung, proposal.method, proposal.parents)
    for trial in view.trials:
        spec = trial.spec
        if (spec.mixture, spec.replicate, trial.rung, spec.method, spec.parents) == asked:
            return trial
    return None


def values(view: StudyView, trials: Sequence[Trial]) -> Floats:
    """The objective of each trial's answer, (n,); NaN where a metric of it was not measured."""
    rows = [[trial.final.get(metric.name, np.nan) for metric in view.metrics] for trial in trials]
    return view.objective.value(np.array(rows).reshape(-1, len(view.metrics)), view.metrics)


def ranked(view: StudyView, trials: Sequence[Trial]) -> dict[Mixture, float]:
    """Mixture → objective, repeats averaged, lowest first; what was not measured in full is left out."""
    found: dict[Mixture, list[float]] = {}
    for trial, value in zip(trials, values(view, trials).tolist(), strict=True):
        if np.isfinite(value) and trial.spec.replicate < FIRST_FRESH_REPLICATE:
            found.setdefault(trial.spec.mixture, []).append(value)
    means = {mixture: float(np.mean(each)) for mixture, each in found.items()}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def n_asked(view: StudyView) -> int | None:
    """How many trials the whole budget allows; None without such a limit."""
    return None if view.budget is None else view.budget.n_trials


def recommend_at(view: StudyView, rung: Rung, law: Law, fit: LawFit | None) -> Recommendation:
    """The best mixture by the runs of one rung alone: through a law from d + 2 mixtures on, else the best seen there.

    Args:
        view: the study.
        rung: one of its rungs; runs of other rungs are not looked at.
        law: fitted on that rung where `fit` is not of it.
        fit: of the fullest rung, or of all scales.

    Raises:
        NotEnoughEvidence: no run of that rung has an answer.
        Infeasible: no mixture satisfies the constraints.
    """
    there = replace(view, trials=view.at(rung.label), rungs=tuple(dict.fromkeys((rung, view.rungs[-1]))))
    if view.n_mixtures(rung) < len(view.domains) + 2:
        return Design().recommend(there)
    if fit is None or (view.fullest != rung and not isinstance(law, SpansScales)):
        fit = law.fit(there.observations())
    return Exact().recommend(there, fit)
