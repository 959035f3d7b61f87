"""What `mixdesk law` prints: the league with its winner and the curve, predictions with what lies outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mixdesk as mx
from mixdesk.cli.law import league_rows, winners
from mixdesk.cli.main import app
from mixdesk.core.objective import LeagueRow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("law")
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(3) * 3.0, 36)
    loss_n = 1.0 + np.exp(W_nd @ [-2.0, 0.3, 0.1]) + 0.01 * rng.normal(size=36)
    other_n = 2.0 - W_nd[:, 1] + 0.01 * rng.normal(size=36)
    runs = {"run": [f"r{i}" for i in range(36)], **{name: W_nd[:, j].tolist() for j, name in enumerate("abc")}}
    lines = [",".join(runs)] + [",".join(map(str, row)) for row in zip(*runs.values(), strict=True)]
    (path / "m.csv").write_text("\n".join(lines) + "\n")
    rows = [f"r{i},{loss_n[i]},{other_n[i]}" for i in range(36)]
    (path / "s.csv").write_text("\n".join(["run,loss,other", *rows]) + "\n")
    mx.import_study(path / "m.csv", path / "s.csv", path / "study")
    return path


def run(*words: object) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["law", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_compare_is_short_and_names_the_winner(folder: Path) -> None:
    out, _ = run("compare", folder / "study", "--laws", "exponential, trees", "--quiet")
    league, mean, each, said = (part.splitlines() for part in out.split("\n\n"))
    assert league[0] == "By mean of loss, other:"
    assert " ".join(league[1].split()) == "law error spearman kendall regret@1 regret@5 coverage width seconds"
    assert [line.split()[0] for line in league[2:]] == ["exponential", "trees"]
    assert mean[0] == "Mean over the metrics:"
    assert [line.split()[0] for line in mean[2:]] == ["exponential", "trees"]
    assert each[0] == "exponential, metric by metric:"
    assert [line.split()[0] for line in each[2:]] == ["loss", "other"]
    assert said[0] == "Use exponential on 36 mixtures; its error is smaller than that of every other law."
    assert "40 more trials" in said[1]
    assert len(said) == 2


def test_compare_by_one_metric(folder: Path) -> None:
    out, _ = run("compare", folder / "study", "--laws", "exponential", "--metric", "loss", "--no-curve", "-q")
    assert out.splitlines()[0] == "By loss:"
    assert "more trials" not in out
    data = json.loads(run("compare", folder / "study", "--laws", "exponential", "--json", "-q")[0])
    assert set(data) == {"league", "skipped", "winners", "curve"}
    assert data["curve"]["n"] == 36
    assert {row["metric"] for row in data["league"]} == {"objective", "mean of metrics", "loss", "other"}


def test_the_league_of_long_names_is_100_columns_wide(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(3), 20)
    names = [f"metric/the_pile_pubmed_abstracts_{j}_val_loss" for j in range(4)]
    ids = [f"r{i}" for i in range(20)]
    scores = {name: 12345.0 - 100.0 * (W_nd @ rng.normal(size=3)) for name in names}
    mx.import_study({"run": ids, **dict(zip("abc", W_nd.T, strict=True))}, {"run": ids, **scores}, tmp_path / "study")
    out, _ = run("compare", tmp_path / "study", "--laws", "linear,exponential", "--no-curve", "-q")
    assert max(map(len, out.splitlines())) <= 100


def test_where_no_law_can_be_judged_a_sentence_says_so_with_exit_code_3(tmp_path: Path) -> None:
    runs, scores = {"run": ["a", "b"], "web": [0.5, 1], "code": [0.5, 0]}, {"run": ["a", "b"], "loss": [1, 2]}
    mx.import_study(runs, scores, tmp_path / "study")
    for words in ([], ["--json"]):
        done = CliRunner().invoke(app, ["law", "compare", str(tmp_path / "study"), "-q", *words])
        assert done.exit_code == 3
        assert "too few mixtures" in (done.stdout if words else done.stderr)
    done = CliRunner().invoke(app, ["law", "compare", str(tmp_path / "study"), "-q"])
    assert done.stdout == "No law could be judged on these runs.\n"


def test_progress_and_skipped_laws_go_to_standard_error(folder: Path, tmp_path: Path) -> None:
    few = [(folder / name).read_text().splitlines()[:9] for name in ("m.csv", "s.csv")]
    for name, text in zip(("m.csv", "s.csv"), few, strict=True):
        (tmp_path / name).write_text("\n".join(text) + "\n")
    mx.import_study(tmp_path / "m.csv", tmp_path / "s.csv", tmp_path / "study")
    out, err = run("compare", tmp_path / "study", "--laws", "trees", "--laws", "exponential")
    assert "skipped trees: too few mixtures to test a law" in err
    assert "laws: 2 of 2" in err
    assert "cannot be told" in out


def test_predict_writes_and_warns(folder: Path, tmp_path: Path) -> None:
    run("fit", folder / "study", "--law", "exponential", "-o", tmp_path / "law.json")
    (tmp_path / "c.csv").write_text("run,a,b,c\nx,1,0,0\ny,0.3,0.3,0.4\n")
    out, err = run("predict", tmp_path / "law.json", "--mixtures", tmp_path / "c.csv", "-o", tmp_path / "said.csv")
    assert out == f"2 predictions in {tmp_path / 'said.csv'}\n"
    assert err.startswith("1 of 2 candidates lie outside the region of the runs: ")
    head = (tmp_path / "said.csv").read_text().splitlines()[0]
    assert head == "run,loss,loss:std,loss:low,loss:high,other,other:std,other:low,other:high,place"
    shown = json.loads(run("predict", tmp_path / "law.json", "--weight", "a=0.5", "--weight", "b=0.5", "--json")[0])
    assert shown[0]["loss:low"] < shown[0]["loss"] < shown[0]["loss:high"]


def league(**errors: tuple[float, float, float]) -> list[LeagueRow]:
    """Law → (rmse, behind:low, spearman:low) on 30 mixtures."""
    best = min(error for error, _, _ in errors.values())
    out = []
    for law, (error, low, rank) in errors.items():
        values = {"rmse": error, "behind": error - best, "behind:low": low, "spearman": 0.5, "spearman:low": rank}
        out += [LeagueRow(law=law, metric="objective", measure=m, value=v, n=30) for m, v in values.items()]
    return out


def test_ties_and_noise_are_called_so() -> None:
    assert winners(league(a=(1.0, 0.0, 0.5), b=(1.1, -0.1, 0.5), c=(2.0, 0.5, 0.5))) == [
        "Use a on 30 mixtures; within the noise of it: b, the others are worse."
    ]
    assert winners(league(a=(1.0, 0.0, -0.2))) == [
        "No law is shown to order the mixtures on 30 mixtures; a comes nearest."
    ]
    assert [row["law"] for row in league_rows(league(b=(2.0, 0.5, 0.5), a=(1.0, 0.0, 0.5)))] == ["a", "b"]
    assert winners([]) == []
