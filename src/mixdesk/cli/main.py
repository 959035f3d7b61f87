"""The group of commands, error printing, `demo` and `list`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import mixdesk
from mixdesk.cli import corpus, law, recipe, study
from mixdesk.cli.completion import KINDS
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, lines, say_table
from mixdesk.core.errors import MixdeskError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="In what proportions should a language model be made, and how do you know?\n\n"
    "Start with: mixdesk demo\n\nExit codes: 0 done, 1 user error, 2 usage, 3 refused (infeasible, or evidence too "
    "weak), 130 interrupted (the same command goes on).",
)
app.add_typer(corpus.app, name="corpus")
app.add_typer(study.app, name="study")
app.add_typer(law.app, name="law")
app.add_typer(recipe.app, name="recipe")


@app.command()
def demo(
    out: Path = typer.Option(Path("demo"), "--out", "-o", help="Folder to write."),
    quick: bool = typer.Option(False, "--quick", help="Four domains, 16 mixtures, one objective: about a minute."),
    jobs: int | None = typer.Option(None, "--jobs", help="Workers of one thread each. Default: all cores."),
    quiet: bool = QUIET_OPTION,
) -> None:
    """The whole spine on real text: proxies, law, recipe, confirmation, desk.

    Reads text of the Python standard library and installed packages in place, trains a population of small language
    models on mixtures of it, and ends with a verdict and `desk.html`. Interrupted, the same command goes on.

    Example: mixdesk demo -o demo
    """
    with lines(quiet) as progress:
        page = mixdesk.demo(out, quick=quick, jobs=jobs, progress=progress, say=typer.echo)
    typer.echo(f"\nThe desk: {page}")


@app.command("list")
def list_parts(
    kind: str | None = typer.Argument(
        None, help="A kind of part: laws, strategies, splitters, steps …; default: all.", autocompletion=KINDS
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Every part with its title and paper.

    Example: mixdesk list laws
    """
    say_table(mixdesk.parts(kind), as_json=as_json)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Options of the group itself."""
    if version:
        typer.echo(mixdesk.__version__)
        raise typer.Exit


def run() -> None:
    """Entry point: errors a person can act on are one message and an exit code, never a traceback."""
    try:
        app()
    except MixdeskError as error:
        typer.echo(f"mixdesk: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
