"""Laws through the public API: fit, compare, learning curve, predict a table, and where its rows lie."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.api.laws import observations
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug
from mixdesk.laws.exponential import Exponential
from mixdesk.study.candidates import read_candidates
from mixdesk.testing.worlds import World, loglinear

DOMAINS = ("books", "code", "web")


def import_world(folder: Path, n: int = 40, scales: dict[float, int] | None = None) -> mx.Study:
    """A study of n runs of a log-linear world; with `scales`, n_params → runs of the first mixtures at that size."""
    world: World = replace(loglinear(3, 2, 0, 0.05))
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(3) * 4.0, n)
    obs = world.observations(W_nd)
    runs = [(i, None) for i in range(n)] if scales is None else [(i, p) for p, k in scales.items() for i in range(k)]
    head = ["run", *DOMAINS] + (["n_params"] if scales else [])
    with (folder / "m.csv").open("w", newline="") as handle:
        rows = [[f"r{k}", *W_nd[i], *([size] if size else [])] for k, (i, size) in enumerate(runs)]
        csv.writer(handle).writerows([head, *rows])
    with (folder / "s.csv").open("w", newline="") as handle:
        rows = [[f"r{k}", *(obs.Y_nm[i] - (0.2 if size == 6e7 else 0.0))] for k, (i, size) in enumerate(runs)]
        csv.writer(handle).writerows([["run", "loss/a", "loss/b"], *rows])
    return mx.import_study(folder / "m.csv", folder / "s.csv", folder / "study", unit="nats")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> mx.Study:
    return import_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def law(study: mx.Study) -> Path:
    return mx.save_fit(study, mx.fit_law(study, "exponential"), "exponential")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_five_lines_from_runs_to_predictions(study: mx.Study, law: Path, tmp_path: Path) -> None:
    candidates = write(tmp_path / "c.csv", "name,web,books,note,code\nà,0.3,0.3,x,0.4\nb,1,0,y,0\n")
    found = mx.predict_csv(law, candidates, tmp_path / "said.csv")
    with (tmp_path / "said.csv").open() as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == [
        "name",
        *(f"loss/{metric}{part}" for metric in "ab" for part in ("", ":std", ":low", ":high")),
        "place",
    ]
    assert [row[0] for row in rows[1:]] == ["à", "b"]
    assert [row[-1] for row in rows[1:]] == ["hull", "outside"] == list(found.places)
    mean, std, low, high = (float(cell) for cell in rows[1][1:5])
    assert low < mean < high
    assert std == pytest.approx((high - low) / 3.29, rel=1e-3)
    assert any("1 of 2 candidates lie outside the region of the runs" in note for note in found.notes)
    assert any("ignored: note" in note for note in found.notes)
    said = mx.predict(mx.load_fit(law), [{"web": 0.3, "books": 0.3, "code": 0.4}])
    assert mean == said.mean_qm[0, 0]


def test_tables_of_any_kind_say_the_same(law: Path, tmp_path: Path) -> None:
    texts = ("books,code,web\n0.5,0.25,0.25\n", "code,books,web\n25,50,25\n", "web,code,books\n2000,2000,4000\n")
    found = [mx.predict_csv(law, write(tmp_path / f"{i}.csv", text)) for i, text in enumerate(texts)]
    found.append(mx.predict_csv(law, {"books": [0.5], "code": [0.25], "web": [0.25]}))
    found.append(mx.predict_csv(law, mx.Mixture.of({"books": 0.5, "code": 0.25, "web": 0.25})))
    assert len({one.said.mean_qm[0, 0] for one in found}) == 1
    assert [one.id_column for one in found] == ["id"] * 5
    assert found[0].ids == ("1",)
    assert "read as per cent" in found[1].notes[0]
    assert "read as token counts" in found[2].notes[0]
    absent = mx.predict_csv(law, write(tmp_path / "absent.csv", "books,code\n0.5,0.5\n"))
    assert "no column for web: no weight there" in absent.notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("books,code,web\n0.5,0.2,0.1\n", "row `1`: the weights do not sum to one"),
        ("run,books,code,web\nx,0.5,nan,0.5\n", "row `x`, column `code`: no weight"),
        ("run,books,code,web\nx,0.5,inf,0.5\n", "row `x`, column `code`: not a finite number"),
        ("run,books,code,web\nx,1.5,-0.5,0\n", "row `x`, column `code`: a negative weight"),
        ("run,books,code,web\nx,0,0,0\n", "row `x`: the weights sum to zero"),
        ("run,fiction,law\nx,0.5,0.5\n", "has no column for any domain of the law"),
        ("books,code,web,maths\n2000,2000,2000,9000\n", "the law does not know the domain `maths`"),
        ("books,code,web,n_params\n0.5,0.5,0,-1\n", "row `1`, column `n_params`: no size of a run"),
        ("books,code,web,n_params\n1,0,0,1M\n1,0,0,\n", "row `2`, column `n_params`: no size of a run: found an empty"),
        (
            "run,books,code\nx,0.5,0.2\n",
            "row `x`: the weights do not sum to one; there is no column for web: found sum",
        ),
        ("run,books,code,web,law\nx,.5,.2,.1,.2\n", "do not sum to one; the law does not know law: found sum 0.8"),
        ("run,books,code,Web\nx,.5,.2,.3\n", "no column for web; the law does not know Web"),
    ],
)
def test_what_cannot_be_predicted_is_named(law: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        mx.predict_csv(law, write(tmp_path / "c.csv", text))
    assert said in str(error.value)


def test_a_mixture_over_other_domains_is_named(law: Path) -> None:
    with pytest.raises(InputError, match="weight to an unknown domain `law`"):
        mx.predict_csv(law, mx.Mixture.of({"books": 0.5, "law": 0.5}))
    assert len(mx.predict_csv(law, mx.Mixture.of({"books": 1.0}))) == 1


def test_sizes_of_candidates_are_read_as_those_of_runs(law: Path, tmp_path: Path) -> None:
    text = "books,code,web,n_params,n_tokens\n1,0,0,60M,1e9\n"
    found = read_candidates(write(tmp_path / "c.csv", text), DOMAINS)
    assert {name: column.tolist() for name, column in found.covariates.items()} == {
        "n_params": [6e7],
        "n_tokens": [1e9],
    }


def test_a_law_file_without_runs_still_predicts(law: Path, tmp_path: Path) -> None:
    data = json.loads(law.read_text())
    assert data["runs"]["domains"] == list(DOMAINS)
    assert len(data["runs"]["weights"]) == 40
    runs = data.pop("runs")
    strange = {**runs, "domains": ["poems", *runs["domains"][1:]]}
    holes = {**runs, "weights": [[None] * 3]}
    old = write(tmp_path / "old.json", json.dumps(data))
    found = mx.predict_csv(old, {"books": [1.0], "code": [0.0], "web": [0.0]})
    assert found.places == (None,)
    for damaged in ({"domains": ["books"]}, strange, holes):
        with pytest.raises(InputError, match="the runs behind the law cannot be read"):
            mx.predict_csv(write(tmp_path / "bad.json", json.dumps({**data, "runs": damaged})), {"books": [1.0]})


def test_evidence_is_one_fit_with_its_scores(study: mx.Study) -> None:
    found = mx.gather_evidence(study, law="exponential")
    assert {row.metric for row in found.scores} == {"loss/a", "loss/b", "objective", "mean of metrics"}
    assert found.fit.to_dict() == mx.fit_law(study, "exponential").to_dict()


def test_evidence_is_kept_until_runs_objective_or_law_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixdesk.api.laws.WORTH_KEEPING", 0.0)
    study = import_world(tmp_path)
    first = mx.gather_evidence(study, law="exponential")
    (kept,) = (study.folder / "evidence").iterdir()
    data = json.loads(kept.read_text())
    kept.write_text(json.dumps({**data, "seconds": 7.0}))
    again = mx.gather_evidence(study, law="exponential")
    assert again.seconds == 7.0
    assert again.fit.to_dict() == first.fit.to_dict()
    assert (again.rows, again.scores) == (first.rows, first.scores)
    other = mx.gather_evidence(study, law="exponential", objective=Objective(terms=(("loss/a", 1.0),)))
    plug = Plug(name="exponential", options=(("n_draws", 20),))
    assert 7.0 not in (other.seconds, mx.gather_evidence(study, law=plug).seconds)
    assert len(list(kept.parent.iterdir())) == 3


def test_laws_over_scales_are_left_out_of_the_league_of_one_scale(tmp_path: Path) -> None:
    rows, skipped = mx.compare_laws(import_world(tmp_path, n=12))
    assert {"transfer", "scale", "gated", "fidelity_gp"} <= set(skipped)
    assert all("one scale" in skipped[name] for name in ("transfer", "scale", "gated"))
    assert {"average", "exponential", "linear"} <= {row.law for row in rows}


def test_the_league_its_winner_and_the_curve(study: mx.Study) -> None:
    seen: list[tuple[str, int, int]] = []
    rows, skipped = mx.compare_laws(study, ["exponential", "trees"], progress=lambda *what: seen.append(what))
    assert not skipped
    assert mx.rank_laws(rows) == (("exponential", "trees"),)
    assert seen[-1] == ("laws", 2, 2)
    curve = mx.learning_curve(study, "exponential", n_more=10)
    now = next(row.value for row in rows if (row.law, row.metric, row.measure) == ("exponential", "objective", "rmse"))
    assert curve.now == pytest.approx(now)
    assert "10 more trials" in curve.sentence
    with pytest.raises(InputError, match="unknown metric `loss/c`"):
        mx.compare_laws(study, ["trees"], objective=Objective(terms=(("loss/c", 1.0),)))


def test_of_several_scales_a_plain_law_takes_the_one_with_most_runs(tmp_path: Path) -> None:
    study = import_world(tmp_path, scales={1e6: 8, 6e7: 30})
    obs = observations(study.view(), Exponential())
    assert len(obs.trials) == 30
    path = mx.save_fit(study, mx.fit_law(study, "exponential"), "exponential")
    found = mx.predict_csv(path, {"books": [0.4, 0.4], "code": [0.3, 0.3], "web": [0.3, 0.3], "n_params": [6e7, 1e9]})
    assert any("No run has n_params 1e+09" in note for note in found.notes)
    if "transfer" in registry.names("laws"):
        both = observations(study.view(), registry.make("laws", Plug(name="transfer")))
        assert len(both.trials) == 38


def test_a_part_without_its_extra_is_listed_with_the_way_to_it() -> None:
    code = (
        "import sys; sys.modules['botorch'] = None\n"
        "import mixdesk\n"
        "print({part['name']: part['title'] for part in mixdesk.parts('strategies')}['bayes'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout
    assert "mixdesk[bayes]" in done.stdout
