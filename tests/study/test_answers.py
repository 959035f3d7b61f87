"""Outside trainers by file: questions out, answers in, in CSV and JSONL."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from study_runs import DOMAINS, small_config

from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data
from mixdesk.core.mixture import Mixture, Stage
from mixdesk.core.plan import Proposal, TrialSpec
from mixdesk.study.answers import read_answers
from mixdesk.study.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = Study.create(tmp_path / "study", small_config())
    for i in range(4):
        weights = {name: 1.0 + i * j for j, name in enumerate(DOMAINS)}
        made.ask([Proposal(mixture=Mixture.of(weights, normalise=True), rung="proxy", replicate=i, why="by hand")])
    return made


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_trainer_that_knows_only_the_files_answers_the_study(study: Study, tmp_path: Path, suffix: str) -> None:
    questions, answers = tmp_path / f"asked{suffix}", tmp_path / f"told{suffix}"
    specs = study.pending()
    study.ask_to_file(specs, questions)
    if suffix == ".csv":
        rows = read_csv(questions)
        told = [
            {"accuracy": float(row["code"]), "trial": row["trial"], "bpb/code": 2.0 - float(row["code"])}
            for row in rows
        ]
        random.Random(0).shuffle(told)
        write_csv(answers, told)
    else:
        lines = [json.loads(line) for line in questions.read_text().splitlines()]
        assert [from_data(TrialSpec, line["spec"]) for line in lines] == list(specs)
        assert {line["why"] for line in lines} == {"by hand"}
        (tmp_path / "filled.jsonl").write_text(json.dumps({**lines[0], "metrics": {"accuracy": 0.5}}))
        assert set(read_answers(tmp_path / "filled.jsonl", study.view())[0]) == {lines[0]["trial"]}
        told = [
            {"trial": line["trial"], "metrics": {"accuracy": w, "bpb/code": 2.0 - w}}
            for line in lines
            for w in [line["mixture"]["code"]]
        ]
        answers.write_text("\n".join(json.dumps(line) for line in reversed(told)) + "\n\n")
    assert study.tell_from_file(answers) == ["4 answers recorded."]
    for trial in study.view().trials:
        weight = trial.spec.mixture.as_dict()["code"]
        assert trial.final == {"accuracy": weight, "bpb/code": 2.0 - weight}
        assert trial.points[-1].n_tokens == 1000


def test_the_file_of_questions_may_be_filled_in(study: Study, tmp_path: Path) -> None:
    study.ask_to_file(study.pending(), tmp_path / "asked.csv")
    rows = read_csv(tmp_path / "asked.csv")
    assert list(rows[0]) == ["trial", "rung", "replicate", "n_tokens", "why", *DOMAINS]
    assert [row["replicate"] for row in rows] == ["0", "1", "2", "3"]
    assert {row["why"] for row in rows} == {"by hand"}
    full = [{**row, "bpb/code": 1.5, "bpb/cod": 3.0} for row in rows]
    notes = study.tell_from_file(write_csv(tmp_path / "told.csv", full))
    assert notes == [
        "4 answers recorded.",
        "`bpb/cod` is no metric of this study and was ignored; did you mean `bpb/code`?",
    ]


def test_missing_cells_divergence_and_late_answers(study: Study, tmp_path: Path) -> None:
    ids = [spec.id for spec in study.pending()]
    rows: list[dict[str, object]] = [
        {"trial": ids[0], "bpb/code": 1.25, "accuracy": "NaN", "state": ""},
        {"trial": ids[1], "bpb/code": "", "accuracy": "", "state": "diverged"},
        {"trial": ids[2], "bpb/code": "", "accuracy": 0.5, "state": "done"},
    ]
    study.tell_from_file(write_csv(tmp_path / "a.csv", rows))
    assert [trial.state for trial in study.view().trials] == ["done", "diverged", "done", "waiting"]
    assert [trial.final for trial in study.view().trials] == [{"bpb/code": 1.25}, {}, {"accuracy": 0.5}, {}]
    obs = study.view().observations()
    assert obs.Y_nm[0, 0] == 1.25
    assert obs.Y_nm[1, 0] != obs.Y_nm[1, 0]
    again = [{"trial": ids[0], "bpb/code": 9.0}, {"trial": ids[3], "bpb/code": 2.0}]
    notes = study.tell_from_file(write_csv(tmp_path / "b.csv", again))
    assert notes[0] == "1 answer recorded."
    assert ids[0] in notes[1]
    assert study.trial(ids[0]).final == {"bpb/code": 1.25}


def bad_files(ids: list[str]) -> dict[str, tuple[str, str, str]]:
    """Name → (suffix, content, what the message says)."""
    return {
        "unknown id": (".csv", f"trial,bpb/code\n{ids[0]},1\n{ids[1][:-1]}z,1\n", f"did you mean `{ids[1]}`"),
        "id twice": (".csv", f"trial,bpb/code\n{ids[0]},1\n{ids[0]},1\n", "line 3: .*twice"),
        "not a number": (".csv", f"trial,bpb/code\n{ids[0]},1\n{ids[1]},low\n", "line 3, column `bpb/code`"),
        "infinite": (".csv", f"trial,bpb/code\n{ids[0]},inf\n", "not a finite number"),
        "nothing": (".csv", f"trial,bpb/code\n{ids[0]},\n", "has no value"),
        "no trial column": (".csv", f"id,bpb/code\n{ids[0]},1\n", "no column `trial`"),
        "semicolons": (".csv", f"trial;bpb/code\n{ids[0]};1,5\n", "decimal points in place of decimal commas"),
        "no rows": (".csv", "trial,bpb/code\n", "has no rows"),
        "empty": (".csv", "", "has no rows"),
        "ragged": (".csv", f"trial,bpb/code\n{ids[0]},1,2\n", "line 2: the row does not fit"),
        "bad state": (".csv", f"trial,state,bpb/code\n{ids[0]},divergd,1\n", "did you mean `diverged`"),
        "suffix": (".txt", "trial\n", "no known ending"),
        "empty lines": (".jsonl", "\n", "is empty"),
        "broken line": (
            ".jsonl",
            f'{{"trial": "{ids[0]}", "metrics": {{"bpb/code": 1}}}}\n{{"trial": \n',
            "line 2: not JSON",
        ),
        "no object": (".jsonl", "[1]\n", "not an answer"),
        "stray key": (".jsonl", f'{{"trial": "{ids[0]}", "bpb/code": 1}}\n', "unknown key `bpb/code`"),
        "text": (".jsonl", f'{{"trial": "{ids[0]}", "metrics": {{"bpb/code": "x"}}}}\n', "column `bpb/code`"),
        "true": (".jsonl", f'{{"trial": "{ids[0]}", "metrics": {{"bpb/code": true}}}}\n', "not a finite number"),
        "infinity": (
            ".jsonl",
            f'{{"trial": "{ids[0]}", "metrics": {{"bpb/code": Infinity}}}}\n',
            "not a finite number",
        ),
        "no id": (".jsonl", '{"metrics": {"bpb/code": 1}}\n', "has no trial ``"),
    }


@pytest.mark.parametrize("name", bad_files(["x", "y"]))
def test_a_bad_file_is_an_error_with_its_place_and_nothing_is_recorded(study: Study, tmp_path: Path, name: str) -> None:
    suffix, content, words = bad_files([spec.id for spec in study.pending()])[name]
    path = tmp_path / f"answers{suffix}"
    path.write_text(content)
    before = study.view().record_sha256
    with pytest.raises(InputError, match=words):
        study.tell_from_file(path)
    assert study.view().record_sha256 == before


def test_binary_files_are_refused(study: Study, tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00trial", b"trial,bpb/code\n\x00\x00,\x00\n"):
        (tmp_path / "answers.csv").write_bytes(content)
        with pytest.raises(InputError):
            study.tell_from_file(tmp_path / "answers.csv")


def test_a_domain_named_like_a_column_needs_jsonl(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config(domains=("rung", "prose"), natural=()))
    study.ask([Proposal(mixture=Mixture.uniform(("rung", "prose")), rung="proxy")])
    with pytest.raises(InputError, match="jsonl"):
        study.ask_to_file(study.pending(), tmp_path / "asked.csv")
    assert not (tmp_path / "asked.csv").exists()
    study.ask_to_file(study.pending(), tmp_path / "asked.jsonl")
    assert json.loads((tmp_path / "asked.jsonl").read_text())["mixture"] == {"prose": 0.5, "rung": 0.5}


def test_what_was_not_measured_may_come_later_and_what_was_told_stands(study: Study, tmp_path: Path) -> None:
    one, two, three, _ = [spec.id for spec in study.pending()]
    first: list[dict[str, object]] = [
        {"trial": one, "bpb/code": 1.25, "accuracy": "", "state": ""},
        {"trial": two, "bpb/code": "", "accuracy": 0.5, "state": ""},
        {"trial": three, "bpb/code": "", "accuracy": "", "state": "diverged"},
    ]
    study.tell_from_file(write_csv(tmp_path / "a.csv", first))
    assert study.view().observations().Y_nm[0, 1] != study.view().observations().Y_nm[0, 1]
    later = [{"trial": name, "bpb/code": 9.0, "accuracy": 0.75} for name in (one, two, three)]
    notes = study.tell_from_file(write_csv(tmp_path / "b.csv", later))
    assert notes == [
        "0 answers recorded.",
        f"2 trials got metrics that were missing: {one}, {two}",
        f"3 trials had an answer already, which stands: {one}, {two}, {three}",
    ]
    told = {one: {"bpb/code": 1.25, "accuracy": 0.75}, two: {"bpb/code": 9.0, "accuracy": 0.5}, three: {}}
    with Study.open(study.folder) as again:
        for handle in (study, again):
            assert {name: handle.trial(name).final for name in told} == told
    before = study.view().record_sha256
    assert study.tell_from_file(tmp_path / "b.csv")[1].startswith("3 trials had an answer already")
    assert study.view().record_sha256 == before


def test_trials_with_parents_need_jsonl(study: Study, tmp_path: Path) -> None:
    parents = tuple((spec.id, 0.25) for spec in study.pending())
    mixture = study.pending()[0].mixture
    [merge] = study.ask([Proposal(mixture=mixture, rung="proxy", method="merge", parents=parents)])
    with pytest.raises(InputError, match="cannot say which trials"):
        study.ask_to_file([merge], tmp_path / "asked.csv")
    study.ask_to_file([merge], tmp_path / "asked.jsonl")
    line = json.loads((tmp_path / "asked.jsonl").read_text())
    assert from_data(TrialSpec, line["spec"]) == merge


def test_trials_of_two_stages_need_jsonl(study: Study, tmp_path: Path) -> None:
    mixture, first = study.pending()[0].mixture, study.pending()[1].mixture
    asked = study.ask([Proposal(mixture=mixture, rung="proxy", before=Stage(mixture=first, until=0.9))])
    with pytest.raises(InputError, match="which mixture comes when"):
        study.ask_to_file(asked, tmp_path / "b.csv")
    study.ask_to_file(asked, tmp_path / "b.jsonl")
    [line] = (tmp_path / "b.jsonl").read_text().splitlines()
    assert [stage.get("until", 1.0) for stage in json.loads(line)["spec"]["plan"]["schedule"]["stages"]] == [0.9, 1.0]
