"""The blend itself: shuffled, nothing twice too early, and the same after an interruption."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core.scale import Scale
from mixdesk.export import blend


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def rows_of(folder: Path) -> Iterator[dict[str, object]]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def test_nothing_comes_again_before_all_of_its_domain_was_there(made: Path, tmp_path: Path) -> None:
    recipe = mx.read_recipe(made / "study")
    recipe = replace(recipe, plan=replace(recipe.plan, scale=Scale(n_tokens=120_000)))
    corpus = mx.open_corpus(made / "corpus")
    mx.export_recipe(recipe, "files:seed=3", tmp_path / "out", corpus=made / "corpus")
    seen: dict[str, Counter[object]] = {name: Counter() for name in corpus.names}
    order = []
    for stage in ("stage0", "stage1"):
        for row in rows_of(tmp_path / "out" / "data" / stage):
            seen[str(row["domain"])][row["text"]] += 1
            order.append(row["domain"])
    for domain in corpus.domains:
        times = seen[domain.name].values()
        assert len(times) == domain.n_docs
        assert max(times) - min(times) <= 1
    # Shuffled: the domains change all the time.
    assert sum(a != b for a, b in pairwise(order)) > len(order) / 3
    found = mx.verify_export(tmp_path / "out")
    assert max(one.error for one in found.stages) < 0.02


def test_a_blend_that_was_stopped_goes_on(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "FILE_TOKENS", 2_000)
    mx.export_recipe(made / "study", "files", tmp_path / "whole")
    written, write = [], blend._write

    def stopping(*args: object) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(args[2])
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(blend, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        mx.export_recipe(made / "study", "files", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    again: list[object] = []
    monkeypatch.setattr(blend, "_write", lambda *args: (again.append(args[2]), write(*args)))
    mx.export_recipe(made / "study", "files", tmp_path / "out")
    assert not set(written) & set(again)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
