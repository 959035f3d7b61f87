"""From a recommendation to a recipe: rivals, comparisons, warnings, and the one place where verdicts are computed.

A recipe is a claim about differences: to the best mixture seen, to the natural and to the uniform mixture. Predicted
differences come from joint draws of the law, each side with the error of a run the law had not seen: a law is as wrong
at a new mixture as it was at those it could not fit, and draws of its coefficients alone would not say so. Trained ones
come from runs paired by replicate: difference ± t(n − 1) sd ÷ √n.

Rules of the verdict, in this order. *too weak*: fewer mixtures than domains + 2; or the law's out-of-fold rank
correlation is not above 0 (95 % bootstrap over mixtures); or, without fresh trials, the recipe lies outside the region
of the runs. *worse*: a baseline (natural where known, uniform) or, in fresh trials, the best mixture seen is better,
its interval excludes 0. *better*: better than every baseline. *no different*: else; then the baseline it cannot be told
from is recommended.
Best seen is a rival, not a baseline: it is itself found by the study, so "as good as the best seen" is no objection,
and a law that prefers it to the recipe says no more than what the pull to natural costs: a sentence, not a verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.stats import t as student

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Comparison, LeagueRow, Verdict
from mixdesk.core.observations import Floats, Inputs, Metric
from mixdesk.core.plan import Proposal, Recommendation, RunPlan
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import (
    BEST_SEEN,
    FIRST_FRESH_REPLICATE,
    NATURAL,
    RIVALS,
    UNIFORM,
    Expected,
    Provenance,
    Recipe,
    Rival,
)
from mixdesk.core.region import Region
from mixdesk.core.trial import StudyView, Trial

# Joint draws behind a predicted difference: the 95 % interval's ends are then known to about a tenth of its width.
N_DRAWS = 400
LEVEL = 0.95
# Fewer pairs than this are called indicative: with 3 the t factor is 4.3 and one odd run decides.
FIRM_PAIRS = 5
# Olmix asks for at least 3 (d + 1) proxies for a log-linear law (shared rule of thumb for the other forms).
FEW_PER_DOMAIN = 3


def compose(
    view: StudyView,
    fit: LawFit,
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
        fit: the law, fitted on the first rung's trials.
        recommendation: the strategy's answer.
        scores: league rows of this law; those of the metric "objective" decide whether the evidence is too weak.
        law: name of the law, for the provenance.
        strategy: name of the strategy.
        version: of mixdesk.
        references: keys of the papers behind law and strategy.

    Raises:
        NotEnoughEvidence: no finished trial.
    """
    obs = view.observations()
    rivals = find_rivals(view)
    mixture = recommendation.mixture
    target = view.rungs[-1]
    W_qd = np.array([mixture.over(view.domains), *(rival.mixture.over(view.domains) for rival in rivals)])
    region = Region.of(obs.W_nd)
    leverage = float(region.leverage(W_qd[:1])[0])
    place = "inside" if leverage <= region.inner else "edge" if leverage <= region.limit * (1 + 1e-6) else "outside"
    plan = RunPlan(schedule=Schedule.constant(mixture), scale=target.scale, model=target.model, hyper=target.hyper)
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
    )
    recipe = Recipe(
        plan=plan,
        objective=view.objective,
        rivals=rivals,
        comparisons=_predicted(view, fit, W_qd, rivals, plan),
        verdict=_UNJUDGED,
        provenance=provenance,
        expected=_expected(view, fit, W_qd[:1]),
        epochs=mixture.epochs(view.corpus, target.scale) if view.corpus is not None else (),
        spread=recommendation.spread,
        binding=recommendation.binding,
        region=place,
        leverage=leverage / region.limit if region.limit > 0 else 0.0,
        is_in_hull=is_in_hull(W_qd[0], obs.W_nd),
    )
    recipe = dataclasses.replace(recipe, warnings=_warnings(view, recipe))
    return dataclasses.replace(recipe, verdict=judge(recipe))


def judge(recipe: Recipe) -> Verdict:
    """The verdict of a recipe from its comparisons, its law's scores and its place; see the rules at the top."""
    weakness = _weakness(recipe)
    if weakness is not None:
        return weakness
    found = [recipe.against(rival.name) for rival in recipe.rivals]
    counted = [comparison for comparison in found if comparison is not None]
    is_trained = all(c.basis == "trained" for c in counted if c.rival != BEST_SEEN)
    state = "predicted"
    if is_trained:
        state = "contradicted" if any(_is_reversed(recipe, c) for c in counted) else "confirmed"
    baselines = [c for c in counted if c.rival != BEST_SEEN]
    names = " and ".join(c.rival for c in baselines)
    worse = [c for c in counted if c.verdict == "worse" and (c.rival != BEST_SEEN or c.basis == "trained")]
    if worse:
        first = max(worse, key=lambda c: (c.difference, c.rival != BEST_SEEN))
        if first.rival == BEST_SEEN and all(c.verdict == "better" for c in baselines):
            headline = f"Train on the best mixture seen. It beat this recipe, and both beat {names}."
        else:
            headline = f"Do not train on this mixture: {first.rival} is better."
        return Verdict(
            name="worse",
            state=state,
            headline=headline,
            reason=_sentence(first),
            remedy=f"Train on {first.rival}; or ask more trials between the two.",
            recommended=first.rival,
        )
    same = [c for c in baselines if c.verdict == "no different"]
    if same:
        first = same[0]
        return Verdict(
            name="no different",
            state=state,
            headline=f"No different from {first.rival}. Stay with {first.rival}.",
            reason=_sentence(first) + f" The smallest gain that could have been seen is {first.detectable:.4f}.",
            remedy="More replicates would see a smaller gain." if is_trained else "A confirmation would see more.",
            recommended=first.rival,
        )
    reason = " ".join(_sentence(c) for c in baselines) + _beside_best_seen(recipe)
    if is_trained:
        n_pairs = min(c.n_pairs for c in baselines)
        indicative = "" if n_pairs >= FIRM_PAIRS else f" With {n_pairs} replicates this is indicative."
        return Verdict(
            name="better",
            state=state,
            headline=f"Train on this mixture. It beat {names} in {n_pairs} fresh pairs of runs.",
            reason=reason + indicative,
            remedy="Train it at your scale; only order and sign are known beyond the largest trials.",
            recommended="recipe",
        )
    return Verdict(
        name="better",
        state=state,
        headline=f"This mixture should beat {names}. No fresh trial has tested it.",
        reason=reason,
        remedy="Confirm it: train the recipe and its rivals with fresh replicates.",
        recommended="recipe",
    )


def fresh_proposals(
    recipe: Recipe, view: StudyView, n_replicates: int = FIRM_PAIRS, rivals: Sequence[str] = RIVALS
) -> list[Proposal]:
    """What a confirmation trains: recipe and `rivals` at the target rung, each with the same fresh replicates.

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
    runs = [("recipe", recipe.mixture), *((r.name, r.mixture) for r in recipe.rivals if r.name in rivals)]
    return [
        Proposal(mixture=mixture, rung=target.label, replicate=FIRST_FRESH_REPLICATE + r, why=f"confirm: {name}")
        for r in range(n_replicates)
        for name, mixture in runs
    ]


def confirmed(recipe: Recipe, view: StudyView) -> Recipe:
    """The recipe with trained comparisons at the target rung added, and judged again.

    Raises:
        NotEnoughEvidence: fewer than 2 replicates of the recipe and of some baseline are done.
    """
    target = view.rungs[-1]
    of_recipe = _by_replicate(view, recipe.mixture)
    trained: list[Comparison] = []
    for rival in recipe.rivals:
        of_rival = _by_replicate(view, rival.mixture)
        shared = sorted(set(of_recipe) & set(of_rival))
        if len(shared) < 2:
            continue
        mine = _values(view, [of_recipe[r] for r in shared])
        theirs = _values(view, [of_rival[r] for r in shared])
        for metric in mine:
            pairs = mine[metric] - theirs[metric]
            if not np.isfinite(pairs).all():
                continue
            middle = float(pairs.mean())
            half = float(student.ppf((1 + LEVEL) / 2, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs)))
            trained.append(
                Comparison(
                    plan=recipe.plan.id,
                    rival=rival.name,
                    metric=metric,
                    difference=middle,
                    low=middle - half,
                    high=middle + half,
                    level=LEVEL,
                    n_pairs=len(pairs),
                    basis="trained",
                    rung=target.label,
                    verdict=_word(middle - half, middle + half, view, metric),
                )
            )
    baselines = {rival.name for rival in recipe.rivals} - {BEST_SEEN}
    missing = baselines - {c.rival for c in trained if c.metric == "objective"}
    if missing:
        raise NotEnoughEvidence(
            f"the confirmation has too few pairs with {sorted(missing)[0]}",
            value=f"{len(of_recipe)} runs of the recipe",
            bound="≥ 2 replicates of recipe and rival",
            remedy="run the confirmation to its end",
        )
    kept = tuple(c for c in recipe.comparisons if c.basis == "predicted")
    values = _values(view, [of_recipe[r] for r in sorted(of_recipe)])
    expected = tuple(e for e in recipe.expected if e.rung != target.label) + tuple(
        _mean_of_runs(metric, column, target.label) for metric, column in values.items() if np.isfinite(column).all()
    )
    recipe = dataclasses.replace(recipe, comparisons=kept + tuple(trained), expected=expected)
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
    rivals = [Rival(name=BEST_SEEN, mixture=best.spec.mixture, trial=best.id)]
    if view.natural is not None:
        rivals.append(Rival(name=NATURAL, mixture=view.natural, trial=_trial_of(view, view.natural)))
    uniform = Mixture.uniform(view.domains)
    rivals.append(Rival(name=UNIFORM, mixture=uniform, trial=_trial_of(view, uniform)))
    return tuple(rivals)


def is_in_hull(weights_d: Floats, W_nd: Floats) -> bool:
    """Whether a mixture is a weighted mean of trials' mixtures: a linear programme, exact to 1e-9."""
    n = len(W_nd)
    found = linprog(np.zeros(n), A_eq=np.vstack([W_nd.T, np.ones(n)]), b_eq=np.append(weights_d, 1.0), bounds=(0, None))
    return bool(found.success)


def _predicted(
    view: StudyView, fit: LawFit, W_qd: Floats, rivals: Sequence[Rival], plan: RunPlan
) -> tuple[Comparison, ...]:
    prediction = fit.predict(Inputs.of(view.domains, W_qd), draws=N_DRAWS, level=LEVEL, sense="run")
    if prediction.draws_kqm is None:
        return ()
    draws = {m: prediction.draws_kqm[:, :, j] for j, m in enumerate(prediction.metrics)}
    means = {m: prediction.mean_qm[:, j] for j, m in enumerate(prediction.metrics)}
    order = _declared(view, prediction.metrics)
    draws["objective"] = view.objective.value(prediction.draws_kqm, order)
    means["objective"] = view.objective.value(prediction.mean_qm, order)
    out = []
    for q, rival in enumerate(rivals, start=1):
        for metric in ("objective", *prediction.metrics):
            difference_k = draws[metric][:, 0] - draws[metric][:, q]
            if np.array_equal(W_qd[0], W_qd[q]):
                difference_k = np.zeros_like(difference_k)  # one mixture has one error
            if not np.isfinite(difference_k).all():
                continue
            low, high = np.quantile(difference_k, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            out.append(
                Comparison(
                    plan=plan.id,
                    rival=rival.name,
                    metric=metric,
                    difference=float(means[metric][0] - means[metric][q]),
                    low=low,
                    high=high,
                    level=LEVEL,
                    n_pairs=len(difference_k),
                    basis="predicted",
                    rung=view.rungs[0].label,
                    verdict=_word(low, high, view, metric),
                )
            )
    return tuple(out)


# Stands in a recipe for the moment between its parts being known and its being judged.
_UNJUDGED = Verdict(
    name="too weak", state="no evidence", headline="Not judged yet.", reason="", remedy="", recommended=UNIFORM
)


def _word(low: float, high: float, view: StudyView, metric: str) -> str:
    """Better / worse where the interval excludes 0 (in the metric's own direction), else no different."""
    sign = next((m.sign for m in view.metrics if m.name == metric), 1.0)
    if low <= 0.0 <= high:
        return "no different"
    return "better" if high * sign < 0.0 else "worse"


def _weakness(recipe: Recipe) -> Verdict | None:
    """The verdict "too weak" with its reason and what would settle it, or None."""
    d, n = len(recipe.mixture.domains), recipe.provenance.n_mixtures
    rank = {row.measure: row.value for row in recipe.provenance.scores if row.metric == "objective"}
    low = rank.get("spearman:low", float("nan"))
    is_trained = any(c.basis == "trained" and c.metric == "objective" for c in recipe.comparisons)
    need = max(FEW_PER_DOMAIN * (d + 1) - n, n)
    if n < d + 2:
        reason = f"{n} mixtures were run; a law over {d} domains needs at least {d + 2}."
        remedy = f"Run {d + 2 - n} more mixtures at least; {max(FEW_PER_DOMAIN * (d + 1) - n, 1)} more would be sound."
    elif not low > 0.0:
        shown = rank.get("spearman", float("nan"))
        reason = (
            f"Asked about mixtures it had not seen, the law ranks them no better than chance: rank correlation "
            f"{shown:.2f}, 95 % interval from {low:.2f}."
        )
        remedy = f"Run {need} more mixtures, repeat some to measure the noise, or train the proxies longer."
    elif not any(c.metric == "objective" and c.rival != BEST_SEEN for c in recipe.comparisons):
        reason = "The law gives no intervals, so its differences to natural and uniform cannot be judged."
        remedy = "Use a law that gives draws, or confirm the recipe by training."
    elif not is_trained and recipe.region == "outside":
        reason = "The recipe lies outside the region of the runs: the law was never tested there."
        remedy = "Run trials near the recipe, or confirm it by training."
    else:
        return None
    safest = NATURAL if any(rival.name == NATURAL for rival in recipe.rivals) else UNIFORM
    return Verdict(
        name="too weak",
        state="confirmed" if is_trained else "predicted",
        headline="No recipe yet. The evidence is too weak.",
        reason=reason,
        remedy=remedy,
        recommended=safest,
    )


def _beside_best_seen(recipe: Recipe) -> str:
    seen = recipe.against(BEST_SEEN)
    if seen is None or seen.verdict == "better":
        return ""
    if seen.verdict == "worse":
        return f" The law gives the best mixture seen {seen.difference:.4f} more; the pull to natural costs that."
    return " The best mixture seen does as well."


def _is_reversed(recipe: Recipe, trained: Comparison) -> bool:
    """Whether fresh trials say the opposite of what the law promised, both beyond doubt."""
    promised = [
        c
        for c in recipe.comparisons
        if c.basis == "predicted" and (c.rival, c.metric) == (trained.rival, trained.metric)
    ]
    return any({c.verdict, trained.verdict} == {"better", "worse"} for c in promised)


def _sentence(c: Comparison) -> str:
    sign = "−" if c.difference < 0 else "+"
    what = "Measured" if c.basis == "trained" else "Predicted"
    low, high = (f"{value:+.4f}".replace("-", "−") for value in (c.low, c.high))
    return f"{what} against {c.rival}: {sign}{abs(c.difference):.4f} ({100 * c.level:.0f} % interval {low} to {high})."


def _declared(view: StudyView, names: Sequence[str]) -> list[Metric]:
    """The study's metrics in the order of a law's."""
    by_name = {metric.name: metric for metric in view.metrics}
    return [by_name[name] for name in names]


def _expected(view: StudyView, fit: LawFit, W_qd: Floats) -> tuple[Expected, ...]:
    prediction = fit.predict(Inputs.of(view.domains, W_qd), draws=N_DRAWS, level=0.9, sense="run")
    rung = view.rungs[0].label
    rows = [
        Expected(metric=name, mean=float(mean), low=float(low), high=float(high), rung=rung)
        for name, mean, low, high in zip(
            prediction.metrics, prediction.mean_qm[0], prediction.low_qm[0], prediction.high_qm[0], strict=True
        )
    ]
    if prediction.draws_kqm is not None:
        order = _declared(view, prediction.metrics)
        value_k = view.objective.value(prediction.draws_kqm[:, 0, :], order)
        mean = float(view.objective.value(prediction.mean_qm, order)[0])
        low, high = np.quantile(value_k, [0.05, 0.95]).tolist()
        rows.insert(0, Expected(metric="objective", mean=mean, low=low, high=high, rung=rung))
    return tuple(rows)


def _mean_of_runs(metric: str, column: Floats, rung: str) -> Expected:
    half = float(student.ppf(0.95, len(column) - 1) * column.std(ddof=1) / np.sqrt(len(column)))
    middle = float(column.mean())
    return Expected(metric=metric, mean=middle, low=middle - half, high=middle + half, rung=rung)


def _by_replicate(view: StudyView, mixture: Mixture) -> dict[int, Trial]:
    """Finished fresh trials of a mixture at the target rung, by replicate."""
    return {
        trial.spec.replicate: trial
        for trial in view.at(view.rungs[-1].label)
        if trial.final and trial.spec.mixture == mixture and trial.spec.replicate >= FIRST_FRESH_REPLICATE
    }


def _values(view: StudyView, trials: Sequence[Trial]) -> dict[str, Floats]:
    """Objective and metrics of some trials, one number per trial."""
    Y_nm = np.array([[trial.final.get(metric.name, np.nan) for metric in view.metrics] for trial in trials])
    columns = {metric.name: Y_nm[:, j] for j, metric in enumerate(view.metrics)}
    return {"objective": view.objective.value(Y_nm, view.metrics), **columns}


def _trial_of(view: StudyView, mixture: Mixture) -> str | None:
    return next((trial.id for trial in view.at() if trial.final and trial.spec.mixture == mixture), None)


def _warnings(view: StudyView, recipe: Recipe) -> tuple[str, ...]:
    """What a reader should know before acting, most weighty first."""
    d, facts = len(view.domains), recipe.provenance
    out = []
    if recipe.region != "inside":
        where = "outside the region" if recipe.region == "outside" else "at the edge"
        out.append(f"The recipe lies {where} of the runs: {recipe.leverage:.2f} of the farthest trial's leverage.")
    if d + 2 <= facts.n_mixtures < FEW_PER_DOMAIN * (d + 1):
        out.append(f"{facts.n_mixtures} mixtures are few for {d} domains; {FEW_PER_DOMAIN * (d + 1)} would be sound.")
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
        out.append("The natural mixture is unknown: no token counts were given.")
    return tuple(out)
