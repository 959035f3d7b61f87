"""`mixdesk law`: mixture → loss, with held-out scores."""

from __future__ import annotations

from pathlib import Path

import typer

import mixdesk
from mixdesk.cli.tables import JSON_OPTION, read_pair, say, say_table
from mixdesk.core.errors import InputError
from mixdesk.core.objective import LeagueRow

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Laws: mixture to loss, with uncertainty.")
FOLDER = typer.Argument(..., help="Folder of the study.")
SCORES = ("rmse", "spearman", "spearman:low", "regret", "coverage", "width", "seconds")


@app.command()
def fit(
    folder: Path = FOLDER,
    law: str | None = typer.Option(None, help="A name from `mixdesk list laws`. Default: the study's."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Default: FOLDER/laws/<name>.json."),
) -> None:
    """Fit a law on the finished trials and write it.

    Example: mixdesk law fit my-study -o law.json
    """
    study = mixdesk.open_study(folder)
    say(str(mixdesk.save_fit(study, mixdesk.fit_law(study, law), law, out)))


@app.command()
def compare(folder: Path = FOLDER, as_json: bool = JSON_OPTION) -> None:
    """The league of laws on mixtures they have not seen: error, rank, regret, coverage of 90 % intervals.

    Example: mixdesk law compare my-study
    """
    rows, skipped = mixdesk.compare_laws(mixdesk.open_study(folder))
    say_table(league_rows(rows), as_json=as_json)
    for name, reason in skipped.items():
        typer.echo(f"skipped {name}: {reason}", err=True)


@app.command()
def predict(
    law: Path = typer.Argument(..., help="A law that `mixdesk law fit` wrote."),
    mixtures: Path | None = typer.Option(None, help="CSV: run id and a column per domain."),
    weight: list[str] = typer.Option([], help="DOMAIN=WEIGHT of one mixture instead; may be repeated."),
    out: Path | None = typer.Option(None, "--out", "-o", help="CSV to write. Default: print."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Predict mixtures, with the 90 % interval of one new run of each.

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
    rows = mixdesk.predict_csv(
        law, mixtures if mixtures is not None else mixdesk.Mixture.of(given, normalise=is_rounded), out
    )
    if out is not None:
        say(f"{len(rows)} predictions in {out}")
    else:
        say_table(rows, as_json=as_json)


def league_rows(rows: tuple[LeagueRow, ...]) -> list[dict[str, object]]:
    """One line per law and metric, the objective first."""
    keys = list(dict.fromkeys((row.metric != "objective", row.metric, row.law) for row in rows))
    value = {(row.law, row.metric, row.measure): row.value for row in rows}
    return [
        {"law": law, "metric": metric, **{m: value.get((law, metric, m)) for m in SCORES}}
        for _, metric, law in sorted(keys)
    ]
