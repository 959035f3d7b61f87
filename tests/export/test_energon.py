"""Energon's metadataset: weights of documents, written and as people write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.core.files import write_json
from mixdesk.export.energon import Energon
from mixdesk.testing.orders import THREE, VECTOR, order, orders

ROWS = {"books": 1 / 61, "code": 30 / 61, "web": 30 / 61}


def test_weights_count_documents_and_come_back_as_tokens(tmp_path: Path) -> None:
    export = Energon().export(order(VECTOR, (1.0, THREE)), tmp_path)
    said = yaml.safe_load((tmp_path / "metadataset0.yaml").read_text())
    assert (said["__module__"], said["__class__"]) == ("megatron.energon", "MetadatasetV2")
    blend = said["splits"]["train"]["blend"]
    assert {one["path"]: one["weight"] for one in blend} == pytest.approx({f"data/{d}": q for d, q in ROWS.items()})
    found = Energon().read(tmp_path)
    assert found.unit == "documents"
    assert found.plan.scale.n_tokens == 200_000
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(ROWS)
    write_json(tmp_path / "mixdesk.json", export)
    assert mx.read_mixture(tmp_path, "energon").plan.schedule.stages[0].mixture.as_dict() == pytest.approx(THREE)
    check = Energon().verify(tmp_path, export, 10)
    assert check.stages[0].error < 1e-12
    assert "was not run" in check.how
    text = (tmp_path / "metadataset0.yaml").read_text()
    (tmp_path / "metadataset0.yaml").write_text(text.replace("weight: 0.01", "weight: 0.1"))
    assert Energon().verify(tmp_path, export, 10).stages[0].error > 0.1


def test_stages_are_files(tmp_path: Path) -> None:
    two = orders()["two stages"]
    export = Energon().export(replace(two, n_tokens=400_000), tmp_path)
    assert export.files == ("metadataset0.yaml", "metadataset1.yaml")
    assert any("has no stages" in line for line in export.losses)
    assert any("starts `web` anew" in line for line in export.losses)
    for file in tmp_path.glob("*.yaml"):
        file.write_text(file.read_text().replace("# Tokens of this stage", "# Some tokens"))
    found = Energon().read(tmp_path)
    assert [stage.until for stage in found.plan.schedule.stages] == [0.5, 1.0]
    assert any("equal lengths" in note for note in found.notes)


@pytest.mark.parametrize(
    ("train", "unit", "weights"),
    [
        ("{blend: [{weight: 5, path: ./coco}, {weight: 2, path: ./coyo}, {path: ./other}]}", "documents", (5, 2, 1)),
        ("{blend_epochized: [{repetitions: 5, path: coco}, {repetitions: 2, path: coyo}, {path: other}]}", "passes",
         (5, 2, 1)),
        ("{datasets: [{weight: 6, path: /d/coco}, {weight: 1, path: /d/coyo}, {weight: 1, path: /d/other}]}",
         "documents", (6, 1, 1)),
    ],
)  # fmt: skip
def test_files_of_somebody(train: str, unit: str, weights: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"__module__: megatron.energon\nsplits:\n  train: {train}\n  val: {{path: ./coco}}\n")
    found = Energon().read(path)
    assert found.unit == unit
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(
        dict(zip(("coco", "coyo", "other"), (one / 8 for one in weights), strict=True))
    )


def test_one_data_set_is_a_mixture_of_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("splits: {train: {path: ./coco}}")
    assert Energon().read(tmp_path / "mine.yaml").plan.schedule.stages[0].mixture.as_dict() == {"coco": 1.0}


@pytest.mark.parametrize(
    "text",
    ["", "3", "splits: 3", "splits: {val: {path: a}}", "splits: {train: {blend: [{weight: x, path: a}]}}",
     "splits: {train: {blend: [{weight: 1, blend: [{weight: 1, path: a}]}]}}",
     "splits: {train: {blend: [{weight: 0, path: a}]}}"],
)  # fmt: skip
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        Energon().read(tmp_path / "mine.yaml")


def test_stages_of_two_kinds_are_refused(tmp_path: Path) -> None:
    Energon().export(orders()["two stages"], tmp_path)
    (tmp_path / "metadataset1.yaml").write_text(
        "splits: {train: {blend_epochized: [{repetitions: 2, path: data/web}]}}"
    )
    with pytest.raises(InputError, match="all stages of one kind"):
        Energon().read(tmp_path)
