"""Aligned text, `--json` output and progress bars."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from mixdesk.core.errors import InputError
from mixdesk.core.protocols import Progress

JSON_OPTION = typer.Option(False, "--json", help="Print JSON instead of text.")
QUIET_OPTION = typer.Option(False, "--quiet", "-q", help="No progress bars.")

# Characters of a word and of a cell in a text table; what is longer loses its middle.
LONGEST_NAME, LONGEST_CELL = 40, 120


def read_pair(text: str, what: str, default: float | None = None) -> tuple[str, float]:
    """NAME=NUMBER of an option; without `=`, the `default` number.

    Raises:
        InputError: no number.
    """
    name, equals, number = text.rpartition("=")
    if not equals and default is not None:
        return text, default
    try:
        return name, float(number)
    except ValueError:
        raise InputError(
            f"`{text}` gives no {what}", value=number, bound=f"NAME={what.upper()}, a number", remedy="correct it"
        ) from None


def say(text: str = "") -> None:
    """One line on standard output."""
    typer.echo(text)


def counted(n: int, noun: str) -> str:
    """A number with its noun: 1 trial, 2 trials."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def say_json(data: Any) -> None:
    """Data as indented JSON on standard output; NaN becomes null."""
    typer.echo(json.dumps(_no_nan(data), indent=1, ensure_ascii=False))


def say_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", as_json: bool = False) -> None:
    """Rows as aligned text (numbers to the right, 4 decimals), or as a JSON list at full precision."""
    if as_json:
        say_json([dict(row) for row in rows])
        return
    if title:
        say(title)
    if not rows:
        say("  (none)")
        return
    keys = list(rows[0])
    heads = [_shown(key) for key in keys]
    cells = [[_shown(row.get(key)) for key in keys] for row in rows]
    right = [any(isinstance(row.get(key), int | float) for row in rows) for key in keys]
    width = [max(len(head), *(len(line[j]) for line in cells)) for j, head in enumerate(heads)]
    for line in [heads, *cells]:
        parts = [
            text.rjust(n) if is_right else text.ljust(n) for text, n, is_right in zip(line, width, right, strict=True)
        ]
        say("  " + "  ".join(parts).rstrip())


@contextmanager
def _bars() -> Iterator[Progress]:
    """Progress bars with rate and time left on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as drawn:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = drawn.add_task(what, total=total or None, rate="")
            speed = drawn.tasks[tasks[what]].speed
            rate = f"{speed:.1f}/s" if speed else ""
            drawn.update(tasks[what], completed=done, total=total or None, rate=rate)

        yield show


@contextmanager
def lines(quiet: bool = False) -> Iterator[Progress | None]:
    """Bars on a terminal; else one line at each tenth, so that a log shows progress too; None when quiet.

    Ctrl-C ends with a sentence.

    Raises:
        typer.Exit: with code 130, after Ctrl-C.
    """
    try:
        if quiet:
            yield None
        elif sys.stderr.isatty():
            with _bars() as show:
                yield show
        else:
            yield _noted()
    except KeyboardInterrupt:
        typer.echo("mixdesk: interrupted; the same command goes on where it stopped", err=True)
        raise typer.Exit(130) from None


def _noted() -> Progress:
    last: dict[str, int] = {}
    began: dict[str, float] = {}

    def note(what: str, done: int, total: int) -> None:
        began.setdefault(what, time.monotonic())
        tenth = 10 * done // total if total else 0
        if done and total and tenth > last.get(what, 0):
            last[what] = tenth
            spent = time.monotonic() - began[what]
            left = spent / done * (total - done)
            typer.echo(f"  {what}: {done} of {total}, {spent:.0f} s, about {left:.0f} s left", err=True)

    return note


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        # What rounds to zero has no sign.
        return f"{value:z.4f}".replace("-", "−") if abs(value) < 1e5 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    # First each long word (a name), so that the others of its cell stay readable, then the cell.
    return cut(re.sub(r"\S+", lambda word: cut(word[0], LONGEST_NAME), str(value)), LONGEST_CELL)


def cut(text: str, longest: int) -> str:
    """A text without its middle where it is too long."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def _no_nan(data: Any) -> Any:
    if isinstance(data, float) and (data != data or abs(data) == float("inf")):
        return None
    if isinstance(data, Mapping):
        return {str(key): _no_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_no_nan(value) for value in data]
    return data
