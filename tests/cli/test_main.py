"""The whole command-line surface is a golden file: adding a flag fails here on purpose."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from mixdesk.cli.main import app

GOLDEN = Path(__file__).parents[1] / "golden" / "cli.txt"


def surface(command: click.Command, path: str = "mixdesk") -> list[str]:
    lines = [path]
    for parameter in sorted(command.params, key=lambda p: p.name or ""):
        lines.append(f"{path}  {'/'.join(parameter.opts)}")
    for name, child in sorted(getattr(command, "commands", {}).items()):
        lines += surface(child, f"{path} {name}")
    return lines


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(command, "commands", {})
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))] if children else [path]


def test_surface_is_golden() -> None:
    assert "\n".join(surface(typer.main.get_command(app))) + "\n" == GOLDEN.read_text()


@pytest.mark.parametrize("path", leaves(typer.main.get_command(app)), ids=" ".join)
def test_every_verb_has_help_with_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Example: mixdesk " + " ".join(path) in shown.output.replace("\n", " ").replace("  ", " ")


def test_wherever_a_table_is_printed_there_is_json() -> None:
    """The verbs without `--json` print sentences alone."""
    lines = surface(typer.main.get_command(app))
    without = [path for path in leaves(typer.main.get_command(app)) if f"mixdesk {' '.join(path)}  --json" not in lines]
    assert {" ".join(path) for path in without} == {
        "demo", "law fit", "study export", "study extend", "study new", "study report", "study schema", "study tell",
    }  # fmt: skip


def test_errors_are_one_message_and_exit_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixdesk.cli", "study", "show", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mixdesk: ")


def test_a_missing_part_names_the_nearest(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "mixdesk.cli", "list", "law"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "did you mean `laws`?" in done.stderr


def test_papers_are_a_table_facts_or_json() -> None:
    table = CliRunner().invoke(app, ["papers"]).output
    assert re.search(r"^  RegMix +.*trees.*2407\.01492 +built +\S+ rank correlation$", table, re.MULTILINE)
    facts = CliRunner().invoke(app, ["papers", "parego"]).output
    assert "tests/search/test_parego.py" in facts
    assert "strategies  parego: " in facts
    found = json.loads(CliRunner().invoke(app, ["papers", "average", "--json"]).output)
    figures = [figure for entry in found for method in entry["methods"] for figure in method["measured"]]
    assert all(figure["source"].startswith("benchmarks/results/") for figure in figures)
    assert figures
