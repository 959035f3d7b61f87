"""Axolotl's datasets: passes and parts as entries, files in order for stages, and the key that is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.core.files import write_json
from mixdesk.export.axolotl import Axolotl
from mixdesk.export.configs import read_yaml
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made


def entries(folder: Path) -> list[tuple[str, str | None]]:
    return [(one["path"], one.get("split")) for one in read_yaml(folder / "axolotl.yaml")["datasets"]]


def test_passes_and_parts_of_the_test_vector(tmp_path: Path) -> None:
    export = Axolotl(prepared=False).export(order(VECTOR, (1.0, THREE)), tmp_path / "a")
    assert entries(tmp_path / "a") == [
        ("data/books.jsonl", "train[:5]"), ("data/code.jsonl", "train"), ("data/web.jsonl", "train[:150]"),
    ]  # fmt: skip
    assert [one.realised for one in export.stages[0].shares] == pytest.approx([0.1, 0.3, 0.6])
    Axolotl(prepared=False).export(orders()["repeats"], tmp_path / "b")
    assert entries(tmp_path / "b") == [
        ("data/books.jsonl", "train"), ("data/books.jsonl", "train"), ("data/code.jsonl", "train"),
        ("data/code.jsonl", "train[:100]"), ("data/web.jsonl", "train[:25]"),
    ]  # fmt: skip


@pytest.mark.slow
def test_its_own_loader_takes_the_parts(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    wanted = orders()["repeats"]
    export = Axolotl(prepared=False).export(wanted, tmp_path)
    write_made(wanted, "rows", tmp_path / "data")
    found = Axolotl().verify(tmp_path, export, 100)
    assert found.stages[0].error < 0.02
    assert 0.01 < found.stages[0].allowed == 4.0 * found.stages[0].chance < 0.03
    assert "lengths chance, which may move a share by 0.02" in found.how
    assert "axolotl 0.19.0" in found.how


def test_stages_are_files_in_order_of_one_run(tmp_path: Path) -> None:
    export = Axolotl().export(orders()["two stages"], tmp_path)
    config = read_yaml(tmp_path / "axolotl.yaml")
    assert [one["path"] for one in config["datasets"]] == ["prepared/stage0.jsonl", "prepared/stage1.jsonl"]
    assert config["curriculum_sampling"] is True
    assert config["shuffle_merged_datasets"] is False
    assert config["num_epochs"] == 1
    assert any("one run by the order" in line for line in export.losses)
    found = Axolotl().read(tmp_path).plan.schedule
    assert [stage.until for stage in found.stages] == [0.5, 1.0]
    with pytest.raises(InputError, match="carry no schedule"):
        Axolotl(prepared=False).export(orders()["two stages"], tmp_path / "b")


HAND = """
datasets:
  - {{path: sft/web.jsonl, ds_type: json, type: alpaca, weight: 0.9{web}}}
  - {{path: sft/code.jsonl, ds_type: json, type: alpaca{code}}}
"""


def test_weights_of_somebody_are_ignored_as_axolotl_does_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "axolotl.yaml"
    path.write_text(HAND.format(web=", split: 'train[:50%]'", code=""))
    found = Axolotl().read(path)
    assert found.unit == "passes"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"code": 2 / 3, "web": 1 / 3})
    assert any("ignores it" in note for note in found.notes)
    (tmp_path / "sft").mkdir()
    for name, n in (("web", 60), ("code", 10)):
        (tmp_path / "sft" / f"{name}.jsonl").write_text("{}\n" * n)
    counted = Axolotl().read(path)
    assert counted.unit == "rows"
    assert counted.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.25, "web": 0.75}


def test_passes_become_tokens_by_all_tokens_of_a_domain(tmp_path: Path) -> None:
    export = Axolotl().export(order(VECTOR, (1.0, THREE)), tmp_path)
    write_json(tmp_path / "mixdesk.json", export)
    path = tmp_path / "mine.yaml"
    path.write_text("datasets:\n  - {path: web.jsonl, split: 'train[:10%]'}\n  - {path: code.jsonl}\n")
    found = mx.read_mixture(path, "axolotl")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.5, "web": 0.5}


@pytest.mark.parametrize(
    "text",
    ["datasets: []", "datasets: [{type: alpaca}]", "base_model: x", "datasets: [{path: a, split: 'train[5:9]'}]",
     "datasets: [{path: a, split: 'train[:5]'}, {path: b}]"],
)  # fmt: skip
def test_what_says_no_mixture_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        Axolotl().read(tmp_path / "x.yaml")


def test_weights_under_half_a_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weight of `books` is under"):
        Axolotl(prepared=False).export(orders()["short run"], tmp_path)
    assert not list(tmp_path.iterdir())
