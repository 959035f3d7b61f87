"""Past runs from two CSVs: joined by id, mended where rounding explains it, refused with a place where nothing does."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_runs import METRICS, Calculator, Climb, small_config

from mixdesk.core.errors import InputError, NotEnoughEvidence, RecordError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.study.columns import Columns
from mixdesk.study.importer import export_csv, import_study
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
    assert study.notes == (
        "3 runs, 3 mixtures over 2 domains: 1.5 per domain, too few for a law with a slope per domain: expect wide "
        "intervals, or a refusal. No mixture was run twice: the noise of a run is estimated, not measured.",
    )
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
    assert study.notes[:-1] == (
        "`mixtures.csv`: ignored (no domain): owner.",
        "`mixtures.csv`: 1 of 4 rows sum to 0.999, not to one, and were divided by their sum (rounded weights).",
        "`scores.csv`: ignored (no numbers, or bookkeeping): remark, later.",
        "`scores.csv`: left out 2 runs without any score: e, q.",
        "Left out 1 run of `mixtures.csv` not in `scores.csv`: x.",
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
    assert len(by_run(from_texts(tmp_path, mixtures, scores, columns=Columns(id_column="which")))) == 3
    with pytest.raises(InputError, match=r"no column `whch`.*did you mean `which`"):
        import_study(
            tmp_path / "mixtures.csv", tmp_path / "scores.csv", tmp_path / "b", columns=Columns(id_column="whch")
        )


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
    "zero row": (MIXTURES.replace("b,1,0", "b,0,0"), SCORES, "mixtures.csv`, row `b`: the weights sum to zero"),
    "all zero": ("run,code,prose\na,0,0\nb,0,0\n", SCORES, "row `a`: the weights sum to zero"),
    "infinite weight": (MIXTURES.replace("b,1,", "b,inf,"), SCORES, "row `b`, column `code`: not a finite number"),
    "NaN weight": (MIXTURES.replace("b,1,", "b,nan,"), SCORES, "row `b`, column `code`: no weight"),
    "mostly per cent": (
        "run,code,prose\na,25,75\nb,1,0\nc,50,50\n",
        SCORES,
        "row `b`: the weights do not sum to what per cent do.*sum 1 .*give all rows as fractions",
    ),
    "unknown unit": ("run,code,prose\na,3,4\nb,2,5\nc,1,1\n", SCORES, "row `a`: .*sum 7 .*in all rows"),
    "alike domains": ("run,Web,web\na,.5,.5\nb,1,0\nc,0,1\n", SCORES, "domains differ by case.*`Web` and `web`"),
    "blank twins": ("run,web,web \na,.5,.5\nb,1,0\nc,0,1\n", SCORES, "column `web` twice"),
    "alike metrics": (MIXTURES, SCORES.replace("acc", "Loss"), "metrics differ by case.*`Loss` and `loss`"),
    "a missing size": (
        "run,n_params,code\na,1M,1\nb,,1\nc,60M,1\n",
        SCORES,
        "row `b`, column `n_params`: no size of a run: found an empty cell",
    ),
    "all crashed": (MIXTURES, "run,State,loss\na,crashed,1\nb,failed,2\n", "no run came to its end"),
    "infinite score": (MIXTURES, SCORES.replace("2.5", "inf"), "not a finite number"),
    "id twice": (MIXTURES.replace("c,", "a,"), SCORES, "mixtures.csv`, line 4: `a` occurs twice.*first on line 2"),
    "score id twice": (
        MIXTURES,
        SCORES.replace("c,", "b,"),
        "scores.csv`, line 4: `b` occurs twice with other scores.*line 3",
    ),
    "no id": (MIXTURES.replace("c,", ","), SCORES, "no usable name"),
    "decimal commas": (
        MIXTURES.replace(",", ";").replace(".", ","),
        SCORES,
        "row `a`, column `code`: not a finite number: found 0,25.*decimal points in place of decimal commas",
    ),
    "another delimiter": (MIXTURES.replace(",", "#"), SCORES, "single column"),
    "no join": (
        MIXTURES,
        SCORES.replace("a,", "x,").replace("b,", "y,").replace("c,", "z,"),
        "no run of .* a, b, c against x",
    ),
    "no number": (MIXTURES, "run,loss,acc\na,,nan\nb,nan,\nc,,\n", "scores.csv`: no cell holds a number.*in loss, acc"),
    "no shared column": (MIXTURES, SCORES.replace("run", "number"), "no column of run ids is shared"),
    "id by case": (
        MIXTURES,
        SCORES.replace("run", "Run"),
        "no column of run ids is shared.*found `run` and `Run`.*give it one name in both tables",
    ),
    "per cent signs": (
        MIXTURES.replace("0.25,0.75", "25%,75%").replace("1,0", "100%,0%").replace("0.5,0.5", "50%,50%"),
        SCORES,
        "no column of weights: found run, code, prose; in the first row a, 25%, 75%",
    ),
    "ids of floats": (
        "run,code,prose\n0,.5,.5\n1,1,0\n",
        "run,loss\n0.0,1\n1.0,2\n",
        "no run of .* write the ids alike .`0` and `0.0` differ only in how they are written",
    ),
    "column twice": (MIXTURES.replace("prose", "code"), SCORES, "has column `code` twice"),
    "nameless column": (MIXTURES.replace("prose", ""), SCORES, "no usable name"),
    "ragged": (MIXTURES.replace("b,1,0", "b,1"), SCORES, "line 3: the row does not fit"),
    "header only": (MIXTURES, "run,loss\n", "has no rows: found 1 line with content"),
    "empty": ("", SCORES, "has no rows"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff", SCORES, "not UTF-8"),
    "zeros": (MIXTURES, "run,loss\n\x00\x00,\x00", "has no usable name"),
    "open quote": (MIXTURES, 'run,loss\n"a,1\n', "not valid CSV"),
    "replicates": (MIXTURES.replace("prose", "replicate"), SCORES, "no number of a repeat"),
    "same repeat": (
        "run,replicate,code\na,0,1\nb,0,1\n",
        SCORES,
        "rows `a` and `b` are the same mixture and repeat",
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
    assert from_texts(tmp_path, scores=scores).notes[:-1] == (
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
    assert len(again.notes) == 1
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


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"no recorded tables at {TABLES}: set MIXDESK_TABLES")
def test_recorded_tables_of_others_are_imported(tmp_path: Path) -> None:
    study = import_study(
        TABLES / "train_mixture_1m.csv", TABLES / "train_pile_loss_1m.csv", tmp_path / "study", unit="nats per token"
    )
    view = study.view()
    assert (len(view.trials), len(view.domains), len(view.metrics)) == (512, 17, 13)
    assert len(study.notes) == 3
    assert "RegMix" in study.notes[0]
    assert "rounded weights" in study.notes[1]
    assert study.notes[2].startswith("512 runs, 512 mixtures over 17 domains: 30.1 per domain, enough")
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


def sized(study: Study) -> dict[str, list[str]]:
    """Rung → ids of its runs, in the order of the rungs."""
    view = study.view()
    return {r.label: [t.spec.external.run for t in view.at(r.label) if t.spec.external] for r in view.rungs}


@pytest.mark.parametrize(("factor", "word"), [(100.0, "per cent"), (5e9, "token counts")])
def test_per_cent_and_token_counts_are_the_same_mixtures(tmp_path: Path, factor: float, word: str) -> None:
    rows = [("a", 0.25, 0.75), ("b", 1.0, 0.0), ("c", 0.5, 0.5)]
    text = "run,code,prose\n" + "".join(f"{run},{x * factor},{y * factor}\n" for run, x, y in rows)
    study = from_texts(tmp_path, text)
    assert word in study.notes[0]
    for name, x, y in rows:
        assert by_run(study)[name][0] == {"code": x, "prose": y}
    is_counts = word == "token counts"
    assert [rung.scale.n_tokens for rung in study.view().rungs] == [int(5e9) if is_counts else None]
    assert any("n_tokens of each run is its row's sum" in note for note in study.notes) == is_counts


def test_token_counts_that_differ_in_every_row_are_no_sizes(tmp_path: Path) -> None:
    study = from_texts(tmp_path, "run,code,prose\na,1000,3000\nb,9000,0\nc,20000,20000\n")
    assert len(study.view().rungs) == 1
    assert study.view().rungs[0].scale.n_tokens is None
    assert any("sums differ from run to run" in note for note in study.notes)


def test_the_same_mixture_in_token_counts_of_two_sizes_is_one_group(tmp_path: Path) -> None:
    rows = "run,web,code\na,333333333,666666667\nb,666666667,333333333\nA,20000000000,40000000000\nB,3e10,3e10\n"
    study = from_texts(tmp_path, rows, "run,loss\na,1\nb,2\nA,3\nB,4\n")
    assert sized(study) == {"1B tokens": ["a", "b"], "60B tokens": ["A", "B"]}
    obs = study.view().observations(every_scale=True)
    assert obs.group_n.tolist().count(int(obs.group_n[0])) == 2
    assert study.notes[-1] == "The target is 60B tokens: 2 mixtures, 1 of them run at 1B tokens too."


def test_sizes_in_columns_make_rungs_smallest_first(tmp_path: Path) -> None:
    mixtures = "run,n_params,code,prose\nbig,60M,.5,.5\na,1e6,.5,.5\nb,1000000,1,0\nbig2,6e7,1,0\nbig3,60M,1,0\n"
    scores = "run,loss,n_tokens\na,3,1B\nb,3.5,1B\nbig,2,25000000000\nbig2,2.5,25B\nbig3,2.4,24.9B\n"
    study = from_texts(tmp_path, mixtures, scores)
    view = study.view()
    assert sized(study) == {"1M x 1B": ["a", "b"], "60M x 25B": ["big", "big2", "big3"]}
    assert [(r.scale.n_params, r.scale.n_tokens) for r in view.rungs] == [(10**6, 10**9), (6 * 10**7, 25 * 10**9)]
    assert {t.spec.plan.scale for t in view.at("60M x 25B")} == {view.rungs[1].scale}
    assert by_run(study)["big3"][2] == 1
    assert view.domains == ("code", "prose")
    assert any("`n_tokens`: values that differ by at most 2 %" in note for note in study.notes)
    assert "sizes: 2 at 1M x 1B, 3 at 60M x 25B. At 1M x 1B: 2 mixtures" in study.notes[-2]
    assert "1 mixture run more than once" in study.notes[-2]
    obs = view.observations(every_scale=True)
    assert obs.covariates["n_params"].tolist() == [1e6, 1e6, 6e7, 6e7, 6e7]
    assert obs.covariates["n_tokens"].tolist() == [1e9, 1e9, 2.5e10, 2.5e10, 2.5e10]
    assert len(set(obs.group_n.tolist())) == 2


def test_one_id_at_two_sizes_is_two_runs(tmp_path: Path) -> None:
    scores = "run,n_params,loss\na,1M,3\nb,1M,4\na,60M,2\n"
    study = from_texts(tmp_path, scores=scores)
    assert sized(study) == {"1M": ["a @ 1M", "b"], "60M": ["a @ 60M"]}
    both = "run,n_params,code,prose\na,1M,.5,.5\nb,1M,0,1\na,60M,.25,.75\n"
    again = import_study(*write(tmp_path, both, scores), tmp_path / "both")
    assert by_run(again)["a @ 60M"][0]["code"] == 0.25
    alone = import_study(*write(tmp_path, both.replace("a,60M", "c,60M"), "run,loss\na,1\nc,2\n"), tmp_path / "alone")
    assert sized(alone) == {"1M": ["a"], "60M": ["c"]}


def test_sizes_can_be_named_or_given_as_numbers(tmp_path: Path) -> None:
    mixtures = "run,width,code,prose\na,1M,.5,.5\nb,60M,1,0\n"
    study = from_texts(tmp_path, mixtures, columns=Columns(n_params="width", n_tokens="25B"))
    assert sized(study) == {"1M": ["a"], "60M": ["b"]}
    assert {rung.scale.n_tokens for rung in study.view().rungs} == {25 * 10**9}
    with pytest.raises(InputError, match=r"`n_params` is neither a column nor a number.*did you mean `width`"):
        import_study(*write(tmp_path, mixtures, SCORES), tmp_path / "b", columns=Columns(n_params="widht"))


def test_checkpoints_are_points_of_one_trial(tmp_path: Path) -> None:
    scores = "run,n_tokens,loss\na,200,2\nb,100,5\na,100,4\na,50,8\nb,200,3\nb,50,9\nb,200,3\n"
    study = from_texts(tmp_path, scores=scores)
    trials = {t.spec.external.run: t for t in study.view().trials if t.spec.external}
    assert [(p.n_tokens, dict(p.metrics)["loss"]) for p in trials["a"].points] == [(50, 8), (100, 4), (200, 2)]
    assert trials["b"].final == {"loss": 3}
    assert study.view().observations().Y_nm.tolist() == [[2.0], [3.0]]
    obs = study.view().observations(every_scale=True)
    assert obs.covariates["n_tokens"].tolist() == [50, 100, 200, 50, 100, 200]
    assert obs.group_n.tolist() == [0, 0, 0, 1, 1, 1]
    assert any("kept once" in note for note in study.notes)
    assert any("Runs with checkpoints: 2" in note for note in study.notes)


def test_of_rows_at_several_steps_the_last_is_kept(tmp_path: Path) -> None:
    study = from_texts(tmp_path, scores="run,_step,loss\na,10,2\na,9,4\nb,10,3\nc,10,\n")
    assert {run: row[1] for run, row in by_run(study).items()} == {"a": {"loss": 2}, "b": {"loss": 3}}
    assert any("Only the last was kept" in note for note in study.notes)


def test_equal_rows_are_kept_once(tmp_path: Path) -> None:
    study = from_texts(tmp_path, MIXTURES + "a,0.25,0.75\n", SCORES + "b,2.5,0.2\n", higher=["acc"])
    assert len(by_run(study)) == 3
    assert [note for note in study.notes if "kept once" in note] == [
        "`mixtures.csv`: 1 row kept once, as equal to one before: a.",
        "`scores.csv`: 1 row kept once, as equal to one before: b.",
    ]


def test_position_joins_only_when_asked_and_with_a_warning(tmp_path: Path) -> None:
    mixtures, scores = "name,code,prose\nx,.25,.75\ny,1,0\n", "name,loss\ny,1\nx,2\n"
    study = from_texts(tmp_path, mixtures, scores, columns=Columns(by_position=True))
    assert by_run(study)["1"] == ({"code": 0.25, "prose": 0.75}, {"loss": 1.0}, 0)
    assert "Joined by position, as asked" in study.notes[0]
    assert "`name` of both tables does not agree" in study.notes[1]
    with pytest.raises(InputError, match="cannot be joined by position: found 2 and 3 rows"):
        import_study(*write(tmp_path, mixtures, scores + "z,3\n"), tmp_path / "b", columns=Columns(by_position=True))
    pair = write(tmp_path, "code,prose\n.25,.75\n1,0\n", "loss\n1\n2\n")
    alone = import_study(*pair, tmp_path / "c", columns=Columns(by_position=True))
    assert by_run(alone)["2"] == ({"code": 1.0, "prose": 0.0}, {"loss": 2.0}, 0)


WANDB = """Name,State,Created,Runtime,ID,lr,mix.web,mix.code,train/loss,eval/web_loss,eval/code_loss,eval/runtime,_step
sunny-1,finished,2026-01-02T03:04:05.000Z,312,abc1,0.1,0.5,0.5,2.2,3.5,2.5,9,100
sunny-1,finished,2026-01-02T03:04:05.000Z,311,abc2,0.1,0.25,0.75,2.1,3.6,2.4,9,100
windy-3,crashed,2026-01-02T03:04:05.000Z,3,abc3,0.1,0.9,0.1,9.9,9.9,,9,7
windy-4,finished,2026-01-02T03:04:05.000Z,300,abc4,0.1,,,2.0,3.0,2.0,9,100
"""
MLFLOW = """run_id,status,start_time,metrics.loss/web,metrics.acc,params.lr,params.w.web,params.w.code,tags.user
f00,FINISHED,2026-01-02,3.5,0.5,0.1,0.5,0.5,me
f01,FINISHED,2026-01-02,3.25,0.25,0.1,1.0,0.0,me
f02,FAILED,2026-01-02,3.25,0.25,0.1,0.7,0.3,me
"""


def test_a_run_table_of_wandb_holds_both(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(WANDB)
    study = import_study(tmp_path / "runs.csv", tmp_path / "runs.csv", tmp_path / "study")
    assert study.view().domains == ("mix.code", "mix.web")
    assert by_run(study) == {
        "abc1": ({"mix.code": 0.5, "mix.web": 0.5}, {"eval/web_loss": 3.5, "eval/code_loss": 2.5}, 0),
        "abc2": ({"mix.code": 0.75, "mix.web": 0.25}, {"eval/web_loss": 3.6, "eval/code_loss": 2.4}, 0),
    }
    said = "\n".join(study.notes)
    for words in (
        "a W&B export of runs",
        "left out 1 run that did not finish (by state): abc3",
        "taken as the domains: mix.web, mix.code",
        "rows without any weight, left out: 1",
        "taken as the metrics: eval/web_loss, eval/code_loss",
        "not named like a score on held-out text: lr, train/loss, eval/runtime",
    ):
        assert words in said, words
    named = Columns(domains=("mix.*",), metrics=("eval/code*", "train/loss"))
    chosen = import_study(tmp_path / "runs.csv", tmp_path / "runs.csv", tmp_path / "b", columns=named)
    assert [metric.name for metric in chosen.view().metrics] == ["eval/code_loss", "train/loss"]
    with pytest.raises(InputError, match=r"no column for `mux\.\*` .domains.*did you mean `mix"):
        import_study(tmp_path / "runs.csv", tmp_path / "runs.csv", tmp_path / "c", columns=Columns(domains=("mux.*",)))


def test_a_run_table_of_mlflow_holds_both(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(MLFLOW)
    study = import_study(tmp_path / "runs.csv", str(tmp_path / "runs.csv"), tmp_path / "study")
    assert by_run(study)["f01"] == (
        {"params.w.code": 0.0, "params.w.web": 1.0},
        {"metrics.loss/web": 3.25, "metrics.acc": 0.25},
        0,
    )
    assert set(by_run(study)) == {"f00", "f01"}
    assert "MLflow" in study.notes[0]
    assert "metrics.acc looks better when higher" in "\n".join(study.notes)


def test_sizes_of_mlflow_are_read_from_its_settings_and_scores(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        "run_id,status,metrics.loss,metrics.n_tokens,params.n_params,params.w.web,params.w.code\n"
        "f0,FINISHED,3.5,1e9,1M,.5,.5\nf1,FINISHED,3.25,2.5e10,60M,1,0\n"
    )
    study = import_study(tmp_path / "runs.csv", tmp_path / "runs.csv", tmp_path / "study")
    assert [(r.scale.n_params, r.scale.n_tokens) for r in study.view().rungs] == [
        (10**6, 10**9),
        (6 * 10**7, 25 * 10**9),
    ]
    assert [metric.name for metric in study.view().metrics] == ["metrics.loss"]


def test_one_table_without_weights_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("Name,State,mix.web,mix.code,eval/loss\na,finished,.5,.4,2\nb,finished,1,0,3\n")
    with pytest.raises(InputError, match=r"no columns look like the weights .*mix.web, mix.code, eval/loss.*--domains"):
        import_study(tmp_path / "runs.csv", tmp_path / "runs.csv", tmp_path / "study")


def test_olmix_tables_share_several_columns_of_names(tmp_path: Path) -> None:
    mixtures = "run,name,index,dclm,wiki\nr2,two,1,0.45,0.55\nr1,one,0,1,0\n"
    scores = "run,name,index,arc_bpb\nr1,one,0,1.25\nr2,two,1,1.5\n"
    study = from_texts(tmp_path, mixtures, scores)
    assert by_run(study)["r2"] == ({"dclm": 0.45, "wiki": 0.55}, {"arc_bpb": 1.5}, 0)
    assert study.notes[0] == "Recognised by the columns: olmix's tables."
    # As pandas writes them with its index, which has no name.
    numbered = [
        "\n".join(f"{i - 1 if i else ''},{line}" for i, line in enumerate(t.splitlines())) for t in (mixtures, scores)
    ]
    again = import_study(*write(tmp_path, *numbered), tmp_path / "again")
    assert by_run(again) == by_run(study)


def test_higher_takes_patterns_and_a_likely_slip_is_noted(tmp_path: Path) -> None:
    scores = "run,mmlu_acc,acc_norm,loss\na,.1,.2,3\nb,.2,.3,2\n"
    study = from_texts(tmp_path, scores=scores, higher=["*acc*"])
    assert [m.better for m in study.view().metrics] == ["higher", "lower", "higher"]
    assert not any("better when higher" in note for note in study.notes)
    other = import_study(tmp_path / "mixtures.csv", tmp_path / "scores.csv", tmp_path / "b")
    assert "acc_norm, mmlu_acc look better when higher, but they are minimised: say --higher NAME if so." in other.notes


def test_dataframes_mappings_and_parquet_are_the_same_study(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import feather, parquet

    study = from_texts(tmp_path, higher=["acc"])
    frames = [arrow_csv.read_csv(tmp_path / f"{name}.csv") for name in ("mixtures", "scores")]
    parquet.write_table(frames[0], tmp_path / "mixtures.parquet")
    feather.write_feather(frames[1], tmp_path / "scores.arrow")
    files = import_study(tmp_path / "mixtures.parquet", tmp_path / "scores.arrow", tmp_path / "b", higher=["acc"])
    columns = import_study(*(frame.to_pydict() for frame in frames), tmp_path / "c", higher=["acc"])
    tables = import_study(*frames, tmp_path / "d", higher=["acc"])
    for other in (files, columns, tables):
        assert by_run(other) == by_run(study)
        assert other.notes == study.notes
    (tmp_path / "bad.parquet").write_text("no parquet")
    (tmp_path / "folder.parquet").mkdir()
    for table, words in (
        (tmp_path / "folder.parquet", "folder.parquet` could not be read: found Is a directory"),
        (tmp_path / "bad.parquet", "bad.parquet` could not be read"),
        (tmp_path / "absent.parquet", "no such file"),
        (7, "mixtures cannot be read as a table: found int"),
        ({"run": ["a"], "x": [1.0, 2.0]}, "not of one length"),
        (pyarrow.table({"run": ["a"], "x": [float("inf")]}), "row `a`, column `x`: not a finite number"),
    ):
        with pytest.raises(InputError, match=words):
            import_study(table, tmp_path / "scores.csv", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_pandas_gives_its_named_index_and_polars_is_read_too(tmp_path: Path) -> None:
    write(tmp_path, MIXTURES, SCORES)
    frames = [pandas.read_csv(tmp_path / f"{name}.csv").set_index("run") for name in ("mixtures", "scores")]
    others = [polars.read_csv(tmp_path / f"{name}.csv") for name in ("mixtures", "scores")]
    wanted = by_run(import_study(*frames, tmp_path / "study"))
    assert set(wanted) == {"a", "b", "c"}
    assert by_run(import_study(*others, tmp_path / "other")) == wanted


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_delimiters_are_read_and_said(tmp_path: Path, mark: str) -> None:
    study = from_texts(tmp_path, MIXTURES.replace(",", mark))
    assert set(by_run(study)) == {"a", "b", "c"}
    assert "columns are separated by" in study.notes[0]


def test_names_that_are_not_ascii_work_and_twins_of_ids_are_pointed_out(tmp_path: Path) -> None:
    study = from_texts(tmp_path, "run,код,散文\n1.0,.5,.5\nΩ,1,0\n", "run,ошибка\n1,2\nΩ,3\n")
    assert study.view().domains == ("код", "散文")
    assert by_run(study)["Ω"][1] == {"ошибка": 3.0}
    assert any("`1.0` and `1` differ only in how they are written" in note for note in study.notes)


def test_extra_numbers_beside_weights_of_one_prefix_are_ignored(tmp_path: Path) -> None:
    study = from_texts(tmp_path, "run,lr,w_code,w_prose\na,.1,.25,.75\nb,.2,1,0\nc,.3,.5,.5\n")
    assert study.view().domains == ("w_code", "w_prose")
    assert "`mixtures.csv`: w_code, w_prose sum to one or 100 without lr, which were ignored." in study.notes


def test_one_run_is_imported_but_fits_no_law(tmp_path: Path) -> None:
    study = from_texts(tmp_path, "run,code\na,1\n", "run,loss\na,2\n")
    assert study.notes[-1].startswith("1 run, 1 mixture over 1 domain: no law can be fitted to one mixture.")


@pytest.mark.slow
def test_ten_thousand_runs_are_imported_in_seconds(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 10_000
    W_nd, Y_nm = rng.dirichlet(np.ones(17), n), rng.normal(size=(n, 13))
    ids = [f"r{i}" for i in range(n)]
    weights = {"run": ids, **{f"d{j}": W_nd[:, j] for j in range(17)}}
    began = time.perf_counter()
    study = import_study(weights, {"run": ids, **{f"m{j}": Y_nm[:, j] for j in range(13)}}, tmp_path / "study")
    assert time.perf_counter() - began < 30.0
    assert len(study.view().trials) == n
