"""`mixdesk recipe`: the answer and its uses."""

from __future__ import annotations

from pathlib import Path

import typer

import mixdesk
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, lines, read_pair, say, say_json, say_table
from mixdesk.core.files import to_data
from mixdesk.core.recipe import Recipe

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Recipes: what to train on, and how one knows.")
FOLDER = typer.Argument(..., help="Folder of the study.")
RECIPE = typer.Argument(..., help="A recipe.json, or the study folder that holds it.")


@app.command()
def make(
    folder: Path = FOLDER,
    law: str | None = typer.Option(None, help="Default: the study's."),
    strategy: str | None = typer.Option(None, help="Default: the study's."),
    objective: list[str] = typer.Option([], help="METRIC or METRIC=WEIGHT; may be repeated. Default: the study's."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Default: FOLDER/recipe.json."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Fit, search, compare with every rival, judge. Exit code 3: the evidence is too weak.

    Example: mixdesk recipe make my-study
    """
    terms = tuple(read_pair(text, "weight", 1.0) for text in objective)
    wanted = mixdesk.Objective(terms=terms) if terms else None
    study = mixdesk.open_study(folder)
    recipe = mixdesk.make_recipe(study, law=law, strategy=strategy, objective=wanted, out=out)
    print_recipe(recipe, as_json=as_json)
    raise typer.Exit(recipe.verdict.exit_code)


@app.command()
def show(path: Path = RECIPE, as_json: bool = JSON_OPTION) -> None:
    """Weights, epochs, rivals, verdict, warnings.

    Example: mixdesk recipe show my-study
    """
    print_recipe(mixdesk.read_recipe(path), as_json=as_json)


@app.command()
def check(path: Path = RECIPE) -> None:
    """Judge by exit code: 0 where there is an answer, 3 where the evidence is too weak.

    Example: mixdesk recipe check my-study && ./train.sh
    """
    verdict = mixdesk.read_recipe(path).verdict
    say(verdict.headline)
    raise typer.Exit(verdict.exit_code)


@app.command()
def confirm(
    folder: Path = FOLDER,
    recipe: Path | None = typer.Option(None, help="Default: FOLDER/recipe.json."),
    replicates: int = typer.Option(5, help="Fresh runs of the recipe and of each rival; 3 are indicative."),
    jobs: int | None = typer.Option(None, help="Workers of one thread each. Default: all cores."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """Train the recipe and its rivals at the target rung and compare in pairs.

    Example: mixdesk recipe confirm my-study --replicates 5
    """
    study = mixdesk.open_study(folder)
    path = recipe or folder
    with lines(quiet) as progress:
        judged = mixdesk.confirm_recipe(
            study, mixdesk.read_recipe(path), replicates=replicates, jobs=jobs, progress=progress, out=recipe
        )
    print_recipe(judged, as_json=as_json)
    raise typer.Exit(judged.verdict.exit_code)


def print_recipe(recipe: Recipe, *, as_json: bool = False) -> None:
    """The verdict first, then the recipe beside its rivals, then what limits it."""
    if as_json:
        say_json(to_data(recipe))
        return
    verdict = recipe.verdict
    say(f"{verdict.headline}\n{verdict.reason}\n{verdict.remedy}\n")
    epochs = dict(recipe.epochs)
    rivals = {rival.name: rival.mixture.as_dict() for rival in recipe.rivals}
    is_refused = verdict.name == "too weak"
    rows = [
        {
            "domain": name,
            ("candidate" if is_refused else "recipe"): weight,
            **({"epochs": epochs.get(name)} if epochs else {}),
            **{rival: weights.get(name, 0.0) for rival, weights in rivals.items()},
        }
        for name, weight in sorted(recipe.mixture.as_dict().items(), key=lambda item: -item[1])
    ]
    say_table(rows, title=f"Objective: {recipe.objective.title}. Weights are fractions of training tokens.")
    counted = [recipe.against(rival.name) for rival in recipe.rivals]
    say_table(
        [
            {
                "against": c.rival,
                "difference": c.difference,
                "low": c.low,
                "high": c.high,
                "basis": f"{c.basis} at {c.rung}",
                "pairs": c.n_pairs if c.basis == "trained" else None,
                "verdict": c.verdict,
            }
            for c in counted
            if c is not None
        ],
        title="\nDifferences in the objective (negative: the recipe is better), 95 % intervals:",
    )
    for name, lines_ in (("Held by", recipe.binding), ("Mind", recipe.warnings)):
        for line in lines_:
            say(f"{name}: {line}")
