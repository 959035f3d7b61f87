"""The group of commands, error printing, `demo`, `list` and `papers`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import mixdesk
from mixdesk.cli import corpus, law, recipe, study
from mixdesk.cli.completion import KINDS
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, lines, say, say_json, say_table
from mixdesk.core.errors import MixdeskError
from mixdesk.core.files import to_data
from mixdesk.core.paper import CatalogueEntry

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="In what proportions should a language model be made, and how do you know?\n\n"
    "Start with: mixdesk demo\n\nExit codes: 0 done, 1 user error, 2 usage, 3 refused (infeasible, evidence too "
    "weak, or no recipe to train on), 130 interrupted (the same command goes on).",
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


@app.command()
def papers(
    search: list[str] = typer.Argument(None, help="Words of names, titles, authors or modules; default: everything."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The offline catalogue: method, paper, module, test, and how it fared in the league.

    Example: mixdesk papers regmix
    """
    found = mixdesk.find_papers(" ".join(search or ()))
    if as_json:
        say_json([to_data(entry) for entry in found])
    elif search:
        for entry in found:
            print_entry(entry)
    else:
        say_table([_line_of(entry) for entry in found])


def print_entry(entry: CatalogueEntry) -> None:
    """One entry of the catalogue, a line per fact."""
    paper, methods = entry.paper, entry.methods
    if paper is None:
        say(f"{methods[0].title}: no paper")
        facts = [("module", methods[0].module)]
    else:
        authors = f", {paper.authors}" if paper.authors else ""
        say(f"{paper.name} ({paper.key}): {paper.title}{authors}")
        mark = " (from memory)" if paper.id_status == "memory" else ""
        facts = [
            ("arXiv", paper.arxiv + mark if paper.arxiv else ""),
            ("link", paper.link),
            ("claims", paper.figures),
            ("module", ", ".join(paper.modules)),
            ("test", ", ".join(paper.tests)),
            ("differs", paper.deviation),
            ("not built", paper.note),
        ]
    facts += [(method.kind, f"{method.name}: {method.title}") for method in methods]
    facts += [
        ("league", f"{m.name}: {f.value:g} {f.quantity}, {f.on} ({f.source})") for m in methods for f in m.measured
    ]
    for name, text in facts:
        if text:
            say(f"  {name:<10}  {text}")
    say()


def _line_of(entry: CatalogueEntry) -> dict[str, str | None]:
    """An entry as a row of the table."""
    paper, methods = entry.paper, entry.methods
    first = next((figure for method in methods for figure in method.measured), None)
    return {
        "name": entry.name,
        "parts": ", ".join(method.name for method in methods) or None,
        "arXiv": (paper.arxiv or None) if paper is not None else None,
        "status": paper.status if paper is not None else "built",
        "league": f"{first.value:g} {first.quantity}" if first is not None else None,
    }


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
