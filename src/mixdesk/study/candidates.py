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
from mixdesk.study.sizes import counts
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
    columns_of_size = {
        role: column for role in SIZE_NAMES if (column := usual_column(sheet, role)) and column not in domains
    }
    covariates = {
        role: np.array(counts(sheet, column, ids), dtype=np.float64) for role, column in columns_of_size.items()
    }
    named = [name for name in domains if name in sheet.columns]
    rest = [name for name in sheet.columns if name not in (*named, id_column, *columns_of_size.values())]
    if not named:
        raise InputError(
            f"`{sheet.source}` has no column for any domain of the law",
            value=listed(sheet.columns),
            bound="columns " + listed(domains),
            remedy=nearest(rest[0], domains) if rest else "give a column per domain",
        )
    W_qd = np.zeros((len(ids), len(domains)))
    absent = [name for name in domains if name not in named]
    W_qd[:, [list(domains).index(name) for name in named]], unit = _weights(sheet, ids, named, rest, absent)
    notes = [f"`{sheet.name}`: read as {unit}."] if unit in (PER_CENT, TOKENS) else []
    if absent:
        notes.append(f"`{sheet.name}`: no column for {listed(absent)}: no weight there.")
    if rest:
        notes.append(f"`{sheet.name}`: ignored: {listed(rest)}.")
    return Candidates(
        id_column=id_column or ID, ids=ids, W_qd=W_qd, covariates=covariates, notes=(*sheet.notes, *notes)
    )


def _weights(
    sheet: Sheet, ids: Sequence[str], named: Sequence[str], rest: Sequence[str], absent: Sequence[str]
) -> tuple[Floats, str]:
    """Fractions of each row over the `named` columns, and the unit they were in; what is wrong is said by row.

    Where rows are no mixtures, numbers in other columns (`rest`) and domains without one (`absent`) may be why.
    """
    W_qd = np.column_stack([_column(sheet, name, ids) for name in named])
    unknown = [name for name in rest if not sheet.is_text(name) and not sheet.is_empty(name)]
    total_q = W_qd.sum(1)
    is_fine = bool(np.isfinite(W_qd).all() and (W_qd >= 0.0).all() and (total_q > 0.0).all())
    low, high = (is_share(float(end)) for end in (total_q.min(), total_q.max())) if is_fine else (None, None)
    unit = low if low == high and low is not None else TOKENS
    if not is_fine or (unit == TOKENS and total_q.min() < LEAST_TOKENS):
        try:
            unit = read_weights(sheet, ids, named).unit
        except InputError as error:
            raise _explained(error, unknown, absent) from None
    if unit == TOKENS and unknown:
        raise InputError(
            f"`{sheet.source}`: the law does not know the domain `{unknown[0]}`",
            value=listed(unknown),
            bound="token counts of " + listed(named) + " and nothing else",
            remedy="take the columns out if they are no domains; a law cannot say what unknown domains do",
        )
    fractions: Floats = W_qd / total_q[:, None]
    return fractions, unit


def _explained(error: InputError, unknown: Sequence[str], absent: Sequence[str]) -> InputError:
    """The error of a row that sums to nothing known, with the columns that are too few or too many."""
    if ": the weights " not in error.wrong or not (unknown or absent):
        return error
    return InputError(
        error.wrong
        + (f"; there is no column for {listed(absent)}" if absent else "")
        + (f"; the law does not know {listed(unknown)}" if unknown else ""),
        value=error.value,
        bound=error.bound,
        remedy="give a column for every domain of the law, and weight to no other; what a row does not use is 0",
    )


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
