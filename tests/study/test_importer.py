"""Past runs from two CSVs: joined by id, mended where rounding explains it, refused with a place where nothing does."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_runs import METRICS, Calculator, Climb, small_config

from mixdesk.core.errors import InputError, NotEnoughEvidence, RecordError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.study.importer import export_csv, import_study, read_mixtures
from mixdesk.study.local import run
from mixdesk.study.study import Study

TABLES = Path(os.environ.get("MIXDESK_TABLES", Path(__file__).parents[3] / "shared" / "data")) / "regmix"
MIXTURES = "run,code,prose\na,0.25,0.75\nb,1,0\nc,0.5,0.5\n"
SCORES = "run,loss,acc\na,1.5,0.1\nb,2.5,0.2\nc,3.5,0.3\n"


def write(folder: Path, mixtures: str | bytes, scores: str | bytes) -> tuple[Path, Path]:
    for name, content in (("mixtures.csv", mixtures), ("scores.csv", scores)):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "mixtures.csv", folder / "scores.csv"


def from_texts(
    folder: Path, mixtures: str | bytes = MIXTURES, scores: str | bytes = SCORES, **options: object
) -> Study:
    return import_study(*write(folder, mixtures, scores), folder / "study", **options)


def by_run(study: Study) -> dict[str, tuple[dict[str, float], dict[str, float], int]]:
    """Run id → (weights, scores, replicate)."""
    return {
        t.spec.external.run: (t.spec.mixture.as_dict(), t.final, t.spec.replicate)
        for t in study.view().trials
        if t.spec.external is not None
    }


def test_two_tables_become_a_study(tmp_path: Path) -> None:
    study = from_texts(tmp_path, higher=["acc"], unit="nats", natural={"code": 1.0, "prose": 3.0})
    view = study.view()
    assert study.notes == ()
    assert (view.name, view.domains) == ("study", ("code", "prose"))
    assert [(m.name, m.unit, m.better, m.domain) for m in view.metrics] == [
        ("acc", "nats", "higher", None),
        ("loss", "nats", "lower", None),
    ]
    assert by_run(study) == {
        "a": ({"code": 0.25, "prose": 0.75}, {"loss": 1.5, "acc": 0.1}, 0),
        "b": ({"code": 1.0, "prose": 0.0}, {"loss": 2.5, "acc": 0.2}, 0),
        "c": ({"code": 0.5, "prose": 0.5}, {"loss": 3.5, "acc": 0.3}, 0),
    }
    assert view.objective == Objective(terms=(("acc", 1.0), ("loss", 1.0)))
    assert view.natural == Mixture.of({"code": 0.25, "prose": 0.75})
    assert {trial.spec.external.source for trial in view.trials if trial.spec.external} == {"mixtures"}
    obs = view.observations()
    assert obs.Y_nm[:, 1].tolist() == [1.5, 2.5, 3.5]
    assert obs.source_n == ("mixtures",) * 3
    study.close()
    assert by_run(Study.open(tmp_path / "study")) == by_run(study_again := Study.open(tmp_path / "study"))
    assert study_again.view().record_sha256 == view.record_sha256


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), n=st.integers(1, 8), d=st.integers(1, 5), m=st.integers(1, 4))
def test_order_of_rows_and_columns_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, d: int, m: int
) -> None:
    rng, shuffle = np.random.default_rng(seed), random.Random(seed).sample
    W_nd, Y_nm = rng.dirichlet(np.ones(d), n), rng.normal(size=(n, m))
    domains, metrics = [f"d/{i}" for i in range(d)], [f"m{j}" for j in range(m)]
    mixtures = [["id", *domains], *([f"r{i}", *W_nd[i].tolist()] for i in range(n))]
    scores = [["id", *metrics], *([f"r{i}", *Y_nm[i].tolist()] for i in range(n))]

    def shuffled(table: list[list[object]]) -> str:
        columns = shuffle(range(len(table[0])), len(table[0]))
        rows = [table[0], *shuffle(table[1:], n)]
        return "\n".join(",".join(str(row[j]) for j in columns) for row in rows)

    straight = from_texts(
        tmp_path_factory.mktemp("a"), *("\n".join(",".join(map(str, r)) for r in t) for t in (mixtures, scores))
    )
    mixed = from_texts(tmp_path_factory.mktemp("b"), shuffled(mixtures), shuffled(scores))
    assert mixed.view().trials == straight.view().trials
    assert mixed.view().record_sha256 == straight.view().record_sha256
    for i in range(n):
        weights, final, _ = by_run(mixed)[f"r{i}"]
        assert list(final.values()) == Y_nm[i].tolist()
        assert np.allclose(list(weights.values()), W_nd[i], atol=1e-12)


def test_what_is_mended_or_left_out_is_said(tmp_path: Path) -> None:
    mixtures = "run,owner,prose,code\nc,me,0.5,0.5\na,me,0.333,0.666\nx,you,0.5,0.5\ne,me,0.5,0.5\n"
    scores = "loss,run,remark,later\n3.5,c,ok,\n,e,,\nnan,q,bad,\n1.5,a,ok,\n"
    study = from_texts(tmp_path, mixtures, scores)
    assert study.notes == (
        "`mixtures.csv`: column `owner` is no domain and was ignored.",
        "`mixtures.csv`: 1 of 4 rows sum to 0.999 to 0.999, not to one, "
        "and were divided by their sum (rounded weights).",
        "`scores.csv`: column `remark` holds no numbers and was ignored.",
        "`scores.csv`: column `later` holds no numbers and was ignored.",
        "`scores.csv`: left out 2 runs without any score: e, q.",
        "Left out 1 run of `mixtures.csv` not in `scores.csv`: x.",
        "Left out 1 run of `scores.csv` not in `mixtures.csv`: q.",
    )
    assert set(by_run(study)) == {"a", "c"}
    assert by_run(study)["a"][0] == Mixture.of({"code": 0.666, "prose": 0.333}, normalise=True).as_dict()
    assert Study.open(tmp_path / "study").notes == study.notes


def test_missing_scores_are_not_measured(tmp_path: Path) -> None:
    study = from_texts(tmp_path, scores="run,loss,acc\na,,0.1\nb,2.5,NaN\nc,3.5,0.3\n")
    assert by_run(study)["a"][1] == {"acc": 0.1}
    assert np.isnan(study.view().observations().Y_nm).sum() == 2


def test_repeats_are_numbered_within_a_mixture(tmp_path: Path) -> None:
    rows = "run,code,prose\n" + "".join(f"{i},{w},{1 - w}\n" for i, w in enumerate((0.5, 0.25, 0.5, 0.25, 0.5, 1.0)))
    scores = "run,loss\n" + "".join(f"{i},{i}\n" for i in range(6))
    study = from_texts(tmp_path, rows, scores)
    assert [by_run(study)[str(i)][2] for i in range(6)] == [0, 0, 1, 1, 2, 0]
    assert study.view().observations().n_groups == 3


def test_a_column_of_replicates_is_kept(tmp_path: Path) -> None:
    rows = "run,replicate,code\na,3,1\nb,1,1\n"
    study = from_texts(tmp_path, rows, "run,loss\na,1\nb,2\n")
    assert {name: row[2] for name, row in by_run(study).items()} == {"a": 3, "b": 1}


@pytest.mark.parametrize("column", ["index", "id", "run", "run_id", "trial", "name", "", "experiment"])
def test_the_column_of_ids_is_guessed(tmp_path: Path, column: str) -> None:
    study = from_texts(tmp_path, MIXTURES.replace("run", column), SCORES.replace("run", column))
    assert set(by_run(study)) == {"a", "b", "c"}


def test_the_column_of_ids_can_be_named(tmp_path: Path) -> None:
    mixtures, scores = MIXTURES.replace("run", "which"), SCORES.replace("run", "which").replace("loss", "code")
    with pytest.raises(InputError, match="several columns"):
        from_texts(tmp_path, mixtures, scores)
    assert len(by_run(from_texts(tmp_path, mixtures, scores, id_column="which"))) == 3
    with pytest.raises(InputError, match=r"no column `whch`.*did you mean `which`"):
        read_mixtures(tmp_path / "mixtures.csv", "whch")


def test_excel_s_byte_order_mark_and_line_ends_are_read(tmp_path: Path) -> None:
    mixtures = ("\ufeff" + MIXTURES.replace("\n", "\r\n")).encode()
    assert len(by_run(from_texts(tmp_path, mixtures))) == 3


BAD = {
    "sum": (MIXTURES.replace("0.25,0.75", "0.25,0.65"), SCORES, "mixtures.csv`, row `a`: .*sum 0.9 .*divide each row"),
    "per cent": (MIXTURES.replace("0.25,0.75", "25,75"), SCORES, "divide by 100"),
    "negative": (MIXTURES.replace("1,0", "1.1,-0.1"), SCORES, "row `b`, column `prose`: a negative weight"),
    "empty weight": (MIXTURES.replace("b,1,0", "b,1,"), SCORES, "row `b`, column `prose`: no weight.*write 0"),
    "text weight": (
        MIXTURES.replace("0.75", "most"),
        SCORES,
        "row `a`, column `prose`: not a finite number: found most",
    ),
    "text score": (MIXTURES, SCORES.replace("2.5", "high"), "scores.csv`, row `b`, column `loss`"),
    "infinite score": (MIXTURES, SCORES.replace("2.5", "inf"), "not a finite number"),
    "id twice": (MIXTURES.replace("c,", "a,"), SCORES, "mixtures.csv`, line 4: `a` occurs twice.*first on line 2"),
    "score id twice": (MIXTURES, SCORES.replace("c,", "b,"), "scores.csv`, line 4: `b` occurs twice"),
    "no id": (MIXTURES.replace("c,", ","), SCORES, "no usable name"),
    "semicolons": (MIXTURES.replace(",", ";"), SCORES, "single column.*semicolons"),
    "tabs": (MIXTURES, SCORES.replace(",", "\t"), "single column.*tabs"),
    "no join": (
        MIXTURES,
        SCORES.replace("a,", "x,").replace("b,", "y,").replace("c,", "z,"),
        "no run of .* a, b, c against x",
    ),
    "no number": (MIXTURES, "run,loss,acc\na,,nan\nb,nan,\nc,,\n", "scores.csv`: no cell holds a number.*in loss, acc"),
    "no shared column": (MIXTURES, SCORES.replace("run", "number"), "no column of run ids is shared"),
    "column twice": (MIXTURES.replace("prose", "code"), SCORES, "has column `code` twice"),
    "nameless column": (MIXTURES.replace("prose", ""), SCORES, "no usable name"),
    "ragged": (MIXTURES.replace("b,1,0", "b,1"), SCORES, "line 3: the row does not fit"),
    "header only": (MIXTURES, "run,loss\n", "has no rows"),
    "empty": ("", SCORES, "has no rows"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff", SCORES, "not UTF-8"),
    "zeros": (MIXTURES, "run,loss\n\x00\x00,\x00", "has no usable name"),
    "open quote": (MIXTURES, 'run,loss\n"a,1\n', "not valid CSV"),
    "replicates": (MIXTURES.replace("prose", "replicate"), SCORES, "no number of a repeat"),
    "same repeat": (
        "run,replicate,code\na,0,1\nb,0,1\n",
        SCORES,
        "rows `a` and `b` are the same mixture and the same repeat",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_with_its_place_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    mixtures, scores, words = BAD[name]
    with pytest.raises(InputError, match=words) as caught:
        from_texts(tmp_path, mixtures, scores)
    assert all((caught.value.wrong, caught.value.bound, caught.value.remedy))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixtures.csv", "scores.csv"]


def test_options_that_name_no_metric_or_domain_are_refused(tmp_path: Path) -> None:
    for options in (
        {"higher": ["ac"]},
        {"objective": Objective(terms=(("los", 1.0),))},
        {"natural": {"cod": 1.0, "prose": 1.0}},
    ):
        with pytest.raises(InputError, match="did you mean"):
            from_texts(tmp_path, **options)
    assert not (tmp_path / "study").exists()
    with pytest.raises(InputError, match="could not be read"):
        import_study(tmp_path / "absent.csv", tmp_path / "scores.csv", tmp_path / "study")


def test_a_metric_that_never_moves_is_noted(tmp_path: Path) -> None:
    scores = "run,loss,flat,once\na,1,2.5,\nb,2,2.5,1\nc,3,2.5,\n"
    assert from_texts(tmp_path, scores=scores).notes == (
        "`flat` is the same in every run: it says nothing about mixtures.",
    )


def test_an_import_that_the_disk_refused_can_be_done_again(tmp_path: Path) -> None:
    rows = [f"r{i},{i / 200},{1 - i / 200}" for i in range(200)]
    write(tmp_path, "\n".join(["run,code,prose", *rows]), "\n".join(["run,loss,acc", *rows]))
    command = 'ulimit -f 4; mixdesk() { "$0" -m mixdesk.cli "$@"; }; mixdesk study import --mixtures mixtures.csv '
    command += "--scores scores.csv -o study"
    first = subprocess.run(["bash", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 1
    assert "could not be read or written" in first.stderr
    assert list((tmp_path / "study").glob("*")) == []
    (tmp_path / "study" / "study.db").touch()  # what a killed import leaves
    study = import_study(tmp_path / "mixtures.csv", tmp_path / "scores.csv", tmp_path / "study")
    assert len(study.view().trials) == 200


def test_a_study_is_not_imported_over(tmp_path: Path) -> None:
    from_texts(tmp_path).close()
    with pytest.raises(RecordError, match="there is a study"):
        from_texts(tmp_path)


def test_export_and_import_come_round(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", small_config())
    run(study, Climb(), Calculator())
    view = study.view()
    paths = export_csv(view, tmp_path / "tables")
    again = import_study(*paths, tmp_path / "again", higher=["accuracy"])
    assert again.notes == ()
    assert set(again.view().metrics) == {
        replace(metric, unit=unit, domain=None) for metric, unit in zip(METRICS, ("bits per byte", ""), strict=True)
    }
    assert by_run(again) == {
        trial.id: (trial.spec.mixture.as_dict(), trial.final, trial.spec.replicate) for trial in view.trials
    }
    thrice = import_study(*export_csv(again.view(), tmp_path / "tables2"), tmp_path / "thrice", higher=["accuracy"])
    assert thrice.view().record_sha256 == again.view().record_sha256


def test_export_needs_a_finished_trial(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", small_config())
    with pytest.raises(NotEnoughEvidence):
        export_csv(study.view(), tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_mixtures_alone_are_read_with_or_without_ids(tmp_path: Path) -> None:
    mixtures, _ = write(tmp_path, MIXTURES, SCORES)
    assert read_mixtures(mixtures)["a"] == Mixture.of({"code": 0.25, "prose": 0.75})
    mixtures.write_text("code,prose\n0.5,0.5\n1,0\n")
    assert list(read_mixtures(mixtures)) == ["1", "2"]
    study = Study.create(tmp_path / "study", small_config())
    specs = study.ask(Climb().ask(study.view(), 2))
    study.ask_to_file(specs, tmp_path / "asked.csv")
    assert read_mixtures(tmp_path / "asked.csv") == {spec.id: spec.mixture for spec in specs}


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"no recorded tables at {TABLES}: set MIXDESK_TABLES")
def test_recorded_tables_of_others_are_imported(tmp_path: Path) -> None:
    study = import_study(
        TABLES / "train_mixture_1m.csv", TABLES / "train_pile_loss_1m.csv", tmp_path / "study", unit="nats per token"
    )
    view = study.view()
    assert (len(view.trials), len(view.domains), len(view.metrics)) == (512, 17, 13)
    assert len(study.notes) == 1
    assert "rounded weights" in study.notes[0]
    obs = view.observations()
    assert np.isfinite(obs.Y_nm).all()
    with (TABLES / "train_mixture_1m.csv").open(newline="") as handle:
        weights = {row["index"]: float(row["train_the_pile_pile_cc"]) for row in csv.DictReader(handle)}
    with (TABLES / "train_pile_loss_1m.csv").open(newline="") as handle:
        losses = {row["index"]: float(row["metric/the_pile_pile_cc_val_loss"]) for row in csv.DictReader(handle)}
    assert losses.keys() == weights.keys()
    for name, (mixture, final, _) in by_run(study).items():
        assert abs(mixture["train_the_pile_pile_cc"] - weights[name]) < 0.005
        assert final["metric/the_pile_pile_cc_val_loss"] == losses[name]
