"""Below the first screen: is it real, what it cost, the rivals, the recipe in full, other questions.

HTML that stands without scripts. The first screen itself is `first.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mixdesk.core.recipe import RIVALS, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, first, words
from mixdesk.report.checks import checks, size
from mixdesk.report.checks import guard_mark as guard_mark
from mixdesk.report.figures import RECIPE, Answer, StripRow
from mixdesk.report.markup import card, gauge, icon, name, pairs, prose, sign, sign_at, table, text, weight_bar

# Lines of the table on paper; the file has them all.
PRINTED = 40


def section(view: StudyView, answers: tuple[Answer, ...], tiers: Mapping[str, str]) -> str:
    """Everything between the first screen and the faders; `tiers` domain → licence tier, empty where not known."""
    if not answers:
        lower = so_far(view) + cost_card(view, None) + strips(view, None)
        return f'<div class="grid lower">{lower}</div>'
    main = answers[0]
    lower = checks_card(view, main, tiers) + cost_card(view, main.recipe) + strips(view, main.recipe)
    others = "".join(other_card(view, one) for one in answers[1:])
    lower += recipe_table(view, main.recipe, tiers, span=8 if others else 12)
    if others:
        lower += f'<div class="c4 stack"><h3>Other questions asked of the same trials</h3>{others}</div>'
    return f'<div class="grid lower">{lower}</div>'


def guards(recipe: Recipe) -> str:
    """Each guard with the probability that it holds, the least sure first; of many the first three."""
    found = figures.guards(recipe)
    rows = [
        f'<li class="guard">{icon(guard_mark(one))}<span><b>{words.chance(one.probability)}</b> that '
        f"{prose(f'`{one.guard}`')} holds, {one.basis}</span></li>"
        for one in found[:3]
    ]
    if len(found) > 3:
        least = words.chance(found[3].probability)
        rows.append(
            f'<li class="guard">{icon(guard_mark(found[3]))}<span><a href="#guards">'
            f"{words.plural(len(found) - 3, 'more guard')}</a>, each with {least} or more</span></li>"
        )
    return "".join(rows)


def strips(view: StudyView, recipe: Recipe | None) -> str:
    """The advised mixture and the others on one scale, each with recipe − rival and its interval."""
    lead = figures.lead_of(view, recipe).mixture
    bands, rows = figures.shown_bands(view, lead), figures.strips(view, recipe)
    what = f"{figures.candidate(recipe)} − rival" if recipe is not None else ""
    unit = figures.scale_of(view, recipe.objective if recipe is not None else view.objective)
    compared = [row.comparison for row in rows if row.comparison is not None]
    has_scale = recipe is not None and bool(compared)
    out = ['<span class="hd pad"></span><span class="hd">share of training tokens</span>']
    if has_scale:
        out.append(f'<span class="hd">{text(words.listed(what, unit))}</span>')
    if recipe is not None:
        judged = view.spoken(recipe.plan.schedule).over(view.domains)
        rows = tuple(replace(row, weights=judged) if row.name == RECIPE else row for row in rows)
    ends = [end for found in compared for end in (found.low, found.high)] + [0.0]
    for row in rows:
        lead_class = " me" if row.is_lead else ""
        out.append(f'<span class="who{lead_class}">{sign(row.name)}{text(row.name)}</span>')
        out.append(first.strip(bands, replace(row, is_lead=False)))
        if has_scale:
            out.append(f'<span class="rv">{_rival(row, recipe, min(ends), max(ends))}</span>')
    foot = []
    if compared:
        levels = " and ".join(words.level(one) for one in sorted({found.level for found in compared}))
        basis = " or ".join(sorted({found.basis for found in compared}))
        foot.append(f"bar and numbers: {levels} interval, {basis}; a rival's sign stands where the recipe is beside it")
    foot += [f"{len(bands)} families" if len(bands) < len(view.domains) else words.plural(len(bands), "domain")]
    if recipe is not None and len(recipe.plan.schedule.stages) > 1:
        is_average = view.spoken(recipe.plan.schedule) == recipe.mixture
        foot.append("recipe: " + ("the token average of its stages" if is_average else "its last stage"))
    body = f'<div class="strips{"" if has_scale else " two"}">{"".join(out)}</div>'
    question = (
        "The same scale for all; left of zero the recipe is better." if has_scale else "What the study has so far."
    )
    return card("Beside its rivals", question, body, foot=tuple(foot), id_="rivals")


def _rival(row: StripRow, recipe: Recipe | None, low: float, high: float) -> str:
    if recipe is None:
        return ""
    found = row.comparison
    if found is None:
        expected = next((e for e in reversed(recipe.expected) if e.metric == "objective"), None)
        if expected is None or row.name != RECIPE:
            return ""
        return (
            f'<span class="exp"><b>{words.value(expected.mean)}</b> at {name(expected.rung, 18)}, '
            f"{words.value(expected.low)} to {words.value(expected.high)}</span>"
        )
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return 8.0 + 134.0 * (value - low) / span

    drawing = (
        f'<svg class="cmp" viewBox="0 0 150 18" aria-hidden="true"><line class="base" x1="2" x2="148" y1="9" y2="9"/>'
        f'<line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="1" y2="17"/>'
        f'<rect class="bar" x="{x(found.low):.1f}" y="6" width="{max(x(found.high) - x(found.low), 2):.1f}" height="6"'
        f' rx="2"/>{sign_at(row.name, x(found.difference), 9)}</svg>'
    )
    number = f"<b>{words.difference(found.difference)}</b> {words.interval(found.low, found.high)}"
    return f'{drawing}<span class="dv">{number}</span>'


def checks_card(view: StudyView, answer: Answer, tiers: Mapping[str, str]) -> str:
    """Is it real? The verdict's reason, six checks with links to their evidence, guards and warnings."""
    recipe = answer.recipe
    items = "".join(
        f'<a class="chk" href="{one.href}">{icon(one.mark)}<span><b>{text(one.title)}</b>'
        f"<span>{prose(one.detail)}</span></span></a>"
        for one in checks(view, answer, tiers)
    )
    # What a warning says of a guard stands with its number.
    told = [one for one in recipe.warnings if not (recipe.guards and one.startswith("Guard "))]
    warnings = guards(recipe) + "".join(f"<li>{icon('warn')}<span>{prose(one)}</span></li>" for one in told)
    body = f'<div class="checks">{items}</div>' + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
    return card("Is it real?", prose(recipe.verdict.reason), body, span=8, id_="checks")


def cost_card(view: StudyView, recipe: Recipe | None) -> str:
    """What the study spent size by size, in FLOPs and in time on workers, and the size of the plan."""
    rows = []
    for rung in view.rungs:
        done = tuple(t for t in view.at(rung.label) if t.state in ("done", "diverged"))
        if not done:
            continue
        flops, seconds = figures.spent(done)
        spent = f"{words.power(flops)} FLOPs" if flops else "FLOPs not told"
        if seconds:
            spent += f", {words.duration(seconds)}"
        rows.append((f"{words.plural(len(done), 'trial')} at {name(rung.label, 18)}", spent))
        if size(rung.scale) != "size unknown":
            rows.append(('<span class="sub">one of them</span>', text(size(rung.scale))))
    failed = sum(trial.state == "failed" for trial in view.trials)
    if failed:
        rows.append((words.plural(failed, "failed trial"), "not counted"))
    if recipe is not None:
        rows.append(("the plan", text(size(recipe.plan.scale))))
    if not rows:
        rows.append(("no trial is done", words.DASH))
    return card("Where the compute went", "Trials by size; time is summed over workers.", pairs(rows), span=4)


def recipe_table(view: StudyView, recipe: Recipe, tiers: Mapping[str, str], span: int) -> str:
    """The recipe per domain: weight, change, tokens and epochs where they are known, by stage, with licence tiers."""
    rows, base = figures.domain_rows(view, recipe), figures.reference(view).name
    top = max(max(row.weight, row.reference) for row in rows)
    has_tokens, has_epochs = rows[0].n_tokens is not None, bool(recipe.epochs)
    steps = recipe.plan.schedule.stages
    head = [("domain", ""), (f"weight, tick: {base}", "w"), ("%", "r"), ("change, pt", "r x")]
    if len(steps) > 1:
        head += [(f"stage {i}, %", "r") for i in range(1, len(steps) + 1)]
    if recipe.spread:
        head.append(("± pt", "r x"))
    if has_tokens:
        head.append(("tokens", "r x"))
    if has_epochs:
        head.append(("epochs", "r"))
    if tiers:
        head.append(("licence", "x"))
    body = []
    for row in rows:
        cells = [
            f'<i class="dot" style="background:var(--d{row.hue})"></i>{name(row.domain, 36)}',
            weight_bar(row.hue, row.weight / top, row.reference / top),
            f"{100 * row.weight:.1f}",
            words.points(row.weight - row.reference),
        ]
        if len(steps) > 1:
            cells += [f"{100 * step.mixture.as_dict().get(row.domain, 0.0):.1f}" for step in steps]
        if recipe.spread:
            cells.append("–" if row.spread is None else f"{100 * row.spread:.1f}")
        if has_tokens:
            cells.append(words.amount(row.n_tokens))
        if has_epochs:
            cells.append(gauge(row.epochs, view.constraints.max_epochs))
        if tiers:
            tier = tiers.get(row.domain, "unclear")
            cells.append(f'<span class="tier {text(tier)}">{text(tier)}</span>')
        body.append(cells)
    title, question = _titles(recipe, base)
    class_ = "wt long" if len(rows) > PRINTED else "wt"
    foot = _feet(view, recipe, has_tokens, bool(tiers))
    return card(title, question, table(tuple(head), body, class_=class_), foot=foot, span=span, id_="table")


def _titles(recipe: Recipe, base: str) -> tuple[str, str]:
    """The title of the table of domains, and the question that it answers."""
    title, question = "The recipe, domain by domain", f"What goes in, and how far it moves from {base}."
    if figures.is_running(recipe):
        title = "The candidate so far, domain by domain"
        question = "What the law would propose if the study ended now. Trials are out, and it may change."
    elif figures.is_refused(recipe):
        title = "The candidate that was refused"
        question = "What the law would have proposed. Shown so that it can be argued with, not to be used."
    elif recipe.verdict.recommended != RECIPE:
        title = "The candidate, domain by domain"
    return title, question


def _feet(view: StudyView, recipe: Recipe, has_tokens: bool, has_tiers: bool) -> tuple[str, ...]:
    """What the columns of the recipe's table mean."""
    foot = ["weights are shares of training tokens", words.plural(len(view.domains), "domain")]
    steps, limit = recipe.plan.schedule.stages, view.constraints.max_epochs
    if len(steps) > 1:
        start = words.percent(steps[-2].until)
        foot.append(f"% is the token average of {len(steps)} stages, the last from {start} of the tokens on")
    if recipe.spread:
        foot.append("± half the range of near-optimal mixtures")
    if recipe.epochs:
        foot.append("epochs: weight × run tokens ÷ unique tokens" + (f", limit {limit:g}" if limit else ""))
    else:
        foot.append("token counts are unknown: no epochs" + ("" if has_tokens else ", no tokens"))
    if has_tiers:
        foot.append("licence: the worst tier of any text in the domain")
    if len(view.domains) > PRINTED:
        foot.append(f'<span class="printed">{PRINTED} lines are printed; the file has all</span>')
    return tuple(foot)


def other_card(view: StudyView, answer: Answer) -> str:
    """A further question to the same trials: verdict, strip and comparisons, compact."""
    recipe = answer.recipe
    lead = figures.lead_of(view, recipe)
    row = next(row for row in figures.strips(view, recipe) if row.name == lead.name)
    small = StripRow(name=row.name, weights=row.weights, is_lead=False)
    found = [(rival, recipe.against(rival)) for rival in RIVALS]
    lines = [
        [
            f'{sign(rival)} {text(rival)} <small class="sub">{c.basis}</small>',
            f"<b>{words.difference(c.difference)}</b>",
            words.interval(c.low, c.high),
        ]
        for rival, c in found
        if c is not None
    ]
    unit = text(figures.scale_of(view, recipe.objective) or "difference")
    body = (
        f'<div class="eyebrow">{first.pill(recipe)}</div><p class="said">{prose(recipe.verdict.headline)}</p>'
        f'<p class="q">{sign(row.name)} {text(row.name)}, share of training tokens</p>'
        f"{first.strip(figures.shown_bands(view, figures.lead_of(view, recipe).mixture), small)}"
        + table((("recipe − rival", ""), (unit, "r"), ("interval", "r")), lines)
    )
    return f'<div class="card"><h3>{name(recipe.objective.title, 48)}</h3>{body}</div>'


def so_far(view: StudyView) -> str:
    """Of a study without a recipe: the range of what was measured, and the noise."""
    values = [v for t in view.at() if (v := figures.measured(view, view.objective, t.final)) == v]
    rows = []
    if values:
        lowest = words.listed("lowest so far", figures.scale_of(view, view.objective))
        rows = [(text(lowest), words.value(min(values))), ("highest so far", words.value(max(values)))]
    noise = figures.objective_noise(view, view.objective)
    rows.append(("spread of repeats", "not measured yet" if noise is None else words.value(noise.within)))
    return card("So far", "", pairs(rows), span=8)
