"""Bring your own runs: two CSVs, mixtures and scores, joined by run id; and the same two back out.

Mixtures: a column with the run's id and one per domain, fractions of training tokens. Scores: the id and one column
per metric; an empty cell is "not measured". Rows and columns in any order; names stay as they are. A column without
any number is no domain and no metric, nor are the other columns of a file of questions (`answers.py`). Where mixtures
have a column `replicate` of whole numbers it is kept; else repeats of a mixture are numbered in the order of their ids.

What is mended or left out is said in notes, which the record keeps. What cannot be read is an error before anything is
written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdesk.core import checks
from mixdesk.core.errors import InputError, NotEnoughEvidence, RecordError
from mixdesk.core.mixture import SUM_TOLERANCE, Mixture, Schedule
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import External, RunPlan, TrialSpec
from mixdesk.core.trial import Event, Point, Result, StudyView
from mixdesk.study.answers import QUESTION
from mixdesk.study.config import StudyConfig
from mixdesk.study.record import is_made
from mixdesk.study.sheets import Sheet, read_sheet, write_sheet
from mixdesk.study.study import Study, asked

# How a run's id is usually called; the first one that both files have is taken.
ID_NAMES = ("run", "run_id", "id", "trial", "index", "name")
REPLICATE = "replicate"
# A row's weights may miss one by this much: three decimals of 40 domains. More is another unit, or no mixture.
ROUNDING = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mixtures:
    """A file of mixtures: `by_run` id → mixture, `replicates` id → number (empty: not given), and notes."""

    by_run: dict[str, Mixture]
    replicates: dict[str, int]
    notes: list[str]


def import_study(
    mixtures: Path,
    scores: Path,
    out: Path,
    *,
    id_column: str | None = None,
    objective: Objective | None = None,
    natural: Mapping[str, float] | None = None,
    higher: Sequence[str] = (),
    unit: str = "",
) -> Study:
    """A study of past runs, named after its folder; `Study.notes` says what was ignored or mended.

    Args:
        mixtures: CSV of weights.
        scores: CSV of metrics.
        out: folder of the new study.
        id_column: the run id's column; default: guessed.
        objective: what to minimise; default: the mean of all metrics.
        natural: domain → weight (any unit) of the natural mixture, where known.
        higher: metrics that are better higher.
        unit: of the metrics; default: bits per byte for `bpb/…`, else unknown.

    Raises:
        InputError: a file, row or cell that cannot be used, with its place.
        RecordError: there is a study in that folder.
    """
    if is_made(out / "study.db"):
        raise RecordError(
            f"there is a study in `{out}`",
            value="study.db exists",
            bound="a folder without one",
            remedy="choose another folder",
        )
    weights, measured = read_sheet(mixtures), read_sheet(scores)
    column = _shared_id(weights, measured, id_column)
    table = _mixtures(weights, weights.ids(column), column)
    values, score_notes = _scores(measured, column)
    # By id, so that the order of rows has no part in the study: 2 before 10.
    runs = sorted((run for run in table.by_run if values.get(run)), key=lambda run: (len(run), run))
    notes = [*table.notes, *score_notes, *_unmatched(table.by_run, values, mixtures, scores)]
    if not runs:
        raise InputError(
            f"no run of `{mixtures}` has a score in `{scores}`",
            value=f"{_few(table.by_run)} against {_few(values)}",
            bound=f"common values in column `{column}`",
            remedy="check the column of the ids (id_column), or the files",
        )
    names = sorted({name for run in runs for name in values[run]})
    notes += _constant(names, [values[run] for run in runs])
    for name in higher:
        checks.one_of("metric", name, names)
    domains = tuple(table.by_run[runs[0]].domains)
    config = StudyConfig(
        name=out.resolve().name,
        objective=objective or Objective(terms=tuple((name, 1.0) for name in names)),
        domains=domains,
        natural=tuple((natural or {}).items()),
        metrics=tuple(_metric(name, domains, higher, unit) for name in names),
    )
    replicates = table.replicates or _numbered({run: table.by_run[run] for run in runs})
    events: list[Event] = []
    for run in runs:
        plan = RunPlan(schedule=Schedule.constant(table.by_run[run]))
        spec = TrialSpec(plan=plan, replicate=replicates[run], external=External(source=mixtures.stem, run=run))
        result = Result(state="done", points=(Point(n_tokens=0, metrics=tuple(values[run].items())),))
        events += [
            asked(spec, config.rungs[0].label, f"imported from {mixtures.name}"),
            Event(trial=spec.id, kind="done", time=time.time(), result=result),
        ]
    return Study.create(out, config, notes=notes, events=events)


def read_mixtures(path: Path, id_column: str | None = None) -> dict[str, Mixture]:
    """Run id → mixture of one CSV file, in its order; without a column of ids the rows are called 1, 2, ….

    Raises:
        InputError: a file, row or cell that cannot be used, with its place.
    """
    sheet = read_sheet(path)
    column = _given(sheet, id_column) or next((name for name in ID_NAMES if name in sheet.columns), None)
    ids = sheet.ids(column) if column is not None else tuple(str(i) for i in range(1, len(sheet.rows) + 1))
    return _mixtures(sheet, ids, column).by_run


def export_csv(view: StudyView, folder: Path) -> tuple[Path, Path]:
    """Write the finished trials of the first rung as `mixtures.csv` and `scores.csv`; `import_study` reads them back.

    Columns: `run` (the trial's id, or the id it was imported with), `replicate`, domains; `run`, metrics.

    Raises:
        NotEnoughEvidence: no trial is finished.
        InputError: a domain or metric is named like a column, or the folder cannot be written.
    """
    done = [trial for trial in view.at() if trial.final]
    if not done:
        raise NotEnoughEvidence(
            "there is nothing to export",
            value=f"0 of {len(view.at())} trials done",
            bound="at least one",
            remedy="run the study, or tell results",
        )
    runs = [trial.spec.external.run if trial.spec.external is not None else trial.id for trial in done]
    metrics = [metric.name for metric in view.metrics]
    paths = folder / "mixtures.csv", folder / "scores.csv"
    write_sheet(
        paths[0],
        ["run", REPLICATE, *view.domains],
        [
            (run, trial.spec.replicate, *trial.spec.mixture.over(view.domains))
            for run, trial in zip(runs, done, strict=True)
        ],
    )
    write_sheet(
        paths[1],
        ["run", *metrics],
        [(run, *(trial.final.get(name) for name in metrics)) for run, trial in zip(runs, done, strict=True)],
    )
    return paths


def _given(sheet: Sheet, id_column: str | None) -> str | None:
    if id_column is not None and id_column not in sheet.columns:
        raise InputError(
            f"`{sheet.path}` has no column `{id_column}`",
            value=id_column,
            bound="one of " + ", ".join(sheet.columns),
            remedy=checks.nearest(id_column, sheet.columns),
        )
    return id_column


def _shared_id(weights: Sheet, measured: Sheet, id_column: str | None) -> str:
    """The column of the run ids in both files: as given, by a usual name, or the only one that both have."""
    if _given(weights, id_column) and _given(measured, id_column):
        return str(id_column)
    shared = [name for name in weights.columns if name in measured.columns]
    usual = [name for name in ID_NAMES if name in shared]
    if usual:
        return usual[0]
    if len(shared) != 1:
        raise InputError(
            f"no column of run ids is shared by `{weights.path}` and `{measured.path}`"
            if not shared
            else f"`{weights.path}` and `{measured.path}` share several columns",
            value=", ".join(shared or weights.columns),
            bound="one column of run ids in both",
            remedy="name it: id_column in Python, --id-column on the command line",
        )
    return shared[0]


def _mixtures(sheet: Sheet, ids: Sequence[str], id_column: str | None) -> _Mixtures:
    """Every row as a mixture."""
    ignored = [name for name in sheet.columns if name not in (id_column, REPLICATE)]
    ignored = [name for name in ignored if name in QUESTION or sheet.is_text(name) or sheet.is_empty(name)]
    domains = [name for name in sheet.columns if name not in (id_column, REPLICATE, *ignored)]
    columns = {name: sheet.numbers(name, ids) for name in domains}
    numbers = _replicate_column(sheet, ids)
    by_run: dict[str, Mixture] = {}
    mended: list[float] = []
    for i, run in enumerate(ids):
        row = {name: column[i] for name, column in columns.items()}
        by_run[run] = _mixture(row, f"`{sheet.path}`, row `{run}`", mended)
    notes = [f"`{sheet.path.name}`: column `{name}` is no domain and was ignored." for name in ignored]
    if mended:
        notes.append(
            f"`{sheet.path.name}`: {len(mended)} of {len(ids)} rows sum to {min(mended):.4g} to {max(mended):.4g}, "
            "not to one, and were divided by their sum (rounded weights)."
        )
    _check_repeats(sheet.path, by_run, numbers)
    return _Mixtures(by_run=by_run, replicates=numbers, notes=notes)


def _mixture(row: Mapping[str, float | None], where: str, mended: list[float]) -> Mixture:
    """One row as a mixture; its sum goes to `mended` where it had to be divided by it."""
    weights: dict[str, float] = {}
    for name, value in row.items():
        if value is None or value < 0.0:
            raise InputError(
                f"{where}, column `{name}`: " + ("no weight" if value is None else "a negative weight"),
                value="an empty cell" if value is None else value,
                bound="a fraction of the training tokens, ≥ 0",
                remedy="write 0 for a domain that was not used",
            )
        weights[name] = value
    total = math.fsum(weights.values())
    if abs(total - 1.0) > ROUNDING:
        is_percent = abs(total - 100.0) <= 100.0 * ROUNDING
        remedy = (
            "divide by 100" if is_percent else "divide each row by its sum, and take out columns that are no domain"
        )
        raise InputError(
            f"{where}: the weights do not sum to one",
            value=f"sum {total:.6g} of {_few(weights)}",
            bound=f"1 ± {ROUNDING:g}",
            remedy=remedy,
        )
    is_exact = abs(total - 1.0) <= SUM_TOLERANCE
    if not is_exact:
        mended.append(total)
    return Mixture.of(weights, normalise=not is_exact)


def _replicate_column(sheet: Sheet, ids: Sequence[str]) -> dict[str, int]:
    """The column `replicate`, where there is one."""
    if REPLICATE not in sheet.columns:
        return {}
    found: dict[str, int] = {}
    for run, value in zip(ids, sheet.numbers(REPLICATE, ids), strict=True):
        if value is None or value < 0.0 or value != int(value):
            raise InputError(
                f"`{sheet.path}`, row `{run}`, column `{REPLICATE}`: no number of a repeat",
                value="an empty cell" if value is None else value,
                bound="a whole number ≥ 0",
                remedy=f"correct the cell; a domain may not be called `{REPLICATE}`",
            )
        found[run] = int(value)
    return found


def _check_repeats(path: Path, by_run: Mapping[str, Mixture], replicates: Mapping[str, int]) -> None:
    """No two runs of one mixture have the same number."""
    seen: dict[tuple[Mixture, int], str] = {}
    for run, number in replicates.items():
        key = (by_run[run], number)
        if key in seen:
            raise InputError(
                f"`{path}`: rows `{seen[key]}` and `{run}` are the same mixture and the same repeat",
                value=f"`{REPLICATE}` {number} twice",
                bound="another number for each repeat of a mixture",
                remedy="number the repeats, or remove the column",
            )
        seen[key] = run


def _numbered(by_run: Mapping[str, Mixture]) -> dict[str, int]:
    """Repeats of a mixture numbered 0, 1, 2, … in order."""
    count: dict[Mixture, int] = {}
    numbers: dict[str, int] = {}
    for run, mixture in by_run.items():
        numbers[run] = count.get(mixture, 0)
        count[mixture] = numbers[run] + 1
    return numbers


def _scores(sheet: Sheet, id_column: str) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Run id → metric → value, empty where nothing was measured; and notes."""
    ids = sheet.ids(id_column)
    names = [name for name in sheet.columns if name not in (id_column, REPLICATE, *QUESTION)]
    text = [name for name in names if sheet.is_text(name)]
    empty = [name for name in names if sheet.is_empty(name)]
    notes = [f"`{sheet.path.name}`: column `{name}` holds no numbers and was ignored." for name in [*text, *empty]]
    columns = {name: sheet.numbers(name, ids) for name in names if name not in text and name not in empty}
    values: dict[str, dict[str, float]] = {}
    for i, run in enumerate(ids):
        row = {name: column[i] for name, column in columns.items()}
        values[run] = {name: value for name, value in row.items() if value is not None}
    silent = [run for run in ids if not values[run]]
    if len(silent) == len(ids):
        raise InputError(
            f"`{sheet.path}`: no cell holds a number",
            value="nothing measured in " + (_few(names) or f"a file with no column but `{id_column}`"),
            bound="a number in at least one cell of a metric",
            remedy="check the file, or how it was written",
        )
    if silent:
        notes.append(f"`{sheet.path.name}`: left out {_runs(silent)} without any score: {_few(silent)}.")
    return values, notes


def _constant(names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Notes on metrics that several runs have measured and none has moved."""
    notes = []
    for name in names:
        seen = [row[name] for row in rows if name in row]
        if len(seen) > 1 and len(set(seen)) == 1:
            notes.append(f"`{name}` is the same in every run: it says nothing about mixtures.")
    return notes


def _unmatched(left: Mapping[str, object], right: Mapping[str, object], mixtures: Path, scores: Path) -> list[str]:
    """Notes on runs that only one of the files has."""
    notes = []
    for mine, theirs, here, there in ((left, right, mixtures, scores), (right, left, scores, mixtures)):
        alone = [run for run in mine if run not in theirs]
        if alone:
            notes.append(f"Left out {_runs(alone)} of `{here.name}` not in `{there.name}`: {_few(alone)}.")
    return notes


def _metric(name: str, domains: Sequence[str], higher: Sequence[str], unit: str) -> Metric:
    """An imported metric; `bpb/…` is how mixdesk names its own."""
    domain = name.removeprefix("bpb/domain/")
    return Metric(
        name=name,
        unit=unit or ("bits per byte" if name.startswith("bpb/") else ""),
        better="higher" if name in higher else "lower",
        domain=domain if name != domain and domain in domains else None,
    )


def _runs(names: Sequence[str]) -> str:
    """Their number in words."""
    return "1 run" if len(names) == 1 else f"{len(names)} runs"


def _few(names: Mapping[str, object] | Sequence[str]) -> str:
    """The first names of many."""
    first = list(names)[:5]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
