"""Bring your own runs: tables of mixtures and scores, joined by run id; and the same two back out.

Mixtures: a column with the run's id and one per domain; rows are fractions, per cent or token counts. Scores: the id
and one column per metric; an empty cell is "not measured". Rows and columns in any order; names stay as they are. Both
may be one table (an export of W&B or MLflow). Tables are paths (CSV, parquet, Arrow), dataframes of any library or
mappings of columns.

Columns `n_params` and `n_tokens` in either table make several sizes in one study: one rung each, the smallest first.
Rows of one run that differ in `n_tokens` are its checkpoints. Where mixtures have a column `replicate` of whole numbers
it is kept; else repeats of a mixture at one size are numbered in the order of their ids.

What is mended or left out is said in notes, which the record keeps. What cannot be read is an error before anything is
written. Which column is what: `columns.py`. Units of weights: `weights.py`. Sizes: `sizes.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.core import checks
from mixdesk.core.errors import NotEnoughEvidence, RecordError
from mixdesk.core.mixture import Schedule
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import External, RunPlan, TrialSpec
from mixdesk.core.scale import Rung
from mixdesk.core.trial import Event, Result, StudyView
from mixdesk.study import sizes
from mixdesk.study.columns import HIGHER, REPLICATE, Columns, check_alike, layout, listed, matches
from mixdesk.study.config import StudyConfig
from mixdesk.study.join import Run, join
from mixdesk.study.record import is_made
from mixdesk.study.sheets import read_sheet, write_sheet
from mixdesk.study.study import Study, asked

# Mixtures per domain from which a log-linear law, with one slope per domain, is more than its prior.
FEW_PER_DOMAIN = 3


def import_study(
    mixtures: Any,
    scores: Any,
    out: Path,
    *,
    columns: Columns | None = None,
    objective: Objective | None = None,
    natural: Mapping[str, float] | None = None,
    higher: Sequence[str] = (),
    unit: str = "",
) -> Study:
    """A study of past runs, named after its folder; `Study.notes` says what was ignored or mended, and what to expect.

    Args:
        mixtures: table of weights: a path, a dataframe or a mapping of columns.
        scores: table of metrics; may be the same.
        out: folder of the new study.
        columns: what the user says of the columns.
        objective: what to minimise; default: the mean of all metrics.
        natural: domain → weight (any unit) of the natural mixture, where known.
        higher: metrics that are better higher, names or patterns.
        unit: of the metrics; default: bits per byte for `bpb/…`, else unknown.

    Raises:
        InputError: a table, row or cell that cannot be used, with its place.
        RecordError: there is a study in that folder.
    """
    if is_made(out / "study.db"):
        raise RecordError(
            f"there is a study in `{out}`",
            value="study.db exists",
            bound="a folder without one",
            remedy="choose another folder",
        )
    columns = columns or Columns()
    least = 1 if columns.by_position else 2  # an id, and something about it
    weights = read_sheet(mixtures, "mixtures", n_columns=least)
    measured = weights if _is_same(mixtures, scores) else read_sheet(scores, "scores", n_columns=least)
    runs, notes = join(weights, measured, columns)
    notes = [*dict.fromkeys((*weights.notes, *measured.notes)), *layout(weights, measured), *notes]
    names = sorted({name for run in runs for point in run.points for name, _ in point.metrics})
    check_alike(measured, names, "metrics")
    notes += _about_metrics(names, runs, higher)
    domains = runs[0].mixture.domains
    rungs = sizes.rungs_of(run.size for run in runs)
    notes += _claims(runs, rungs)
    config = StudyConfig(
        name=out.resolve().name,
        objective=objective or Objective(terms=tuple((name, 1.0) for name in names)),
        domains=domains,
        natural=tuple((natural or {}).items()),
        metrics=tuple(_metric(name, domains, higher, unit) for name in names),
        rungs=tuple(rungs.values()),
    )
    source = weights.name.rsplit(".", 1)[0]
    events: list[Event] = []
    for run in runs:
        rung = rungs[run.size]
        plan = RunPlan(schedule=Schedule.constant(run.mixture), scale=rung.scale)
        spec = TrialSpec(plan=plan, replicate=run.replicate, external=External(source=source, run=run.name))
        ask = asked(spec, rung.label, f"imported from {weights.name}")
        done = Event(trial=ask.trial, kind="done", time=time.time(), result=Result(state="done", points=run.points))
        events += [ask, done]
    return Study.create(out, config, notes=notes, events=events)


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


def _is_same(mixtures: Any, scores: Any) -> bool:
    """Whether one table holds both."""
    if isinstance(mixtures, str | Path) and isinstance(scores, str | Path):
        return Path(mixtures).resolve() == Path(scores).resolve()
    return mixtures is scores


def _metric(name: str, domains: Sequence[str], higher: Sequence[str], unit: str) -> Metric:
    """An imported metric; `bpb/…` is how mixdesk names its own."""
    domain = name.removeprefix("bpb/domain/")
    return Metric(
        name=name,
        unit=unit or ("bits per byte" if name.startswith("bpb/") else ""),
        better="higher" if matches(name, higher) else "lower",
        domain=domain if name != domain and domain in domains else None,
    )


def _about_metrics(names: Sequence[str], runs: Sequence[Run], higher: Sequence[str]) -> list[str]:
    """Notes on metrics that no run has moved, and on directions that look wrong.

    Raises:
        InputError: a pattern of `higher` fits no metric.
    """
    for pattern in higher:
        if not any(matches(name, [pattern]) for name in names):
            checks.one_of("metric", pattern, names)
    final = [dict(run.points[-1].metrics) for run in runs]
    flat = []
    for name in names:
        seen = [row[name] for row in final if name in row]
        if len(seen) > 1 and len(set(seen)) == 1:
            flat.append(f"`{name}` is the same in every run: it says nothing about mixtures.")
    doubted = [name for name in names if HIGHER.search(name) and not matches(name, higher)]
    if doubted:
        looks, it = ("looks", "it is") if len(doubted) == 1 else ("look", "they are")
        flat.append(f"{listed(doubted)} {looks} better when higher, but {it} minimised: say --higher NAME if so.")
    return flat


def _claims(runs: Sequence[Run], rungs: Mapping[sizes.Size, Rung]) -> list[str]:
    """What a law can claim from these runs, by their numbers alone."""
    n_of = Counter(run.size for run in runs)
    first = [run for run in runs if run.size == next(iter(rungs))]
    mixtures, d = {run.mixture for run in first}, len(runs[0].mixture.domains)
    head = f"{_n(len(runs), 'run')}, {_n(len({run.mixture for run in runs}), 'mixture')} over {_n(d, 'domain')}"
    if len(rungs) > 1:
        at = [f"{n_of[size]} at {rung.label}" for size, rung in rungs.items()]
        head += f"; sizes: {', '.join(at)}. At {rungs[first[0].size].label}: {_n(len(mixtures), 'mixture')}"
    each = len(mixtures) / d
    if len(mixtures) == 1:
        said = "no law can be fitted to one mixture."
    elif each < FEW_PER_DOMAIN:
        said = f"{each:.1f} per domain, too few for a law with a slope per domain: expect wide intervals, or a refusal."
    else:
        said = f"{each:.1f} per domain, enough to fit laws; `mixdesk law compare` says how well they predict."
    repeats = [n - 1 for n in Counter((run.mixture, run.size) for run in runs).values() if n > 1]
    noise = (
        f"{_n(len(repeats), 'mixture')} run more than once ({_n(sum(repeats), 'further run')}, kept together in every "
        "split): the noise of a run is measured."
        if repeats
        else "No mixture was run twice: the noise of a run is estimated, not measured."
    )
    notes = [f"{head}: {said} {noise}"]
    if len(rungs) > 1:
        (size, target), small = list(rungs.items())[-1], rungs[first[0].size].label
        last = {run.mixture for run in runs if run.size == size}
        both = len(last & mixtures)
        notes.append(f"The target is {target.label}: {_n(len(last), 'mixture')}, {both} of them run at {small} too.")
    return notes


def _n(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
