"""What `mixdesk study` says where nothing is left to do, and how it names imported runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mixdesk
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


@pytest.mark.slow
def test_a_program_beside_the_study_runs_on_a_cluster_made_here(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "train.py").write_text(
        "import json, sys\n"
        "mixture = json.load(open(sys.argv[1]))['mixture']\n"
        "json.dump({'metrics': {'loss': 2.0 - mixture['a'] ** 2}}, open(sys.argv[2], 'w'))\n"
    )
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.toml").write_text(
        'name = "mine"\ndomains = ["a", "b"]\nmetrics = [{ name = "loss" }]\nobjective = { terms = { loss = 1.0 } }\n'
        "budget = { n_trials = 4 }\n"
        f'trainer = {{ name = "command", options = {{ command = "{sys.executable} train.py" }} }}\n'
    )
    command = [sys.executable, "-m", "mixdesk.cli", "study"]
    for verb in (["new", "s"], ["run", "s", "--runner", "ray", "--jobs", "2"]):
        done = subprocess.run([*command, *verb], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    view = mixdesk.open_study(tmp_path / "s").view()
    assert [trial.state for trial in view.trials] == ["done"] * 4
    assert all(trial.final["loss"] == 2.0 - trial.spec.mixture.as_dict()["a"] ** 2 for trial in view.trials)


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


def test_an_import_says_what_it_did_and_takes_patterns_sizes_and_the_natural_mixture(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        "name,state,user,mix/code,mix/prose,size,eval/loss,eval/acc,lr\n"
        "a,finished,me,50,50,1M,3,.1,1\nb,finished,me,25,75,60M,2,.2,1\nc,running,me,0,100,1M,9,.0,1\n"
    )
    runs = str(tmp_path / "runs.csv")
    shown = said(
        *("import", "--mixtures", runs, "--scores", runs, "-o", str(tmp_path / "study"), "--domains", "mix/*"),
        *("--metrics", "eval/loss, eval/acc", "--higher", "*acc", "--n-params", "size", "--n-tokens", "1B"),
        *("--natural", "mix/code=1", "--natural", "mix/prose=3"),
    )
    assert "note: Recognised by the columns: a W&B export of runs." in shown
    assert "left out 1 run that did not finish (by state): c" in shown
    assert "read as per cent" in shown
    assert "sizes: 1 at 1M, 1 at 60M" in shown
    view = mixdesk.open_study(tmp_path / "study").view()
    assert [metric.better for metric in view.metrics] == ["higher", "lower"]
    assert view.natural == mixdesk.Mixture.of({"mix/code": 0.25, "mix/prose": 0.75})
    assert [rung.scale.n_tokens for rung in view.rungs] == [10**9, 10**9]


def test_a_bad_table_is_one_line_without_a_traceback_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("run,code,prose\na,0.25,0.75\nb,0,0\n")
    (tmp_path / "s.csv").write_text("run,loss\na,1\nb,2\n")
    pair = ["--mixtures", str(tmp_path / "m.csv"), "--scores", str(tmp_path / "s.csv")]
    done = CliRunner().invoke(app, ["study", "import", *pair, "-o", str(tmp_path / "study")])
    assert done.exit_code != 0
    assert "m.csv`, row `b`: the weights sum to zero" in str(done.exception)
    assert not (tmp_path / "study").exists()
