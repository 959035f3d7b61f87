"""How big the runs were: cells such as 60M, one rung per size, and labels for them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError
from mixdesk.core.scale import Rung, Scale
from mixdesk.study.columns import usual_column
from mixdesk.study.sheets import MISSING, Sheet

# What people write behind a number of parameters or tokens.
SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
COUNT = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kmbgt]?)", re.I)
# Sizes that differ by less are one: the last step of a run is not the same in every log.
ALIKE = 0.02

# n_params and n_tokens of a run; None: unknown.
Size = tuple[int | None, int | None]


def size_column(weights: Sheet, measured: Sheet, role: str, given: str | int | None) -> tuple[str | None, int | None]:
    """The column with the size `role` (n_params or n_tokens), or the number for all runs; neither: unknown.

    Raises:
        InputError: what was given is neither a column nor a number.
    """
    if given is None:
        return usual_column(measured, role) or usual_column(weights, role), None
    if isinstance(given, str) and (given in weights.columns or given in measured.columns):
        return given, None
    value = _count(str(given))
    if value is None:
        names = tuple(dict.fromkeys((*weights.columns, *measured.columns)))
        raise InputError(
            f"`{role}` is neither a column nor a number",
            value=given,
            bound="a column of one of the tables, or a number such as 60M",
            remedy=nearest(given, names),
        )
    return None, value


def told(role: str, given: str | int) -> int:
    """A size that a person gives: a whole number ≥ 1, or such as 60M, 1e9 or 1.5B.

    Raises:
        InputError: another text.
    """
    value = _count(str(given))
    if value is None:
        raise InputError(
            f"`{role}` is no size of a run",
            value=given,
            bound="a whole number ≥ 1 such as 20000000, 20M or 2e7",
            remedy=f"correct `{role}`",
        )
    return value


def counts(sheet: Sheet, column: str | None, ids: Sequence[str]) -> tuple[int | None, ...]:
    """A column of numbers of parameters or tokens; all None without the column, or where it is empty.

    Raises:
        InputError: another cell, or a missing one among others; names its row.
    """
    if column is None or column not in sheet.columns or sheet.is_empty(column):
        return (None,) * len(ids)
    found: list[int | None] = []
    for cell, run in zip(sheet.cells(column), ids, strict=True):
        value = _count(cell)
        if value is None:
            raise InputError(
                f"`{sheet.source}`, row `{run}`, column `{column}`: no size of a run",
                value=cell if cell.lower() not in MISSING else "an empty cell",
                bound="a whole number ≥ 1 such as 60000000 or 60M, in every row or in none",
                remedy="correct the cell, or take out the column",
            )
        found.append(value)
    return tuple(found)


def alike(sizes: Iterable[int | None]) -> dict[int | None, int | None]:
    """Each number → the one that stands for all within ALIKE of the smallest of them: the most frequent."""
    count = Counter(size for size in sizes if size is not None)
    groups: list[list[int]] = []
    for size in sorted(count):
        if groups and size <= groups[-1][0] * (1.0 + ALIKE):
            groups[-1].append(size)
        else:
            groups.append([size])
    out: dict[int | None, int | None] = {None: None}
    for group in groups:
        out |= dict.fromkeys(group, max(group, key=lambda size: (count[size], -size)))
    return out


def rungs_of(sizes: Iterable[Size]) -> dict[Size, Rung]:
    """Size → rung, smallest first; one of unknown size is called `proxy`."""
    known = sorted(set(sizes), key=lambda size: tuple(-1 if part is None else part for part in size))
    has_tokens = len({n_tokens for _, n_tokens in known}) > 1
    labels = [_label(size, has_tokens, short) for size in known]
    if len(set(labels)) < len(labels):
        labels = [_label(size, has_tokens, str) for size in known]
    return {
        size: Rung(label=label, scale=Scale(n_params=size[0], n_tokens=size[1]))
        for size, label in zip(known, labels, strict=True)
    }


def _label(size: Size, has_tokens: bool, text: Callable[[int], str]) -> str:
    """1M; 25B tokens; 1M x 25B where runs of one model differ in tokens."""
    n_params, n_tokens = size
    if n_params is None:
        return "proxy" if n_tokens is None else f"{text(n_tokens)} tokens"
    return f"{text(n_params)} x {text(n_tokens)}" if has_tokens and n_tokens is not None else text(n_params)


def short(n: int) -> str:
    """A count in few letters: 1234567 is 1.23M."""
    for letter in ("T", "B", "M", "k"):
        unit = SUFFIX[letter.lower()]
        if n >= unit:
            return f"{n / unit:.3g}{letter}"
    return str(n)


def _count(cell: str) -> int | None:
    """A whole number ≥ 1, perhaps with a suffix; None for another text."""
    found = COUNT.fullmatch(cell.strip().replace("_", ""))
    if found is None:
        return None
    try:
        value = float(found[1]) * SUFFIX[found[2].lower()]
    except ValueError:
        return None
    whole = round(value) if math.isfinite(value) else 0
    return whole if whole >= 1 and math.isclose(value, whole, rel_tol=1e-9) else None
