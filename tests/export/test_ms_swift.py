"""ms-swift's command line: rows after a #, prepared rows, and scripts as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.export.ms_swift import MsSwift
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made


def test_rows_of_the_test_vector(tmp_path: Path) -> None:
    export = MsSwift(prepared=False).export(order(VECTOR, (1.0, THREE)), tmp_path)
    text = (tmp_path / "run.sh").read_text()
    assert "--dataset 'data/books.jsonl#5' 'data/code.jsonl#150' 'data/web.jsonl#150' --num_train_epochs 1" in text
    assert [one.written for one in export.stages[0].shares] == [5, 150, 150]
    alone = MsSwift().read(tmp_path / "run.sh")
    assert alone.unit == "rows"
    assert alone.plan.schedule.stages[0].mixture.as_dict()["web"] == pytest.approx(150 / 305)


@pytest.mark.slow
def test_its_own_sampling_takes_whole_passes_and_a_part(tmp_path: Path) -> None:
    pytest.importorskip("swift")
    wanted = orders()["repeats"]
    export = MsSwift(prepared=False).export(wanted, tmp_path)
    write_made(wanted, "rows", tmp_path / "data")
    found = MsSwift().verify(tmp_path, export, 100)
    assert found.stages[0].error < 0.02
    assert 0.01 < found.stages[0].allowed == 4.0 * found.stages[0].chance < 0.03
    assert "lengths chance, which may move a share by 0.02" in found.how
    assert "ms-swift 4.6.0" in found.how


def test_a_command_for_each_stage_goes_on_from_the_last(tmp_path: Path) -> None:
    MsSwift(prepared=False).export(orders()["two stages"], tmp_path / "a")
    found = MsSwift().read(tmp_path / "a")
    assert len(found.plan.schedule.stages) == 2
    export = MsSwift().export(orders()["two stages"], tmp_path / "b")
    text = (tmp_path / "b" / "run.sh").read_text()
    assert text.index("python mixture.py") < text.index("prepared/stage0.jsonl") < text.index("--model out/stage0/last")
    assert any("begin anew" in line for line in export.losses)
    assert MsSwift().read(tmp_path / "b" / "run.sh").plan.schedule.stages[0].mixture.as_dict() == pytest.approx(THREE)


def test_names_that_the_shell_would_take_apart_come_back(tmp_path: Path) -> None:
    MsSwift(prepared=False).export(orders()["slashes"], tmp_path)
    assert len(MsSwift().read(tmp_path).plan.schedule.domains) == 2


HAND = """#!/bin/bash
# swift sft --dataset nothing#1
CUDA_VISIBLE_DEVICES=0 swift sft \\
    --model some/model \\
    --dataset hf::org/web#60 'data/code.jsonl#20' \\
    --learning_rate 1e-4
"""


def test_a_script_of_somebody(tmp_path: Path) -> None:
    path = tmp_path / "sft.sh"
    path.write_text(HAND)
    weights = MsSwift().read(path).plan.schedule.stages[0].mixture.as_dict()
    assert sorted(weights.values()) == [0.25, 0.75]
    path.write_text("swift pt --dataset a.jsonl b.jsonl --interleave_prob 0.7 0.3\n")
    found = MsSwift().read(path)
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"a": 0.7, "b": 0.3}
    assert any("probability of rows" in note for note in found.notes)
    path.write_text("swift pt --dataset a.jsonl#10 a.jsonl#20 b.jsonl#30\n")
    assert MsSwift().read(path).plan.schedule.stages[0].mixture.as_dict() == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    "text",
    ["echo 1", "swift pt --dataset a.jsonl", "swift pt --dataset a b --interleave_prob 1",
     "swift pt --dataset 'a", "swift pt --dataset a#1 --interleave_prob x"],
)  # fmt: skip
def test_what_says_no_mixture_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text(text + "\n")
    with pytest.raises(InputError, match="could not be understood"):
        MsSwift().read(tmp_path / "x.sh")
