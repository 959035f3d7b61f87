"""Assembles the page: one self-contained HTML text, with everything that must stand without scripts written here.

`page/template.html` holds the frame, `desk.css` the look, `laws.js` the laws, `desk.js` faders and figures. Data enters
once as JSON with `<` escaped; names enter through `markup.text` or, in the browser, through `textContent`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import plotly.offline

from mixdesk.core.trial import StudyView
from mixdesk.report import decide, doubt, figures, words
from mixdesk.report.colours import Colour, palette
from mixdesk.report.figures import Answer, Shared
from mixdesk.report.markup import name, text

PAGE = Path(__file__).parent / "page"
# Significant digits of the trials' columns in the page: far below any noise, and a third of the bytes.
DIGITS = 9

__all__ = ["Answer", "render"]


def render(view: StudyView, answers: tuple[Answer, ...], shared: Shared | None = None) -> str:
    """The desk of a study as one HTML text: no network, no fonts, everything inside.

    Args:
        view: the study as it stands.
        answers: one per question asked of the trials; the first is the headline. Empty while the study runs.
        shared: text that domains of the corpus have in common, where that was measured.
    """
    return fill(parts_of(view, answers, shared))


def parts_of(view: StudyView, answers: tuple[Answer, ...], shared: Shared | None = None) -> dict[str, str]:
    """What goes into each place of the template, safe HTML. Arguments as `render`."""
    lead = figures.lead_of(view, answers[0].recipe if answers else None).mixture
    evidence, specs = doubt.section(view, answers, shared)
    return {
        "title": text(view.name),
        "css": (PAGE / "desk.css").read_text(encoding="utf-8"),
        "hues": _hues(palette(view, lead)),
        "study": _study_line(view),
        "decide": decide.section(view, answers),
        "explore": _explore(answers),
        "doubt": evidence,
        "raw": doubt.raw(view, answers),
        "data": _json(
            {"console": console(view, answers[0]) if answers else None, "trials": trials(view), "specs": specs}
        ),
        "js": "".join((PAGE / file).read_text(encoding="utf-8") for file in ("laws.js", "desk.js")),
        "plotly": plotly.offline.get_plotlyjs() if specs else "",
        "live": "",
        "connect": "",
        "foot": "One file, made by mixdesk. It asks nothing of any network.",
    }


def fill(parts: dict[str, str]) -> str:
    """The template with its places filled."""
    template = (PAGE / "template.html").read_text(encoding="utf-8")
    # One pass: what a name says is never read as a place again.
    return re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], template)


def _json(data: Any) -> str:
    """JSON that cannot leave its script element."""
    return json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hues(colours: tuple[Colour, ...]) -> str:
    light = "".join(f"--d{i}:{c.light};--t{i}:{c.light_text};" for i, c in enumerate(colours))
    dark = "".join(f"--d{i}:{c.dark};--t{i}:{c.dark_text};" for i, c in enumerate(colours))
    return f":root{{{light}}}:root[data-theme=dark],.console{{{dark}}}"


def _study_line(view: StudyView) -> str:
    n = sum(trial.state in ("done", "diverged") for trial in view.trials)
    return (
        f"study <b>{name(view.name, 32)}</b>, {words.plural(n, 'trial')}, {words.plural(len(view.domains), 'domain')}"
    )


def _explore(answers: tuple[Answer, ...]) -> str:
    if not answers:
        return '<p class="none card">The faders need a fitted law. They come with the first recipe.</p>'
    return (
        '<noscript><p class="none card">The faders need scripts. Everything else on this page stands without.</p>'
        '</noscript><div class="console" id="console" hidden></div>'
    )


def console(view: StudyView, answer: Answer) -> dict[str, Any]:
    """What the faders need: the law, the objective, the presets, the region of the trials and the epochs."""
    recipe, domains = answer.recipe, view.domains
    bands = figures.bands(view, figures.lead_of(view, recipe).mixture, by_family=False)
    weights = recipe.objective.weights(view.metrics)
    where, rung = figures.region(view), figures.law_rung(view, recipe)
    unique = {d.name: d.n_tokens for d in view.corpus.domains} if view.corpus is not None else {}
    run = recipe.plan.scale.n_tokens
    level = next((c.level for c in recipe.comparisons if c.basis == "predicted"), 0.9)
    return {
        "study": view.name,
        "unit": figures.unit_of(view, recipe.objective),
        "better": figures.direction(view, recipe.objective),
        "rung": rung.label,
        "size": {name: getattr(rung.scale, name) for name in ("n_params", "n_tokens")},
        "domains": list(domains),
        "channels": [{"i": band.members[0], "label": band.label, "family": band.family} for band in bands],
        "presets": [
            {"name": one.name, "weights": list(one.mixture.over(domains))}
            for one in figures.named_mixtures(view, recipe)
        ],
        "start": figures.lead_of(view, recipe).name,
        "reference": figures.reference(view).name,
        "is_refused": recipe.verdict.name == "too weak",
        "law": {"name": recipe.provenance.law, **page_law(answer.browser)},
        "metrics": [
            {"name": m.name, "unit": m.unit, "sign": m.sign, "weight": float(w)}
            for m, w in zip(view.metrics, weights, strict=True)
        ],
        "reduce": recipe.objective.reduce,
        "level": level,
        "z": NormalDist().inv_cdf((1.0 + level) / 2.0),
        "guards": [
            {
                "metric": view.metrics[j].name,
                "words": guard.words(view.metrics[j]),
                "than": guard.than,
                "limit": guard.slack if guard.than else guard.limit(view.metrics[j]),
            }
            for guard in recipe.objective.guards
            for j in guard.over(view.metrics)
        ],
        "runs": view.fullest.label,
        "region": None
        if where is None
        else {
            "centre": where.centre_d.tolist(),
            "inverse": where.inverse_dd.tolist(),
            "inner": where.inner,
            "limit": where.limit,
        },
        "epochs": {
            "run": run,
            "unique": [unique.get(domain) for domain in domains],
            "limit": view.constraints.max_epochs,
        }
        if run and unique
        else None,
    }


def page_law(law: dict[str, Any], wanted: list[list[bool]] | None = None) -> dict[str, Any]:
    """A law's browser data as the page holds it.

    Coefficients of a process's draws are packed. Draw k of metric m of an average's member is None where the average
    does not pick it: `wanted[k][m]`, None for all.
    """
    if "members" in law and "picks" in law:
        members = []
        for number, member in enumerate(law["members"]):
            columns = [law["metrics"].index(name) for name in member["metrics"]]
            members.append(page_law(member, [[pick[column] == number for column in columns] for pick in law["picks"]]))
        return {**law, "members": members}
    # Laws over scales hold whole laws.
    if "base" in law:
        return {**law, "base": page_law(law["base"])}
    if "experts" in law:
        return {**law, "experts": [page_law(one) for one in law["experts"]]}
    if "draws" in law and wanted is not None:
        # Draws beyond the average's are never asked for.
        draws = {
            key: [
                [one if is_kept else None for one, is_kept in zip(*pair, strict=True)]
                for pair in zip(rows, wanted, strict=False)
            ]
            for key, rows in law["draws"].items()
        }
        return {**law, "draws": draws}
    if "processes" in law:
        processes = [
            {
                **one,
                **{
                    key: [_packed(row) if wanted is None or wanted[k][m] else None for k, row in enumerate(one[key])]
                    for key in ("c", "beta", "lines")
                },
            }
            for m, one in enumerate(law["processes"])
        ]
        return {**law, "processes": processes}
    return law


def _packed(row: list[float]) -> list[float | str]:
    """Numbers as whole multiples of a unit: half the bytes of decimals that are as exact."""
    unit = float(np.abs(row).max()) / (2**31 - 1) or 1.0
    return [unit, base64.b64encode(np.round(np.array(row) / unit).astype("<i4").tobytes()).decode()]


def trials(view: StudyView) -> dict[str, Any]:
    """The trials as columns, for the ticks in the tracks and the CSV."""
    finals = [trial.final for trial in view.trials]
    return {
        "id": [trial.id for trial in view.trials],
        "run": [trial.spec.external.run if trial.spec.external else "" for trial in view.trials],
        "state": [trial.state for trial in view.trials],
        "rung": [trial.rung for trial in view.trials],
        "replicate": [trial.spec.replicate for trial in view.trials],
        "domains": list(view.domains),
        "metrics": [metric.name for metric in view.metrics],
        "weights": [[words.rounded(w, DIGITS) for w in t.spec.mixture.over(view.domains)] for t in view.trials],
        "values": [[words.rounded(final.get(m.name, math.nan), DIGITS) for m in view.metrics] for final in finals],
    }
