"""The evidence as HTML and figures: does the law predict, would others, guards, curves, fresh trials, raw numbers."""

from __future__ import annotations

import math
from typing import Any

from mixdesk.core.recipe import RIVALS, Recipe
from mixdesk.core.trial import StudyView, Trial
from mixdesk.report import decide, figures, panels, tried, words
from mixdesk.report.figures import Answer
from mixdesk.report.markup import card, icon, name, pairs, prose, sign, table, text

# Rows of the trials' table without scripts and on paper; the page itself shows all of them.
MOST_ROWS = 40
# Sentences about overlap on the page.
MOST_WARNINGS = 8

Specs = dict[str, dict[str, Any]]


def section(view: StudyView, answers: tuple[Answer, ...], shared: figures.Shared | None = None) -> tuple[str, Specs]:
    """The cards of the evidence, and the Plotly specification of each figure by its element's id."""
    specs: Specs = {}
    cards = []
    if answers:
        first = answers[0]
        beside = _learned(view, first, specs) + _signal(view, first.recipe)
        cards += [_predict(view, first, specs), f'<div class="c5 stack">{beside}</div>']
        cards += [_residuals(view, first, specs), _held(first, specs)]
        cards += [_league(view, first), _shares(view, first), _guards(first.recipe)]
        cards += [_curves(view, first.recipe, specs), _confirm(view, first.recipe, specs)]
        cards += [_tried(view, first.recipe, specs), _tradeoff(view, first.recipe, specs)]
    else:
        cards += [_curves(view, None, specs), _signal(view, None)]
        cards += [_tried(view, None, specs), _tradeoff(view, None, specs)]
    if shared is not None:
        cards.append(_overlap(shared, specs))
    return f'<div class="grid">{"".join(cards)}</div>', specs


def _figure(id_: str, spec: dict[str, Any], specs: Specs, height: int) -> str:
    specs[id_] = spec
    return (
        f'<div class="fig" id="{id_}" role="img" aria-label="{text(spec["label"])}" style="min-height:{height}px">'
        "<noscript>This figure needs scripts.</noscript></div>"
    )


def _predict(view: StudyView, answer: Answer, specs: Specs) -> str:
    found, unit = figures.fit_points(answer), figures.scale_of(view, answer.recipe.objective)
    title, question = "Does the law predict?", "Each dot is a trial that the law had not seen when it predicted it."
    if len(found) < 2:
        need = len(view.domains) + 2
        return card(title, question, f'<p class="none">No out-of-fold predictions: it takes {need} trials.</p>', span=7)
    held = figures.coverage(found)
    said = "This law gives no intervals."
    if held is not None:
        said = (
            f"<b>{held.n_inside} of {held.n}</b> measured values lie inside their 90{words.THIN}% interval; "
            f"chance allows {held.least} to {held.most}."
        )
    noise = figures.objective_noise(view, answer.recipe.objective)
    if noise is not None:
        rest = math.sqrt(sum((p.measured - p.mean) ** 2 for p in found) / len(found))
        one_run = math.hypot(noise.within, noise.between)
        said += f" Error {words.value(rest)}; repeats of one mixture alone spread by {words.value(one_run)}."
    body = _figure("fig-predict", panels.predict(found, unit), specs, 340) + f'<p class="after">{said}</p>'
    n = f"n = {words.plural(len(found), 'trial')}"
    foot = (
        *_told(unit),
        n,
        "out of fold, split by mixture",
        *(("bars: 90\u202f% interval of one run",) if len(found) <= panels.FEW else ()),
        _law(answer),
    )
    return card(title, question, body, foot=foot, span=7, id_="predict")


def _residuals(view: StudyView, answer: Answer, specs: Specs) -> str:
    found, unit = tried.residuals(view, answer), figures.scale_of(view, answer.recipe.objective)
    if len(found) < 2:
        return ""
    body = _figure("fig-residuals", panels.residuals(found, unit), specs, 250)
    foot = (*_told(unit), f"n = {words.plural(len(found), 'trial')}", "out of fold", _law(answer))
    question = "A pattern here would mean that the law has the wrong form, or that something drifted."
    return card("Is anything left over?", question, body, foot=foot, span=7, id_="residuals")


def _held(answer: Answer, specs: Specs) -> str:
    points = figures.fit_points(answer)
    if len(points) < 2:
        return ""
    found, title, question = (
        tried.held(points),
        "Do the intervals hold?",
        "A 90\u202f% interval should be right 9 times in 10.",
    )
    if not found:
        return card(title, question, '<p class="none">This law gives no intervals.</p>', span=5, id_="coverage")
    body = _figure("fig-coverage", panels.held(found, len(points)), specs, 250)
    foot = (
        "share of trials in per cent",
        f"n = {words.plural(len(points), 'trial')}, out of fold",
        "grey: chance at this n, 95\u202f%",
        "other levels than 90\u202f%: stretched as a normal's",
        _law(answer),
    )
    return card(title, question, body, foot=foot, span=5, id_="coverage")


def _tried(view: StudyView, recipe: Recipe | None, specs: Specs) -> str:
    bands = figures.shown_bands(view, figures.lead_of(view, recipe).mixture)
    found = tried.tried(view, recipe, bands)
    if not found:
        return ""
    objective = recipe.objective if recipe is not None else view.objective
    unit, labels = figures.scale_of(view, objective), tuple(band.label for band in bands)
    is_ternary = len(view.domains) == 3
    if is_ternary:
        body = _figure("fig-tried", panels.ternary(found, (labels[0], labels[1], labels[2]), unit), specs, 380)
    else:
        wide = f'style="min-width:{90 + 62 * len(labels)}px"'
        inner = _figure("fig-tried", panels.parallel(found, labels, unit), specs, 380)
        body = (
            f'<div class="sideways" tabindex="0" role="region" aria-label="all trials"><div {wide}>{inner}</div></div>'
        )
    n = sum(bool(trial.final) for trial in view.at(figures.law_rung(view, recipe).label if recipe else None))
    shown = (
        f"{len(found):,} of {words.plural(n, 'trial')}"
        if len(found) < n
        else f"n = {words.plural(len(found), 'trial')}"
    )
    foot = (
        f"{'families' if len(labels) < len(view.domains) else 'weights'} in per cent of training tokens"
        + ("" if is_ternary else ", square-root axes"),
        *_told(words.listed("objective", unit)),
        shown,
        f"dark: the best {tried.N_BEST}",
        "runs of the study, no paper",
    )
    question = "Which mixtures were tried, and where do the best run? Point at one: it lights up everywhere."
    return card("All trials at once", question, body, foot=foot, span=7, id_="tried")


def _tradeoff(view: StudyView, recipe: Recipe | None, specs: Specs) -> str:
    found, title, question = tried.tradeoff(view, recipe), "One metric against another", "What is given up for what?"
    if found is None:
        said = "One metric: nothing is given up for another." if len(view.metrics) < 2 else "No trial was measured yet."
        return card(title, question, f'<p class="none">{said}</p>', span=5, id_="tradeoff")
    body = _figure("fig-tradeoff", panels.tradeoff(found), specs, 340)
    foot = (
        "each metric in its own unit",
        f"n = {words.plural(len(found.trials), 'trial')}",
        "steps: trials that no other beats in both",
        *(("signs: as the law predicts them",) if found.named else ()),
        "Pareto set, no paper",
    )
    return card(title, question, body, foot=foot, span=5, id_="tradeoff")


def _law(answer: Answer) -> str:
    """The law and its papers, for the foot of a figure."""
    papers = ", ".join(answer.recipe.provenance.references)
    return f"law: {name(answer.recipe.provenance.law)}" + (f", {text(papers)}" if papers else "")


def _learned(view: StudyView, answer: Answer, specs: Specs) -> str:
    found = answer.learned
    if found is None:
        return ""
    unit = figures.scale_of(view, answer.recipe.objective)
    title, question = "Would more trials help?", "The law fitted on parts of the mixtures, tested on others."
    body = f'<p class="said">{prose(found.sentence)}</p>'
    if found.points:
        body += _figure("fig-learned", panels.learned(found, unit), specs, 210)
    foot = (
        *_told(unit),
        f"n = {words.plural(found.n, 'mixture')}",
        "bar: 90\u202f% interval of the forecast",
        _law(answer),
    )
    return card(title, question, body, foot=foot if found.points else (), span=12, id_="learned")


def _league(view: StudyView, answer: Answer) -> str:
    scores = figures.league(answer)
    mine = answer.recipe.provenance.law
    title = "Would another law say otherwise?" if len(scores) > 1 else "The law in numbers"
    span = 12 if figures.shares(view, answer) is None else 7
    if not scores:
        return card(
            title, "", '<p class="none">No law was scored. Run: mixdesk law compare.</p>', span=span, id_="league"
        )
    question = "Same trials, same folds. Regret: what its favourites are worse than the best, 1 being a random pick."
    is_timed = any(s.seconds is not None for s in scores)
    head = [("law", ""), ("error", "r"), ("rank", "r"), ("regret@1", "r"), ("regret@5", "r x")]
    head += [("coverage", "r"), ("width", "r x"), *([("seconds", "r x")] if is_timed else [])]
    if len({s.n for s in scores}) > 1:
        head.append(("n", "r"))
    rows = []
    for s in scores:
        span_of = "" if s.low is None or s.high is None else f"95 %: {_number(s.low, 2)} to {_number(s.high, 2)}"
        cells = [
            f"<b>{name(s.law)}</b>" if s.law == mine else name(s.law),
            _number(s.rmse, 4),
            f'<span title="{text(span_of)}">{_number(s.spearman, 3)}</span>',
            _regret(s.regret1, max((one.regret1 or 0.0 for one in scores), default=0.0)),
            _number(s.regret5, 3),
            words.DASH if s.coverage is None else words.percent(s.coverage),
            _number(s.width, 2),
            *([_number(s.seconds, 1)] if is_timed else []),
            str(s.n),
        ]
        rows.append(cells[: len(head)])
    unit = figures.unit_of(view, answer.recipe.objective)
    foot = [text(words.listed("error", unit)), "width in sd over mixtures", "coverage of 90\u202f% intervals"]
    if len(head) == 7 + is_timed:
        foot.append(f"n = {words.plural(scores[0].n, 'mixture')}, out of fold")
    foot.append(f"bold: the law of the recipe, {text(', '.join(answer.recipe.provenance.references) or 'no paper')}")
    if len(scores) == 1:
        foot.append("one law was scored: mixdesk law compare adds others")
    return card(title, question, table(tuple(head), rows, class_="sorts"), foot=tuple(foot), span=span, id_="league")


def _regret(x: float | None, most: float) -> str:
    """A regret with its bar, as a share of the largest in the table."""
    share = 0.0 if x is None or most <= 0.0 else 100.0 * x / most
    return f'<span class="regret"><i style="width:{share:.1f}%"></i></span>{_number(x, 3)}'


def _number(x: float | None, digits: int) -> str:
    return words.DASH if x is None or not math.isfinite(x) else f"{x:.{digits}f}".replace("-", words.MINUS)


def _shares(view: StudyView, answer: Answer) -> str:
    """Which form earned its say, metric by metric: a table whose cells are as dark as the weight."""
    found = figures.shares(view, answer)
    if found is None:
        return ""
    head = (("metric", ""), *((form, "r heat") for form in found.forms))
    rows = [
        [name(metric, 26), *(f'<span class="w{round(10 * w)}">{100 * w:.0f}</span>' for w in weights)]
        for metric, weights in found.rows
    ]
    foot = ("weights in per cent", "earned on runs that no form had seen")
    title = "Which form earned its say?"
    question = "The law is an average: the better a form foretold, the more it counts."
    return card(title, question, table(head, rows, class_="shares"), foot=foot, span=5, id_="shares")


def _guards(recipe: Recipe) -> str:
    found = figures.guards(recipe)
    if not found:
        return ""
    rows = [
        [
            icon(decide.guard_mark(one)) + f" {name(one.guard, 48)} <small class='sub'>{one.basis}</small>",
            f"<b>{words.chance(one.probability)}</b>",
            words.difference(one.excess),
            words.interval(one.low, one.high),
            words.value(one.missing) if one.missing > 0.0 else words.DASH,
        ]
        for one in found
    ]
    head = (("guard", ""), ("holds", "r"), ("excess", "r"), ("90\u202f% interval", "r x"), ("slack it lacks", "r x"))
    foot = (
        "excess: worse than allowed, in the metric's unit; below zero is kept",
        "slack it lacks: to hold with 90\u202f%",
        f"at {name(found[0].rung)}",
    )
    question = "What may not get worse, and how sure it is."
    return card("Do the guards hold?", question, table(head, rows), foot=foot, span=12, id_="guards")


def _curves(view: StudyView, recipe: Recipe | None, specs: Specs) -> str:
    found = figures.curves(view, recipe)
    title, question = "How did the runs learn?", "A curve that crosses another late is a reason to train longer."
    if not found:
        said = "These runs came with one measurement each, so there are no curves."
        if not any(trial.final for trial in view.trials):
            said = "No run has been measured yet."
        return card(title, question, f'<p class="none">{said}</p>', span=7 if recipe else 12, id_="curves")
    unit = figures.scale_of(view, recipe.objective if recipe is not None else view.objective)
    named = [c for c in dict.fromkeys(curve.name for curve in found) if c]
    key = "".join(f"<span>{sign(one)} {text(one)}</span>" for one in named)
    n_plain = sum(not curve.name for curve in found)
    key += f"<span><i class='ln'></i> {words.plural(n_plain, 'other run')}</span>" if n_plain else ""
    body = f'<p class="keys">{key}</p>' + _figure("fig-curves", panels.learning(found, unit), specs, 330)
    measured = sum(len(trial.points) > 1 for trial in view.trials)
    shown = f"{len(found)} of {measured} curves" if len(found) < measured else words.plural(len(found), "curve")
    foot = (
        *_told(unit),
        shown,
        "tokens on a log scale",
        "the start of each curve lies above the frame",
        "measured, no paper",
    )
    return card(title, question, body, foot=foot, span=7 if recipe else 12, id_="curves")


def _confirm(view: StudyView, recipe: Recipe, specs: Specs) -> str:
    found = figures.paired(view, recipe)
    title, question = (
        "Did fresh trials agree?",
        "Recipe and rivals trained anew, paired by replicate. Below zero is a gain.",
    )
    if not found:
        said = "Nothing was confirmed: no fresh trial has trained the recipe beside its rivals."
        levels = _levels(recipe, "predicted", "trained")
        body = f'<p class="none">{said}</p>' + _comparisons(recipe)
        return card(title, question, body, span=5, id_="confirm", foot=_told(levels and f"{levels} intervals"))
    unit = figures.scale_of(view, recipe.objective)
    height = 70 + 62 * len(found)
    body = _figure("fig-confirm", panels.confirmation(found, unit), specs, height) + _comparisons(recipe)
    foot = (
        *_told(unit),
        f"n = {words.plural(found[0].trained.n_pairs, 'pair')} at {name(found[0].trained.rung)}",
        f"diamond and bar: trained, {_levels(recipe, 'trained')} interval",
        words.listed("grey bar: predicted before", _levels(recipe, "predicted")),
        "rings: replicates, no paper",
    )
    return card(title, question, body, foot=foot, span=5, id_="confirm")


def _told(note: str) -> tuple[str, ...]:
    """A foot's note; none where it is empty, as the unit of imported metrics may be."""
    return (text(note),) if note else ()


def _levels(recipe: Recipe, *bases: str) -> str:
    """The levels of the comparisons drawn; empty where there are none."""
    levels = {c.level for c in recipe.comparisons if c.metric == figures.OBJECTIVE and c.basis in bases}
    return " and ".join(words.level(one) for one in sorted(levels))


def _comparisons(recipe: Recipe) -> str:
    order = {rival: i for i, rival in enumerate(RIVALS)}
    found = [c for c in recipe.comparisons if c.metric == "objective"]
    found.sort(key=lambda c: (order.get(c.rival, len(order)), c.basis == "trained"))
    rows = [
        [
            f'{sign(c.rival)} {text(c.rival)} <small class="sub">{c.basis}</small>',
            words.difference(c.difference),
            words.interval(c.low, c.high),
            words.level(c.level),
        ]
        for c in found
    ]
    head = (("recipe − rival", ""), ("mean", "r"), ("interval", "r"), ("level", "r x"))
    return table(head, rows, class_="tight")


def _signal(view: StudyView, recipe: Recipe | None) -> str:
    title, question = (
        "Is there anything to find?",
        "Spread over mixtures against the spread between repeats of one mixture.",
    )
    objective = recipe.objective if recipe is not None else view.objective
    whole = figures.objective_noise(view, objective)
    found = (() if whole is None else (whole,)) + view.noise()
    if not found:
        said = "Not measured: it takes at least two mixtures trained with the same two or more replicates."
        return card(title, question, f'<p class="none">{said}</p>', span=12, id_="signal")
    rows = [
        [
            f"<b>{name(n.metric, 26)}</b>" if n is whole else name(n.metric, 26),
            words.value(n.spread),
            words.value(n.within),
            words.value(n.between),
            "∞" if math.isinf(n.ratio) else words.factor(n.ratio),
        ]
        for n in found
    ]
    head = (
        ("metric", ""),
        ("over mixtures", "r"),
        ("repeats, within", "r"),
        ("between replicates", "r x"),
        ("ratio", "r"),
    )
    foot = (
        "standard deviations in the metric's unit",
        f"n = {found[0].n_mixtures} × {found[0].n_replicates} runs at {name(view.rungs[0].label)}",
        "ratio: over mixtures ÷ within",
    )
    return card(title, question, table(head, rows), foot=foot, span=12, id_="signal")


def _overlap(shared: figures.Shared, specs: Specs) -> str:
    """Whether domains are one, and whether evaluation text stands in them."""
    height = min(160 + 18 * len(shared.domains), 720)
    body = _figure("fig-overlap", panels.overlap(shared), specs, height)
    notes = [f"<li>{prose(one)}</li>" for one in shared.warnings[:MOST_WARNINGS]]
    more = len(shared.warnings) - len(notes)
    if more > 0:
        notes.append(f"<li>and {more} more: <code>mixdesk corpus show --overlap</code></li>")
    body += f'<ul class="after">{"".join(notes)}</ul>' if notes else '<p class="after">No two domains are one.</p>'
    foot = (f"share of distinct {shared.n_words}-word windows", "of the row, found in the column; sets: of the set")
    question = "Weights of domains that share their text cannot be told apart; a set that leaks tests memory."
    return card("Do domains share text?", question, body, foot=foot, span=12, id_="overlap")


def raw(view: StudyView, answers: tuple[Answer, ...]) -> str:
    """The trials' table and the provenance list."""
    recipe = answers[0].recipe if answers else None
    table_ = _trials(view, answers[0] if answers else None)
    return f'<div class="grid">{table_}{_provenance(view, recipe)}</div>'


def _trials(view: StudyView, answer: Answer | None) -> str:
    recipe = answer.recipe if answer is not None else None
    objective = recipe.objective if recipe is not None else view.objective
    bands = figures.shown_bands(view, figures.lead_of(view, recipe).mixture)
    head = [
        "trial",
        "state",
        "rung",
        "rep.",
        "objective",
        "predicted",
        *(b.label for b in bands),
        *(m.name for m in view.metrics),
    ]
    top = "".join(
        f'<th scope="col" class="{"" if i in (0, 1, 2) else "r"}"><button type="button">{name(one, 16)}</button></th>'
        for i, one in enumerate(head)
    )
    said = {point.trial: point.mean for point in figures.fit_points(answer)} if answer is not None else {}
    body = "".join(
        _trial(view, one, (figures.measured(view, objective, one.final), said.get(one.id, math.nan)), bands)
        for one in view.trials[:MOST_ROWS]
    )
    tools = '<p class="acts"><button type="button" class="tbtn" id="csv" hidden>Download CSV</button></p>'
    inner = f'<table id="raw"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    wrapped = f'<div class="tablewrap" tabindex="0" role="region" aria-label="trials">{inner}</div>'
    shown = words.plural(len(view.trials), "trial")
    if len(view.trials) > MOST_ROWS:
        shown += f", without scripts and on paper the first {MOST_ROWS}"
    foot = ("weights in per cent of training tokens", "metrics in their own units", "predicted: out of fold", shown)
    if not view.trials:
        wrapped, tools = '<p class="none">No trial was asked yet.</p>', ""
    return card(
        "Trials",
        "The raw numbers. Press a head to sort by it, a row to pin it.",
        tools + wrapped,
        foot=foot,
        span=9,
        id_="trials",
    )


def _trial(view: StudyView, trial: Trial, objective: tuple[float, float], bands: tuple[figures.Band, ...]) -> str:
    weights, final = trial.spec.mixture.over(view.domains), trial.final
    run = trial.spec.external.run if trial.spec.external else trial.id
    cells = [(name(run, 18), run), (trial.state, trial.state), (name(trial.rung, 16), trial.rung)]
    numbers = [(str(trial.spec.replicate), float(trial.spec.replicate))]
    numbers += [(words.value(value), value) for value in objective]
    numbers += [(f"{100 * band.share(weights):.1f}", band.share(weights)) for band in bands]
    numbers += [(words.value(final.get(m.name)), final.get(m.name, math.nan)) for m in view.metrics]
    left = "".join(f'<td data-v="{text(key)}">{shown}</td>' for shown, key in cells)
    right = "".join(f'<td class="r" data-n="{"" if x != x else f"{x:.9g}"}">{shown}</td>' for shown, x in numbers)
    return f'<tr data-t="{text(trial.id)}">{left}{right}</tr>'


def _provenance(view: StudyView, recipe: Recipe | None) -> str:
    rows = [("study", name(view.name, 40)), ("seed", str(view.seed))]
    if view.record_sha256:
        rows.append(("record sha256", f"<code>{text(view.record_sha256[:16])}…</code>"))
    if view.corpus is not None:
        rows.append(("corpus fingerprint", f"<code>{view.corpus.fingerprint[:16]}…</code>"))
    counts = {state: sum(t.state == state for t in view.trials) for state in ("done", "diverged", "failed", "running")}
    rows.append(("trials", ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "none"))
    rows += [
        (f"rung {name(rung.label, 18)}", "size not told" if not rung.scale.n_tokens and not rung.scale.n_params else
         f"{words.amount(rung.scale.n_params)} × {words.amount(rung.scale.n_tokens)} tokens")
        for rung in view.rungs
    ]  # fmt: skip
    if recipe is not None:
        p = recipe.provenance
        rows += [
            ("law", name(p.law)),
            ("strategy", name(p.strategy)),
            ("papers", text(", ".join(p.references) or "none")),
        ]
        rows.append(("mixdesk", text(p.version)))
        if recipe.card is not None:
            told = f"<code>{recipe.card.id}</code> at {name(recipe.card.rung, 18)}, {text(recipe.card.date)}"
            rows.append(("prediction card, frozen", told))
    return card("Provenance", "Enough to make these numbers again.", pairs(rows), span=3, id_="provenance")
