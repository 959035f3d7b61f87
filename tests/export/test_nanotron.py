"""nanotron's stages: its file, other people's files, and sequences read by datatrove."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.export.nanotron import CONFIG, Nanotron
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

TWO = orders()["two stages"]
THEIRS = """
tokens: {{sequence_length: 100, train_steps: 100, micro_batch_size: 5, batch_accumulation_per_replica: 4}}
parallelism: {{dp: 1}}
data_stages:
- name: stable
  start_training_step: 1
  data: {{num_loading_workers: 1, dataset: {{dataset_folder: [data/web, data/code], dataset_weights: [8, 2]}}}}
- name: decay
  start_training_step: {start}
  data: {{seed: 42, dataset: {{dataset_folder: {{data/web: 0.3, data/code: 0.7}}}}}}
"""


def test_the_smallest_file(tmp_path: Path) -> None:
    export = Nanotron().export(order(VECTOR, (1.0, THREE)), tmp_path)
    data = yaml.safe_load((tmp_path / CONFIG).read_text())
    dataset = {
        "dataset_folder": ["data/books", "data/code", "data/web"], "dataset_weights": [0.1, 0.3, 0.6],
        "tokenizer_name": "bytes", "token_size_in_bytes": 2, "vocab_size": 500,
    }  # fmt: skip
    stage = {"seed": 42, "num_loading_workers": 1, "dataset": dataset}
    assert data == {
        "tokens": {"sequence_length": 100, "train_steps": 100},
        "data_stages": [{"name": "stage0", "start_training_step": 1, "data": stage}],
    }
    # Windows take a token more than they train on.
    assert {one.domain: one.epochs for one in export.stages[0].shares}["code"] == pytest.approx(1.01)


def test_the_second_stage_begins_after_the_last_step_of_the_first(tmp_path: Path) -> None:
    Nanotron().export(TWO, tmp_path)
    data = yaml.safe_load((tmp_path / CONFIG).read_text())
    assert [stage["start_training_step"] for stage in data["data_stages"]] == [1, 51]
    found = Nanotron().read(tmp_path)
    assert found.plan.schedule == TWO.plan.schedule
    assert found.plan.scale.n_tokens == 200_000


def test_somebodys_file_comes_in(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(THEIRS.format(start=91))
    write_made(TWO, "datatrove", tmp_path / "data")
    found = mixdesk.read_mixture(tmp_path / "run.yaml", "nanotron")
    stages = found.plan.schedule.stages
    assert [stage.until for stage in stages] == [0.9, 1.0]
    assert [stage.mixture.as_dict() for stage in stages] == [{"web": 0.8, "code": 0.2}, {"web": 0.3, "code": 0.7}]
    assert found.plan.scale.n_tokens == 100 * 100 * 20
    assert {one.name: (one.n_tokens, one.n_docs) for one in found.domains} == {n: VECTOR[n] for n in ("web", "code")}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1", "data_stages: []", "data_stages: [3]", THEIRS.format(start=1), THEIRS.format(start=101),
        THEIRS.format(start=91).replace("train_steps: 100, ", ""), THEIRS.format(start=91).replace("[8, 2]", "[8]"),
        THEIRS.format(start=91).replace("dataset_weights", "dataset_wieghts"),
    ],
)  # fmt: skip
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        Nanotron().read(tmp_path / "run.yaml")


def test_a_folder_in_a_folder_is_refused(tmp_path: Path) -> None:
    nested = order({"web": (1000, 10), "web/high": (1000, 10)}, (1.0, {"web": 0.5, "web/high": 0.5}), n_tokens=10_000)
    with pytest.raises(InputError, match="`web` with all below it"):
        Nanotron().export(nested, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_run_longer_than_its_data_names_the_old_loader(tmp_path: Path) -> None:
    long = replace(TWO, n_tokens=2_000_000)
    assert any("Nanoset" in line for line in Nanotron().export(long, tmp_path).losses)
    assert not any("Nanoset" in line for line in Nanotron().export(TWO, tmp_path).losses)


def test_datatrove_reads_what_the_file_names(tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="needs datatrove: make verify")
    export = Nanotron().export(TWO, tmp_path)
    with pytest.raises(InputError, match="no data for nanotron"):
        Nanotron().verify(tmp_path, export, 10)
    write_made(TWO, "datatrove", tmp_path / "data")
    found = Nanotron().verify(tmp_path, export, 100_000)
    assert [one.n_tokens for one in found.stages] == [100_000, 100_000]
    assert max(one.error for one in found.stages) < 1e-9


def test_a_stage_without_a_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no whole sequence"):
        Nanotron().export(replace(TWO, seq_len=150_000), tmp_path)
    assert not any(tmp_path.iterdir())
