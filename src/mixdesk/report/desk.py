"""Assembles the page: one self-contained HTML text, with everything that must stand without scripts written here.

`page/template.html` holds the frame; of the style sheets `desk.css` comes first and the others by name; of the scripts
`desk.js`, which starts the page, comes last and the others by name before it. Data enters once as JSON with `<`
escaped; names enter through `markup.text` or, in the browser, through `textContent`.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import plotly.offline

from mixdesk.core.trial import StudyView
from mixdesk.report import both, decide, doubt, figures, first, words
from mixdesk.report.both import Beside
from mixdesk.report.colours import Colour, palette
from mixdesk.report.console import bands, console, trials
from mixdesk.report.explain import explained
from mixdesk.report.figures import Answer, Shared
from mixdesk.report.markup import name, text

PAGE = Path(__file__).parent / "page"

__all__ = ["Answer", "render"]


def render(
    view: StudyView,
    answers: tuple[Answer, ...],
    shared: Shared | None = None,
    *,
    tiers: Mapping[str, str] | None = None,
    beside: Beside | None = None,
) -> str:
    """The desk of a study as one HTML text: no network, no fonts, everything inside.

    Args:
        view: the study as it stands.
        answers: one per question asked of the trials; the first is the headline. Empty while the study runs.
        shared: text that domains of the corpus have in common, where that was measured.
        tiers: domain → licence tier, where licences are known.
        beside: a second study to set beside this one.
    """
    return fill(parts_of(view, answers, shared, tiers=tiers, beside=beside))


def parts_of(
    view: StudyView,
    answers: tuple[Answer, ...],
    shared: Shared | None = None,
    *,
    tiers: Mapping[str, str] | None = None,
    beside: Beside | None = None,
) -> dict[str, str]:
    """What goes into each place of the template, safe HTML. Arguments as `render`."""
    lead = answers[0].recipe.mixture if answers else figures.lead_of(view, None).mixture
    evidence, specs = doubt.section(view, answers, shared)
    return {
        "title": text(view.name),
        "css": _joined("css"),
        "hues": _hues(palette(view, lead)),
        "study": _study_line(view),
        "first": first.section(view, answers[0], tiers or {}) if answers else first.without_answer(view),
        "decide": (both.section(view, answers, beside) if beside is not None else "")
        + decide.section(view, answers, tiers or {}),
        "explore": _explore(answers),
        "doubt": evidence,
        "raw": doubt.raw(view, answers),
        "data": _json(
            {
                "console": console(view, answers[0]) if answers else None,
                "trials": trials(view, answers[0] if answers else None),
                "bands": bands(view, lead),
                "specs": specs,
                "explain": explained(answers[0] if answers else None),
            }
        ),
        "js": _joined("js"),
        "plotly": plotly_text() if specs else "",
        "live": "",
        "connect": "",
        "foot": "One file, made by mixdesk. It asks nothing of any network.",
    }


def fill(parts: dict[str, str]) -> str:
    """The template with its places filled."""
    template = (PAGE / "template.html").read_text(encoding="utf-8")
    # One pass: what a name says is never read as a place again.
    return re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], template)


@cache
def plotly_text() -> str:
    """Plotly's script, deflated and in base 64: the page inflates it when the first figure comes near."""
    return base64.b64encode(zlib.compress(plotly.offline.get_plotlyjs().encode(), 9)).decode()


def _joined(suffix: str) -> str:
    """All files of `page/` with that ending as one text: `desk.css` first, `desk.js` last, the others by name.

    `live` is of the served page alone (`live.py`): it asks a network.
    """
    found = (file for file in PAGE.glob(f"*.{suffix}") if file.stem != "live")
    files = sorted(found, key=lambda file: ((file.stem == "desk") == (suffix == "js"), file.name))
    return "".join(file.read_text(encoding="utf-8") for file in files)


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
        return (
            '<p class="none card">The faders need a fitted law. They come with the first recipe, and on the live desk '
            "as soon as a law can be fitted.</p>"
        )
    return (
        '<noscript><p class="none card">The faders need scripts. Everything else on this page stands without.</p>'
        '</noscript><div class="console" id="console" hidden></div>'
    )
