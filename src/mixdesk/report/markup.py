"""Small pieces of HTML that every section uses. Whatever a person named enters through `text` or `name` alone."""

from __future__ import annotations

import html
import math
import re

from mixdesk.core.recipe import BEST_SEEN, NATURAL, UNIFORM
from mixdesk.report import words
from mixdesk.report.figures import RECIPE

_MARKS = {
    "good": '<circle cx="9" cy="9" r="8" fill="none" stroke="currentColor" opacity=".35"/>'
    '<path d="M4.8 9.4l2.8 2.8 5.6-6.2" fill="none" stroke="currentColor" stroke-width="2"/>',
    "warn": '<path d="M9 2.2L16.6 15.6H1.4Z" fill="none" stroke="currentColor" stroke-width="1.6"'
    ' stroke-linejoin="round"/><path d="M9 7v4.2M9 13v.9" stroke="currentColor" stroke-width="1.8"/>',
    "bad": '<circle cx="9" cy="9" r="7.4" fill="none" stroke="currentColor" stroke-width="1.6"/>'
    '<path d="M6 6l6 6M12 6l-6 6" stroke="currentColor" stroke-width="1.8"/>',
    "wait": '<circle cx="9" cy="9" r="7.4" fill="none" stroke="currentColor" stroke-width="1.6"/>'
    '<path d="M9 5v4.4l3 1.8" fill="none" stroke="currentColor" stroke-width="1.6"/>',
}
_WORDS = {"good": "yes", "warn": "careful", "bad": "no", "wait": "not measured"}
_SIGNS = {
    RECIPE: '<path d="M6 .4L11.6 6 6 11.6.4 6Z" fill="currentColor"/>',
    BEST_SEEN: '<path d="M6 1.4L11 10.6H1Z" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    NATURAL: '<circle cx="6" cy="6" r="4.7" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    UNIFORM: '<rect x="1.4" y="1.4" width="9.2" height="9.2" fill="none" stroke="currentColor" stroke-width="1.5"/>',
}

_OUTLINED = '<path d="M6 1.1L10.9 6 6 10.9 1.1 6Z" fill="none" stroke="currentColor" stroke-width="1.5"/>'


def text(value: object) -> str:
    """Any value as text that is safe in an element and in a quoted attribute."""
    return html.escape(str(value), quote=True)


def prose(value: str) -> str:
    """A sentence of ours as safe HTML; what stands between backticks is code, overlong names lose their middle."""
    parts = value.split("`")
    if len(parts) % 2 == 0:
        return _shortened(value)
    # A command stays whole, to be copied; a name alone may lose its middle.
    return "".join(
        f"<code>{text(part) if ' ' in part else _shortened(part)}</code>" if i % 2 else _shortened(part)
        for i, part in enumerate(parts)
    )


def _shortened(value: str) -> str:
    """A text as safe HTML whose words of more than 40 characters are set as names."""
    words_ = re.split(r"(\S{41,})", value)
    return "".join(name(word, 40) if i % 2 else text(word) for i, word in enumerate(words_))


def name(value: str, n: int = 28) -> str:
    """A name a person chose: isolated from the text's direction, its middle left out when long, whole in the title."""
    short = words.middle(value, n)
    title = f' title="{text(value)}"' if short != value else ""
    return f"<bdi{title}>{text(short)}</bdi>"


def icon(mark: str) -> str:
    """The mark of a check, with its word for those who cannot see it."""
    inner = f'<svg viewBox="0 0 18 18" aria-hidden="true">{_MARKS[mark]}</svg>'
    return f'<i class="icon {mark}">{inner}<span class="sr">{_WORDS[mark]}:</span></i>'


def sign(rival: str, *, is_outlined: bool = False) -> str:
    """The sign of a mixture: filled diamond, triangle, circle, square. Shape tells them apart, never colour.

    Outlined: the recipe of a second study.
    """
    drawing = _OUTLINED if is_outlined and rival == RECIPE else _SIGNS.get(rival, _SIGNS[UNIFORM])
    return f'<svg class="sign" viewBox="0 0 12 12" aria-hidden="true">{drawing}</svg>'


def sign_at(rival: str, x: float, y: float, size: float = 11.0, *, is_outlined: bool = False) -> str:
    """The same sign inside a larger drawing, centred on (x, y)."""
    k = size / 12.0
    place = f"translate({x - 6 * k:.1f} {y - 6 * k:.1f}) scale({k:.3f})"
    drawing = _OUTLINED if is_outlined and rival == RECIPE else _SIGNS.get(rival, _SIGNS[UNIFORM])
    return f'<g transform="{place}">{drawing}</g>'


def card(title: str, question: str, body: str, *, foot: tuple[str, ...] = (), span: int = 12, id_: str = "") -> str:
    """A card: title, the question it answers, its body, and a foot with unit, n and source (all safe HTML)."""
    feet = f'<p class="foot">{"".join(f"<span>{one}</span>" for one in foot)}</p>' if foot else ""
    anchor = f' id="{id_}"' if id_ else ""
    asked = f'<p class="q">{question}</p>' if question else ""
    return f'<div class="card c{span}"{anchor}><h3>{title}</h3>{asked}{body}{feet}</div>'


def table(head: tuple[tuple[str, str], ...], rows: list[list[str]], *, class_: str = "", id_: str = "") -> str:
    """A table from (title, class) heads and cells of safe HTML; class `r` aligns a column right."""
    top = "".join(f'<th scope="col" class="{cls}">{title}</th>' for title, cls in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="{cls}">{cell}</td>' for cell, (_, cls) in zip(row, head, strict=True)) + "</tr>"
        for row in rows
    )
    ids = f' id="{id_}"' if id_ else ""
    inner = f'<table{ids} class="{class_}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="tablewrap" tabindex="0" role="group" aria-label="table">{inner}</div>'


def pairs(rows: list[tuple[str, str]]) -> str:
    """Label and value, line by line."""
    return '<dl class="kv">' + "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in rows) + "</dl>"


def weight_bar(hue: int, share: float, tick: float | None) -> str:
    """A weight as a bar in its domain's colour, with a tick at the reference's weight; both as shares of the scale."""
    mark = "" if tick is None else f'<u style="left:{100 * tick:.2f}%"></u>'
    return f'<span class="wbar"><i style="width:{100 * share:.2f}%;background:var(--d{hue})"></i>{mark}</span>'


def gauge(epochs: float | None, limit: float | None) -> str:
    """Epochs as a number and, where there is a limit, as a meter with a cell per epoch up to it; hatched beyond."""
    if epochs is None:
        return words.DASH
    if limit is None:
        return f"{epochs:.1f}"
    over = " hot" if epochs > limit * (1 + 1e-6) else ""
    style = f"--cells:{max(math.ceil(limit), 1)};--fill:{100 * min(epochs / limit, 1.0):.1f}%"
    said = f"{epochs:.1f} of {limit:g} epochs allowed"
    return f'<span class="gauge{over}" style="{style}" title="{said}"></span><span class="ev">{epochs:.1f}</span>'
