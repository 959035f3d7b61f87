"""What the page evaluates and points at, as plain data: the law, presets and limits of the faders, the trials."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from mixdesk.core.files import to_data
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Verdict
from mixdesk.core.recipe import UNIFORM, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, words
from mixdesk.report.figures import Answer

# Significant digits of the trials' columns in the page: far below any noise, and a third of the bytes.
DIGITS = 9
# Trials × domains above which rows of weights are packed, in digits of base 64: a quarter of the bytes.
MOST_PLAIN = 50_000
SIXTY_FOUR = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def console(view: StudyView, answer: Answer) -> dict[str, Any]:
    """What the faders need: the law, the objective, the presets, the region of the trials and the epochs."""
    recipe, domains = answer.recipe, view.domains
    # Of a recipe in stages the faders start from what the law can speak of.
    judged = view.spoken(recipe.plan.schedule)
    bands = figures.bands(view, figures.lead_of(view, recipe).mixture, by_family=False)
    weights = recipe.objective.weights(view.metrics)
    where, rung = figures.region(view), figures.law_rung(view, recipe)
    unique = {d.name: d.n_tokens for d in view.corpus.domains} if view.corpus is not None else {}
    licences = {d.name: dict(d.licenses) for d in view.corpus.domains} if view.corpus is not None else {}
    run = recipe.plan.scale.n_tokens
    level = next((c.level for c in recipe.comparisons if c.basis == "predicted"), 0.9)
    return {
        "study": view.name,
        "unit": figures.unit_of(view, recipe.objective),
        "better": figures.direction(view, recipe.objective),
        "rung": rung.label,
        "size": {name: getattr(rung.scale, name) for name in ("n_params", "n_tokens")},
        "domains": list(domains),
        "channels": [{"i": band.members[0], "label": band.label, "family": band.family} for band in bands],
        "presets": [
            {"name": one.name, "weights": list((judged if one.name == figures.RECIPE else one.mixture).over(domains))}
            for one in figures.named_mixtures(view, recipe)
        ],
        "start": figures.lead_of(view, recipe).name,
        "reference": figures.reference(view).name,
        "is_refused": figures.is_refused(recipe),
        "law": {"name": recipe.provenance.law, **page_law(answer.browser)},
        "metrics": [
            {"name": m.name, "unit": m.unit, "sign": m.sign, "weight": float(w)}
            for m, w in zip(view.metrics, weights, strict=True)
        ],
        "reduce": recipe.objective.reduce,
        "level": level,
        "z": NormalDist().inv_cdf((1.0 + level) / 2.0),
        "guards": [
            {
                "metric": view.metrics[j].name,
                "words": guard.words(view.metrics[j]),
                "than": guard.than,
                "limit": guard.slack if guard.than else guard.limit(view.metrics[j]),
            }
            for guard in recipe.objective.guards
            for j in guard.over(view.metrics)
        ],
        "runs": view.fullest.label,
        "papers": list(recipe.provenance.references),
        "licences": [", ".join(sorted(licences.get(domain, ()))) for domain in domains],
        "exports": {target: to_data(snippet) for target, snippet in answer.snippets.items()},
        "draft": draft(recipe),
        "region": None
        if where is None
        else {
            "centre": where.centre_d.tolist(),
            "inverse": [_packed(row) for row in where.inverse_dd.tolist()],
            "inner": where.inner,
            "limit": where.limit,
        },
        "epochs": {
            "run": run,
            "unique": [unique.get(domain) for domain in domains],
            "limit": view.constraints.max_epochs,
        }
        if run and unique
        else None,
    }


def draft(recipe: Recipe) -> dict[str, Any]:
    """A recipe file for a mixture set by hand: the recipe's plan, objective and rivals, and no claim; `recipe check`
    reads it and says that nothing was judged. The page puts the mixture and what follows from it into it.
    """
    unjudged = Verdict(
        name="too weak",
        state="no evidence",
        headline="A mixture set by hand on the desk: no verdict.",
        reason="The law's value stands in `expected`; nobody compared it with its rivals.",
        remedy="Run it as a trial, or make a recipe with `mixdesk recipe make`.",
        recommended=UNIFORM,
    )
    plan = replace(recipe.plan, schedule=Schedule.constant(recipe.mixture))
    provenance = replace(recipe.provenance, strategy="by hand", scores=(), noise=())
    bare = Recipe(
        plan=plan,
        objective=recipe.objective,
        rivals=recipe.rivals,
        comparisons=(),
        verdict=unjudged,
        provenance=provenance,
        warnings=("set by hand on the desk",),
    )
    return {"schema": 1, **to_data(bare)}


def bands(view: StudyView, lead: Mixture) -> list[dict[str, Any]]:
    """The columns that stand for the mixture in tables and figures: domains, or families of many."""
    return [{"label": one.label, "members": list(one.members)} for one in figures.shown_bands(view, lead)]


def page_law(law: dict[str, Any], wanted: list[list[bool]] | None = None) -> dict[str, Any]:
    """A law's browser data as the page holds it.

    Coefficients of a process's draws are packed. Draw k of metric m of an average's member is None where the average
    does not pick it: `wanted[k][m]`, None for all.
    """
    if "members" in law and "picks" in law:
        members = []
        for number, member in enumerate(law["members"]):
            columns = [law["metrics"].index(name) for name in member["metrics"]]
            members.append(page_law(member, [[pick[column] == number for column in columns] for pick in law["picks"]]))
        return {**law, "members": members}
    # Laws over scales hold whole laws.
    if "base" in law:
        return {**law, "base": page_law(law["base"])}
    if "experts" in law:
        return {**law, "experts": [page_law(one) for one in law["experts"]]}
    if "draws" in law and wanted is not None:
        # Draws beyond the average's are never asked for.
        draws = {
            key: [
                [one if is_kept else None for one, is_kept in zip(*pair, strict=True)]
                for pair in zip(rows, wanted, strict=False)
            ]
            for key, rows in law["draws"].items()
        }
        return {**law, "draws": draws}
    if "processes" in law:
        processes = [
            {
                **one,
                **{
                    key: [_packed(row) if wanted is None or wanted[k][m] else None for k, row in enumerate(one[key])]
                    for key in ("c", "beta", "lines")
                },
            }
            for m, one in enumerate(law["processes"])
        ]
        return {**law, "processes": processes}
    return law


def _packed(row: list[float]) -> list[float | str]:
    """Numbers as whole multiples of a unit: half the bytes of decimals that are as exact."""
    unit = float(np.abs(row).max()) / (2**31 - 1) or 1.0
    return [unit, base64.b64encode(np.round(np.array(row) / unit).astype("<i4").tobytes()).decode()]


def _digits(row: list[float]) -> list[float | str]:
    """Weights as whole multiples of a unit in three digits of base 64: as exact as 1/262,143 of the largest."""
    unit = max(row) / (2**18 - 1) or 1.0
    whole = np.round(np.array(row) / unit).astype(int)
    places = np.stack([whole >> 12, whole >> 6 & 63, whole & 63], axis=-1).ravel()
    return [unit, "".join(SIXTY_FOUR[place] for place in places)]


def trials(view: StudyView, answer: Answer | None = None) -> dict[str, Any]:
    """The trials as columns: weights and values, the objective, and what the law said of a trial it had not seen."""
    finals = [trial.final for trial in view.trials]
    objective = answer.recipe.objective if answer is not None else view.objective
    said = {point.trial: point.mean for point in figures.fit_points(answer)} if answer is not None else {}
    rows = [list(trial.spec.mixture.over(view.domains)) for trial in view.trials]
    is_packed = len(rows) * len(view.domains) > MOST_PLAIN
    return {
        "id": [trial.id for trial in view.trials],
        "run": [trial.spec.external.run if trial.spec.external else "" for trial in view.trials],
        "state": [trial.state for trial in view.trials],
        "rung": [trial.rung for trial in view.trials],
        "replicate": [trial.spec.replicate for trial in view.trials],
        "domains": list(view.domains),
        "metrics": [metric.name for metric in view.metrics],
        "weights": [_digits(row) if is_packed else [words.rounded(w, DIGITS) for w in row] for row in rows],
        "values": [[words.rounded(final.get(m.name, math.nan), DIGITS) for m in view.metrics] for final in finals],
        "objective": [words.rounded(figures.measured(view, objective, final), DIGITS) for final in finals],
        "predicted": [words.rounded(said.get(trial.id, math.nan), DIGITS) for trial in view.trials],
    }
