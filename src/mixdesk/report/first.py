"""The first screen, and nothing more: verdict, recipe, gain, cost, what was not checked, what to do next.

Whoever sees a picture of it alone can act. It is HTML that stands without scripts; a recipe in stages shows them as
columns as wide as their share of the run.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixdesk.core.objective import Comparison, Objective
from mixdesk.core.recipe import Recipe, Rival
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, words
from mixdesk.report.checks import Check, checks, guard_mark, size
from mixdesk.report.figures import RECIPE, Answer, Band, DomainRow, StripRow
from mixdesk.report.markup import gauge, icon, name, prose, sign, sign_at, text, weight_bar

# State and verdict in two words, with the mark that goes with them.
PILLS = {
    ("better", "confirmed"): ("good", "Confirmed"),
    ("better", "predicted"): ("warn", "Likely"),
    ("no different", "confirmed"): ("warn", "No better than a rival"),
    ("no different", "predicted"): ("warn", "No better than a rival"),
    ("worse", "confirmed"): ("bad", "Worse than a rival"),
    ("worse", "predicted"): ("bad", "Worse than a rival"),
}
STATES = {
    "contradicted": ("bad", "Contradicted"),
    "running": ("wait", "Running"),
    "no evidence": ("wait", "No evidence"),
}
# Domains listed before "and n more": what fits beside a headline of two lines, of four on a phone, and on a phone
# beside a refusal or stages, which need the room.
ROWS, ROWS_ON_PHONE, FEW_ROWS = 10, 5, 3
# So few domains leave room for a tall strip.
FEW_DOMAINS = 4
# The bars' scale reaches at least this weight, or an even mixture would look like a heavy one.
LEAST_SCALE = 0.25
# Doubts named before "and n more", and on a phone.
DOUBTS, DOUBTS_ON_PHONE = 4, 3


def section(view: StudyView, answer: Answer, tiers: Mapping[str, str]) -> str:
    """The first screen of a study with a recipe; `tiers` domain → licence tier."""
    recipe = answer.recipe
    target = size(recipe.plan.scale)
    where = "" if target == "size unknown" else f'<span class="size">for {text(target)}</span>'
    said = (
        f'<div class="eyebrow">{pill(recipe)}<span>objective: {_asked(recipe.objective)}</span>{where}</div>'
        f"<h1>{prose(recipe.verdict.headline)}</h1>"
    )
    rail = gain(view, recipe) + cost(view, recipe) + doubts(view, answer, tiers) + _next(recipe.verdict.remedy)
    return _frame(said, mixture(view, recipe), rail)


def without_answer(view: StudyView) -> str:
    """The first screen of a study without a recipe: how far it is, and the mixture to hold on to until then."""
    n = sum(trial.state in ("done", "diverged") for trial in view.trials)
    planned = max(len(view.trials), (view.budget.n_trials or 0) if view.budget is not None else 0)
    are = "is" if n == 1 else "are"
    if n < planned:
        said, word = f"{n} of {words.plural(planned, 'trial')} {are} in. Too early for a recipe.", "Running"
        remedy = "Let it run. The page fills as trials finish: `mixdesk study run`, with the folder of the study."
    else:
        said, word = f"{words.plural(n, 'trial')} {are} in. No recipe was made yet.", "No recipe"
        remedy = "Make one: `mixdesk recipe make`, with the folder of the study."
    share = n / planned if planned else 0.0
    count = (
        f'<div class="gain"><div class="num dim">{n}<small> of {planned}</small></div><p class="cap">trials with an '
        f'answer</p><div class="prog"><i style="width:{100 * share:.1f}%"></i></div></div>'
    )
    head = (
        f'<div class="eyebrow"><span class="pill wait">{icon("wait")}{word}</span>'
        f"<span>objective: {_asked(view.objective)}</span></div><h1>{text(said)}</h1>"
    )
    unchecked = '<h3>Not checked</h3><ul class="doubts"><li>' + icon("wait")
    unchecked += "<span><b>Everything.</b> No law is fitted, no mixture is compared.</span></li></ul>"
    return _frame(head, mixture(view, None), count + cost(view, None) + _block(unchecked) + _next(remedy))


def pill(recipe: Recipe) -> str:
    """Icon and words of a verdict."""
    found = recipe.verdict
    if figures.is_refused(recipe):
        mark, said = "bad", "Refused: evidence too weak"
    else:
        mark, said = STATES.get(found.state) or PILLS[(found.name, found.state)]
    return f'<span class="pill {mark}">{icon(mark)}{said}</span>'


def _asked(objective: Objective) -> str:
    """The objective's title; in place of a long list of metrics how many there are."""
    title, n = objective.title, sum(weight > 0.0 for _, weight in objective.terms)
    if n == 1 or len(title) <= 48:
        return name(title, 48)
    return f'<span title="{text(title)}">{objective.reduce} of {n} metrics</span>'


def _frame(said: str, mix: str, rail: str) -> str:
    parts = (("say", said), ("mix", mix), ("rail", rail))
    return '<div class="front">' + "".join(f'<div class="{area}">{inner}</div>' for area, inner in parts) + "</div>"


def _block(inner: str, class_: str = "") -> str:
    return f'<div class="block{" " + class_ if class_ else ""}">{inner}</div>'


def _next(remedy: str) -> str:
    return _block(f'<h3>Next</h3><p class="next">{prose(remedy)}</p>', "todo")


def gain(view: StudyView, recipe: Recipe) -> str:
    """Recipe − rival: the number, then one axis with its interval, the fresh pairs and the spread of repeats."""
    found = figures.headline(view, recipe)
    if found is None:
        return '<div class="gain"><p class="cap">The recipe was compared with no rival.</p></div>'
    noise = figures.objective_noise(view, recipe.objective)
    is_dim = found.verdict == "no different" or recipe.verdict.name == "too weak"
    what = figures.candidate(recipe)
    unit = figures.unit_of(view, recipe.objective)
    n = words.plural(found.n_pairs, "fresh pair") if found.basis == "trained" else ""
    n = n or f"law of {words.plural(recipe.provenance.n_mixtures, 'mixture')}"
    how = "measured" if found.basis == "trained" else "predicted"
    pairs_ = next((p.differences for p in figures.paired(view, recipe) if p.trained == found), ())
    feet = ["◆ mean", "bar: interval"]
    if pairs_:
        feet.append("rings: fresh pairs")
    if noise is not None:
        feet.append("grey at zero: spread of repeats")
    rings = tuple(difference for _, difference in pairs_)
    drawing = _gain_axis(found, rings, noise.within if noise else None)
    cap = words.listed(unit, f"{what} − {found.rival}", f"{how} at ")
    return (
        f'<div class="gain"><div class="num{" dim" if is_dim else ""}">{words.difference(found.difference)}</div>'
        f'<p class="cap">{text(cap)}{name(found.rung, 18)}; {prose(figures.direction(view, recipe.objective))}</p>'
        f"{drawing}<p class='iv'><b>{words.interval(found.low, found.high)}</b> "
        f"<span>{words.level(found.level)} interval, {n}</span></p>"
        f'<p class="foot">{"".join(f"<span>{one}</span>" for one in feet)}</p></div>'
    )


def _gain_axis(found: Comparison, rings: tuple[float, ...], noise: float | None) -> str:
    ends = [found.low, found.high, found.difference, 0.0, *rings] + ([noise, -noise] if noise else [])
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return 9.0 + 286.0 * (value - low) / span

    block = ""
    if noise:
        block = f'<rect class="noise" x="{x(-noise):.1f}" y="12" width="{x(noise) - x(-noise):.1f}" height="26"/>'
    anchor = "end" if x(0.0) > 250 else "start" if x(0.0) < 54 else "middle"
    dots = "".join(f'<circle class="ring" cx="{x(v):.1f}" cy="7" r="3.4"/>' for v in rings)
    said = f"{found.rival} at zero, recipe at {words.difference(found.difference)}"
    return (
        f'<svg class="axis" viewBox="0 0 304 54" role="img" aria-label="{text(said)}">{block}'
        f'<line class="base" x1="2" x2="302" y1="25" y2="25"/>'
        f'<rect class="bar" x="{x(found.low):.1f}" y="20" width="{max(x(found.high) - x(found.low), 2):.1f}"'
        f' height="10" rx="3"/><line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="8" y2="40"/>'
        f'<text x="{x(0.0):.1f}" y="51" text-anchor="{anchor}">{text(found.rival)}</text>{dots}'
        f"{sign_at(RECIPE, x(found.difference), 25, 16)}</svg>"
    )


def cost(view: StudyView, recipe: Recipe | None) -> str:
    """What the study spent, what one run of the recipe takes, and how the two compare."""
    done = tuple(trial for trial in view.trials if trial.state in ("done", "diverged"))
    flops, seconds = figures.spent(done)
    spent = f"{words.power(flops)} FLOPs" if flops else words.duration(seconds) if seconds else "FLOPs not told"
    rows = [(f"this study, {words.plural(len(done), 'trial')}", spent)]
    if recipe is not None:
        run = next((rung.flops for rung in view.rungs if rung.scale == recipe.plan.scale and rung.flops), None)
        target = size(recipe.plan.scale)
        takes = f"{words.power(run)} FLOPs" if run else target
        rows.append(("one run of the recipe", "size not told" if takes == "size unknown" else takes))
        if run and flops:
            rows.append(("study ÷ that run", f"{words.factor(flops / run)} ×"))
    lines = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in rows)
    return f'<div class="block" id="cost"><h3>Cost</h3><dl class="kv">{lines}</dl></div>'


def doubts(view: StudyView, answer: Answer, tiers: Mapping[str, str]) -> str:
    """What nobody checked, what a check found wrong, and the guards in doubt: unknown first."""
    order = {"wait": 0, "bad": 1, "warn": 2}
    answers = checks(view, answer, tiers)
    found = sorted((one for one in answers if one.mark in order), key=lambda one: order[one.mark])
    lines = [_doubt(one) for one in found]
    for one in figures.guards(answer.recipe):
        if guard_mark(one) != "good":
            lines.insert(
                0,
                f'<li>{icon(guard_mark(one))}<a href="#guards"><b>{words.chance(one.probability)}</b> that '
                f"{prose(f'`{one.guard}`')} holds</a></li>",
            )
    if answer.recipe.verdict.name == "too weak":
        mark = "bad" if figures.is_refused(answer.recipe) else "wait"
        lines.insert(0, f'<li>{icon(mark)}<a href="#checks"><b>{prose(answer.recipe.verdict.reason)}</b></a></li>')
    title = "Not checked, or in doubt" if lines else "Checked"
    n_wide, n_phone = (len(lines) if len(lines) <= n else n - 1 for n in (DOUBTS, DOUBTS_ON_PHONE))
    shown = [line.replace("<li>", '<li class="deep">') if i >= n_phone else line for i, line in enumerate(lines)]
    more = "".join(
        f'<li class="more {class_}"><a href="#checks">and {len(lines) - n} more, with their numbers</a></li>'
        for n, class_ in ((n_wide, "wide"), (n_phone, "narrow"))
        if n < len(lines)
    )
    good = [one.title for one in answers if one.mark == "good"]
    holds = " · ".join(text(title[0].lower() + title[1:]) for title in good)
    n = f"{len(good)} of {len(answers)} checks hold" if lines else "All six checks hold"
    said = f'<span class="whole">{holds}</span><span class="brief">{n}</span>'
    known = f'<li>{icon("good")}<a href="#checks">{said}</a></li>' if good else ""
    return _block(f'<h3>{title}</h3><ul class="doubts">{"".join(shown[:n_wide])}{more}{known}</ul>')


def _doubt(one: Check) -> str:
    brief = f'<span class="brief">: {prose(one.brief)}</span>' if one.brief else ""
    whole = f'<span class="whole">{prose(one.detail)}</span>'
    return f'<li>{icon(one.mark)}<a href="{one.href}"><b>{text(one.title)}</b>{brief}{whole}</a></li>'


def mixture(view: StudyView, recipe: Recipe | None) -> str:
    """What to train on: the advised mixture as a strip, or a column per stage, then its heaviest domains."""
    lead = figures.lead_of(view, recipe)
    bands = figures.shown_bands(view, lead.mixture)
    row = StripRow(name=lead.name, weights=lead.mixture.over(view.domains), is_lead=True)
    is_staged = is_in_stages(recipe, lead)
    drawing = stages(view, recipe) if recipe is not None and is_staged else strip(bands, row) + families(bands, row)
    base = figures.reference(view).name
    label = _advice(view, recipe, lead)
    few = " few" if len(view.domains) <= FEW_DOMAINS else ""
    return (
        f'<div class="mixhead{few}"><h2 class="lead">{sign(lead.name)}{label}</h2>'
        f"<span>share of training tokens</span></div>{drawing}{_ingredients(view, recipe, lead, base)}"
    )


def is_in_stages(recipe: Recipe | None, lead: Rival) -> bool:
    """Whether the advised mixture is a recipe of more than one stage."""
    return recipe is not None and lead.name == RECIPE and len(recipe.plan.schedule.stages) > 1


def _advice(view: StudyView, recipe: Recipe | None, lead: Rival) -> str:
    if recipe is None:
        return f"Until there is a recipe: {text(lead.name)}"
    if figures.is_running(recipe):
        return f"Until there is a recipe: {'its candidate so far' if lead.name == RECIPE else text(lead.name)}"
    if figures.is_refused(recipe):
        return f"If you must train today: {text(lead.name)}"
    if lead.name == RECIPE:
        n = len(recipe.plan.schedule.stages)
        return "The recipe" if n == 1 else f"The recipe, in {n} stages"
    return f"Train on {text(lead.name)}"


def rows_of(view: StudyView, recipe: Recipe | None, lead: Rival) -> tuple[DomainRow, ...]:
    """The advised mixture per domain, heaviest first."""
    if recipe is not None and lead.name == RECIPE:
        return figures.domain_rows(view, recipe)
    scale = recipe.plan.scale if recipe is not None else view.rungs[-1].scale
    epochs = dict(lead.mixture.epochs(view.corpus, scale)) if view.corpus is not None else {}
    weights, base = lead.mixture.over(view.domains), figures.reference(view).mixture.over(view.domains)
    rows = [
        DomainRow(
            domain=domain,
            hue=i,
            weight=weights[i],
            reference=base[i],
            spread=None,
            n_tokens=None if scale.n_tokens is None else weights[i] * scale.n_tokens,
            epochs=epochs.get(domain),
        )
        for i, domain in enumerate(view.domains)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.weight, row.domain)))


def _ingredients(view: StudyView, recipe: Recipe | None, lead: Rival, base: str) -> str:
    rows = rows_of(view, recipe, lead)
    has_change = lead.name != base
    has_epochs = any(row.epochs is not None for row in rows)
    steps = recipe.plan.schedule.stages if recipe is not None and is_in_stages(recipe, lead) else ()
    top = max([LEAST_SCALE] + [max(row.weight, row.reference if has_change else 0.0) for row in rows])
    # One line more than fits is shown in place of the line that would name it.
    is_refused = recipe is not None and recipe.verdict.name == "too weak"
    fits = (ROWS, FEW_ROWS if is_refused or steps else ROWS_ON_PHONE)
    n_wide, n_phone = (len(rows) if len(rows) <= n + 1 else n for n in fits)
    head = ['<th class="name">domain</th>', '<th class="r">weight</th>']
    head.append(f'<th class="w">{f"tick: {text(base)}" if has_change else ""}</th>')
    if steps:
        head.append('<th class="r by">by stage, %</th>')
    if has_change:
        head.append(f'<th class="r change">against {text(base)}</th>')
    if has_epochs:
        head.append('<th class="r ep">epochs</th>')
    body = []
    for i, row in enumerate(rows[:n_wide]):
        cells = [
            f'<td><i class="dot" style="background:var(--d{row.hue})"></i>{_short(row.domain)}</td>',
            f'<td class="r"><b>{words.percent(row.weight)}</b></td>',
            f'<td class="w">{weight_bar(row.hue, row.weight / top, row.reference / top if has_change else None)}</td>',
        ]
        if steps:
            shown = " → ".join(f"{100 * step.mixture.as_dict().get(row.domain, 0.0):.1f}" for step in steps)
            cells.append(f'<td class="r">{shown}</td>')
        if has_change:
            cells.append(f'<td class="r change">{words.points(row.weight - row.reference)}{words.THIN}pt</td>')
        if has_epochs:
            cells.append(f'<td class="r">{gauge(row.epochs, view.constraints.max_epochs)}</td>')
        deep = ' class="deep"' if i >= n_phone else ""
        body.append(f"<tr{deep}>{''.join(cells)}</tr>")
    more = _more(rows, n_wide, "wide") + _more(rows, n_phone, "narrow")
    why = "" if has_epochs else '<span class="why">token counts unknown: no epochs</span>'
    return (
        f'<table class="parts{" steps" if steps else ""}" style="--rows:{len(body)}">'
        f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f'<p class="rest">{more}{why}</p>'
    )


def _short(domain: str) -> str:
    """A domain's name as long as the list has room for it, which is less on a phone."""
    if len(domain) <= 16:
        return name(domain)
    return f'<span class="wide">{name(domain, 28)}</span><span class="narrow">{name(domain, 16)}</span>'


def _more(rows: tuple[DomainRow, ...], n: int, class_: str) -> str:
    if n >= len(rows):
        return ""
    left = sum(row.weight for row in rows[n:])
    return f'<a class="{class_}" href="#table">and {len(rows) - n} more, together {words.percent(left)}</a>'


def strip(bands: tuple[Band, ...], row: StripRow) -> str:
    """One mixture as a bar of its bands; the advised one is tall and has labels."""
    pieces = []
    for band in bands:
        share = band.share(row.weights)
        if share <= 0.0:
            continue
        label = ""
        if row.is_lead:
            whole = f"{100 * share:.0f}"
            label = (
                f'<span class="n"><bdi>{text(words.middle(band.label, 18))}</bdi></span>'
                f'<span class="v">{words.percent(share)}</span><span class="vs">{whole}</span>'
            )
        style = f"width:{100 * share:.4f}%;background:var(--d{band.hue});color:var(--t{band.hue})"
        said = f"{band.name} {words.percent(share)}"
        pieces.append(f'<span class="seg" style="{style}" title="{text(said)}">{label}</span>')
    said = ", ".join(f"{b.name} {words.percent(b.share(row.weights))}" for b in bands)
    big = " big" if row.is_lead else ""
    return f'<div class="strip{big}" role="img" aria-label="{text(row.name)}: {text(said)}">{"".join(pieces)}</div>'


def families(bands: tuple[Band, ...], row: StripRow) -> str:
    """The families under a strip; nothing where each has one domain."""
    found: dict[str, list[Band]] = {}
    for band in bands:
        found.setdefault(band.family, []).append(band)
    if all(len(members) == 1 for members in found.values()):
        return ""
    out = []
    for family, members in found.items():
        share = sum(band.share(row.weights) for band in members)
        if share > 0.0:
            label = text(words.middle(family, 18)) if share > 0.045 else ""
            style = f"width:{100 * share:.4f}%;border-color:var(--d{members[0].hue})"
            out.append(f'<span style="{style}" title="{text(family)}"><bdi>{label}</bdi></span>')
    return f'<div class="fams" aria-hidden="true">{"".join(out)}</div>'


def stages(view: StudyView, recipe: Recipe) -> str:
    """When the mixture changes: a column per stage, as wide as its share of the run, as high as the weights."""
    steps = recipe.plan.schedule.stages
    bands = figures.shown_bands(view, recipe.mixture)
    columns, before = [], 0.0
    for number, step in enumerate(steps, start=1):
        share, weights = step.until - before, step.mixture.over(view.domains)
        cells = []
        for band in bands:
            part = band.share(weights)
            if part <= 0.0:
                continue
            style = f"height:{100 * part:.4f}%;background:var(--d{band.hue});color:var(--t{band.hue})"
            said = f"{band.name} {words.percent(part)}"
            label = ""
            if part >= 0.12:
                label = f"<bdi>{text(words.middle(band.label, 18))}</bdi> <b>{words.percent(part)}</b>"
            cells.append(f'<span style="{style}" title="{text(said)}">{label}</span>')
        said = ", ".join(f"{b.name} {words.percent(b.share(weights))}" for b in bands)
        when = f"from {words.percent(before)}" if before else f"until {words.percent(step.until)}"
        columns.append(
            f'<div class="stage" style="flex:{share:.4f} 1 0"><p>stage {number} <span>{when}</span></p>'
            f'<div role="img" aria-label="stage {number}: {text(said)}">{"".join(cells)}</div></div>'
        )
        before = step.until
    return f'<div class="stages">{"".join(columns)}</div>'
