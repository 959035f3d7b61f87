"""NeMo's, the bridge's and GPT-NeoX's forms of Megatron's blend."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mixdesk.core.errors import InputError
from mixdesk.export.nemo import MegatronBridge, Nemo, Neox
from mixdesk.testing.orders import THREE, VECTOR, order, orders

ONE = order(VECTOR, (1.0, THREE))
Part = type[Nemo] | type[MegatronBridge] | type[Neox]
WEIGHTS = {"books": 0.1, "code": 0.3, "web": 0.6}


def data_of(path: Path) -> object:
    return yaml.safe_load(path.read_text())


def test_the_smallest_files(tmp_path: Path) -> None:
    Nemo().export(ONE, tmp_path / "n")
    words = [0.1, "data/books", 0.3, "data/code", 0.6, "data/web"]
    assert data_of(tmp_path / "n" / "stage0.yaml") == {"model": {"data": {"data_prefix": words}}}
    MegatronBridge().export(ONE, tmp_path / "b")
    blend = [["data/books", "data/code", "data/web"], [0.1, 0.3, 0.6]]
    assert data_of(tmp_path / "b" / "stage0.yaml") == {"dataset": {"blend": blend}}
    export = Neox().export(ONE, tmp_path / "x")
    assert data_of(tmp_path / "x" / "stage0.yaml") == {"train_data_paths": blend[0], "train_data_weights": blend[1]}
    assert "valid_data_paths and test_data_paths" in export.losses[-1]


@pytest.mark.parametrize("part", [Nemo, MegatronBridge, Neox])
def test_stages_are_files_and_come_back(part: Part, tmp_path: Path) -> None:
    two = orders()["two stages"]
    export = part().export(two, tmp_path)
    assert export.files == ("stage0.yaml", "stage1.yaml")
    restart = "in the middle of its own blend" if part is Neox else "run of its own"
    assert any(restart in line for line in export.losses)
    assert any("`fresh=true`" in line for line in export.losses) is (part is not Neox)
    found = part().read(tmp_path).plan
    assert found.schedule == two.plan.schedule
    assert found.scale.n_tokens == 200_000
    (tmp_path / "stage1.yaml").unlink()
    with pytest.raises(InputError, match="1 files of stages"):
        part().read(tmp_path)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Nemo, "model: {data: {data_prefix: [1, d/books, 3, d/code, 6, d/web]}}"),
        (Nemo, "['10', d/books, '30', d/code, '60', d/web]"),
        (Nemo, "paths: {train: ['10', d/books, '30', d/code, '60', d/web], validation: [d/valid]}"),
        (MegatronBridge, "dataset: {blend: [[d/books, d/code, d/web], [1, 3, 6]]}"),
        (MegatronBridge, "dataset: {data_path: 1 d/books 3 d/code 6 d/web}"),
        (MegatronBridge, "dataset: {data_path: ['1', d/books, '3', d/code, '6', d/web]}"),
        (Neox, '{"train-data-paths": ["d/books", "d/code", "d/web"], "train-data-weights": [1., 3., 6.]}'),
        (Neox, "{train_data_paths: [d/books, d/code, d/web], train_data_weights: [1, 3, 6], train_iters: 9}"),
    ],
)
def test_files_as_people_write_them(part: Part, text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    found = part().read(tmp_path / "mine.yaml").plan.schedule.stages[0].mixture.as_dict()
    assert found == pytest.approx(WEIGHTS)


@pytest.mark.parametrize("part", [Nemo, MegatronBridge, Neox])
@pytest.mark.parametrize(
    "text",
    ["", "[", "model: 3", "dataset: {blend: [[a, b], [1]]}", "dataset: {blend: 3}", "{paths: {valid: [a]}}",
     "train_data_paths: [a]", "{train_data_paths: [a, b], train_data_weights: [1]}",
     "{train_data_paths: [a, b], train_data_weights: [1, 2], weight_by_num_documents: true}"],
)  # fmt: skip
def test_other_files_are_refused(part: Part, text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        part().read(tmp_path / "mine.yaml")


def test_neox_numbers_its_domains_in_a_byte(tmp_path: Path) -> None:
    sizes = {f"d{i:03d}": (1_000, 10) for i in range(255)}
    many = order(sizes, (1.0, dict.fromkeys(sizes, 1.0 / 255)))
    with pytest.raises(InputError, match="at most 254"):
        Neox().export(many, tmp_path)
    with pytest.raises(InputError, match="at most 254"):
        Neox().snippet(many)
    assert not any(tmp_path.iterdir())
    Nemo().export(many, tmp_path)
