"""Questions for trainers elsewhere, and their answers, as files that a person can read.

Questions, CSV: `trial`, `rung`, `replicate`, `n_tokens`, `why` it is asked, then one column per domain with its weight
(fraction of training tokens; the token average where the mixture changes during the run). JSONL, one object per line:

    {"trial": id, "rung": label, "replicate": int, "n_tokens": int or null, "why": words, "mixture": {domain: weight},
     "spec": {...}}

Answers, CSV: `trial`, one column per metric (an empty cell: not measured), and where wanted `state` (done, diverged or
failed; empty: done). The columns of the questions may stay. JSONL: {"trial": id, "metrics": {name: number or null},
"state": ...}. Rows and columns in any order: both sides are joined by name. A .tsv, parquet or Arrow file is read
like a CSV.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.core.checks import nearest, one_of
from mixdesk.core.errors import InputError
from mixdesk.core.files import read_text, to_data, write_text
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Point, Result, StudyView
from mixdesk.study.sheets import BINARY, number, read_sheet, write_sheet

QUESTION = ("trial", "rung", "replicate", "n_tokens", "why")
STATES = ("done", "diverged", "failed")
READABLE = (".csv", ".jsonl", ".tsv", *BINARY)


# A spec, the label of its rung, and why it is asked.
Question = tuple[TrialSpec, str, str]
# Where a row stands, its trial, its cells and its state.
Row = tuple[str, str, Mapping[str, Any], str]


def write_questions(path: Path, asked: Sequence[Question], domains: Sequence[str]) -> None:
    """Write questions as CSV or JSONL.

    Raises:
        InputError: another suffix, a domain named like a column, a CSV of trials that have parents or stages, or a
            file that cannot be written.
    """
    heads = [(spec.id, rung, spec.replicate, spec.plan.scale.n_tokens, why) for spec, rung, why in asked]
    if _suffix(path, (".csv", ".jsonl")) == ".csv":
        children = [spec.id for spec, *_ in asked if spec.parents]
        if children:
            raise InputError(
                "a CSV cannot say which trials a trial goes on from or averages",
                value=f"{len(children)} such trials, {children[0]} the first",
                bound="trials without parents",
                remedy="write .jsonl, whose `spec` has `method` and `parents`",
            )
        staged = [spec.id for spec, *_ in asked if len(spec.plan.schedule.stages) > 1]
        if staged:
            raise InputError(
                "a CSV cannot say which mixture comes when",
                value=f"{len(staged)} trials of several stages, {staged[0]} the first",
                bound="trials of one mixture",
                remedy="write .jsonl, whose `spec` has `plan.schedule`",
            )
        rows = [(*head, *spec.mixture.over(domains)) for head, (spec, *_) in zip(heads, asked, strict=True)]
        write_sheet(path, [*QUESTION, *domains], rows)
        return
    lines = [
        {**dict(zip(QUESTION, head, strict=True)), "mixture": spec.mixture.as_dict(), "spec": to_data(spec)}
        for head, (spec, *_) in zip(heads, asked, strict=True)
    ]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines))


def read_answers(path: Path, view: StudyView) -> tuple[dict[str, Result], list[str]]:
    """Results by trial id, and sentences on what was ignored.

    Raises:
        InputError: an unknown or repeated trial, an unknown state, a cell that is no finite number, or a row without
            any value.
    """
    rows = _rows_of_jsonl(path) if _suffix(path, READABLE) == ".jsonl" else _rows_of_sheet(path)
    known = {trial.id: trial.spec for trial in view.trials}
    metrics = {metric.name for metric in view.metrics}
    results: dict[str, Result] = {}
    stray: set[str] = set()
    for where, trial, cells, state in rows:
        if trial not in known:
            raise InputError(
                f"{where}: the study has no trial `{trial}`",
                value=trial or "no id",
                bound="the id of a trial that was asked",
                remedy=nearest(trial, known),
            )
        if trial in results:
            raise InputError(
                f"{where}: trial `{trial}` occurs twice", value=trial, bound="one row per trial", remedy="remove one"
            )
        stray |= set(cells) - metrics - {*QUESTION, *view.domains}
        values = {name: _value(cells[name], where, name) for name in sorted(metrics & set(cells))}
        found = {name: value for name, value in values.items() if value is not None}
        try:
            state = one_of("state", state or "done", STATES)
        except InputError as error:
            raise error.within(where) from None
        if state == "done" and not found:
            raise InputError(
                f"{where}: trial `{trial}` has no value",
                value="none of the study's metrics",
                bound="at least one of " + ", ".join(sorted(metrics)),
                remedy="add a metric, or write diverged or failed into the column `state`",
            )
        point = Point(n_tokens=known[trial].plan.scale.n_tokens or 0, metrics=tuple(found.items()))
        results[trial] = Result(state=state, points=(point,) if found else ())
    notes = [f"`{name}` is no metric of this study and was ignored; {nearest(name, metrics)}" for name in sorted(stray)]
    return results, notes


def _rows_of_sheet(path: Path) -> list[Row]:
    sheet = read_sheet(path)
    if "trial" not in sheet.columns:
        raise InputError(
            f"`{path}` has no column `trial`",
            value=", ".join(sheet.columns),
            bound="a column `trial` with the ids that were asked",
            remedy="add it, from the file of questions",
        )
    out: list[Row] = []
    for row, place in zip(sheet.rows, sheet.places, strict=True):
        cells = dict(zip(sheet.columns, row, strict=True))
        out.append((f"`{path}`, {place}", cells.pop("trial"), cells, cells.pop("state", "")))
    return out


def _rows_of_jsonl(path: Path) -> list[Row]:
    out: list[Row] = []
    for i, line in enumerate(read_text(path).split("\n"), start=1):
        where = f"`{path}`, line {i}"
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{where}: not JSON", value=error.msg, bound="one JSON object per line", remedy="correct the line"
            ) from None
        if not isinstance(data, dict) or not isinstance(data.get("metrics", {}), dict):
            raise InputError(
                f"{where}: not an answer",
                value=line,
                bound='{"trial": id, "metrics": {name: number}}',
                remedy="correct the line",
            )
        unknown = set(data) - {*QUESTION, "mixture", "spec", "metrics", "state"}
        if unknown:
            raise InputError(
                f"{where}: unknown key `{sorted(unknown)[0]}`",
                value=sorted(unknown)[0],
                bound="trial, metrics, state",
                remedy="put metrics under `metrics`",
            )
        out.append((where, str(data.get("trial", "")), data.get("metrics", {}), str(data.get("state", ""))))
    if not out:
        raise InputError(f"`{path}` is empty", value="no line", bound="at least one answer", remedy="check the file")
    return out


def _value(cell: Any, where: str, name: str) -> float | None:
    if cell is None or isinstance(cell, bool | dict | list):
        cell = "" if cell is None else json.dumps(cell)
    return number(str(cell), f"{where}, column `{name}`")


def _suffix(path: Path, allowed: tuple[str, ...]) -> str:
    if path.suffix not in allowed:
        raise InputError(
            f"`{path}` has no known ending",
            value=path.suffix or "none",
            bound=" or ".join(allowed),
            remedy="rename it, or save it as .csv",
        )
    return path.suffix
