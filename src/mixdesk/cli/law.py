"""`mixdesk law`: mixture → loss, with held-out scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

import mixdesk
from mixdesk.cli.completion import LAWS, SEVERAL_LAWS
from mixdesk.cli.tables import (
    JSON_OPTION,
    QUIET_OPTION,
    counted,
    cut,
    lines,
    read_pair,
    say,
    say_json,
    say_table,
)
from mixdesk.core.errors import InputError
from mixdesk.core.objective import LeagueRow

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Laws: mixture to loss, with uncertainty.")
FOLDER = typer.Argument(..., help="Folder of the study.")
# Column of the league → measure.
SCORES = {"error": "rmse", **{name: name for name in ("spearman", "kendall", "regret@1", "regret@5")}}
SCORES |= {name: name for name in ("coverage", "width", "seconds")}
MEAN = "mean of metrics"
# Characters of a metric's name that leave the league within 100 columns.
LONGEST_METRIC = 32
# Characters of an objective's title above the league.
LONGEST_TITLE = 90


@app.command()
def fit(
    folder: Path = FOLDER,
    law: str | None = typer.Option(
        None, help="A name from `mixdesk list laws`. Default: the study's.", autocompletion=LAWS
    ),
    out: Path | None = typer.Option(None, "--out", "-o", help="Default: FOLDER/laws/<name>.json."),
) -> None:
    """Fit a law on the finished trials and write it.

    Example: mixdesk law fit my-study -o law.json
    """
    study = mixdesk.open_study(folder)
    say(str(mixdesk.save_fit(study, mixdesk.fit_law(study, law), law, out)))


@app.command()
def compare(
    folder: Path = FOLDER,
    laws: list[str] = typer.Option(
        [], help="Laws to compare, separated by commas; may be repeated. Default: all.", autocompletion=SEVERAL_LAWS
    ),
    metric: str | None = typer.Option(None, help="Judge by this metric. Default: the study's objective."),
    curve: bool = typer.Option(True, help="Say whether more trials would help (fits the best law a few times more)."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """The league of laws on mixtures they have not seen, best first, and whether more trials would help.

    error is in the unit of the objective; spearman and kendall are rank correlations; regret@1 is what following the
    law costs among the mixtures tried (0: it finds the best, 1: as good as a random pick), regret@5 the same for the
    best of its five favourites; coverage of its 90 % intervals, and their width in sd over mixtures; seconds to fit
    and test it. The last table has the best law on each metric; --json has every law on each metric.

    Exit code 3: no law could be judged.

    Example: mixdesk law compare my-study --laws exponential,trees --metric loss
    """
    study = mixdesk.open_study(folder)
    objective = None if metric is None else mixdesk.Objective(terms=((metric, 1.0),))
    names = [name.strip() for text in laws for name in text.split(",") if name.strip()]
    with lines(quiet) as progress:
        rows, skipped = mixdesk.compare_laws(study, names or None, objective=objective, progress=progress)
        first = next((found[0] for found in mixdesk.rank_laws(rows)), None)
        answer = None
        if curve and first is not None:
            now = next(row.value for row in rows if _key(row) == (first, "objective", "rmse"))
            answer = mixdesk.learning_curve(study, first, objective=objective, now=now, progress=progress)
    table = league_rows(rows)
    if as_json:
        facts = None
        if answer is not None:
            facts = {**dataclasses.asdict(answer), "answer": answer.answer, "sentence": answer.sentence}
        say_json({"league": table, "skipped": skipped, "winners": winners(rows), "curve": facts})
    else:
        title = (objective or study.config.objective).title
        _say_league(table, title if len(title) <= LONGEST_TITLE else "the objective of the study", first)
        for sentence in (*winners(rows), *([answer.sentence] if answer is not None else [])):
            say(sentence)
        for name, reason in skipped.items():
            typer.echo(f"skipped {name}: {reason}", err=True)
    if first is None:
        raise typer.Exit(3)


@app.command()
def predict(
    law: Path = typer.Argument(..., help="A law that `mixdesk law fit` wrote."),
    mixtures: Path | None = typer.Option(None, help="CSV: run id and a column per domain; n_params, n_tokens if any."),
    weight: list[str] = typer.Option([], help="DOMAIN=WEIGHT of one mixture instead; may be repeated."),
    out: Path | None = typer.Option(None, "--out", "-o", help="CSV to write. Default: print."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Predict mixtures: per metric mean, sd and 90 % interval of one new run, and whether it lies among the runs.

    Example: mixdesk law predict law.json --mixtures candidates.csv -o predictions.csv
    """
    if (mixtures is None) == (not weight):
        raise InputError(
            "nothing to predict",
            value="no mixture" if not weight else "both kinds",
            bound="--mixtures or --weight",
            remedy="give one of the two",
        )
    given = dict([read_pair(text, "weight") for text in weight])
    is_rounded = abs(sum(given.values()) - 1.0) < 1e-6  # printed digits; anything else must sum to one
    found = mixdesk.predict_csv(
        law, mixtures if mixtures is not None else mixdesk.Mixture.of(given, normalise=is_rounded), out
    )
    if out is not None:
        say(f"{counted(len(found), 'prediction')} in {out}")
    else:
        say_table([dict(zip(found.columns, row, strict=True)) for row in found.rows()], as_json=as_json)
    for note in found.notes:
        typer.echo(note, err=True)


def _say_league(table: Sequence[Mapping[str, Any]], title: str, first: str | None) -> None:
    """The league by the objective and over all metrics, and its `first` law metric by metric, each 100 columns wide."""
    if first is None:
        say("No law could be judged on these runs.")
        return
    say_table(_without(table, "metric", "objective", "metric"), title=f"By {title}:")
    metrics = [row for row in table if row["law"] == first and row["metric"] not in ("objective", MEAN)]
    if len(metrics) > 1:
        say_table(_without(table, "metric", MEAN, "metric", "seconds"), title="\nMean over the metrics:")
        each = [{**row, "metric": cut(row["metric"], LONGEST_METRIC)} for row in metrics]
        say_table(_without(each, "law", first, "law", "seconds"), title=f"\n{first}, metric by metric:")
    say()


def _without(rows: Sequence[Mapping[str, Any]], key: str, value: str, *keys: str) -> list[dict[str, Any]]:
    """The rows of one value without some of their columns."""
    return [{k: cell for k, cell in row.items() if k not in keys} for row in rows if row[key] == value]


def league_rows(rows: Sequence[LeagueRow]) -> list[dict[str, Any]]:
    """One line per law and metric: the objective best law first, then the mean of the metrics, then each metric."""
    value = {_key(row): row.value for row in rows}
    laws = [law for found in mixdesk.rank_laws(rows) for law in found]
    metrics = list(dict.fromkeys(row.metric for row in rows))
    metrics = ["objective", *sorted((m for m in metrics if m != "objective"), key=lambda m: m != MEAN)]
    return [
        {"law": law, "metric": metric, **{name: value.get((law, metric, m)) for name, m in SCORES.items()}}
        for metric in metrics
        for law in laws
        if any((law, metric, m) in value for m in SCORES.values())
    ]


def winners(rows: Sequence[LeagueRow]) -> list[str]:
    """A sentence on the best law, and on how sure that is; one per set of runs that laws were judged on."""
    value = {_key(row): row.value for row in rows}
    n = {row.law: row.n for row in rows if row.measure == "behind"}
    sets = mixdesk.rank_laws(rows)
    out = []
    for laws in sets:
        where = f" on the {n[laws[0]]} mixtures it was judged on" if len(sets) > 1 else f" on {n[laws[0]]} mixtures"
        ties = [law for law in laws[1:] if value[law, "objective", "behind:low"] <= 0.0]
        rest = laws[1 + len(ties) :]
        if value[laws[0], "objective", "spearman:low"] <= 0.0:
            out.append(f"No law is shown to order the mixtures{where}; {laws[0]} comes nearest.")
        elif ties:
            others = ", the others are worse." if rest else "."
            out.append(f"Use {laws[0]}{where}; within the noise of it: {', '.join(ties)}{others}")
        else:
            others = "; its error is smaller than that of every other law." if rest else "."
            out.append(f"Use {laws[0]}{where}{others}")
    return out


def _key(row: LeagueRow) -> tuple[str, str, str]:
    return row.law, row.metric, row.measure
