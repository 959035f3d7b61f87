"""From a recommendation to a recipe: rivals, predicted differences, warnings, the verdict.

A recipe is a claim about differences: to the best mixture seen, to the natural and to the uniform mixture.
`predicted.py` says where they come from, `judge.py` what they amount to, `confirm.py` how they are tested.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import LeagueRow
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Recommendation, plan_at
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import BEST_SEEN, NATURAL, UNIFORM, Provenance, Recipe, Rival
from mixdesk.core.region import Region
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.recipe import predicted
from mixdesk.recipe.judge import FEW_PER_DOMAIN, UNJUDGED, guard_warnings, judge, listed


def compose(
    view: StudyView,
    fit: LawFit | None,
    recommendation: Recommendation,
    scores: Sequence[LeagueRow],
    *,
    law: str,
    strategy: str,
    version: str,
    references: tuple[str, ...] = (),
) -> Recipe:
    """The recipe of a recommended mixture, at the view's target rung, judged by predicted differences.

    Args:
        view: the study, with the objective that was asked.
        fit: the law, fitted on the study's trials; None for a formula's mixture without one: nothing is predicted.
        recommendation: the strategy's answer.
        scores: league rows of this law; those of the metric "objective" decide whether the evidence is too weak.
        law: name of the law, for the provenance; empty without one.
        strategy: name of the strategy.
        version: of mixdesk.
        references: keys of the papers behind law and strategy.

    Raises:
        NotEnoughEvidence: no finished trial.
    """
    rivals = find_rivals(view)
    target = dataclasses.replace(view.rungs[-1], scale=view.target)
    plan = plan_at(target, recommendation.mixture, recommendation.before)
    judged = view.spoken(plan.schedule)
    W_qd = np.array([judged.over(view.domains), *(rival.mixture.over(view.domains) for rival in rivals)])
    found = None if fit is None else predicted.sides(view, fit, W_qd)
    obs = view.observations(view.fullest.label)
    region = Region.of(obs.W_nd)
    leverage = float(region.leverage(W_qd[:1])[0])
    place = "inside" if leverage <= region.inner else "edge" if leverage <= region.limit * (1 + 1e-6) else "outside"
    n_by_state = {state: sum(t.state == state for t in view.at()) for state in ("diverged", "failed")}
    spent = [trial.flops for trial in view.trials if trial.flops is not None]
    provenance = Provenance(
        study=view.name,
        record_sha256=view.record_sha256,
        n_trials=len(obs.trials),
        n_mixtures=obs.n_groups,
        law=law,
        strategy=strategy,
        seed=view.seed,
        version=version,
        corpus=view.corpus.fingerprint if view.corpus is not None else None,
        n_diverged=n_by_state["diverged"],
        n_failed=n_by_state["failed"],
        flops=sum(spent) if spent else None,
        scores=tuple(scores),
        noise=view.noise(),
        references=references,
        rungs=tuple(rung.label for rung in view.rungs),
    )
    recipe = Recipe(
        plan=plan,
        objective=view.objective,
        rivals=rivals,
        comparisons=() if found is None else predicted.comparisons(found, rivals, plan.id),
        verdict=UNJUDGED,
        provenance=provenance,
        expected=() if fit is None or found is None else predicted.expected(view, fit, found),
        epochs=plan.schedule.average.epochs(view.corpus, target.scale) if view.corpus is not None else (),
        spread=recommendation.spread,
        binding=tuple(dict.fromkeys(recommendation.binding)),
        region=place,
        leverage=leverage / region.limit if region.limit > 0 else 0.0,
        is_in_hull=is_in_hull(W_qd[0], obs.W_nd),
        constraints=view.constraints,
        guards=() if found is None else predicted.guard_checks(view.objective, found, rivals),
    )
    recipe = dataclasses.replace(recipe, warnings=_warnings(view, recipe))
    return dataclasses.replace(recipe, verdict=judge(recipe))


def find_rivals(view: StudyView) -> tuple[Rival, ...]:
    """Best seen, natural (where known) and uniform, in the order they are shown.

    Raises:
        NotEnoughEvidence: no finished trial has the objective's metrics.
    """
    best = view.best_seen()
    if best is None:
        raise NotEnoughEvidence(
            "no finished trial has all metrics of the objective",
            value=view.objective.title,
            bound="at least one trial",
            remedy="tell the missing metrics, or choose another objective",
        )
    found: list[tuple[str, Mixture, str | None]] = [(BEST_SEEN, best.spec.mixture, best.id)]
    if view.natural is not None:
        found.append((NATURAL, view.natural, _trial_of(view, view.natural)))
    uniform = Mixture.uniform(view.domains)
    found.append((UNIFORM, uniform, _trial_of(view, uniform)))
    space = Space.build(view.constraints, view.domains, view.corpus, view.target)
    return tuple(
        Rival(name=name, mixture=mixture, trial=trial, broken=space.broken(mixture)) for name, mixture, trial in found
    )


def is_in_hull(weights_d: Floats, W_nd: Floats) -> bool:
    """Whether a mixture is a weighted mean of trials' mixtures: a linear programme, exact to 1e-9."""
    n = len(W_nd)
    found = linprog(np.zeros(n), A_eq=np.vstack([W_nd.T, np.ones(n)]), b_eq=np.append(weights_d, 1.0), bounds=(0, None))
    return bool(found.success)


def _trial_of(view: StudyView, mixture: Mixture) -> str | None:
    return next((trial.id for trial in view.at() if trial.final and trial.spec.mixture == mixture), None)


def _warnings(view: StudyView, recipe: Recipe) -> tuple[str, ...]:
    """What a reader should know before acting, most weighty first."""
    d, facts = len(view.domains), recipe.provenance
    out = _of_stages(view, recipe)
    if facts.law and recipe.region != "inside":
        where = "outside the region" if recipe.region == "outside" else "at the edge"
        out.append(f"The recipe lies {where} of the runs: {recipe.leverage:.2f} of the farthest trial's leverage.")
    if facts.law and d + 2 <= facts.n_mixtures < FEW_PER_DOMAIN * (d + 1):
        out.append(f"{facts.n_mixtures} mixtures are few for {d} domains; {FEW_PER_DOMAIN * (d + 1)} would be sound.")
    out += guard_warnings(recipe.guards)
    for rival in recipe.rivals:
        if rival.broken:
            out.append(f"{rival.name.capitalize()} breaks {listed(rival.broken)}: a yardstick, no mixture to train on.")
    rung = recipe.expected[0].rung if recipe.expected else ""
    if facts.law and rung == view.fullest.label and view.standing != view.fullest:
        out.append(
            f"{view.n_mixtures(view.standing)} mixtures were run at `{view.standing.label}` too, which the law "
            f"`{facts.law}` does not use: a law over scales such as `transfer` would."
        )
    if not facts.noise:
        out.append("Noise was not measured: no mixture was repeated with the same replicates.")
    if view.stale:
        out.append(f"{len(view.stale)} trials were run on another state of the corpus.")
    if facts.n_diverged:
        out.append(f"{facts.n_diverged} diverged trials are left out of the law.")
    if facts.n_failed:
        out.append(f"{facts.n_failed} trials failed.")
    often = [(name, epochs) for name, epochs in recipe.epochs if epochs > 4.0 + 1e-6]
    out += [f"`{name}` is repeated {epochs:.1f} times; beyond 4 epochs repeats teach less." for name, epochs in often]
    if view.natural is None:
        lacking = "no token counts were given" if view.corpus is None else "not every domain has a token count"
        out.append(f"The natural mixture is unknown: {lacking}.")
    return tuple(out)


def _of_stages(view: StudyView, recipe: Recipe) -> list[str]:
    """What to know of a recipe in two stages, or of one that is judged by runs of a last stage."""
    stages, is_of_anneals = recipe.plan.schedule.stages, view.is_of_anneals
    if len(stages) == 1:
        wrong = "The law's runs went on from a base: of a run with one mixture from its start they say little."
        return [wrong] if is_of_anneals else []
    share = f"{1.0 - stages[-2].until:.0%}"
    out = [
        f"The recipe has two stages: another mixture first, its own for the last {share} of the tokens, over which the "
        "learning rate falls to zero. Weights and epochs of the whole run are the token average."
    ]
    if is_of_anneals:
        out.append(
            f"Predicted differences are those of the last stage alone, between anneals from one base at "
            f"`{view.fullest.label}`: whole runs were not compared, nor were other shares."
        )
    else:
        out.append(
            "Predicted differences are those of the token average as a constant mixture: what the order of the stages "
            "adds or costs was not measured. A confirmation measures it."
        )
    return out
