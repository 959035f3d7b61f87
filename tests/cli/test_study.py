"""What `mixdesk study` says where nothing is left to do, and how it names imported runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixdesk.cli.main import app

TOML = """name = "world"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 6 }
trainer = { name = "synthetic", options = { d = 3, m = 2 } }
"""


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["study", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(TOML)
    said("new", str(tmp_path))
    return tmp_path


def test_a_spent_budget_is_one_line(folder: Path) -> None:
    assert "Best trials" in said("run", str(folder), "--quiet")
    spent = "The budget is spent: 6 of 6 trials asked. Raise n_trials in study.toml to go on."
    assert said("run", str(folder), "--trials", "3").splitlines() == [spent]
    asked = said("ask", str(folder), "-o", str(folder / "asked.csv"))
    assert asked.startswith("No trial waits for an answer, and none is left to ask; ")
    assert spent in asked
    assert not (folder / "asked.csv").exists()


def test_questions_that_wait_are_said_to_be_old(folder: Path) -> None:
    out = str(folder / "asked.csv")
    assert said("ask", str(folder), "-n", "4", "-o", out).startswith(f"4 trials in {out}. Train")
    assert f"5 trials in {out} (3 asked before" in said("ask", str(folder), "-n", "5", "-o", out)


def test_imported_runs_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("run,code,prose\nmine-1,0.25,0.75\n")
    (tmp_path / "s.csv").write_text("run,loss\nmine-1,2\n")
    pair = ["--mixtures", str(tmp_path / "m.csv"), "--scores", str(tmp_path / "s.csv")]
    shown = said("import", *pair, "-o", str(tmp_path / "study"))
    assert ", 1 trial\n" in shown
    assert "mine-1" in shown.split("Best trials:")[1]
