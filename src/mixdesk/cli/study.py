"""`mixdesk study`: the population and its page."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import mixdesk
from mixdesk.cli.completion import EXPORTERS, RUNNERS
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, counted, cut, lines, read_pair, say, say_json, say_table
from mixdesk.cli.wizard import write_by_questions
from mixdesk.core.errors import InputError
from mixdesk.core.files import to_data
from mixdesk.core.trial import StudyView, Trial

if TYPE_CHECKING:
    from mixdesk.search.worth import Worth
    from mixdesk.study.study import Study

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A population of trials with one objective.")
FOLDER = typer.Argument(..., help="Folder of the study.")
# Characters of the reason why a trial failed; what is longer loses its middle.
LONGEST_REASON = 400


@app.command()
def new(
    folder: Path = FOLDER,
    config: Path | None = typer.Option(None, "--config", help="Another TOML file than FOLDER/study.toml."),
    wizard: bool = typer.Option(False, "--wizard", help="Write a commented study.toml by a few questions first."),
) -> None:
    """Start a study from its `study.toml`; checks corpus, parts and constraints.

    With --wizard the file is written first, from a corpus and a few questions with defaults; nothing is overwritten
    unasked.

    Example: mixdesk study new my-study
    """
    if wizard:
        if config is not None:
            raise InputError(
                "--wizard writes the file that --config names",
                value=str(config),
                bound="one of the two",
                remedy="leave one out",
            )
        say(f"{write_by_questions(folder)} is written.")
    study = mixdesk.new_study(folder, config)
    view = study.view()
    then = f"mixdesk study {'ask' if study.config.trainer is None else 'run'} {folder}"
    say(f"{view.name}: {len(view.domains)} domains, objective {view.objective.title}. Next: {then}")


@app.command()
def schema() -> None:
    """The JSON Schema of `study.toml`, by which an editor completes and checks it; names the parts installed here.

    Example: mixdesk study schema > study.schema.json
    """
    say(mixdesk.study_schema().rstrip("\n"))


@app.command()
def run(  # noqa: PLR0913  (its parameters are the command line)
    folder: Path = FOLDER,
    trials: int | None = typer.Option(None, help="Stop after this many more trials. Default: the budget."),
    jobs: int | None = typer.Option(None, help="Workers of one thread each. Default: all cores."),
    runner: str = typer.Option(
        "local", help="local: this machine. ray: a Ray cluster (docs/cluster.md).", autocompletion=RUNNERS
    ),
    address: str | None = typer.Option(None, help="Of the Ray cluster: auto or HOST:PORT. Default: this machine's."),
    live: bool = typer.Option(False, "--live", help="Serve the desk on this machine while trials run."),
    port: int | None = typer.Option(None, help="Of the live desk. Default: a free one."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """Ask and train until the budget is spent; goes on where an interrupted run stopped.

    Example: mixdesk study run my-study --trials 8
    """
    study = mixdesk.open_study(folder)
    if port is not None and not live:
        raise InputError("`--port` is for the live desk", value=port, bound="with --live", remedy="add `--live`")
    with _live(study, port, is_aside=as_json) if live else nullcontext(), lines(quiet) as progress:
        done = mixdesk.run_study(study, trials=trials, jobs=jobs, progress=progress, runner=runner, address=address)
    spent = _spent(study.view())
    if spent and not done.n_done + done.n_diverged + done.n_failed and not as_json:
        say(spent)
        return
    print_study(study, as_json=as_json)


@contextmanager
def _live(study: Study, port: int | None, *, is_aside: bool) -> Iterator[None]:
    """The live desk, its address said on a line of its own; aside: on standard error, beside JSON."""
    with mixdesk.live_desk(study, port or 0) as address:
        typer.echo(f"The desk, live: {address}", err=is_aside)
        sys.stdout.flush()
        yield


@app.command()
def ask(  # noqa: PLR0913  (its parameters are the command line)
    folder: Path = FOLDER,
    n: int = typer.Option(1, "-n", help="How many trials."),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="File to write: .csv or .jsonl; with --as a folder. Default: print alone."
    ),
    to: str | None = typer.Option(
        None,
        "--as",
        help="Each trial as files of a trainer: see `mixdesk list exporters`.",
        autocompletion=EXPORTERS,
    ),
    repeats: bool = typer.Option(
        False,
        "--repeats",
        help="No new mixtures: runs of the answer and its rivals where noise leaves it open.",
    ),
    confirm: bool = typer.Option(
        False, "--confirm", help="No new mixtures: fresh runs of the recipe and its rivals at the target."
    ),
    lease: float | None = typer.Option(None, help="Hours for which nobody else is handed these trials."),
    holder: str = typer.Option("", help="Who trains them, for `study show`."),
    seq_len: int | None = typer.Option(None, help="With --as: tokens of a sequence. Default: the model's."),
    batch_tokens: str | None = typer.Option(None, help="With --as: tokens of a step, e.g. 0.5M. Default: the rung's."),
    data: str | None = typer.Option(None, help="With --as: folder of data that exists, as the files should name it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The next trials for an outside trainer, with their ids, weights and why each is asked.

    Example: mixdesk study ask my-study -n 8 -o asked.csv --lease 12 --holder cluster-1
    """
    study = mixdesk.open_study(folder)
    waiting = study.pending()
    if to is None:
        specs = mixdesk.ask_study(study, n, out, repeats=repeats, confirm=confirm, lease=lease, holder=holder)
    else:
        specs = mixdesk.export_trials(
            study, n, to, out, repeats=repeats, confirm=confirm, lease=lease, holder=holder, seq_len=seq_len,
            batch_tokens=batch_tokens, data=data,
        )  # fmt: skip
    asked = [study.trial(spec.id) for spec in specs]
    if as_json:
        heads = [{"trial": t.id, "rung": t.rung, "why": t.why, "mixture": t.spec.mixture.as_dict()} for t in asked]
        say_json([{**head, "spec": to_data(spec)} for head, spec in zip(heads, specs, strict=True)])
        return
    if not specs:
        unwritten = "" if out is None else f"; {out} is not written"
        if waiting:
            say(f"All of {counted(len(waiting), 'trial')} that wait for an answer are held by others{unwritten}.")
        else:
            spent = _spent(study.view())
            left = "no repeat would settle more" if repeats and not spent else "none is left to ask"
            say(f"No trial waits for an answer, and {left}{unwritten}. {spent}".strip())
        return
    n_again = sum(spec in waiting for spec in specs)
    again = f" ({n_again} asked before, without an answer yet)" if n_again else ""
    place = "" if out is None else f" in {out}"
    say(f"{counted(len(specs), 'trial')}{place}{again}. Train, then: mixdesk study tell {folder} answers.csv")
    rows = [(t, _short(t.spec.mixture.as_dict())) for t in asked]
    say_table([{"trial": t.id, "rung": t.rung, "why": t.why, "mixture": mixture} for t, mixture in rows])


@app.command()
def tell(
    folder: Path = FOLDER,
    answers: Path = typer.Argument(..., help="CSV or JSONL with the trial ids and a column per metric."),
) -> None:
    """Results of trials that were trained elsewhere.

    Example: mixdesk study tell my-study answers.csv
    """
    for note in mixdesk.tell_study(mixdesk.open_study(folder), answers):
        say(note)


@app.command("import")
def import_(  # noqa: PLR0913  (its parameters are the command line)
    mixtures: Path = typer.Option(..., help="CSV or parquet: run id and a column per domain (shares or token counts)."),
    scores: Path = typer.Option(..., help="CSV or parquet: run id and a column per metric; may be the same file."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the new study."),
    id_column: str | None = typer.Option(None, help="Column of the run id. Default: guessed."),
    n_params: str | None = typer.Option(None, help="Column, or number such as 60M, of parameters. Default: n_params."),
    n_tokens: str | None = typer.Option(None, help="Column, or number such as 1B, of tokens. Default: n_tokens."),
    by_position: bool = typer.Option(False, "--by-position", help="Join row by row in place of by id."),
    domains: list[str] = typer.Option(
        [], help="Columns of weights: names or 'mix.*', commas between; may be repeated."
    ),
    metrics: list[str] = typer.Option(
        [], help="Columns of scores: names or 'eval/*', commas between; may be repeated."
    ),
    objective: list[str] = typer.Option([], help="METRIC or METRIC=WEIGHT; may be repeated. Default: mean."),
    natural: list[str] = typer.Option([], help="DOMAIN=WEIGHT of the natural mixture, any unit; may be repeated."),
    higher: list[str] = typer.Option([], help="Metrics that are better higher: names or '*acc*'; may be repeated."),
    unit: str = typer.Option("", help="Unit of the scores, for the page."),
    as_json: bool = JSON_OPTION,
) -> None:
    """A study from tables of past runs, joined by run id.

    Example: mixdesk study import --mixtures runs.csv --scores scores.csv -o my-study
    """
    study = mixdesk.import_study(
        mixtures,
        scores,
        out,
        id_column=id_column,
        n_params=n_params,
        n_tokens=n_tokens,
        by_position=by_position,
        domains=_split(domains),
        metrics=_split(metrics),
        objective=dict(read_pair(text, "weight", 1.0) for text in objective) or None,
        natural=dict(read_pair(text, "weight") for text in natural),
        higher=_split(higher),
        unit=unit,
    )
    for note in () if as_json else study.notes:
        say(f"note: {note}")
    print_study(study, as_json=as_json)


@app.command()
def extend(
    folder: Path = FOLDER,
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the new study."),
    corpus: Path = typer.Option(..., help="Folder of the changed corpus."),
    mapped: list[str] = typer.Option(
        [], "--map", help="OLD=NEW or OLD=NEW:SHARE, commas between; may be repeated. Default: by content."
    ),
    reopen: list[str] = typer.Option(
        [], help="Untouched domains to ask again: names or 'web/*', commas between; may be repeated."
    ),
    full: bool = typer.Option(False, "--full", help="Ask all domains again; the old trials stay as evidence."),
) -> None:
    """Carry a study to a changed corpus: what is untouched keeps its ratios and evidence, only what is new is asked.

    A domain is its content. Names tell a split (web to web/a, web/b) or a merge, and --map what they do not.

    Example: mixdesk study extend my-study -o my-study-2 --corpus corpus-2 --map crawl=web/high,crawl=web/low
    """
    said: dict[str, dict[str, float | None]] = {}
    for text in _split(mapped):
        old, new, share = _read_move(text)
        said.setdefault(old, {})[new] = share
    opened = ["*"] if full else _split(reopen)
    study = mixdesk.extend_study(mixdesk.open_study(folder), out, corpus, mapped=said, reopen=opened)
    for note in study.notes:
        say(note)
    say(f"The new study is in {out}; its budget is in {out / 'study.toml'}.")


@app.command()
def export(
    folder: Path = FOLDER, out: Path = typer.Option(..., "--out", "-o", help="Folder for mixtures.csv and scores.csv.")
) -> None:
    """The finished trials as two CSVs, which `study import` reads back.

    Example: mixdesk study export my-study -o tables
    """
    for path in mixdesk.export_study(mixdesk.open_study(folder), out):
        say(str(path))


@app.command()
def show(
    folder: Path = FOLDER,
    more: int | None = typer.Option(None, "--next", help="Say what so many more trials would buy, and when to stop."),
    matters: float | None = typer.Option(
        None, help="With --next: the smallest gain that matters, in the objective's unit. Default: the noise of a run."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """States, noise per metric and the best trials; with --next, whether more trials are worth their cost.

    Example: mixdesk study show my-study --next 32
    """
    study = mixdesk.open_study(folder)
    worth = None if more is None else mixdesk.worth_more(study, trials=more, matters=matters)
    print_study(study, worth, as_json)


def print_study(study: Study, worth: Worth | None = None, as_json: bool = False) -> None:
    """Trials by state, noise, best trials, and what more of them are worth where that was asked."""
    view = study.view()
    noise = view.noise()
    if as_json:
        say_json(
            {
                "name": view.name,
                "objective": to_data(view.objective),
                "record": view.record_sha256,
                "notes": list(study.notes),
                "noise": [{**to_data(row), "ratio": row.ratio} for row in noise],
                "leases": _leases(view),
                "trials": [{"id": trial.id, **to_data(trial)} for trial in view.trials],
                **({} if worth is None else {"next": _worth_data(worth)}),
            }
        )
        return
    states = Counter((trial.rung, trial.state) for trial in view.trials)
    domains, trials = counted(len(view.domains), "domain"), counted(len(view.trials), "trial")
    say(f"{view.name}: {domains}, objective {view.objective.title}, {trials}")
    if view.stale:
        say(f"{counted(len(view.stale), 'trial')} stale: run on another state of the corpus.")
    say_table([{"rung": rung, "state": state, "trials": n} for (rung, state), n in sorted(states.items())])
    failed = [trial for trial in view.trials if trial.state == "failed"]
    if failed:
        why = cut(" ".join(failed[-1].message.split()), LONGEST_REASON)
        say(f"{counted(len(failed), 'trial')} failed, the last, {failed[-1].id}, so: {why}")
    if noise:
        say_table(
            [
                {
                    "metric": r.metric,
                    "spread": r.spread,
                    "noise": r.within,
                    "between": r.between,
                    "spread ÷ noise": r.ratio,
                }
                for r in noise
            ],
            title="\nSpread over mixtures and noise of a repeat, from the crossed block "
            f"({noise[0].n_mixtures} mixtures × {noise[0].n_replicates} replicates):",
        )
    if view.leases:
        say_table(_leases(view), title="\nLeases:")
    if any(trial.final for trial in view.at()):
        obs = view.observations()
        value = dict(zip(obs.trials, view.objective.value(obs.Y_nm, obs.metrics).tolist(), strict=True))
        best = sorted((t for t in view.at() if isfinite(value.get(t.id, nan))), key=lambda t: value[t.id])[:5]
        say_table(
            [
                {"trial": _called(t), "objective": value[t.id], "mixture": _short(t.spec.mixture.as_dict())}
                for t in best
            ],
            title="\nBest trials:",
        )
    if worth is not None:
        say(f"\n{' '.join(filter(None, (worth.sentence, worth.basis)))}")
        if worth.doubt:
            say(f"Mind: {worth.doubt}")


def _worth_data(worth: Worth) -> dict[str, object]:
    """What more trials are worth, with its words."""
    words = {name: getattr(worth, name) for name in ("verdict", "sentence", "basis", "doubt")}
    return {**words, **to_data(worth)}


@app.command()
def report(
    folder: Path = FOLDER,
    out: Path | None = typer.Option(None, "--out", "-o", help="Default: FOLDER/desk.html."),
    beside: Path | None = typer.Option(None, help="Folder of a second study to set beside this one."),
) -> None:
    """Write the desk, one offline page.

    Example: mixdesk study report my-study --beside last-years-study
    """
    other = None if beside is None else mixdesk.open_study(beside)
    say(str(mixdesk.write_desk(mixdesk.open_study(folder), out, beside=other)))


def _leases(view: StudyView) -> list[dict[str, str]]:
    """Rows of the trials that somebody holds or held, until when, and whether that is over."""
    now = time.time()
    return [
        {
            "trial": lease.trial,
            "holder": lease.holder or "unnamed",
            "until": datetime.fromtimestamp(lease.until, UTC).isoformat(sep=" ", timespec="minutes"),
            "lease": "running" if lease.until > now else "expired",
        }
        for lease in view.leases
    ]


def _split(given: list[str]) -> list[str]:
    """Names or patterns with commas between as a list."""
    return [part.strip() for text in given for part in text.split(",") if part.strip()]


def _read_move(text: str) -> tuple[str, str, float | None]:
    """Old domain, new domain and share (None: by tokens) of OLD=NEW or OLD=NEW:SHARE.

    Raises:
        InputError: no `=`.
    """
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise InputError(
            f"`{text}` maps nothing", value=text, bound="OLD=NEW or OLD=NEW:SHARE", remedy="name both domains"
        )
    name, _, share = new.rpartition(":")
    try:
        return old, name or new, float(share) if name else None
    except ValueError:
        return old, new, None


def _called(trial: Trial) -> str:
    """A trial's id; an imported one keeps the name that its owner gave it."""
    return trial.spec.external.run if trial.spec.external is not None else trial.id


def _spent(view: StudyView) -> str:
    """A sentence where all trials of the budget are asked; else nothing."""
    n, limit = len(view.proxies), None if view.budget is None else view.budget.n_trials
    if limit is None or n < limit:
        return ""
    return f"The budget is spent: {n} of {limit} trials asked. Raise n_trials in study.toml to go on."


def _short(weights: dict[str, float]) -> str:
    first = sorted(weights.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in first)
