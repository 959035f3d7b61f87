"""Fresh trials: what a confirmation trains, and what it says.

Trained differences come from runs paired by replicate: difference ± t(n − 1) sd ÷ √n. Guards are checked on the same
pairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t as student

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Schedule
from mixdesk.core.objective import Comparison
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal
from mixdesk.core.recipe import BEST_SEEN, FIRST_FRESH_REPLICATE, RIVALS, Expected, GuardCheck, Recipe
from mixdesk.core.trial import StudyView, Trial
from mixdesk.recipe.judge import FIRM_PAIRS, guard_warnings, judge
from mixdesk.recipe.predicted import LEVEL, LEVEL_OF_VALUES, OBJECTIVE, SURE, word


def fresh_proposals(
    recipe: Recipe, view: StudyView, n_replicates: int = FIRM_PAIRS, rivals: Sequence[str] = RIVALS
) -> list[Proposal]:
    """What a confirmation trains: recipe and `rivals` at the target rung, each with the same fresh replicates.

    Rivals of a recipe in two stages keep their mixture in both, and have its learning rate.

    Raises:
        InputError: the study has no model or scale to train at, or fewer than 2 replicates are asked.
    """
    if n_replicates < 2:
        raise InputError(
            "too few replicates for a paired interval",
            value=n_replicates,
            bound="≥ 2",
            remedy="ask for 5 (the default)",
        )
    target = view.rungs[-1]
    if target.scale.n_tokens is None:
        raise InputError(
            "this study cannot be confirmed by training here",
            value=f"rung `{target.label}` without n_tokens",
            bound="a target rung with a scale, and a trainer",
            remedy="train the recipe and its rivals with your trainer and tell the results",
        )
    schedule = recipe.plan.schedule
    runs = [("recipe", schedule)]
    runs += [(r.name, schedule.throughout(r.mixture)) for r in recipe.rivals if r.name in rivals]
    return [
        Proposal(
            mixture=run.stages[-1].mixture,
            before=run.stages[0] if len(run.stages) > 1 else None,
            rung=target.label,
            replicate=FIRST_FRESH_REPLICATE + r,
            why=f"confirm: {name}",
        )
        for r in range(n_replicates)
        for name, run in runs
    ]


def confirmed(recipe: Recipe, view: StudyView) -> Recipe:
    """The recipe with trained comparisons at the target rung added, and judged again.

    Raises:
        NotEnoughEvidence: fewer than 2 replicates of the recipe and of some baseline are done.
    """
    target = view.rungs[-1].label
    of_recipe = by_replicate(view, recipe.plan.schedule)
    pairs: dict[tuple[str, str], Floats] = {}
    for rival in recipe.rivals:
        of_rival = by_replicate(view, recipe.plan.schedule.throughout(rival.mixture))
        shared = sorted(set(of_recipe) & set(of_rival))
        if len(shared) >= 2:
            mine, theirs = (measured(view, [runs[r] for r in shared]) for runs in (of_recipe, of_rival))
            pairs |= {(rival.name, metric): mine[metric] - theirs[metric] for metric in mine}
    pairs = {key: difference for key, difference in pairs.items() if np.isfinite(difference).all()}
    baselines = {rival.name for rival in recipe.rivals} - {BEST_SEEN}
    missing = baselines - {rival for rival, metric in pairs if metric == OBJECTIVE.name}
    if missing:
        raise NotEnoughEvidence(
            f"the confirmation has too few pairs with {sorted(missing)[0]}",
            value=f"{len(of_recipe)} runs of the recipe",
            bound="≥ 2 replicates of recipe and rival",
            remedy="run the confirmation to its end",
        )
    kept = tuple(c for c in recipe.comparisons if c.basis == "predicted")
    values = measured(view, [of_recipe[r] for r in sorted(of_recipe)])
    values = {metric: column for metric, column in values.items() if np.isfinite(column).all()}
    expected = tuple(e for e in recipe.expected if e.rung != target)
    guards = _guards(recipe, view, pairs, values)
    stale = guard_warnings(recipe.guards)
    recipe = dataclasses.replace(
        recipe,
        comparisons=kept + _comparisons(recipe, view, pairs),
        expected=expected + tuple(_mean_of_runs(metric, column, target) for metric, column in values.items()),
        guards=guards,
        warnings=(*(warning for warning in recipe.warnings if warning not in stale), *guard_warnings(guards)),
    )
    return dataclasses.replace(recipe, verdict=judge(recipe))


def by_replicate(view: StudyView, schedule: Schedule, rung: str | None = None) -> dict[int, Trial]:
    """Finished fresh trials of a schedule at a rung (None: the target), by replicate."""
    return {
        trial.spec.replicate: trial
        for trial in view.at(rung or view.rungs[-1].label)
        if trial.final and trial.spec.plan.schedule == schedule and trial.spec.replicate >= FIRST_FRESH_REPLICATE
    }


def measured(view: StudyView, trials: Sequence[Trial]) -> dict[str, Floats]:
    """Objective and metrics of some trials, one number per trial."""
    Y_nm = np.array([[trial.final.get(metric.name, np.nan) for metric in view.metrics] for trial in trials])
    columns = {metric.name: Y_nm[:, j] for j, metric in enumerate(view.metrics)}
    return {OBJECTIVE.name: view.objective.value(Y_nm, view.metrics), **columns}


def _comparisons(recipe: Recipe, view: StudyView, pairs: Mapping[tuple[str, str], Floats]) -> tuple[Comparison, ...]:
    metrics = {metric.name: metric for metric in (OBJECTIVE, *view.metrics)}
    out = []
    for (rival, metric), difference_r in pairs.items():
        middle, half = float(difference_r.mean()), _half(difference_r, LEVEL)
        out.append(
            Comparison(
                plan=recipe.plan.id,
                rival=rival,
                metric=metric,
                difference=middle,
                low=middle - half,
                high=middle + half,
                level=LEVEL,
                n_pairs=len(difference_r),
                basis="trained",
                rung=view.rungs[-1].label,
                verdict=word(middle - half, middle + half, metrics[metric]),
            )
        )
    return tuple(out)


def _guards(
    recipe: Recipe, view: StudyView, pairs: Mapping[tuple[str, str], Floats], values: Mapping[str, Floats]
) -> tuple[GuardCheck, ...]:
    """The guards by the fresh runs; those that no run tests as they were predicted."""
    checks = {check.guard: check for check in recipe.guards}
    for guard in recipe.objective.guards:
        for metric in (view.metrics[j] for j in guard.over(view.metrics)):
            if guard.than is None:
                excess_r = metric.sign * values.get(metric.name, np.empty(0)) - guard.limit(metric)
            else:
                excess_r = metric.sign * pairs.get((guard.than, metric.name), np.empty(0)) - guard.slack
            if len(excess_r) >= 2:
                words = guard.words(metric)
                checks[words] = _check(words, metric.name, excess_r, view.rungs[-1].label)
    return tuple(checks.values())


def _check(words: str, metric: str, excess_r: Floats, rung: str) -> GuardCheck:
    """A guard from its excess in some runs, by Student's t."""
    middle, half = float(excess_r.mean()), _half(excess_r, LEVEL_OF_VALUES)
    error = float(excess_r.std(ddof=1) / np.sqrt(len(excess_r)))
    freedom = len(excess_r) - 1
    return GuardCheck(
        guard=words,
        metric=metric,
        excess=middle,
        low=middle - half,
        high=middle + half,
        probability=float(student.cdf(-middle / error, freedom)) if error > 0.0 else float(middle <= 0.0),
        missing=max(middle + float(student.ppf(SURE, freedom)) * error, 0.0),
        basis="trained",
        rung=rung,
    )


def _mean_of_runs(metric: str, column: Floats, rung: str) -> Expected:
    middle, half = float(column.mean()), _half(column, LEVEL_OF_VALUES)
    return Expected(metric=metric, mean=middle, low=middle - half, high=middle + half, rung=rung)


def _half(column: Floats, level: float) -> float:
    """Half the width of Student's interval of a mean."""
    return float(student.ppf((1 + level) / 2, len(column) - 1) * column.std(ddof=1) / np.sqrt(len(column)))
