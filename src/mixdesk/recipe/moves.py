"""How sure a smallest move is, from joint draws.

A step is short, and a law that is wrong today is wrong by nearly as much one step on. So its gain comes from the law's
draws for the mean of runs on both sides, not from those for two single runs, nor from what today's runs measured. That
is right nearby and too sure far off; a recipe is judged by `predicted.py`, as its guards and those of a step are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import NATURAL
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import Move
from mixdesk.core.region import Region
from mixdesk.core.trial import StudyView
from mixdesk.recipe.compose import find_rivals
from mixdesk.recipe.predicted import LEVEL_OF_VALUES, N_DRAWS, guard_checks, sides


def today_of(view: StudyView, today: Mixture | str) -> Mixture:
    """The mixture that a move starts from: given, or the rival of that name.

    Raises:
        InputError: no such rival, or one that is unknown here.
        NotEnoughEvidence: no finished trial has the objective's metrics.
    """
    if isinstance(today, Mixture):
        return today
    rivals = {rival.name: rival.mixture for rival in find_rivals(view)}
    name = today.lower().replace("-", " ").replace("_", " ")
    if name not in rivals:
        raise InputError(
            f"there is no mixture `{today}` to start from",
            value=today,
            bound="one of " + ", ".join(rivals) + ", or a mixture",
            remedy=nearest(name, rivals) if name != NATURAL else "give token counts, or the mixture itself",
        )
    return rivals[name]


def weigh(
    view: StudyView,
    fit: LawFit,
    today: Mixture,
    mixture: Mixture,
    *,
    gain: float,
    largest: float,
    law: str,
    held: tuple[Sequence[str], float, str] = ((), 0.0, ""),
) -> Move:
    """A step from `today` with the probability that it gains at all, and as much as asked.

    `held`: what binds the step, its KL divergence from today in nats, and the solver's doubt.
    """
    rivals = find_rivals(view)
    W_qd = np.array([one.over(view.domains) for one in (mixture, today, *(rival.mixture for rival in rivals))])
    found = sides(view, fit, np.delete(W_qd, 1, axis=0))
    said = fit.predict(view.inputs(W_qd[:2]), draws=N_DRAWS, level=0.0)
    by_name = {metric.name: metric for metric in view.metrics}
    metrics = [by_name[name] for name in said.metrics]
    after, before = view.objective.value(said.mean_qm, metrics).tolist()
    low = high = predicted = before - after
    probability = asked = None
    if said.draws_kqm is not None:
        value_kq = view.objective.value(said.draws_kqm, metrics)
        gain_k = value_kq[:, 1] - value_kq[:, 0]
        tail = (1.0 - LEVEL_OF_VALUES) / 2.0
        low, high = np.quantile(gain_k, [tail, 1.0 - tail]).tolist()
        probability, asked = float((gain_k >= 0.0).mean()), float((gain_k >= gain).mean())
    binding, kl, doubt = held
    region = Region.of(view.observations(view.fullest.label).W_nd)
    if float(region.leverage(W_qd[1:2])[0]) > region.limit * (1.0 + 1e-6):
        far = "today's mixture lies outside the region of the runs, where the law was never tested"
        doubt = f"{far}; {doubt}" if doubt else far
    return Move(
        objective=view.objective,
        today=today,
        mixture=mixture,
        gain=gain,
        predicted=predicted,
        low=low,
        high=high,
        kl=kl,
        probability=probability,
        probability_asked=asked,
        largest=largest,
        law=law,
        rung=found.rung.label,
        guards=guard_checks(view.objective, found, rivals),
        binding=tuple(dict.fromkeys(binding)),
        doubt=doubt,
    )
