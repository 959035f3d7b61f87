"""Is it real? Six questions, always in this order; each ticks only what was measured and says with which number.

They explain the verdict and never make it: that is done once, in `recipe/compose.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mixdesk.core.objective import Comparison
from mixdesk.core.recipe import GuardCheck, Recipe
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, words
from mixdesk.report.figures import Answer, Score

# Licence tiers that nobody can be sure to be allowed to train on.
DOUBTFUL = ("unclear", "restricted")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One question: `mark` good / warn / bad / wait (not measured), `title`, `detail` in numbers, `href` its panel.

    `brief` says the weightiest of the detail in a few words, for the first screen; empty where the title says it all.
    """

    mark: str
    title: str
    detail: str
    href: str
    brief: str = ""


def checks(view: StudyView, answer: Answer, tiers: Mapping[str, str] | None = None) -> tuple[Check, ...]:
    """The six checks: noise, confirmation, law, region, limits and licences, scale; `tiers` domain → licence tier."""
    recipe = answer.recipe
    return (
        _noise(view, recipe),
        _confirmed(view, recipe),
        _law(recipe, figures.score_of(answer)),
        _region(view, recipe),
        _limits(view, recipe, tiers or {}),
        _scale(view, recipe),
    )


def _rival(view: StudyView, recipe: Recipe) -> str:
    """The rival the page opens with, so that headline and checks speak of the same difference."""
    found = figures.headline(view, recipe)
    return figures.reference(view).name if found is None else found.rival


def _noise(view: StudyView, recipe: Recipe) -> Check:
    noise, rival = figures.objective_noise(view, recipe.objective), _rival(view, recipe)
    found = recipe.against(rival)
    if noise is None or found is None:
        return Check(
            mark="wait",
            title="Noise is not measured",
            detail="no mixtures share the same repeats, so a difference has nothing to be held against",
            href="#signal",
            brief="no repeats",
        )
    runs = f"{noise.n_mixtures} × {noise.n_replicates} runs"
    times = abs(found.difference) / noise.within if noise.within > 0.0 else float("inf")
    detail = (
        f"{words.difference(found.difference)} against {rival} is {words.factor(times)} times the spread between "
        f"repeats ({words.value(noise.within)}, {runs})"
    )
    if found.verdict == "better":
        # Two single runs of one mixture differ by more than twice the spread one time in six.
        mark, title = ("good", "Larger than the noise") if times >= 2.0 else ("warn", "Close to the noise")
        return Check(mark=mark, title=title, detail=detail, href="#signal", brief=f"{words.factor(times)} × the spread")
    whole = words.interval(found.low, found.high)
    than = "the noise" if found.basis == "trained" else "the law's error"
    title = "Worse than " + rival if found.verdict == "worse" else f"Not larger than {than}"
    detail = f"{words.difference(found.difference)} against {rival}, interval {whole}; repeats differ by "
    detail += f"{words.value(noise.within)} ({runs})"
    return Check(mark="bad", title=title, detail=detail, href="#signal", brief=f"against {rival}")


def _confirmed(view: StudyView, recipe: Recipe) -> Check:
    found = figures.paired(view, recipe)
    href = "#confirm"
    if not found:
        return Check(
            mark="wait",
            title="Not confirmed",
            detail="no fresh trial has trained the recipe beside its rivals",
            href=href,
            brief="no fresh trial",
        )
    pair = next((p for p in found if p.rival == _rival(view, recipe)), found[0])
    n_won = sum(difference < 0.0 for _, difference in pair.differences)
    n = max(pair.trained.n_pairs, len(pair.differences))
    detail = (
        f"{n_won} of {words.plural(n, 'fresh pair')} beat {pair.rival} at {pair.trained.rung}: {_span(pair.trained)}"
    )
    if n < 5:
        detail += "; fewer than five pairs are indicative only"
    brief = f"{n_won} of {n} beat {pair.rival}"
    if recipe.verdict.state == "contradicted":
        return Check(mark="bad", title="Contradicted by fresh trials", detail=detail, href=href, brief=brief)
    if pair.trained.verdict == "better":
        mark, brief = ("good", brief) if n >= 5 else ("warn", f"{words.plural(n, 'pair')}, indicative only")
        return Check(mark=mark, title="Confirmed by fresh trials", detail=detail, href=href, brief=brief)
    mark = "bad" if pair.trained.verdict == "worse" else "warn"
    return Check(mark=mark, title="Fresh trials see no gain", detail=detail, href=href, brief=brief)


def _span(found: Comparison) -> str:
    return f"{words.difference(found.difference)}, {words.level(found.level)} {words.interval(found.low, found.high)}"


def _law(recipe: Recipe, score: Score | None) -> Check:
    href = "#predict"
    if score is None:
        detail = "no out-of-fold scores were made"
        return Check(mark="wait", title="The law is not tested", detail=detail, href=href, brief="no held-out scores")
    if score.spearman is None:
        detail = f"out of fold it gives no ranking of {words.plural(score.n, 'mixture')}"
        return Check(mark="bad", title="The law does not predict", detail=detail, href=href)
    brief = f"rank {score.spearman:.2f}".replace("-", words.MINUS) + ", out of fold"
    detail = f"rank correlation {score.spearman:.2f}"
    if score.low is not None and score.high is not None:
        detail += f" ({score.low:.2f} to {score.high:.2f})"
    if score.rmse is not None:
        detail += f", error {words.value(score.rmse)}"
    detail = detail.replace("-", words.MINUS) + f", n = {words.plural(score.n, 'mixture')}, out of fold"
    if score.low is None:
        return Check(
            mark="warn", title="The law ranks unseen trials", detail=detail + "; no interval", href=href, brief=brief
        )
    if score.low > 0.0 and recipe.verdict.name == "too weak":
        detail += f". {recipe.verdict.reason}"
        return Check(mark="warn", title="The law ranks unseen trials", detail=detail, href=href, brief=brief)
    if score.low > 0.0:
        return Check(mark="good", title="The law predicts unseen trials", detail=detail, href=href)
    return Check(mark="bad", title="The law does not predict", detail=detail, href=href, brief=brief)


def _region(view: StudyView, recipe: Recipe) -> Check:
    mark, title = {
        "inside": ("good", "Inside the sampled region"),
        "edge": ("warn", "At the edge of the trials"),
        "outside": ("bad", "Outside the trials"),
    }[recipe.region]
    n = len({trial.spec.mixture for trial in view.at() if trial.final})
    hull = "inside" if recipe.is_in_hull else "outside"
    detail = f"leverage {recipe.leverage:.2f} of the farthest of {words.plural(n, 'mixture')}; {hull} their convex hull"
    brief = f"{recipe.leverage:.2f} of the farthest"
    return Check(mark=mark, title=title, detail=detail, href="#explore", brief=brief)


def _limits(view: StudyView, recipe: Recipe, tiers: Mapping[str, str]) -> Check:
    found, licences = _bounds(view, recipe), _licences(recipe, tiers)
    if licences is None:
        return found
    words_, doubtful = licences
    if doubtful and found.mark in ("good", "wait"):
        title = "Licences are not clear"
        return replace(found, mark="warn", title=title, detail=f"{words_}; {found.detail}", brief=doubtful)
    return replace(found, detail=f"{found.detail}; {words_}")


def _licences(recipe: Recipe, tiers: Mapping[str, str]) -> tuple[str, str] | None:
    """Domains per licence tier in words, and the first doubtful one of the recipe; None where no tier is known."""
    used = [tiers[name] for name, weight in recipe.mixture.as_dict().items() if weight > 0.0 and name in tiers]
    if not used:
        return None
    counts = {tier: used.count(tier) for tier in sorted(set(used))}
    doubtful = [f"{words.plural(counts[tier], 'domain')} {tier}" for tier in DOUBTFUL if tier in counts]
    return "licences: " + ", ".join(f"{n} {tier}" for tier, n in counts.items()), next(iter(doubtful), "")


def _bounds(view: StudyView, recipe: Recipe) -> Check:
    limits, epochs = view.constraints, recipe.epochs
    most = max(epochs, key=lambda pair: pair[1], default=None)
    repeats = "" if most is None else f"most repeated: {most[0]}, {most[1]:.1f} epochs"
    has_bounds = limits != Constraints()
    if not has_bounds:
        if most is None:
            detail = "token counts are unknown, so nobody knows how often text repeats; no limit is set"
            return Check(
                mark="wait", title="Repeats are not known", detail=detail, href="#table", brief="no token counts"
            )
        return Check(mark="wait", title="No limit is set", detail=repeats, href="#table")
    space = Space.build(limits, view.domains, view.corpus, recipe.plan.scale)
    used = [stage.mixture.over(view.domains) for stage in recipe.plan.schedule.stages]
    is_allowed = bool(space.contains(np.array(used)).all())
    if limits.max_epochs is not None:
        repeats += f", limit {limits.max_epochs:g}"
    if recipe.binding:
        repeats += ("; " if repeats else "") + f"{len(recipe.binding)} at the limit: " + ", ".join(recipe.binding[:2])
    if not is_allowed:
        return Check(mark="bad", title="A limit is passed", detail=repeats or "see the table", href="#table")
    detail = repeats or f"all {len(view.domains)} weights lie within the study's bounds"
    return Check(mark="good", title="Repeats and limits stay within bounds", detail=detail, href="#table")


def _scale(view: StudyView, recipe: Recipe) -> Check:
    href = "#curves"
    trained = figures.paired(view, recipe)
    rung = figures.rung_of(view, trained[0].trained.rung if trained else figures.law_rung(view, recipe).label)
    measured, plan = rung.scale if rung is not None else Scale(), recipe.plan.scale
    if measured == Scale() or plan == Scale():
        detail = "the sizes of the runs are not known, so nothing is said about a larger one"
        return Check(mark="wait", title="Scale is not known", detail=detail, href=href, brief="no sizes told")
    where = f"{rung.label} ({size(measured)})" if rung is not None else size(measured)
    if measured == plan and trained:
        return Check(
            mark="good", title="Tested at the target's size", detail=f"fresh trials at {where}: no leap", href=href
        )
    ratios = [
        f"{words.factor(big / small)} × the {noun}"
        for noun, big, small in (
            ("parameters", plan.n_params, measured.n_params),
            ("tokens", plan.n_tokens, measured.n_tokens),
        )
        if big and small and big != small
    ]
    how = "tested" if trained else "measured"
    if not ratios:
        detail = f"the law was measured at {where}, which is the size of the plan"
        return Check(mark="good", title="Measured at the target's size", detail=detail, href=href)
    detail = f"{how} at {where}; the plan has {' and '.join(ratios)}"
    return Check(mark="warn", title="Scale is a leap", detail=detail, href=href, brief=" and ".join(ratios))


def size(scale: Scale) -> str:
    """A run's size in words: `200 k parameters × 1.00 M tokens`."""
    parts = [(scale.n_params, "parameters"), (scale.n_tokens, "tokens")]
    return " × ".join(f"{words.amount(n)} {noun}" for n, noun in parts if n) or "size unknown"


def guard_mark(one: GuardCheck) -> str:
    """The mark of a guard: kept, in doubt, or broken. One that the search touches is in doubt, half to half."""
    if one.probability >= figures.SURE:
        return "good"
    return "bad" if one.probability <= 1.0 - figures.SURE else "warn"
