"""A story per noun, through the command line, as a user would type it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.e2e

DOMAINS = ("books", "code", "web/high", "web/low")


def mixdesk(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixdesk.cli", *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def write_tables(folder: Path, n: int = 40, noise: float = 0.01, shuffle_scores: bool = False) -> None:
    """Two CSVs of a world with a known law; rows and columns in different orders."""
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(4) * 0.8, n)
    t_md = np.array([[-2.0, 0.3, -0.5, 0.4], [0.2, -3.0, 0.1, 0.3]])
    Y_nm = 1.0 + np.exp(W_nd @ t_md.T) + noise * rng.normal(size=(n, 2))
    if shuffle_scores:
        Y_nm = Y_nm[rng.permutation(n)]
    with (folder / "runs.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["run", *DOMAINS])
        writer.writerows([[f"r{i}", *W_nd[i]] for i in range(n)])
    with (folder / "scores.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["loss/b", "run", "loss/a"])
        writer.writerows([[Y_nm[i, 1], f"r{i}", Y_nm[i, 0]] for i in rng.permutation(n)])


def test_two_csvs_to_a_recipe_and_a_desk(tmp_path: Path) -> None:
    write_tables(tmp_path)
    done = mixdesk("study", "import", "--mixtures", "runs.csv", "--scores", "scores.csv", "-o", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mixdesk("law", "fit", "mine", "-o", "law.json", cwd=tmp_path).returncode == 0
    predicted = mixdesk("law", "predict", "law.json", "--mixtures", "runs.csv", "-o", "said.csv", cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    with (tmp_path / "said.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 40
    assert all(float(row["loss/a:low"]) < float(row["loss/a"]) < float(row["loss/a:high"]) for row in rows)
    league = mixdesk("law", "compare", "mine", "--json", cwd=tmp_path)
    assert {"exponential", "trees"} <= {row["law"] for row in json.loads(league.stdout)["league"]}
    made = mixdesk("recipe", "make", "mine", "--objective", "loss/a", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = json.loads((tmp_path / "mine" / "recipe.json").read_text())
    assert recipe["verdict"]["name"] == "better"
    assert {rival["name"] for rival in recipe["rivals"]} == {"best seen", "uniform"}
    assert mixdesk("recipe", "check", "mine", cwd=tmp_path).returncode == 0
    page = mixdesk("study", "report", "mine", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "mine" / "desk.html").stat().st_size < 8_000_000


def test_the_example_swarm_gives_a_recipe(tmp_path: Path) -> None:
    swarm = Path(__file__).parents[2] / "examples" / "swarm"
    files = ("--mixtures", swarm / "mixtures.csv", "--scores", swarm / "scores.csv")
    done = mixdesk("study", "import", *files, "--objective", "bpb/set/manual", "-o", "swarm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "spread ÷ noise" in done.stdout
    made = mixdesk("recipe", "make", "swarm", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = json.loads(made.stdout)
    found = {(c["rival"], c["metric"]): c["difference"] for c in recipe["comparisons"]}
    assert found["uniform", "objective"] < -0.1
    mixture = recipe["plan"]["schedule"]["stages"][0]["mixture"]
    weights = dict(zip(mixture["domains"], mixture["weights"], strict=True))
    assert max(weights, key=weights.get) == "prose/docstrings"


def test_import_to_desk_needs_neither_torch_nor_tokenizers(tmp_path: Path) -> None:
    write_tables(tmp_path)
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'tokenizers', 'safetensors'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import mixdesk as mx\n"
        "study = mx.import_study('runs.csv', 'scores.csv', 'mine', objective={'loss/a': 1.0})\n"
        "recipe = mx.make_recipe(study)\n"
        "print(recipe.verdict.name, mx.write_desk(study, 'desk.html'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["better", "desk.html"], done.stderr
    assert (tmp_path / "desk.html").exists()


def test_scores_without_a_law_are_refused_with_exit_3(tmp_path: Path) -> None:
    write_tables(tmp_path, shuffle_scores=True)
    mixdesk("study", "import", "--mixtures", "runs.csv", "--scores", "scores.csv", "-o", "mine", cwd=tmp_path)
    made = mixdesk("recipe", "make", "mine", cwd=tmp_path)
    assert made.returncode == 3
    assert "too weak" in made.stdout
    assert mixdesk("recipe", "check", "mine", cwd=tmp_path).returncode == 3


STUDY = """
name = "synthetic"
[objective.terms]
"loss/a" = 1.0
[budget]
n_trials = 30
[trainer]
name = "synthetic"
options = { d = 4, m = 2, seed = 3 }
[[rungs]]
label = "proxy"
scale = { n_tokens = 1000000 }
[[rungs]]
label = "target"
scale = { n_tokens = 4000000 }
"""


def test_a_study_is_run_confirmed_and_shown(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY.replace("loss/a", "*"))
    assert mixdesk("study", "new", "s", cwd=tmp_path).returncode == 0
    assert mixdesk("study", "run", "s", "--trials", 11, cwd=tmp_path).returncode == 0
    again = mixdesk("study", "run", "s", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    shown = json.loads(mixdesk("study", "show", "s", "--json", cwd=tmp_path).stdout)
    assert len(shown["trials"]) == 30
    assert shown["noise"]
    assert mixdesk("recipe", "make", "s", cwd=tmp_path).returncode == 0
    confirmed = mixdesk("recipe", "confirm", "s", cwd=tmp_path)
    assert confirmed.returncode == 0, confirmed.stderr
    recipe = json.loads((folder / "recipe.json").read_text())
    assert {c["n_pairs"] for c in recipe["comparisons"] if c["basis"] == "trained"} == {5}


def test_an_outside_trainer_is_asked_and_tells(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "study.toml").write_text(
        'name = "outside"\ndomains = ["a", "b", "c"]\nmetrics = [{ name = "loss", unit = "nats" }]\n'
        "[objective.terms]\nloss = 1.0\n[budget]\nn_trials = 24\n"
    )
    assert mixdesk("study", "new", "s", cwd=tmp_path).returncode == 0
    asked = mixdesk("study", "ask", "s", "-n", 24, "-o", "asked.csv", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    with (tmp_path / "asked.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 24
    with (tmp_path / "answers.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["trial", "loss"])
        for row in rows:
            writer.writerow([row["trial"], 2 + np.exp(-2 * float(row["a"]) + 0.5 * float(row["b"]))])
    told = mixdesk("study", "tell", "s", "answers.csv", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert mixdesk("recipe", "make", "s", cwd=tmp_path).returncode in (0, 3)


TEXTS = {
    "prose/tales": "The fox ran over the hill and the {n} dogs slept by the river until night came again. ",
    "code": "def f{n}(x):\n    return x * {n} + 1\n\n",
    "tables": "{n};{n};alpha;beta;{n}\n",
}


def test_texts_to_a_trained_recipe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, line in TEXTS.items():
        folder = tmp_path / "texts" / label
        folder.mkdir(parents=True)
        for i in range(30):
            (folder / f"{i}.txt").write_text("".join(line.format(n=rng.integers(1, 999)) for _ in range(40)))
    (tmp_path / "held-out.txt").write_text("".join(TEXTS["prose/tales"].format(n=i) for i in range(60)))
    built = mixdesk(
        "corpus",
        "build",
        "texts",
        "--eval",
        "held=held-out.txt",
        "--tokenizer",
        "bytes",
        "-o",
        "s/corpus",
        cwd=tmp_path,
    )
    assert built.returncode == 0, built.stderr
    model = "{ n_layers = 1, d_model = 16, n_heads = 1, vocab_size = 257, seq_len = 32 }"
    hyper = "{ lr = 0.02, batch_tokens = 128 }"
    (tmp_path / "s" / "study.toml").write_text(
        'name = "tiny"\ncorpus = "corpus"\n[objective.terms]\n"bpb/set/held" = 1.0\n[budget]\nn_trials = 12\n'
        '[trainer]\nname = "builtin"\n'
        f'[[rungs]]\nlabel = "proxy"\nscale = {{ n_tokens = 2560 }}\nmodel = {model}\nhyper = {hyper}\n'
        f'[[rungs]]\nlabel = "target"\nscale = {{ n_tokens = 5120 }}\nmodel = {model}\nhyper = {hyper}\n'
    )
    assert mixdesk("study", "new", "s", cwd=tmp_path).returncode == 0
    run = mixdesk("study", "run", "s", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    shown = json.loads(mixdesk("study", "show", "s", "--json", cwd=tmp_path).stdout)
    assert {trial["state"] for trial in shown["trials"]} == {"done"}
    made = mixdesk("recipe", "make", "s", cwd=tmp_path)
    assert made.returncode in (0, 3), made.stderr
    confirmed = mixdesk("recipe", "confirm", "s", "--replicates", 2, cwd=tmp_path)
    assert confirmed.returncode in (0, 3), confirmed.stderr
    assert mixdesk("study", "report", "s", cwd=tmp_path).returncode == 0
