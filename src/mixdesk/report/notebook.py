"""Objects as they show themselves in a notebook: small HTML that stands in light and dark, names escaped.

Colours are those of the notebook (`currentColor`, thinned by opacity); styles stand on the elements: no sheet, no
script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mixdesk.core.corpus import Corpus
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import LeagueRow
from mixdesk.core.observations import Prediction
from mixdesk.core.recipe import NATURAL, UNIFORM, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import figures, words
from mixdesk.report.markup import name, prose, text

# Rows of a table in a notebook: more belong on the desk.
MOST_ROWS = 24
# Domains of a mixture that are told in one line.
FEW_DOMAINS = 4
SIGNS = {"better": "✓", "no different": "△", "worse": "✕", "too weak": "✕"}
QUIET = "opacity:.7"
_CELL = "padding:2px 12px 2px 0;border:0;background:none"

Cells = Sequence[str]


def recipe(found: Recipe) -> str:
    """Verdict, then weights with epochs and change, then the rivals."""
    verdict = found.verdict
    waits = verdict.state in ("running", "no evidence")
    kind = f"{'◷' if waits else SIGNS[verdict.name]} {verdict.name}, {verdict.state}"
    if figures.is_refused(found):
        kind = f"{SIGNS['too weak']} refused: evidence too weak"
    natural = {rival.name: rival.mixture for rival in found.rivals}
    base = NATURAL if NATURAL in natural else UNIFORM
    weights, before = found.mixture.as_dict(), natural[base].as_dict()
    epochs = dict(found.epochs)
    names = sorted({**before, **weights}, key=lambda one: (-weights.get(one, 0.0), one))
    top = max(weights.values())
    head = ("domain", "", "weight", f"change from {base}", *(("epochs",) if epochs else ()))
    rows = [
        (
            name(one, 36),
            _bar(weights.get(one, 0.0) / top),
            words.percent(weights.get(one, 0.0)),
            f"{words.points(weights.get(one, 0.0) - before.get(one, 0.0))} pt",
            *((f"{epochs[one]:.1f}" if one in epochs else words.DASH,) if epochs else ()),
        )
        for one in names
    ]
    compared = [c for rival in found.rivals if (c := found.against(rival.name)) is not None]
    told = [
        (
            text(c.rival),
            words.difference(c.difference),
            f"{words.interval(c.low, c.high)} ({words.level(c.level)})",
            text(c.basis),
            text(c.verdict),
        )
        for c in compared
    ]
    warned = "".join(f"<li>{prose(one)}</li>" for one in found.warnings[:3])
    return _block(
        f"recipe of {name(found.provenance.study, 40)}, objective {name(found.objective.title, 60)}",
        f'<p style="margin:.2em 0"><b>{text(kind)}</b></p><p style="margin:.2em 0;font-size:1.15em"><b>'
        f'{prose(verdict.headline)}</b></p><p style="margin:.2em 0 .6em">{prose(verdict.reason)}</p>'
        + (f'<ul style="margin:.2em 0 .6em">{warned}</ul>' if warned else "")
        + _table(head, rows)
        + (_table(("recipe − rival", "", "interval", "basis", "verdict"), told) if told else ""),
        f"law {text(found.provenance.law)}, {words.plural(found.provenance.n_trials, 'trial')}; "
        "the desk: mixdesk.write_desk(study)",
    )


def study(view: StudyView) -> str:
    """Progress, the best mixture seen, and the noise of a repeat."""
    n = sum(trial.state in ("done", "diverged") for trial in view.trials)
    planned = len(view.trials) + (view.trials_left or 0)
    failed = sum(trial.state == "failed" for trial in view.trials)
    unit = figures.scale_of(view, view.objective)
    lines = [("trials with an answer", f"{_bar(n / planned if planned else 0.0)} {n} of {planned}")]
    if failed:
        lines.append(("failed", str(failed)))
    best = view.best_seen()
    if best is not None:
        at = figures.measured(view, view.objective, best.final)
        value = words.value(at) if math.isfinite(at) else words.DASH
        lines.append((text(words.listed("best seen", unit)), f"<b>{value}</b> &nbsp; {_mixture(best.spec.mixture)}"))
    noise = figures.objective_noise(view, view.objective)
    said = "not measured yet"
    if noise is not None:
        said = f"{words.value(noise.within)}; spread over mixtures {words.value(noise.spread)}"
    lines.append(("noise of a repeat", said))
    return _block(
        f"study {name(view.name, 40)}, {words.plural(len(view.domains), 'domain')}, "
        f"objective {name(view.objective.title, 60)}",
        _table(("", ""), lines),
        "mixdesk.make_recipe(study), mixdesk.write_desk(study), mixdesk.figures(study)",
    )


def scores(law: str, found: Sequence[LeagueRow], domains: Sequence[str]) -> str:
    """What a law is worth on mixtures that it had not seen, the objective first."""
    rows_of: dict[str, dict[str, LeagueRow]] = {}
    for row in found:
        rows_of.setdefault(row.metric, {})[row.measure] = row
    order = sorted(rows_of, key=lambda metric: (metric != figures.OBJECTIVE, metric))
    head = ("metric", "error", "rank correlation", "95 %", "regret@1", "coverage", "n")
    rows = []
    for metric in order:
        at = {measure: row.value for measure, row in rows_of[metric].items()}
        span = [at.get(f"spearman:{end}", math.nan) for end in ("low", "high")]
        rows.append(
            (
                name(metric, 40),
                _number(at.get("rmse"), 4),
                _number(at.get("spearman"), 3),
                f"{span[0]:.2f} to {span[1]:.2f}" if all(map(math.isfinite, span)) else words.DASH,
                _number(at.get("regret@1"), 3),
                words.percent(at["coverage"]) if math.isfinite(at.get("coverage", math.nan)) else words.DASH,
                str(max(row.n for row in rows_of[metric].values())),
            )
        )
    return _block(
        f"law {name(law, 40)} over {words.plural(len(domains), 'domain')}, held out by mixture",
        _table(head, rows),
        "coverage of 90 % intervals; other laws: mixdesk.compare_laws(study)",
    )


def fit(kind: str, domains: Sequence[str], said: Prediction) -> str:
    """A fitted law by what it says of one mixture, that of equal weights."""
    means, lows, highs = (np.asarray(column)[0] for column in (said.mean_qm, said.low_qm, said.high_qm))
    rows = [
        (
            name(metric, 40),
            words.value(float(mean)),
            f"{words.value(float(low))} to {words.value(float(high))}" if math.isfinite(high - low) else words.DASH,
        )
        for metric, mean, low, high in zip(said.metrics, means, lows, highs, strict=True)
    ]
    return _block(
        f"fitted law {text(kind)} over {words.plural(len(domains), 'domain')}: "
        + ", ".join(name(domain) for domain in domains[:FEW_DOMAINS])
        + (" …" if len(domains) > FEW_DOMAINS else ""),
        _table(("metric", "at equal weights", f"{words.level(said.level)} interval"), rows),
        "held-out scores: mixdesk.gather_evidence(study); any mixture: mixdesk.predict(fit, mixtures)",
    )


def corpus(found: Corpus) -> str:
    """Domains by size: tokens, share, documents, and the licence of most tokens."""
    total = sum(domain.n_tokens or 0 for domain in found.domains)
    top = max((domain.n_tokens or 0 for domain in found.domains), default=0)
    rows = []
    for one in sorted(found.domains, key=lambda domain: (-(domain.n_tokens or 0), domain.name)):
        licence = max(one.licenses, key=lambda pair: pair[1])[0] if one.licenses else ""
        share = (one.n_tokens or 0) / total if total else 0.0
        rows.append(
            (
                name(one.name, 36),
                _bar((one.n_tokens or 0) / top if top else 0.0),
                words.amount(one.n_tokens),
                words.percent(share) if one.n_tokens is not None and total else words.DASH,
                f"{one.n_docs:,}",
                name(licence, 30) if licence else words.DASH,
            )
        )
    sets = ", ".join(name(one.name) for one in found.evals) or "none"
    return _block(
        f"corpus {name(found.name, 40)}, {words.plural(len(found.domains), 'domain')}, {words.amount(total)} tokens",
        _table(("domain", "", "tokens", "natural weight", "documents", "licence of most"), rows),
        f"tokenizer {name(found.tokenizer.name)}, {found.tokenizer.vocab_size:,} ids; evaluation sets: {sets}",
    )


def _mixture(mixture: Mixture) -> str:
    """The largest weights in one line."""
    ranked = sorted(mixture.as_dict().items(), key=lambda pair: -pair[1])
    told = ", ".join(f"{name(domain)} {words.percent(w)}" for domain, w in ranked[:FEW_DOMAINS] if w > 0.0)
    return told + (" …" if sum(w > 0.0 for _, w in ranked) > FEW_DOMAINS else "")


def _number(value: float | None, digits: int) -> str:
    return words.DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _bar(share: float) -> str:
    """A share of one as a bar in the colour of the text."""
    return (
        '<span style="display:inline-block;width:120px;height:8px;border-radius:4px;position:relative;overflow:hidden;'
        'vertical-align:middle"><span style="position:absolute;inset:0;background:currentColor;opacity:.15"></span>'
        f'<span style="position:absolute;inset:0 auto 0 0;width:{100 * share:.1f}%;background:currentColor;opacity:.7">'
        "</span></span>"
    )


def _table(head: Cells, rows: Sequence[Cells]) -> str:
    """Cells of safe HTML; the first column left, those that hold numbers right."""
    shown, rest = rows[:MOST_ROWS], len(rows) - MOST_ROWS
    is_right = [j > 0 and all(_is_number(row[j]) for row in shown) for j in range(len(head))]
    align = [f"{_CELL};text-align:{'right' if right else 'left'}" for right in is_right]
    top = "".join(
        f'<th style="{style};{QUIET};font-weight:400">{text(one)}</th>' for one, style in zip(head, align, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell, style in zip(row, align, strict=True)) + "</tr>"
        for row in shown
    )
    more = f'<p style="margin:.2em 0;{QUIET}">and {rest} more</p>' if rest > 0 else ""
    first = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return (
        '<table style="color:inherit;font-size:inherit;border-collapse:collapse;margin:.4em 0;'
        f'font-variant-numeric:tabular-nums">{first}<tbody>{body}</tbody></table>{more}'
    )


def _is_number(cell: str) -> bool:
    return cell[:1] in f"0123456789+<{words.MINUS}{words.DASH}" and not cell.startswith("<b") and "<s" not in cell


def _block(title: str, body: str, foot: str) -> str:
    return (
        f'<div style="font-size:13px;line-height:1.5"><p style="margin:0 0 .3em;{QUIET}">{title}</p>{body}'
        f'<p style="margin:.3em 0 0;font-size:.9em;{QUIET}">{foot}</p></div>'
    )
