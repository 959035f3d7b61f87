"""Numbers behind the panels that doubt: what is left over, whether intervals hold at every level, what was tried.

Taken from core types as in `figures.py`; nothing here draws or decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mixdesk.core.recipe import Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures
from mixdesk.report.figures import Answer, Band, FitPoint

# Levels of the coverage panel.
LEVELS = tuple(k / 20 for k in range(1, 20))
# Lines of the parallel coordinates at most: more merge into a wash. The best ones are always among them.
MOST_LINES, BEST_LINES = 1000, 100
# Trials that count as the best, drawn dark.
N_BEST = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Residual:
    """A trial the law had not seen: `order` in which it was asked, from 1, and measured − predicted in `rest`."""

    trial: str
    order: int
    rest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Share of measured values `inside` their interval of a `level`, and the shares that chance allows (95 %)."""

    level: float
    inside: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A measured trial: shares of the bands, in their order, and its objective."""

    trial: str
    shares: tuple[float, ...]
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tradeoff:
    """Trials by all metrics: `values[n][m]`, None where one is missing; `at` the two metrics that matter most."""

    trials: tuple[str, ...]
    metrics: tuple[str, ...]
    units: tuple[str, ...]
    signs: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]
    named: tuple[str, ...]
    at: tuple[int, int]


def residuals(view: StudyView, answer: Answer) -> tuple[Residual, ...]:
    """What the law did not foresee of each trial, in the order asked."""
    order = {trial.id: number for number, trial in enumerate(view.trials, start=1)}
    found = [
        Residual(trial=p.trial, order=order[p.trial], rest=p.measured - p.mean)
        for p in figures.fit_points(answer)
        if p.trial in order
    ]
    return tuple(sorted(found, key=lambda one: one.order))


def held(found: tuple[FitPoint, ...], level: float = 0.9) -> tuple[Held, ...]:
    """Coverage at every level, each side of an interval stretched as a normal's; empty without intervals."""
    scale = NormalDist().inv_cdf((1.0 + level) / 2.0)
    away = []
    for p in found:
        half = (p.high - p.mean) if p.measured >= p.mean else (p.mean - p.low)
        if math.isfinite(half) and half > 0.0:
            away.append(abs(p.measured - p.mean) / half * scale)
    if not away:
        return ()
    out = []
    for asked in LEVELS:
        least, most = figures.chance(len(away), asked)
        inside = sum(z <= NormalDist().inv_cdf((1.0 + asked) / 2.0) for z in away)
        out.append(Held(level=asked, inside=inside / len(away), least=least / len(away), most=most / len(away)))
    return tuple(out)


def tried(view: StudyView, recipe: Recipe | None, bands: tuple[Band, ...]) -> tuple[Tried, ...]:
    """The measured trials at the law's rung, the best first; of more than 1,000 the best and an even sample."""
    objective = recipe.objective if recipe is not None else view.objective
    rung = figures.law_rung(view, recipe).label if recipe is not None else view.rungs[0].label
    rows = []
    for trial in view.at(rung):
        value = figures.measured(view, objective, trial.final)
        if math.isfinite(value):
            weights = trial.spec.mixture.over(view.domains)
            rows.append(Tried(trial=trial.id, shares=tuple(band.share(weights) for band in bands), value=value))
    rows.sort(key=lambda row: (row.value, row.trial))
    if len(rows) > MOST_LINES:
        rest = rows[BEST_LINES:]
        rows = rows[:BEST_LINES] + [rest[int(i)] for i in np.linspace(0, len(rest) - 1, MOST_LINES - BEST_LINES)]
    return tuple(rows)


def tradeoff(view: StudyView, recipe: Recipe | None) -> Tradeoff | None:
    """The trials at the law's rung by their metrics; None where there is one metric, or no trial."""
    objective = recipe.objective if recipe is not None else view.objective
    rung = figures.law_rung(view, recipe).label if recipe is not None else view.rungs[0].label
    done = [trial for trial in view.at(rung) if trial.final]
    if len(view.metrics) < 2 or not done:
        return None
    weights = objective.weights(view.metrics)
    order = sorted(range(len(view.metrics)), key=lambda m: (-float(weights[m]), view.metrics[m].name))
    return Tradeoff(
        trials=tuple(trial.id for trial in done),
        metrics=tuple(metric.name for metric in view.metrics),
        units=tuple(metric.unit for metric in view.metrics),
        signs=tuple(metric.sign for metric in view.metrics),
        values=tuple(tuple(trial.final.get(metric.name) for metric in view.metrics) for trial in done),
        named=tuple(one.name for one in figures.named_mixtures(view, recipe)) if recipe is not None else (),
        at=(order[0], order[1]),
    )


def undominated(x: list[float], y: list[float], signs: tuple[float, float]) -> tuple[list[float], list[float]]:
    """The steps through the points that no other beats in both, from the best x on; `signs` 1 where lower is better."""
    order = sorted(range(len(x)), key=lambda i: (signs[0] * x[i], signs[1] * y[i]))
    xs: list[float] = []
    ys: list[float] = []
    best = math.inf
    for i in order:
        if signs[1] * y[i] < best:
            if xs:
                xs.append(x[i])
                ys.append(ys[-1])
            xs.append(x[i])
            ys.append(y[i])
            best = signs[1] * y[i]
    return xs, ys
