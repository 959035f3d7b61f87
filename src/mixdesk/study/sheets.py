"""Tables as people write them, read strictly: every complaint names file, row and column.

Text (CSV; tabs, semicolons or bars where the header shows them), parquet and Arrow files, dataframes of any library
and mappings of columns all become one thing: a `Sheet` of text cells.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, read_text

# What people and programs write for "not measured".
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})
# Column separators of other dialects, tried where a header has no comma.
DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars"}
# Endings of tables that are no text.
BINARY = (".parquet", ".arrow", ".feather")
# 0,25 for 0.25.
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table: `columns` names, `rows` of cells without outer blanks.

    `source` is how messages call it (the path) and `name` how notes do (the file's name); `places` says where each row
    stands ("line 3"); `notes` on how it was read.
    """

    source: str
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def cells(self, column: str) -> tuple[str, ...]:
        """One column."""
        place = self.columns.index(column)
        return tuple(row[place] for row in self.rows)

    def names(self, column: str) -> tuple[str, ...]:
        """A column of names, none of them empty.

        Raises:
            InputError: otherwise; names the line.
        """
        cells = self.cells(column)
        for name, place in zip(cells, self.places, strict=True):
            if not name or not name.isprintable():
                raise InputError(
                    f"`{self.source}`, {place}: column `{column}` has no usable name",
                    value=f"`{name}`",
                    bound="a printable name in every row",
                    remedy="give each row its name",
                )
        return cells

    def ids(self, column: str) -> tuple[str, ...]:
        """A column of names that are distinct and not empty.

        Raises:
            InputError: otherwise; names the lines.
        """
        seen: dict[str, str] = {}
        for name, place in zip(self.names(column), self.places, strict=True):
            if name in seen:
                raise self.twice(f"`{name}` occurs twice", name, seen[name], place)
            seen[name] = place
        return tuple(seen)

    def twice(self, wrong: str, name: str, first: str, second: str) -> InputError:
        """The error of two rows that should be one; `wrong` says what they are."""
        return InputError(
            f"`{self.source}`, {second}: {wrong}",
            value=f"`{name}`, first on {first}",
            bound="each name once",
            remedy="give each row its own name, or remove one of the two",
        )

    def numbers(self, column: str, ids: Sequence[str]) -> tuple[float | None, ...]:
        """A column of finite numbers, None where a cell says "missing".

        Raises:
            InputError: another cell; names its row by `ids`.
        """
        return tuple(
            number(cell, f"`{self.source}`, row `{name}`, column `{column}`")
            for cell, name in zip(self.cells(column), ids, strict=True)
        )

    def is_text(self, column: str) -> bool:
        """Whether no cell of a column is (or was meant as) a number, and some cell is there."""
        cells = [cell for cell in self.cells(column) if cell.lower() not in MISSING]
        return bool(cells) and all(_as_float(cell) is None and not DECIMAL_COMMA.fullmatch(cell) for cell in cells)

    def is_empty(self, column: str) -> bool:
        """Whether every cell of a column is missing."""
        return all(cell.lower() in MISSING for cell in self.cells(column))

    def keep(self, wanted: Sequence[bool]) -> Sheet:
        """The rows that are wanted."""
        rows = [i for i, is_wanted in enumerate(wanted) if is_wanted]
        return replace(self, rows=tuple(self.rows[i] for i in rows), places=tuple(self.places[i] for i in rows))


def read_sheet(table: Any, called: str = "table", *, n_columns: int = 2) -> Sheet:
    """A table with a header and at least one row, from a path, a dataframe or a mapping of columns.

    Text is UTF-8 and comma-separated; where the header has no comma, by tabs, semicolons or bars. An unnamed first
    column (what pandas writes for its index) is called `index`, or `unnamed: 0` beside a column of that name. `called`
    names a table that is no file; `n_columns` is the least number of columns.

    Raises:
        InputError: unreadable, not UTF-8, empty, too few columns, a column twice, or a row of another length.
    """
    if isinstance(table, str | Path):
        path = Path(table)
        if path.suffix.lower() not in BINARY:
            return _read_text(path, n_columns)
        from mixdesk.study import frames

        return _of_columns(frames.of_file(path), str(path), path.name, n_columns)
    if isinstance(table, Mapping):
        pairs = [(str(name), list(column)) for name, column in table.items()]
        return _of_columns(pairs, called, called, n_columns)
    from mixdesk.study import frames

    return _of_columns(frames.of_frame(table, called), called, called, n_columns)


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically; floats read back bit for bit, None is an empty cell.

    Raises:
        InputError: a column twice (a domain or metric named like a column of ours), or a file that cannot be written.
    """
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise InputError(
            f"`{path}` would have two columns `{twice[0]}`",
            value=f"a domain or metric named `{twice[0]}`",
            bound="names that are no column of the file",
            remedy="rename it, or write .jsonl where that is offered",
        )
    with atomic(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def number(cell: str, where: str) -> float | None:
    """A finite number, None for "missing".

    Raises:
        InputError: anything else; `where` says which cell.
    """
    if cell.lower() in MISSING:
        return None
    value = _as_float(cell)
    if value is None or not math.isfinite(value):
        has_comma = DECIMAL_COMMA.fullmatch(cell) is not None
        raise InputError(
            f"{where}: not a finite number",
            value=cell,
            bound="a decimal number such as 0.25, or an empty cell",
            remedy="write decimal points in place of decimal commas" if has_comma else "correct the cell",
        )
    return value


def _read_text(path: Path, n_columns: int) -> Sheet:
    text = read_text(path)
    delimiter = _delimiter(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    table: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                table.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"`{path}`, line {reader.line_num}: not valid CSV",
            value=str(error),
            bound="comma-separated text",
            remedy="save the table as CSV again",
        ) from None
    _check_rows(str(path), len(table))
    header = _header(str(path), table[0], n_columns)
    for row, line in zip(table[1:], lines[1:], strict=True):
        if len(row) != len(header):
            raise InputError(
                f"`{path}`, line {line}: the row does not fit the header",
                value=f"{len(row)} cells",
                bound=f"{len(header)} cells",
                remedy="add or remove commas, or quote the cell that holds one",
            )
    return Sheet(
        source=str(path),
        name=path.name,
        columns=header,
        rows=tuple(tuple(row) for row in table[1:]),
        places=tuple(f"line {line}" for line in lines[1:]),
        notes=() if delimiter == "," else (f"`{path.name}`: columns are separated by {DELIMITERS[delimiter]}.",),
    )


def _delimiter(path: Path, text: str) -> str:
    """A comma, unless the first line has none and another mark."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    if path.suffix.lower() == ".tsv" and "\t" in head:
        return "\t"
    return "," if "," in head else next((mark for mark in DELIMITERS if mark in head), ",")


def _of_columns(pairs: Sequence[tuple[str, Sequence[Any]]], source: str, name: str, n_columns: int) -> Sheet:
    """Named columns of values as text cells."""
    _check_rows(source, 1 + max((len(values) for _, values in pairs), default=-1))
    header = _header(source, [column.strip() for column, _ in pairs], n_columns)
    lengths = {len(values) for _, values in pairs}
    if len(lengths) > 1:
        raise InputError(
            f"the columns of `{source}` are not of one length",
            value=", ".join(str(length) for length in sorted(lengths)),
            bound="as many cells in each",
            remedy="pass a whole table",
        )
    cells = [[_text(value) for value in values] for _, values in pairs]
    rows = tuple(zip(*cells, strict=True))
    return Sheet(
        source=source,
        name=name,
        columns=header,
        rows=rows,
        places=tuple(f"row {i}" for i in range(1, len(rows) + 1)),
    )


def _text(value: Any) -> str:
    """A value as the cell of a text file; floats read back bit for bit."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value).strip()


def _as_float(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _check_rows(source: str, n_lines: int) -> None:
    if n_lines < 2:
        raise InputError(
            f"`{source}` has no rows",
            value=f"{n_lines} line{'' if n_lines == 1 else 's'} with content",
            bound="a header and at least one row",
            remedy="check the file",
        )


def _header(source: str, names: Sequence[str], n_columns: int) -> tuple[str, ...]:
    """The names of columns, checked; the first one gets one where it has none."""
    header = [names[0] or ("unnamed: 0" if "index" in names else "index"), *names[1:]]
    if len(header) < n_columns:
        raise InputError(
            f"`{source}` has a single column",
            value=header[0],
            bound="columns separated by commas, tabs, semicolons or bars",
            remedy="check the file",
        )
    bad = [name for name in header if not name or not name.isprintable() or header.count(name) > 1]
    if bad:
        raise InputError(
            f"`{source}`: a column has no usable name" if not bad[0] else f"`{source}` has column `{bad[0]}` twice",
            value=", ".join(header),
            bound="distinct printable names, without counting blanks at their ends",
            remedy="name each column",
        )
    return tuple(header)
