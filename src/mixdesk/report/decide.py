"""The first screen as HTML that stands without scripts: verdict, gain, strips, checks, cost, the recipe's table."""

from __future__ import annotations

from mixdesk.core.objective import Comparison
from mixdesk.core.recipe import RIVALS, GuardCheck, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, words
from mixdesk.report.checks import checks, size
from mixdesk.report.figures import RECIPE, Answer, Band, StripRow
from mixdesk.report.markup import card, icon, name, pairs, prose, sign, sign_at, table, text

# State and verdict in two words, with the mark that goes with them.
_PILLS = {
    ("better", "confirmed"): ("good", "Confirmed"),
    ("better", "predicted"): ("warn", "Likely"),
    ("no different", "confirmed"): ("warn", "No better than a rival"),
    ("no different", "predicted"): ("warn", "No better than a rival"),
    ("worse", "confirmed"): ("bad", "Worse than a rival"),
    ("worse", "predicted"): ("bad", "Worse than a rival"),
}
_STATES = {
    "contradicted": ("bad", "Contradicted"),
    "running": ("wait", "Running"),
    "no evidence": ("wait", "No evidence"),
}


def section(view: StudyView, answers: tuple[Answer, ...]) -> str:
    """Everything up to the faders."""
    if not answers:
        return _without_answer(view)
    first = answers[0]
    lower = checks_card(view, first) + cost_card(view, first.recipe)
    others = "".join(other_card(view, one) for one in answers[1:])
    wide = 12 if not others else 8
    lower += recipe_table(view, first.recipe, span=wide)
    if others:
        lower += f'<div class="c4 stack"><h3>Other questions asked of the same trials</h3>{others}</div>'
    return verdict(view, first.recipe) + strips(view, first.recipe) + f'<div class="grid">{lower}</div>'


def pill(recipe: Recipe) -> str:
    """Icon and words of a verdict."""
    found = recipe.verdict
    if found.name == "too weak":
        mark, said = "bad", "Refused: evidence too weak"
    else:
        mark, said = _STATES.get(found.state) or _PILLS[(found.name, found.state)]
    return f'<span class="pill {mark}">{icon(mark)}{said}</span>'


def verdict(view: StudyView, recipe: Recipe) -> str:
    """Headline and reason on the left, one number with its interval on the right."""
    target = size(recipe.plan.scale)
    where = "" if target == "size unknown" else f"<span>target: {text(target)}</span>"
    # What a warning says of a guard stands with its number below.
    told = [one for one in recipe.warnings if not (recipe.guards and one.startswith("Guard "))]
    warnings = guards(recipe) + "".join(f"<li>{icon('warn')}<span>{prose(one)}</span></li>" for one in told[:3])
    settle = ""
    if recipe.verdict.name == "too weak":
        settle = f'<p class="lede settle"><b>What would settle it.</b> {prose(recipe.verdict.remedy)}</p>'
    return (
        f'<div class="verdict"><div><div class="eyebrow">{pill(recipe)}'
        f"<span>objective: {name(recipe.objective.title, 60)}</span>{where}</div>"
        f"<h1>{prose(recipe.verdict.headline)}</h1>"
        f'<p class="lede">{prose(recipe.verdict.reason)}</p>{settle}'
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + f"</div>{gain(view, recipe)}</div>"
    )


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


def guard_mark(one: GuardCheck) -> str:
    """The mark of a guard: kept, in doubt, or broken. One that the search touches is in doubt, half to half."""
    if one.probability >= figures.SURE:
        return "good"
    return "bad" if one.probability <= 1.0 - figures.SURE else "warn"


def gain(view: StudyView, recipe: Recipe) -> str:
    """Recipe − rival: the number, then one axis with its interval, the fresh pairs and the spread of repeats."""
    found = figures.headline(view, recipe)
    if found is None:
        return '<div class="gain"><p class="cap">The recipe was compared with no rival.</p></div>'
    against = f"{figures.unit_of(view, recipe.objective)} against {found.rival}".strip()
    better = figures.direction(view, recipe.objective)
    noise = figures.objective_noise(view, recipe.objective)
    pairs_ = next((p.differences for p in figures.paired(view, recipe) if p.trained == found), ())
    dim = " dim" if found.verdict == "no different" or recipe.verdict.name == "too weak" else ""
    n = words.plural(found.n_pairs, "fresh pair") if found.basis == "trained" else "from the law's draws"
    how = "trained" if found.basis == "trained" else "predicted"
    feet = ["◆ mean", "bar: interval"]
    if pairs_:
        feet.append("rings: fresh pairs")
    if noise is not None:
        feet.append("grey at zero: spread of repeats")
    rings = tuple(difference for _, difference in pairs_)
    drawing = _gain_axis(found, rings, noise.within if noise else None)
    return (
        f'<div class="gain"><div class="num{dim}">{words.difference(found.difference)}</div>'
        f'<p class="cap">{text(against)}, {how} at {name(found.rung)}; {prose(better)}</p>'
        f"{drawing}<p class='iv'><b>{words.interval(found.low, found.high)}</b> "
        f"<span>{words.level(found.level)} interval, {n}</span></p>"
        f'<p class="foot">{"".join(f"<span>{one}</span>" for one in feet)}</p></div>'
    )


def _gain_axis(found: Comparison, rings: tuple[float, ...], noise: float | None) -> str:
    ends = [found.low, found.high, found.difference, 0.0, *rings] + ([noise, -noise] if noise else [])
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return 10.0 + 352.0 * (value - low) / span

    block = ""
    if noise:
        block = f'<rect class="noise" x="{x(-noise):.1f}" y="22" width="{x(noise) - x(-noise):.1f}" height="26"/>'
    anchor = "end" if x(0.0) > 290 else "start" if x(0.0) < 80 else "middle"
    dots = "".join(f'<circle class="ring" cx="{x(v):.1f}" cy="17" r="3.4"/>' for v in rings)
    said = f"{found.rival} at zero, recipe at {words.difference(found.difference)}"
    return (
        f'<svg class="axis" viewBox="0 0 372 56" role="img" aria-label="{text(said)}">{block}'
        f'<line class="base" x1="4" x2="368" y1="35" y2="35"/>'
        f'<rect class="bar" x="{x(found.low):.1f}" y="30" width="{max(x(found.high) - x(found.low), 2):.1f}"'
        f' height="10" rx="3"/><line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="16" y2="50"/>'
        f'<text x="{x(0.0):.1f}" y="11" text-anchor="{anchor}">{text(found.rival)}</text>{dots}'
        f"{sign_at(RECIPE, x(found.difference), 35, 16)}</svg>"
    )


def strips(view: StudyView, recipe: Recipe | None) -> str:
    """The advised mixture large, the others beside it on one scale, each with recipe − rival."""
    lead = figures.lead_of(view, recipe).mixture
    bands, rows = figures.shown_bands(view, lead), figures.strips(view, recipe)
    what = "refused candidate − rival" if recipe is not None and recipe.verdict.name == "too weak" else "recipe − rival"
    unit = figures.scale_of(view, recipe.objective if recipe is not None else view.objective)
    has_scale = recipe is not None and any(row.comparison for row in rows)
    head = f'<span class="hd">{text(words.listed(what, unit))}</span>' if has_scale else '<span class="hd"></span>'
    out = ['<span class="hd pad"></span><span class="hd">share of training tokens</span>', head]
    ends = [v for row in rows if row.comparison for v in (row.comparison.low, row.comparison.high)] + [0.0]
    for row in rows:
        big = " me" if row.is_lead else ""
        out.append(f'<span class="who{big}">{sign(row.name)}{text(row.name)}</span>')
        out.append(_strip(bands, row))
        out.append(f'<span class="rv">{_rival(row, recipe, min(ends), max(ends))}</span>')
        if row.is_lead:
            out.append(f'<span class="pad"></span>{_families(bands, row)}<span class="pad"></span>')
    return f'<div class="strips{"" if has_scale else " two"}">{"".join(out)}</div>'


def _strip(bands: tuple[Band, ...], row: StripRow) -> str:
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


def _families(bands: tuple[Band, ...], row: StripRow) -> str:
    families: dict[str, list[Band]] = {}
    for band in bands:
        families.setdefault(band.family, []).append(band)
    if all(len(members) == 1 for members in families.values()):
        return '<div class="fams none"></div>'
    out = []
    for family, members in families.items():
        share = sum(band.share(row.weights) for band in members)
        if share > 0.0:
            label = text(words.middle(family, 18)) if share > 0.045 else ""
            style = f"width:{100 * share:.4f}%;border-color:var(--d{members[0].hue})"
            out.append(f'<span style="{style}" title="{text(family)}"><bdi>{label}</bdi></span>')
    return f'<div class="fams" aria-hidden="true">{"".join(out)}</div>'


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
        return 8.0 + 164.0 * (value - low) / span

    drawing = (
        f'<svg class="cmp" viewBox="0 0 180 18" aria-hidden="true"><line class="base" x1="2" x2="178" y1="9" y2="9"/>'
        f'<line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="1" y2="17"/>'
        f'<rect class="bar" x="{x(found.low):.1f}" y="6" width="{max(x(found.high) - x(found.low), 2):.1f}" height="6"'
        f' rx="2"/>{sign_at(row.name, x(found.difference), 9)}</svg>'
    )
    said = f"{words.level(found.level)} interval {words.interval(found.low, found.high)}, {found.basis}"
    number = f"<b>{words.difference(found.difference)}</b> {found.basis}"
    return f'{drawing}<span class="dv" title="{text(said)}">{number}</span>'


def checks_card(view: StudyView, answer: Answer) -> str:
    """Is it real? Six checks with links to their evidence."""
    items = "".join(
        f'<a class="chk" href="{one.href}">{icon(one.mark)}<span><b>{text(one.title)}</b>'
        f"<span>{prose(one.detail)}</span></span></a>"
        for one in checks(view, answer)
    )
    question = "Six questions, each with its number. Each opens its evidence below."
    return card("Is it real?", question, f'<div class="checks">{items}</div>', span=8, id_="checks")


def cost_card(view: StudyView, recipe: Recipe | None) -> str:
    """What the study spent per rung and what one run of the plan takes; then what to do next."""
    rows, total = [], 0.0
    for rung in view.rungs:
        done = tuple(t for t in view.at(rung.label) if t.state in ("done", "diverged"))
        flops, seconds = figures.spent(done)
        if not done:
            continue
        total += flops or 0.0
        spent = f"{words.power(flops)} FLOPs" if flops else words.duration(seconds) if seconds else "not told"
        rows.append((f"{words.plural(len(done), 'trial')} at {name(rung.label, 18)}", spent))
    if recipe is not None:
        target = next((r for r in view.rungs if r.scale == recipe.plan.scale and r.flops), None)
        if target is not None and target.flops:
            rows.append(("one run of the plan", f"{words.power(target.flops)} FLOPs"))
            if total:
                rows.append(("study ÷ that run", f"{words.factor(total / target.flops)} ×"))
    _, seconds = figures.spent(view.trials)
    if total and seconds:
        rows.append(("time on workers", words.duration(seconds)))
    # A refusal has its remedy beside the verdict.
    is_told = recipe is None or recipe.verdict.name == "too weak"
    next_ = "" if recipe is None or is_told else f'<h4>Next</h4><p class="next">{prose(recipe.verdict.remedy)}</p>'
    return card("What it costs", "", pairs(rows) + next_, span=4, id_="cost")


def recipe_table(view: StudyView, recipe: Recipe, span: int) -> str:
    """The recipe per domain: weight, change, tokens and epochs where they are known."""
    rows, base = figures.domain_rows(view, recipe), figures.reference(view).name
    top = max(max(row.weight, row.reference) for row in rows)
    has_tokens, has_epochs = rows[0].n_tokens is not None, bool(recipe.epochs)
    head = [("domain", ""), (f"weight, tick: {base}", "w"), ("%", "r"), ("change, pt", "r x")]
    if recipe.spread:
        head.append(("± pt", "r x"))
    if has_tokens:
        head.append(("tokens", "r x"))
    if has_epochs:
        head.append(("epochs", "r"))
    limit = view.constraints.max_epochs
    body = []
    for row in rows:
        bar = (
            f'<span class="wbar"><i style="width:{100 * row.weight / top:.2f}%;background:var(--d{row.hue})"></i>'
            f'<u style="left:{100 * row.reference / top:.2f}%"></u></span>'
        )
        cells = [
            f'<i class="dot" style="background:var(--d{row.hue})"></i>{name(row.domain, 36)}',
            bar,
            f"{100 * row.weight:.1f}",
            words.points(row.weight - row.reference),
        ]
        if recipe.spread:
            cells.append("–" if row.spread is None else f"{100 * row.spread:.1f}")
        if has_tokens:
            cells.append(words.amount(row.n_tokens))
        if has_epochs:
            cells.append(_meter(row.epochs, limit))
        body.append(cells)
    foot = ["weights are shares of training tokens", words.plural(len(rows), "domain")]
    stages = recipe.plan.schedule.stages
    if len(stages) > 1:
        foot.append(f"token average of {len(stages)} stages, the last from {stages[-2].until:.0%} on")
    if recipe.spread:
        foot.append("± half the range of near-optimal mixtures")
    if has_epochs:
        foot.append("epochs: weight × run tokens ÷ unique tokens" + (f", limit {limit:g}" if limit else ""))
    else:
        foot.append("token counts are unknown: no epochs" + ("" if has_tokens else ", no tokens"))
    title, question = "The recipe, domain by domain", f"What goes in, and how far it moves from {base}."
    if recipe.verdict.name == "too weak":
        title = "The candidate that was refused"
        question = "What the law would have proposed. Shown so that it can be argued with, not to be used."
    elif recipe.verdict.recommended != RECIPE:
        title = "The candidate, domain by domain"
    return card(title, question, table(tuple(head), body, class_="wt"), foot=tuple(foot), span=span, id_="table")


def _meter(epochs: float | None, limit: float | None) -> str:
    if epochs is None:
        return words.DASH
    if limit is None:
        return f"{epochs:.1f}"
    over = " hot" if epochs > limit * (1 + 1e-6) else ""
    fill = min(epochs / limit, 1.0)
    return (
        f'<span class="meter{over}"><i style="width:{100 * fill:.1f}%"></i></span><span class="ev">{epochs:.1f}</span>'
    )


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
        f'<div class="eyebrow">{pill(recipe)}</div><p class="said">{prose(recipe.verdict.headline)}</p>'
        f'<p class="q">{sign(row.name)} {text(row.name)}, share of training tokens</p>'
        f"{_strip(figures.shown_bands(view, figures.lead_of(view, recipe).mixture), small)}"
        + table((("recipe − rival", ""), (unit, "r"), ("interval", "r")), lines)
    )
    return f'<div class="card"><h3>{name(recipe.objective.title, 48)}</h3>{body}</div>'


def _without_answer(view: StudyView) -> str:
    """The page of a study without a recipe: how far it is, and the mixtures it has so far."""
    n = sum(trial.state in ("done", "diverged") for trial in view.trials)
    planned = max(len(view.trials), (view.budget.n_trials or 0) if view.budget is not None else 0)
    are = "is" if n == 1 else "are"
    if n < planned:
        said, word = f"{n} of {words.plural(planned, 'trial')} {are} in. Too early for a recipe.", "Running"
        reason = "The page fills as trials finish. A law, a recipe and the faders come when the study is done."
    else:
        said, word = f"{words.plural(n, 'trial')} {are} in. No recipe was made yet.", "No recipe"
        reason = "Make one: mixdesk recipe make, with the folder of the study"
    share = n / planned if planned else 0.0
    values = [v for t in view.at() if (v := figures.measured(view, view.objective, t.final)) == v]
    rows = []
    if values:
        lowest = words.listed("lowest so far", figures.scale_of(view, view.objective))
        rows = [(text(lowest), words.value(min(values))), ("highest so far", words.value(max(values)))]
    noise = figures.objective_noise(view, view.objective)
    rows.append(("spread of repeats", "not measured yet" if noise is None else words.value(noise.within)))
    so_far = card("So far", "", pairs(rows), span=8)
    count = (
        f'<div class="num dim">{n}<small> of {planned}</small></div><p class="cap">trials with an answer</p>'
        f'<div class="prog"><i style="width:{100 * share:.1f}%"></i></div>'
    )
    return (
        f'<div class="verdict"><div><div class="eyebrow"><span class="pill wait">{icon("wait")}{word}</span>'
        f"<span>objective: {name(view.objective.title, 60)}</span></div><h1>{text(said)}</h1>"
        f'<p class="lede">{text(reason)}</p></div><div class="gain">{count}</div></div>'
        f'{strips(view, None)}<div class="grid">{so_far}{cost_card(view, None)}</div>'
    )
