"""The script of prepared rows, whatever trainer reads them: numbers, counts, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.export import prepared
from mixdesk.testing.orders import THREE, VECTOR, order, orders


def test_tokens_add_up_and_stages_end_at_steps() -> None:
    thirds = order(VECTOR, (1 / 3, THREE), (1.0, THREE))
    found = prepared.tokens_of(thirds)
    assert [sum(one.values()) for one in found] == [66_000, 134_000]
    odd = order(VECTOR, (1.0, {"web": 1 / 3, "code": 1 / 3, "books": 1 / 3}), n_tokens=100_000)
    assert sorted(prepared.tokens_of(odd)[0].values()) == [33_333, 33_333, 33_334]


def test_a_script_comes_back_without_its_account(tmp_path: Path) -> None:
    for name, wanted in orders().items():
        out = tmp_path / name
        prepared.write_script(wanted, out, "Nobody.")
        found = prepared.read_script(out / prepared.SCRIPT).plan
        assert found.scale.n_tokens == wanted.n_tokens
        for stage, asked in zip(found.schedule.stages, wanted.plan.schedule.stages, strict=True):
            weights = asked.mixture.as_dict()
            assert all(abs(stage.mixture.as_dict().get(n, 0.0) - w) <= 1.1e-5 for n, w in weights.items())


def test_counts_that_are_not_known_are_asked_for() -> None:
    with pytest.raises(InputError, match="tokens of `web` are not known"):
        prepared.tokens_of(order({"web": (0, 10)}, (1.0, {"web": 1.0})))


def test_rows_lines_and_names(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n\n{}")
    assert prepared.count_rows(tmp_path / "a.jsonl") == 2
    assert prepared.count_rows(tmp_path / "none") is None
    assert prepared.domain_names(["x/web.jsonl.gz", "x/a/code.parquet"], tmp_path) == ["web", "a/code"]
    assert prepared.whole_rows(order(VECTOR, (1.0, THREE))) == [{"books": 5, "code": 150, "web": 150}]


def test_a_script_is_read_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mixture.py"
    path.write_text('import os\nos.remove("/nothing")\nSIZES = {"a": 2}\nSTAGES = [{"a": 1}]\n')
    assert prepared.read_script(path).plan.schedule.domains == ("a",)
    path.write_text('SIZES = {"a": 2}\nSTAGES = [{"a": "x"}]\n')
    with pytest.raises(InputError, match="could not be understood"):
        prepared.read_script(path)
