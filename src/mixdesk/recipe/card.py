"""Prediction cards: what was claimed before a big run, frozen, and how it fared.

A card's values are claims about runs of its own size. At another size only the signs of the differences to the rivals
are claimed, and only those whose interval excludes 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Schedule
from mixdesk.core.observations import Floats
from mixdesk.core.recipe import CardScore, PredictionCard, Recipe, Rival, ScoredClaim
from mixdesk.core.trial import StudyView
from mixdesk.recipe.confirm import by_replicate
from mixdesk.recipe.predicted import LEVEL_OF_VALUES, OBJECTIVE

# How the recipe is called among a card's mixtures, and in a table of results.
RECIPE = "recipe"
# Sizes that differ by less are one: the last step of a run is not the same in every log.
ALIKE = 0.02


def freeze(recipe: Recipe, view: StudyView, date: str) -> PredictionCard:
    """The card of a recipe: its predicted values and differences, as they are now."""
    predicted = tuple(c for c in recipe.comparisons if c.basis == "predicted")
    rung = recipe.expected[0].rung if recipe.expected else view.rungs[0].label
    return PredictionCard(
        date=date,
        study=recipe.provenance.study,
        plan=recipe.plan.id,
        mixtures=(Rival(name=RECIPE, mixture=recipe.mixture), *recipe.rivals),
        objective=recipe.objective,
        metrics=view.metrics,
        expected=tuple(e for e in recipe.expected if e.rung == rung),
        comparisons=predicted,
        rung=rung,
        record_sha256=recipe.provenance.record_sha256,
        law=recipe.provenance.law,
        version=recipe.provenance.version,
        scale=next(one.scale for one in view.rungs if one.label == rung),
        schedule=recipe.plan.schedule if len(recipe.plan.schedule.stages) > 1 else None,
    )


def told(card: PredictionCard, view: StudyView) -> tuple[dict[str, dict[str, list[float]]], str]:
    """What the study's fresh trials say of a card's mixtures, plan → metric → values, and at which rung.

    The last rung at which the recipe has a fresh trial counts.

    Raises:
        NotEnoughEvidence: there is none.
    """
    for rung in reversed(view.rungs):
        runs = {one.name: by_replicate(view, _schedule(card, one), rung.label) for one in card.mixtures}
        if runs.get(RECIPE):
            found = {
                name: {metric.name: [t.final[metric.name] for t in trials.values() if metric.name in t.final]
                       for metric in card.metrics}
                for name, trials in runs.items()
            }  # fmt: skip
            return found, rung.label
    raise NotEnoughEvidence(
        "no fresh run of the recipe is known",
        value="0 runs",
        bound="at least one",
        remedy="confirm the recipe, or give the big run's results with --scores",
    )


def _schedule(card: PredictionCard, one: Rival) -> Schedule:
    """What a run of the recipe, or of a rival beside it, trains on."""
    if card.schedule is None:
        return Schedule.constant(one.mixture)
    return card.schedule if one.name == RECIPE else card.schedule.throughout(one.mixture)


def tabled(
    card: PredictionCard, plans: Sequence[str], columns: Mapping[str, Sequence[float | None]]
) -> tuple[dict[str, dict[str, list[float]]], tuple[str, ...]]:
    """Results from a table with a row per run: plan → metric → values; and notes on columns that were passed over.

    `plans` are recipe (or its plan id), natural, uniform, best seen; `columns` name → cells.

    Raises:
        InputError: a plan that is not on the card, or no metric of it.
    """
    names = {one.name: one.name for one in card.mixtures} | {card.plan: RECIPE}
    metrics = {metric.name for metric in card.metrics}
    if not metrics & set(columns):
        raise InputError(
            "no column is a metric of the card",
            value=", ".join(columns) or "no column of numbers",
            bound="one of " + ", ".join(sorted(metrics)),
            remedy="name the metrics as the card does",
        )
    found: dict[str, dict[str, list[float]]] = {}
    for i, given in enumerate(plans):
        name = given.lower().replace("_", " ").replace("-", " ")
        if name not in names:
            raise InputError(
                f"row {i + 1}: the card has no plan `{given}`",
                value=given,
                bound="one of " + ", ".join(names),
                remedy=nearest(name, names),
            )
        of_plan = found.setdefault(names[name], {})
        for column in sorted(metrics & set(columns)):
            value = columns[column][i]
            if value is not None:
                of_plan.setdefault(column, []).append(value)
    stray = sorted(set(columns) - metrics)
    return found, tuple(f"Column `{name}` is no metric of the card and was passed over." for name in stray)


def is_of_size(card: PredictionCard, told: Mapping[str, Sequence[int | None]]) -> bool | None:
    """Whether all runs have the card's size within 2 %, by `n_params` and `n_tokens`; None: one side does not say."""
    known = [
        abs(value / size - 1.0) <= ALIKE
        for name, size in (("n_params", card.scale.n_params), ("n_tokens", card.scale.n_tokens))
        for value in told.get(name, ())
        if size is not None and value is not None
    ]
    return all(known) if known else None


def score(
    card: PredictionCard, results: Mapping[str, Mapping[str, Sequence[float]]], *, is_same_scale: bool
) -> CardScore:
    """A card beside results, plan → metric → the values of its runs; the objective is added where it can be.

    The notes say how each guard fared.

    Raises:
        InputError: no result of the recipe, or none that the card speaks of.
    """
    means = {plan: _means(card, measured) for plan, measured in results.items()}
    n_runs = {plan: max((len(values) for values in measured.values()), default=0) for plan, measured in results.items()}
    mine = means.get(RECIPE, {})
    claims = []
    if is_same_scale:
        claims = [_value(e.metric, (e.mean, e.low, e.high), mine[e.metric], n_runs[RECIPE])
                  for e in card.expected if e.metric in mine]  # fmt: skip
    for c in card.comparisons:
        theirs = means.get(c.rival, {})
        if c.metric not in mine or c.metric not in theirs:
            continue
        measured = mine[c.metric] - theirs[c.metric]
        sd = (c.high - c.low) / (2.0 * _reach(c.level))
        is_claimed = c.verdict != "no different"
        claims.append(
            ScoredClaim(
                metric=c.metric,
                rival=c.rival,
                predicted=c.difference,
                low=c.low,
                high=c.high,
                measured=measured,
                n_runs=min(n_runs[RECIPE], n_runs[c.rival]),
                held=c.low <= measured <= c.high if is_same_scale else None,
                sign_is_right=(measured < 0.0) == (c.difference < 0.0) and measured != 0.0 if is_claimed else None,
                z=(measured - c.difference) / sd if is_same_scale and sd > 0.0 else None,
            )
        )
    if not claims:
        wrong, bound, remedy = ("no run of the recipe is among the results", f"a plan `{RECIPE}`", "add its run")
        if mine:
            wrong, bound = "there is nothing to set the recipe beside", "a rival with a metric that the recipe has too"
            remedy = "add a rival's run, or say --same-scale where the runs have the card's size"
        plans = ", ".join(f"{plan} ({', '.join(found) or 'nothing measured'})" for plan, found in means.items())
        raise InputError(wrong, value=plans or "no plan", bound=bound, remedy=remedy)
    return CardScore(
        card=card.id,
        is_same_scale=is_same_scale,
        claims=tuple(claims),
        headline=_headline(claims),
        notes=_guards(card, means),
    )


def _guards(card: PredictionCard, means: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """A sentence for each guard of the card: kept, broken, or not measured."""
    said: dict[str, str] = {}
    for guard in card.objective.guards:
        for metric in (card.metrics[j] for j in guard.over(card.metrics)):
            words, mine = guard.words(metric), means.get(RECIPE, {}).get(metric.name)
            rival = None if guard.than is None else means.get(guard.than, {}).get(metric.name)
            if mine is None or (guard.than is not None and rival is None):
                said[words] = f"Guard {words}: not measured."
                continue
            excess = metric.sign * mine - guard.limit(metric, rival)
            how = "kept" if excess <= 0.0 else "broken"
            said[words] = f"Guard {words}: {how} by {abs(excess):.4f}, means of runs."
    return tuple(said.values())


def _means(card: PredictionCard, measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean of each metric over a plan's runs, and the objective of these means where all its metrics are there."""
    found = {name: float(np.mean(values)) for name, values in measured.items() if len(values)}
    Y_m: Floats = np.array([found.get(metric.name, np.nan) for metric in card.metrics])
    value = float(card.objective.value(Y_m, card.metrics))
    return {**({OBJECTIVE.name: value} if np.isfinite(value) else {}), **found}


def _value(metric: str, said: tuple[float, float, float], measured: float, n_runs: int) -> ScoredClaim:
    mean, low, high = said
    sd = (high - low) / (2.0 * _reach(LEVEL_OF_VALUES))
    return ScoredClaim(
        metric=metric,
        rival=None,
        predicted=mean,
        low=low,
        high=high,
        measured=measured,
        n_runs=n_runs,
        held=low <= measured <= high,
        sign_is_right=None,
        z=(measured - mean) / sd if sd > 0.0 else None,
    )


def _reach(level: float) -> float:
    """Half the width of a normal interval, in sd."""
    return NormalDist().inv_cdf((1.0 + level) / 2.0)


def _headline(claims: Sequence[ScoredClaim]) -> str:
    """How the claims fared, the objective first."""
    signs = [claim.sign_is_right for claim in claims if claim.sign_is_right is not None]
    held = [claim.held for claim in claims if claim.held is not None]
    parts = []
    if signs:
        parts.append(f"{sum(signs)} of {len(signs)} claimed signs are right")
    else:
        parts.append("no sign was claimed")
    if held:
        parts.append(f"{sum(held)} of {len(held)} intervals hold what was measured")
    else:
        parts.append("sizes are scored at the card's own scale only")
    goal = [c for c in claims if c.metric == OBJECTIVE.name and c.sign_is_right is not None]
    wrong = [c for c in goal if not c.sign_is_right]
    against = " and ".join(str(c.rival) for c in wrong or goal)
    if goal:
        parts[0] = f"The card was {'wrong' if wrong else 'right'} on the objective against {against}: {parts[0]}"
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]
