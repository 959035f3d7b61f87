"""Two studies side by side: their verdicts, gains and recipes. The second one's signs are drawn in outline."""

from __future__ import annotations

from dataclasses import dataclass

from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Comparison
from mixdesk.core.recipe import Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, first, words
from mixdesk.report.figures import RECIPE, Answer
from mixdesk.report.markup import card, name, prose, sign, sign_at, table, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """A second study: its `view`, and its `recipe` where it has one."""

    view: StudyView
    recipe: Recipe | None = None


def section(view: StudyView, answers: tuple[Answer, ...], other: Beside) -> str:
    """Verdicts beside each other, gains on one scale, recipes with a column of differences."""
    mine = Beside(view=view, recipe=answers[0].recipe if answers else None)
    gains = [figures.headline(one.view, one.recipe) if one.recipe is not None else None for one in (mine, other)]
    ends = [0.0] + [end for found in gains if found is not None for end in (found.low, found.high)]
    cards = "".join(
        _verdict(one, found, (min(ends), max(ends)), is_second=one is other)
        for one, found in zip((mine, other), gains, strict=True)
    )
    said = f"{name(view.name)} beside {name(other.view.name)}; the signs of the second are drawn in outline."
    return (
        f'<div class="h2row both"><h2>Two studies</h2><p>{said}</p></div>'
        f'<div class="grid lower">{cards}{_mixtures(mine, other)}</div>'
    )


def _verdict(one: Beside, found: Comparison | None, ends: tuple[float, float], *, is_second: bool) -> str:
    n = words.plural(sum(trial.state in ("done", "diverged") for trial in one.view.trials), "trial")
    if one.recipe is None:
        return card(name(one.view.name, 40), n, '<p class="none">No recipe was made yet.</p>', span=6)
    body = (
        f'<div class="eyebrow">{first.pill(one.recipe)}</div><p class="said">{prose(one.recipe.verdict.headline)}</p>'
    )
    foot = [f"objective: {name(one.recipe.objective.title, 40)}", n]
    if found is not None:
        body += _axis(found, ends, is_second=is_second)
        body += (
            f'<p class="iv"><b>{words.difference(found.difference)}</b>, {words.interval(found.low, found.high)}</p>'
        )
        unit = figures.scale_of(one.view, one.recipe.objective)
        foot.append(text(words.listed(f"recipe − {found.rival}", unit, f"{words.level(found.level)} interval")))
        foot.append(f"{found.basis} at {name(found.rung, 18)}")
    return card(name(one.view.name, 40), "", body, foot=tuple(foot), span=6)


def _axis(found: Comparison, ends: tuple[float, float], *, is_second: bool) -> str:
    low, span = ends[0], (ends[1] - ends[0]) or 1.0

    def x(value: float) -> float:
        return 10.0 + 352.0 * (value - low) / span

    return (
        '<svg class="axis" viewBox="0 0 372 30" aria-hidden="true">'
        '<line class="base" x1="4" x2="368" y1="15" y2="15"/>'
        f'<line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="2" y2="28"/>'
        f'<rect class="bar" x="{x(found.low):.1f}" y="10" width="{max(x(found.high) - x(found.low), 2):.1f}"'
        f' height="10" rx="3"/>{sign_at(RECIPE, x(found.difference), 15, 14, is_outlined=is_second)}</svg>'
    )


def _mixtures(mine: Beside, other: Beside) -> str:
    """What each study advises, domain by domain; a dash where a study does not have the domain."""
    leads = [figures.lead_of(one.view, one.recipe) for one in (mine, other)]
    weights = [_known(one.view, lead.mixture) for one, lead in zip((mine, other), leads, strict=True)]
    names = sorted(set(weights[0]) | set(weights[1]), key=lambda n: (-max(w.get(n, 0.0) for w in weights), n))
    rows = []
    for domain in names:
        a, b = weights[0].get(domain), weights[1].get(domain)
        change = words.DASH if a is None or b is None else words.points(b - a)
        rows.append([name(domain, 36), _percent(a), _percent(b), change])
    head = [("domain", "")]
    for one, lead, is_second in zip((mine, other), leads, (False, True), strict=True):
        head.append((f"{sign(lead.name, is_outlined=is_second)} {name(one.view.name, 20)}: {text(lead.name)}, %", "r"))
    head.append(("difference, pt", "r"))
    foot = ("difference: second − first",)
    class_ = "long" if len(names) > 40 else ""
    return card(
        "What each advises",
        "Share of training tokens, heaviest first.",
        table(tuple(head), rows, class_=class_),
        foot=foot,
        id_="both",
    )


def _known(view: StudyView, mixture: Mixture) -> dict[str, float]:
    return dict(zip(view.domains, mixture.over(view.domains), strict=True))


def _percent(weight: float | None) -> str:
    return words.DASH if weight is None else f"{100.0 * weight:.1f}"
