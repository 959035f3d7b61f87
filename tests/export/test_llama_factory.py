"""LLaMA-Factory's dataset_info.json and YAML: rows by number, prepared rows, probabilities as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.export.configs import read_yaml
from mixdesk.export.llama_factory import LlamaFactory
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

GOLDEN = {
    "books": {"columns": {"prompt": "text"}, "file_name": "data/books.jsonl", "num_samples": 5},
    "code": {"columns": {"prompt": "text"}, "file_name": "data/code.jsonl", "num_samples": 150},
    "web": {"columns": {"prompt": "text"}, "file_name": "data/web.jsonl", "num_samples": 150},
}


def test_rows_of_the_test_vector(tmp_path: Path) -> None:
    wanted = order(VECTOR, (1.0, THREE))
    export = LlamaFactory(prepared=False).export(wanted, tmp_path)
    assert json.loads((tmp_path / "dataset_info.json").read_text()) == GOLDEN
    config = read_yaml(tmp_path / "stage0.yaml")
    assert config["dataset"] == "books,code,web"
    assert config["mix_strategy"] == "concat"
    assert [one.realised for one in export.stages[0].shares] == pytest.approx([0.1, 0.3, 0.6])
    assert [one.written for one in export.stages[0].shares] == [5, 150, 150]
    alone = LlamaFactory().read(tmp_path / "dataset_info.json")
    assert alone.plan.schedule.stages[0].mixture.as_dict()["books"] == pytest.approx(5 / 305)
    assert alone.unit == "rows"


@pytest.mark.slow
def test_the_loader_takes_so_many_rows_and_repeats_some(tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    wanted = orders()["repeats"]
    export = LlamaFactory(prepared=False).export(wanted, tmp_path)
    write_made(wanted, "rows", tmp_path / "data")
    found = LlamaFactory().verify(tmp_path, export, 100)
    assert found.stages[0].error < 0.05
    assert 4.0 * found.stages[0].chance == found.stages[0].allowed < 0.12
    assert "Rows are whole and their lengths chance, which may move a share by 0." in found.how
    assert "llamafactory 0.9.5" in found.how
    assert any("with replacement, not pass by pass: books, code" in line for line in export.losses)


def test_prepared_rows_of_each_stage_are_a_dataset(tmp_path: Path) -> None:
    export = LlamaFactory().export(orders()["two stages"], tmp_path)
    assert export.files == ("dataset_info.json", "mixture.py", "stage0.yaml", "stage1.yaml", "run.sh")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["stage1"] == {"columns": {"prompt": "text"}, "file_name": "prepared/stage1.jsonl"}
    assert read_yaml(tmp_path / "stage1.yaml")["dataset"] == "stage1"
    assert "out/stage0" in (tmp_path / "run.sh").read_text()
    assert LlamaFactory().read(tmp_path / "stage0.yaml").plan.schedule.stages[0].mixture.as_dict() == pytest.approx(
        THREE
    )


def test_probabilities_of_somebody_come_back_as_rows(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"web": {"file_name": "web.jsonl"}, "code": {"file_name": "c.jsonl"}}')
    path = tmp_path / "sft.yaml"
    path.write_text('dataset: web,code\ndataset_dir: .\nmix_strategy: interleave_over\ninterleave_probs: "0.7,0.3"\n')
    found = LlamaFactory().read(path)
    assert found.unit == "rows"
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.3, "web": 0.7}
    assert any("the others are repeated" in note for note in found.notes)
    assert "not of tokens" in mx.read_mixture(path, "llama_factory").notes[-1]


def test_files_are_counted_and_names_that_come_twice_count_once(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(
        '{"web": {"file_name": "web.jsonl"}, "code": {"file_name": "c.jsonl", "num_samples": 10}}'
    )
    (tmp_path / "web.jsonl").write_text("{}\n" * 30)
    path = tmp_path / "sft.yaml"
    path.write_text("dataset: [web, web, code]\ndataset_dir: .\n")
    found = LlamaFactory().read(path)
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.25, "web": 0.75}
    assert any("once only" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dataset: web,code", "without num_samples"),
        ('dataset: web,code\ninterleave_probs: "0.5,0.5"', "with concat"),
        ('dataset: web,code\nmix_strategy: interleave_under\ninterleave_probs: "1"', "1 probabilities of 2"),
        ('dataset: web,code\nmix_strategy: interleave_under\ninterleave_probs: "a,b"', "expected numbers"),
        ("model: x", "no `dataset`"),
        ("- web", "no `dataset`"),
    ],
)
def test_what_says_no_mixture_is_refused(text: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=word):
        LlamaFactory().read(tmp_path / "x.yaml")
    (tmp_path / "dataset_info.json").write_text("[]")
    with pytest.raises(InputError, match="could not be understood"):
        LlamaFactory().read(tmp_path / "dataset_info.json")


def test_names_and_weights_that_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot name `web/low, raw`"):
        LlamaFactory(prepared=False).export(orders()["slashes"], tmp_path)
    with pytest.raises(InputError, match="weight of `books` is under"):
        LlamaFactory(prepared=False).export(orders()["short run"], tmp_path)
    assert not list(tmp_path.iterdir())
    LlamaFactory().export(orders()["slashes"], tmp_path)


def test_stages_by_number_have_datasets_of_their_own(tmp_path: Path) -> None:
    export = LlamaFactory(prepared=False).export(orders()["two stages"], tmp_path)
    assert read_yaml(tmp_path / "stage1.yaml")["dataset"] == "books@1,code@1,web@1"
    second = LlamaFactory().read(tmp_path / "stage1.yaml")
    assert set(second.plan.schedule.domains) == set(VECTOR)
    assert any("Whole rows move the share of `books`" in line for line in export.losses)
