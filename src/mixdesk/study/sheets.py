"""CSV files as people write them, read strictly: every complaint names file, row and column."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, read_text

# What people and programs write for "not measured".
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
# Column separators of other dialects, for the message.
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A CSV file: `columns` names, `rows` of cells without outer blanks, `lines` the line each row ends on."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def cells(self, column: str) -> tuple[str, ...]:
        """One column."""
        place = self.columns.index(column)
        return tuple(row[place] for row in self.rows)

    def ids(self, column: str) -> tuple[str, ...]:
        """A column of names that are distinct and not empty.

        Raises:
            InputError: otherwise; names the lines.
        """
        seen: dict[str, int] = {}
        for name, line in zip(self.cells(column), self.lines, strict=True):
            if not name or not name.isprintable() or name in seen:
                raise InputError(
                    f"`{self.path}`, line {line}: "
                    + (f"`{name}` occurs twice" if name in seen else f"column `{column}` has no usable name"),
                    value=f"`{name}`" + (f", first on line {seen[name]}" if name in seen else ""),
                    bound="a printable name in every row, each once",
                    remedy="give each row its own name",
                )
            seen[name] = line
        return tuple(seen)

    def numbers(self, column: str, ids: Sequence[str]) -> tuple[float | None, ...]:
        """A column of finite numbers, None where a cell says "missing".

        Raises:
            InputError: another cell; names its row by `ids`.
        """
        return tuple(
            number(cell, f"`{self.path}`, row `{name}`, column `{column}`")
            for cell, name in zip(self.cells(column), ids, strict=True)
        )

    def is_text(self, column: str) -> bool:
        """Whether no cell of a column is a number, and some cell is there."""
        cells = [cell for cell in self.cells(column) if cell.lower() not in MISSING]
        return bool(cells) and all(_as_float(cell) is None for cell in cells)

    def is_empty(self, column: str) -> bool:
        """Whether every cell of a column is missing."""
        return all(cell.lower() in MISSING for cell in self.cells(column))


def read_sheet(path: Path) -> Sheet:
    """A CSV file with a header: comma-separated, UTF-8, at least two columns and one row.

    An unnamed first column (what pandas writes for its index) is called `index`.

    Raises:
        InputError: unreadable, not UTF-8, empty, another delimiter, a column twice, or a row of another length.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
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
    if len(table) < 2:
        raise InputError(
            f"`{path}` has no rows",
            value=f"{len(table)} lines with content",
            bound="a header and at least one row",
            remedy="check the file",
        )
    header = table[0]
    header[0] = header[0] or "index"
    _check_header(path, header)
    for row, line in zip(table[1:], lines[1:], strict=True):
        if len(row) != len(header):
            raise InputError(
                f"`{path}`, line {line}: the row does not fit the header",
                value=f"{len(row)} cells",
                bound=f"{len(header)} cells",
                remedy="add or remove commas, or quote the cell that holds one",
            )
    return Sheet(path=path, columns=tuple(header), rows=tuple(tuple(row) for row in table[1:]), lines=tuple(lines[1:]))


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
        raise InputError(
            f"{where}: not a finite number",
            value=cell,
            bound="a decimal number such as 0.25, or an empty cell",
            remedy="correct the cell",
        )
    return value


def _as_float(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1:
        found = [word for mark, word in OTHER_DELIMITERS.items() if mark in header[0]]
        raise InputError(
            f"`{path}` has a single column",
            value=header[0],
            bound="columns separated by commas",
            remedy=f"it seems to use {found[0]}: save it with commas" if found else "check the file",
        )
    bad = [name for name in header if not name or not name.isprintable() or header.count(name) > 1]
    if bad:
        raise InputError(
            f"`{path}`: a column has no usable name" if not bad[0] else f"`{path}` has column `{bad[0]}` twice",
            value=", ".join(header),
            bound="distinct printable names",
            remedy="name each column",
        )
