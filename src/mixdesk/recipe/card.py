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
from mixdesk.core.observations import Floats
from mixdesk.core.recipe import CardScore, PredictionCard, Recipe, Rival, ScoredClaim
from mixdesk.core.trial import StudyView
from mixdesk.recipe.confirm import by_replicate
from mixdesk.recipe.predicted import LEVEL_OF_VALUES, OBJECTIVE

# How the recipe is called among a card's mixtures, and in a table of results.
RECIPE = "recipe"


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
    )


def told(card: PredictionCard, view: StudyView) -> tuple[dict[str, dict[str, list[float]]], str]:
    """What the study's fresh trials say of a card's mixtures, plan → metric → values, and at which rung.

    The last rung at which the recipe has a fresh trial counts.

    Raises:
        NotEnoughEvidence: there is none.
    """
    for rung in reversed(view.rungs):
        runs = {one.name: by_replicate(view, one.mixture, rung.label) for one in card.mixtures}
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
        remedy="confirm the recipe, or give the big run's results as a table",
    )


def tabled(
    card: PredictionCard, plans: Sequence[str], columns: Mapping[str, Sequence[float | None]]
) -> tuple[dict[str, dict[str, list[float]]], bool | None, tuple[str, ...]]:
    """Results from a table with a row per run: plan → metric → values; whether they are of the card's size (None: the
    table or the card does not say); and notes on columns that were passed over.

    `plans` are recipe (or its plan id), natural, uniform, best seen; `columns` name → cells, with `n_params` and
    `n_tokens` where the size is told.

    Raises:
        InputError: a plan that is not on the card.
    """
    names = {one.name: one.name for one in card.mixtures} | {card.plan: RECIPE}
    metrics = {metric.name for metric in card.metrics}
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
    sizes = {"n_params": card.scale.n_params, "n_tokens": card.scale.n_tokens}
    told_sizes = [name for name, size in sizes.items() if name in columns and size is not None]
    is_same = all(value == sizes[name] for name in told_sizes for value in columns[name]) if told_sizes else None
    stray = sorted(set(columns) - metrics - set(sizes))
    return found, is_same, tuple(f"Column `{name}` is no metric of the card and was passed over." for name in stray)


def score(
    card: PredictionCard, results: Mapping[str, Mapping[str, Sequence[float]]], *, is_same_scale: bool
) -> CardScore:
    """A card beside results, plan → metric → the values of its runs; the objective is added where it can be.

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
        raise InputError(
            "no result can be set beside the card",
            value=", ".join(f"{plan}: {', '.join(found) or 'nothing'}" for plan, found in means.items()) or "no plan",
            bound="the recipe and a rival, with a metric of: " + ", ".join(m.name for m in card.metrics),
            remedy="name plans and metrics as the card does",
        )
    return CardScore(card=card.id, is_same_scale=is_same_scale, claims=tuple(claims), headline=_headline(claims))


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
        parts.append("at another scale no size was claimed")
    goal = [c for c in claims if c.metric == OBJECTIVE.name and c.sign_is_right is not None]
    wrong = [c for c in goal if not c.sign_is_right]
    against = " and ".join(str(c.rival) for c in wrong or goal)
    if goal:
        parts[0] = f"The card was {'wrong' if wrong else 'right'} on the objective against {against}: {parts[0]}"
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]
