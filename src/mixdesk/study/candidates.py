"""Tables of mixtures to be predicted: any number of rows over the domains of a law, with the size of each run.

Columns: one per domain (fractions, per cent or token counts, as in `importer.py`; a domain without a column has no
weight), and where there are such, an id and `n_params`, `n_tokens`. Everything else is ignored, in a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats
from mixdesk.study.columns import SIZE_NAMES, listed, usual_column, usual_ids
from mixdesk.study.sheets import Sheet, read_sheet
from mixdesk.study.weights import LEAST_TOKENS, PER_CENT, TOKENS, is_share, read_weights

# How rows are called that have no id: by their number, in a column of this name.
ID = "id"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """Mixtures `W_qd` over the domains asked for; `ids` under the name `id_column`; `covariates` name → (q,)."""

    id_column: str
    ids: tuple[str, ...]
    W_qd: Floats
    covariates: Mapping[str, Floats]
    notes: tuple[str, ...]


def read_candidates(table: Any, domains: Sequence[str]) -> Candidates:
    """A table of mixtures over `domains`, from a file, a dataframe or a mapping of columns, in its order.

    Raises:
        InputError: a file, row or cell that cannot be used, with its place; or no column of any domain.
    """
    sheet = read_sheet(table, "the table of mixtures")
    id_column = next((name for name in usual_ids(sheet.columns) if name not in domains), None)
    ids = sheet.names(id_column) if id_column else tuple(str(i) for i in range(1, len(sheet.rows) + 1))
    sizes = {role: column for role in SIZE_NAMES if (column := usual_column(sheet, role)) and column not in domains}
    covariates = {role: _column(sheet, column, ids) for role, column in sizes.items()}
    for role, column in sizes.items():
        if not (covariates[role] > 0.0).all():
            bad = int(np.flatnonzero(~(covariates[role] > 0.0))[0])
            raise InputError(
                f"`{sheet.source}`, row `{ids[bad]}`, column `{column}`: no size of a run",
                value=sheet.cells(column)[bad] or "an empty cell",
                bound="a number > 0",
                remedy="fill the column, or take it out",
            )
    named = [name for name in domains if name in sheet.columns]
    rest = [name for name in sheet.columns if name not in (*named, id_column, *sizes.values())]
    if not named:
        raise InputError(
            f"`{sheet.source}` has no column for any domain of the law",
            value=listed(sheet.columns),
            bound="columns " + listed(domains),
            remedy=nearest(rest[0], domains) if rest else "give a column per domain",
        )
    W_qd = np.zeros((len(ids), len(domains)))
    W_qd[:, [list(domains).index(name) for name in named]], unit = _weights(sheet, ids, named, rest)
    notes = [f"`{sheet.name}`: read as {unit}."] if unit in (PER_CENT, TOKENS) else []
    absent = [name for name in domains if name not in named]
    if absent:
        notes.append(f"`{sheet.name}`: no column for {listed(absent)}: no weight there.")
    if rest:
        notes.append(f"`{sheet.name}`: ignored: {listed(rest)}.")
    return Candidates(
        id_column=id_column or ID, ids=ids, W_qd=W_qd, covariates=covariates, notes=(*sheet.notes, *notes)
    )


def _weights(sheet: Sheet, ids: Sequence[str], named: Sequence[str], rest: Sequence[str]) -> tuple[Floats, str]:
    """Fractions of each row over the `named` columns, and the unit they were in; what is wrong is said by row."""
    W_qd = np.column_stack([_column(sheet, name, ids) for name in named])
    total_q = W_qd.sum(1)
    is_fine = bool(np.isfinite(W_qd).all() and (W_qd >= 0.0).all() and (total_q > 0.0).all())
    low, high = (is_share(float(end)) for end in (total_q.min(), total_q.max())) if is_fine else (None, None)
    unit = low if low == high and low is not None else TOKENS
    if not is_fine or (unit == TOKENS and total_q.min() < LEAST_TOKENS):
        unit = read_weights(sheet, ids, named).unit
    unknown = [name for name in rest if not sheet.is_text(name) and not sheet.is_empty(name)]
    if unit == TOKENS and unknown:
        raise InputError(
            f"`{sheet.source}`: the law does not know the domain `{unknown[0]}`",
            value=listed(unknown),
            bound="token counts of " + listed(named) + " and nothing else",
            remedy="take the columns out if they are no domains; a law cannot say what unknown domains do",
        )
    fractions: Floats = W_qd / total_q[:, None]
    return fractions, unit


def _column(sheet: Sheet, column: str, ids: Sequence[str]) -> Floats:
    """A column of numbers, NaN where a cell is missing."""
    try:
        found = np.array(sheet.cells(column), dtype=np.float64)
        is_plain = bool(np.isfinite(found).all())
    except ValueError:
        is_plain = False
    if not is_plain:
        found = np.array([np.nan if value is None else value for value in sheet.numbers(column, ids)])
    return found
