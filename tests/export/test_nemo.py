"""NeMo's and the bridge's forms of Megatron's blend."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mixdesk.core.errors import InputError
from mixdesk.export.nemo import MegatronBridge, Nemo
from mixdesk.testing.orders import THREE, VECTOR, order, orders

ONE = order(VECTOR, (1.0, THREE))
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


@pytest.mark.parametrize("part", [Nemo, MegatronBridge])
def test_stages_are_files_and_come_back(part: type[Nemo] | type[MegatronBridge], tmp_path: Path) -> None:
    two = orders()["two stages"]
    export = part().export(two, tmp_path)
    assert export.files == ("stage0.yaml", "stage1.yaml")
    assert any("run of its own" in line for line in export.losses)
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
    ],
)
def test_files_as_people_write_them(part: type[Nemo] | type[MegatronBridge], text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    found = part().read(tmp_path / "mine.yaml").plan.schedule.stages[0].mixture.as_dict()
    assert found == pytest.approx(WEIGHTS)


@pytest.mark.parametrize("part", [Nemo, MegatronBridge])
@pytest.mark.parametrize(
    "text", ["", "[", "model: 3", "dataset: {blend: [[a, b], [1]]}", "dataset: {blend: 3}", "{paths: {valid: [a]}}"]
)
def test_other_files_are_refused(part: type[Nemo] | type[MegatronBridge], text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        part().read(tmp_path / "mine.yaml")
