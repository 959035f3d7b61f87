"""What `mixdesk study` says where nothing is left to do, and how it names imported runs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mixdesk
from mixdesk.cli.main import app
from mixdesk.testing.worlds import World, loglinear, pure_noise, swarm

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


def test_a_study_without_a_trainer_is_asked_next(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        for i in range(20):
            (tmp_path / "texts" / name / f"{i}.txt").write_text(f"text {i} of {name}, {i * i} " * 40)
    mixdesk.build_corpus([tmp_path / "texts"], tmp_path / "corpus", tokenizer="bytes")
    asked = 'name = "asked"\ncorpus = "corpus"\nobjective = { terms = { "bpb/domain/*" = 1.0 } }\n'
    (tmp_path / "study.toml").write_text(asked)
    assert said("new", str(tmp_path)).endswith(f"Next: mixdesk study ask {tmp_path}\n")


def test_a_trial_that_failed_says_why(tmp_path: Path) -> None:
    failing = f"""command = ["{sys.executable}", "-c", "raise SystemExit('no such data')"]"""
    config = (
        TOML.splitlines()[0]
        + f"""
metrics = [{{ name = "loss" }}]
domains = ["a", "b"]
objective = {{ terms = {{ loss = 1.0 }} }}
budget = {{ n_trials = 1 }}
trainer = {{ name = "command", options = {{ {failing} }} }}
"""
    )
    (tmp_path / "study.toml").write_text(config)
    said("new", str(tmp_path))
    shown = said("run", str(tmp_path), "--quiet")
    assert "1 trial failed, the last, " in shown
    assert "no such data" in shown


def test_a_spent_budget_is_one_line(folder: Path) -> None:
    assert "Best trials" in said("run", str(folder), "--quiet")
    spent = "The budget is spent: 6 of 6 trials asked. Raise n_trials in study.toml to go on."
    assert said("run", str(folder), "--trials", "3").splitlines() == [spent]
    asked = said("ask", str(folder), "-o", str(folder / "asked.csv"))
    assert asked.startswith("No trial waits for an answer, and none is left to ask; ")
    assert spent in asked
    assert not (folder / "asked.csv").exists()


def test_the_live_desk_says_its_address_and_a_port_alone_is_an_error(folder: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra `live` is not installed")
    assert said("run", str(folder), "--live", "--quiet").startswith("The desk, live: http://127.0.0.1:")
    done = CliRunner().invoke(app, ["study", "run", str(folder), "--port", "8000"])
    assert "add `--live`" in str(done.exception)


def test_repeats_are_asked_where_noise_leaves_the_answer_open(tmp_path: Path) -> None:
    noisy = TOML.replace("n_trials = 6", "n_trials = 60").replace("m = 2", "m = 1, noise = 2.0")
    noisy += 'law = { name = "exponential" }\n'
    (tmp_path / "study.toml").write_text(noisy)
    said("new", str(tmp_path))
    said("run", str(tmp_path), "--trials", "40", "--quiet")
    before = {trial.spec.mixture for trial in mixdesk.open_study(tmp_path).view().trials}
    asked = json.loads(said("ask", str(tmp_path), "-n", "6", "--repeats", "--json"))
    assert 0 < len(asked) <= 6
    assert all("noise leaves recipe against" in one["why"] for one in asked)
    new = {tuple(one["mixture"].items()) for one in asked} - {tuple(m.as_dict().items()) for m in before}
    assert len(new) <= 1
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "study.toml").write_text(noisy.replace("2.0", "0.000001"))
    said("new", str(calm))
    said("run", str(calm), "--trials", "24", "--quiet")
    assert "no repeat would settle more" in said("ask", str(calm), "--repeats")


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


def test_a_question_says_why_and_who_holds_it(folder: Path) -> None:
    out = folder / "asked.csv"
    shown = said("ask", str(folder), "-n", "3", "-o", str(out), "--lease", "2", "--holder", "cluster-1")
    assert "natural mixture" in shown
    with out.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["why"] for row in rows][:2] == ["natural mixture", "uniform mixture"]
    leases = said("show", str(folder)).split("Leases:")[1]
    assert leases.count("cluster-1") == leases.count("running") == 3
    more = json.loads(said("ask", str(folder), "-n", "9", "--json"))
    assert len(more) == 3
    assert not {one["trial"] for one in more} & {row["trial"] for row in rows}
    assert all(one["why"] and sum(one["mixture"].values()) == pytest.approx(1.0) for one in more)
    assert len(json.loads(said("show", str(folder), "--json"))["leases"]) == 3
    said("ask", str(folder), "-n", "9", "--lease", "1")
    held = said("ask", str(folder), "-o", str(folder / "none.csv"))
    assert held.startswith("All of 6 trials that wait for an answer are held by others; ")
    assert json.loads(said("ask", str(folder), "--json")) == []
    for bad in ("0", "-1", "nan"):
        done = CliRunner().invoke(app, ["study", "ask", str(folder), "--lease", bad])
        assert "`lease` is out of range" in str(done.exception)


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


def numbered(path: Path, world: World, n: int) -> Path:
    """A study of a world's runs, imported."""
    obs = world.observations(swarm(world, n))
    lines = {"m": [",".join(["run", *world.domains])], "s": [",".join(["run", *(one.name for one in world.metrics)])]}
    for i, (w_d, y_m) in enumerate(zip(obs.W_nd.tolist(), obs.Y_nm.tolist(), strict=True)):
        for key, cells in (("m", w_d), ("s", y_m)):
            lines[key].append(",".join([f"r{i}", *map(str, cells)]))
    for key, table in lines.items():
        (path / f"{key}.csv").write_text("\n".join(table) + "\n")
    study = mixdesk.import_study(path / "m.csv", path / "s.csv", path / "study")
    return study.folder


@pytest.mark.slow
def test_next_says_what_more_trials_would_buy(tmp_path: Path) -> None:
    folder = numbered(tmp_path, loglinear(3, 2, seed=1, noise=0.3), 14)
    shown = said("show", str(folder), "--next", "32", "--matters", "0.5")
    assert "Another 32 trials would buy about" in shown
    assert "the smallest gain that matters 0.5: not worth it. This is a projection" in shown
    assert "next" not in json.loads(said("show", str(folder), "--json"))


def test_any_law_says_what_trials_are_worth(tmp_path: Path) -> None:
    study = mixdesk.open_study(numbered(tmp_path, loglinear(3, 2, seed=1, noise=0.1), 14))
    keen = mixdesk.worth_more(study, trials=32, matters=0.0, law="exponential")
    assert keen.verdict == "go on"
    assert 0.0 < keen.bought < keen.left
    assert keen.error is not None


@pytest.mark.parametrize(
    ("world", "n", "verdict"),
    [(pure_noise(3, 1, seed=1), 20, "cannot tell"), (loglinear(3, 1, seed=1), 4, "go on")],
    ids=["noise", "early"],
)
def test_next_without_a_law_says_what_would_settle_it(tmp_path: Path, world: World, n: int, verdict: str) -> None:
    told = json.loads(said("show", str(numbered(tmp_path, world, n)), "--next", "32", "--json"))["next"]
    assert told["verdict"] == verdict
    assert told["left"] is None
    assert "mixtures" in told["weak"]
    assert told["weak"] in told["sentence"]


def test_a_budget_in_flops_needs_a_price_and_buys_a_trial(tmp_path: Path) -> None:
    study = mixdesk.open_study(numbered(tmp_path, loglinear(3, 1, seed=1), 5))
    with pytest.raises(mixdesk.InputError, match="no trial has a price in FLOPs"):
        mixdesk.worth_more(study, flops=1e18)
    with pytest.raises(mixdesk.InputError, match="not said once"):
        mixdesk.worth_more(study)
    with pytest.raises(mixdesk.InputError, match="trials"):
        mixdesk.worth_more(study, trials=0)


def test_flops_buy_trials_at_the_price_of_a_rung(tmp_path: Path) -> None:
    rungs = '[[rungs]]\nlabel = "proxy"\nflops = 1e12\nscale = { n_tokens = 1000000 }\n'
    (tmp_path / "study.toml").write_text(TOML + rungs)
    said("new", str(tmp_path))
    said("run", str(tmp_path), "--quiet")
    found = mixdesk.worth_more(mixdesk.open_study(tmp_path), flops=5.5e12)
    assert (found.n_more, found.flops) == (5, 5e12)
    assert "(5e+12 FLOPs)" in found.sentence
    with pytest.raises(mixdesk.InputError, match="the budget buys no trial"):
        mixdesk.worth_more(mixdesk.open_study(tmp_path), flops=1e11)


def test_extend_says_what_became_of_every_domain(tmp_path: Path) -> None:
    def built(folder: str, **domains: str) -> str:
        texts = (
            mixdesk.Document(text=f"{word} " * 200, label=name.replace("__", "/"), source=word)
            for name, words in domains.items()
            for word in words.split()
        )
        mixdesk.build_corpus(texts, tmp_path / folder, tokenizer="bytes")
        return str(tmp_path / folder)

    web = "word wall wind wave well wood wing wren"
    one = built("one", code="cat cow cod cub", law="lid log lip lot", web=web)
    old = tmp_path / "old"
    old.mkdir()
    (old / "study.toml").write_text(
        'name = "old"\ncorpus = "../one"\nmetrics = [{ name = "loss" }]\nobjective = { terms = { loss = 1.0 } }\n'
    )
    said("new", str(old))
    said("ask", str(old), "-n", "6", "-o", str(tmp_path / "asked.csv"))
    rows = (tmp_path / "asked.csv").read_text().splitlines()
    (tmp_path / "told.csv").write_text(
        "trial,loss\n" + "".join(f"{r.split(',')[0]},{i}\n" for i, r in enumerate(rows[1:]))
    )
    said("tell", str(old), str(tmp_path / "told.csv"))
    half = len(web.split()) // 2
    two = built(
        "two",
        py="cat cow cod cub",
        web__a=" ".join(web.split()[:half]),
        web__b=" ".join(web.split()[half:]),
        new="nut net nib nap",
    )
    pairs = ["--map", "web=web/a:0.5, web=web/b:0.5"]
    shown = said("extend", str(old), "-o", str(tmp_path / "new"), "--corpus", two, *pairs)
    for line in (
        "Domains: 1 renamed: `code` → `py`.",
        "Domains: 1 split: `web` → `web/a` 50 % and `web/b` 50 %.",
        "Domains: 1 removed: `law`.",
        "Domains: 1 added: `new`.",
        "vary `new`, `py`, `web/a`, `web/b`.",
        str(tmp_path / "new" / "study.toml"),
    ):
        assert line in shown
    assert "notes" in json.loads(said("show", str(tmp_path / "new"), "--json"))
    for bad, words in (("web", "maps nothing"), ("web=web/c", "did you mean"), ("wep=web/a", "did you mean")):
        done = CliRunner().invoke(
            app, ["study", "extend", str(old), "-o", str(tmp_path / "bad"), "--corpus", two, "--map", bad]
        )
        assert done.exit_code != 0
        assert words in str(done.exception)
    again = CliRunner().invoke(app, ["study", "extend", str(old), "-o", str(tmp_path / "bad"), "--corpus", one])
    assert "nothing changed" in str(again.exception)
    assert not (tmp_path / "bad").exists()
