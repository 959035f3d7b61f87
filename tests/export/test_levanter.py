"""Levanter's blocks: the counting rule, weights that survive it, and files of both generations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mixdesk.core.errors import InputError
from mixdesk.export.levanter import CONFIG, Levanter, block_counts
from mixdesk.testing.orders import THREE, VECTOR, order, orders

ONE = order(VECTOR, (1.0, THREE))
TWO = orders()["two stages"]
THEIRS = """
data:
  tokenizer: gpt2
  configs: {web: {train_urls: [a]}, code: {train_urls: [b]}}
  train_weights:
  - [0, {web: 8, code: 2}]
  - [90, {web: 0.3, code: 0.7}]
  mixture_block_size: 100
trainer: {train_batch_size: 20, num_train_steps: 100}
model: {seq_len: 64}
"""


def test_the_rule_of_a_block() -> None:
    # As marin-levanter 0.2.20 does: the rest goes to the largest.
    assert block_counts([0.8, 0.1, 0.1], 64).tolist() == [52, 6, 6]
    assert block_counts([0.99, 0.009, 0.001], 64).tolist() == [64, 0, 0]


def test_the_smallest_file(tmp_path: Path) -> None:
    export = Levanter().export(ONE, tmp_path)
    data = yaml.safe_load((tmp_path / CONFIG).read_text())
    assert data["data"]["components"]["web"] == {"source": {"type": "url", "train_urls": ["data/web.jsonl"]}}
    assert data["data"]["mixture_block_size"] == 2000
    assert data["data"]["train_weights"] == pytest.approx(THREE, abs=3e-9)
    assert data["trainer"] == {"train_batch_size": 20, "num_train_steps": 100}
    assert {one.domain: one.realised for one in export.stages[0].shares} == THREE


@pytest.mark.parametrize("case", ["one stage", "two stages", "two domains", "repeats", "slashes", "zero weight"])
@pytest.mark.parametrize("block", [0, 100, 50])
def test_what_is_written_survives_rounding_down(case: str, block: int, tmp_path: Path) -> None:
    export = Levanter(block=block).export(orders()[case], tmp_path)
    found = Levanter().verify(tmp_path, export, 100_000)
    for stage, drawn in zip(export.stages, found.stages, strict=True):
        assert dict(drawn.realised) == pytest.approx({one.domain: one.realised for one in stage.shares}, abs=1e-12)
        assert drawn.error <= 0.5 / (block or 1000) + 1e-12


def test_two_hundred_domains_survive_too(tmp_path: Path) -> None:
    many = replace(orders()["200 domains"], n_tokens=100_000_000)
    export = Levanter().export(many, tmp_path)
    assert Levanter().verify(tmp_path, export, 10**9).stages[0].error < 1.0 / 65_535


@pytest.mark.parametrize("n", [2, 3, 7, 200])
def test_equal_weights_stay_equal_to_a_sequence_of_a_block(n: int, tmp_path: Path) -> None:
    sizes = {f"d{i:03d}": (100_000, 10) for i in range(n)}
    export = Levanter().export(order(sizes, (1.0, dict.fromkeys(sizes, 1.0 / n)), n_tokens=10_000_000), tmp_path)
    drawn = Levanter().verify(tmp_path, export, 10**9).stages[0]
    assert dict(drawn.realised) == pytest.approx({one.domain: one.realised for one in export.stages[0].shares})
    assert drawn.error < 3.0 / 65_535


def test_stages_begin_with_a_block(tmp_path: Path) -> None:
    for legal in (100, 200):
        Levanter(block=legal).export(TWO, tmp_path)
        assert yaml.safe_load((tmp_path / CONFIG).read_text())["data"]["train_weights"][1][0] == 50
    for wrong in (64, 2048, -1, 100_000):
        with pytest.raises(InputError, match="begin with a block"):
            Levanter(block=wrong).export(TWO, tmp_path)
    Levanter().export(TWO, tmp_path)
    assert yaml.safe_load((tmp_path / CONFIG).read_text())["data"]["mixture_block_size"] == 1000
    found = Levanter().read(tmp_path).plan
    assert [stage.until for stage in found.schedule.stages] == [0.5, 1.0]


def test_a_domain_without_a_sequence_in_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sequence in a block"):
        Levanter(block=2).export(ONE, tmp_path)
    assert not any(tmp_path.iterdir())
    few = Levanter(block=100).export(ONE, tmp_path)
    assert any("`books` have under 20" in line for line in few.losses)


def test_the_key_of_2025(tmp_path: Path) -> None:
    Levanter(key="configs").export(ONE, tmp_path)
    data = yaml.safe_load((tmp_path / CONFIG).read_text())["data"]
    assert data["configs"]["web"] == {"train_urls": ["data/web.jsonl"]}
    with pytest.raises(InputError, match="components or configs"):
        Levanter(key="sources")


def test_somebodys_file_comes_in(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(THEIRS)
    found = Levanter().read(tmp_path / "run.yaml").plan
    assert [stage.until for stage in found.schedule.stages] == [0.9, 1.0]
    assert [stage.mixture.as_dict() for stage in found.schedule.stages] == [
        {"web": 0.8, "code": 0.2}, {"web": 0.3, "code": 0.7},
    ]  # fmt: skip
    assert found.scale.n_tokens == 100 * 20 * 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data:", "date:"), ("  - [90", "  - [91"), ("  - [0,", "  - [1,"), ("num_train_steps: 100", "a: 1"),
        ("num_train_steps: 100", "num_train_steps: 90"), ("{web: 8", "{wbe: 8"), ("{web: 8, code: 2}", "3"),
        ("mixture_block_size: 100", "mixture_block_size: 0"), ("web: 8", "web: -8"),
    ],
)  # fmt: skip
def test_other_files_are_refused(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(THEIRS.replace(old, new))
    with pytest.raises(InputError, match="could not be understood"):
        Levanter().read(tmp_path / "run.yaml")


def test_a_stage_without_a_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no whole sequence"):
        Levanter().export(replace(TWO, seq_len=150_000), tmp_path)
    assert not any(tmp_path.iterdir())
