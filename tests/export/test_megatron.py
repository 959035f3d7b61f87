"""Megatron's blend: the words of its files, its own parser's rule, and what megatron-core makes of the test vector."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export
from mixdesk.core.files import write_json
from mixdesk.export.megatron import Megatron, split_words
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

ONE = order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),))
TWO = orders()["two stages"]
PHASE = "0.1 data/books\n0.3 data/code\n0.6 data/web\n"


def shares(export: Export) -> list[dict[str, float]]:
    return [{one.domain: one.realised for one in stage.shares} for stage in export.stages]


def test_the_smallest_file(tmp_path: Path) -> None:
    export = Megatron().export(replace(ONE, source="recipe of study s"), tmp_path)
    assert (tmp_path / "phase0.txt").read_text() == PHASE
    run = (tmp_path / "run.sh").read_text()
    assert "# mixdesk: recipe of study s\n" in run
    assert "# Limits on epochs over the run: code 1\n" in run
    assert "--seq-length 100 --train-samples 2000 --global-batch-size 20 --split 1,0,0\n" in run
    assert shares(export) == [{"web": 0.6, "code": 0.3, "books": 0.1}]
    epochs = {one.domain: one.epochs for one in export.stages[0].shares}
    assert epochs == pytest.approx({"web": 0.2, "code": 1.0, "books": 0.5})


def test_two_phases_start_the_program_twice(tmp_path: Path) -> None:
    export = Megatron().export(TWO, tmp_path)
    (tmp_path / "train").write_text('#!/bin/sh\necho "$@" >> seen\n')
    subprocess.run(["sh", "run.sh", "sh", "train", "--save", "x"], cwd=tmp_path, check=True)
    common = (
        "--seq-length 100 --train-samples 2000 --global-batch-size 20 --phase-transition-iterations 50 --split 1,0,0"
    )
    subprocess.run(
        ["sh", "run.sh", "sh", "train", "--save", "x"],
        cwd=tmp_path,
        check=True,
        env={"PHASES": "1", "PATH": "/bin:/usr/bin"},
    )
    lines = (tmp_path / "seen").read_text().splitlines()
    assert lines.pop() == lines[1]
    assert lines == [f"--save x --data-args-path phase{i}.txt {common}" for i in (0, 1)]
    assert [
        line for line in export.losses if line.startswith("This loader starts `web` anew at each stage: 0.1 epochs")
    ]
    limited = Megatron().export(replace(TWO, max_epochs=(("web", 1.0),)), tmp_path / "limited")
    assert any("Some is read 2 times, where the limit is 1." in line for line in limited.losses)
    assert any("Only the domain as a whole keeps that limit, with " in line for line in limited.losses)
    found = Megatron().read(tmp_path)
    assert [stage.until for stage in found.plan.schedule.stages] == [0.5, 1.0]
    assert found.plan.scale.n_tokens == 200_000


def test_per_split_holds_blanks_and_asks_for_no_split(tmp_path: Path) -> None:
    named = orders()["slashes"]
    with pytest.raises(InputError, match="per_split=true"):
        Megatron().export(named, tmp_path / "words")
    export = Megatron(per_split=True).export(named, tmp_path)
    assert json.loads((tmp_path / "phase0.json").read_text()) == {
        "train": ["0.25", "data/web/high", "0.75", "data/web/low, raw"], "valid": None, "test": None,
    }  # fmt: skip
    assert "--split" not in (tmp_path / "run.sh").read_text().replace("--per-split", "")
    write_json(tmp_path / "mixdesk.json", export)
    weights = Megatron().read(tmp_path).plan.schedule.stages[0].mixture.as_dict()
    assert weights == {"web/high": 0.25, "web/low, raw": 0.75}


@pytest.mark.parametrize(
    ("words", "weights", "prefixes"),
    [
        ("6 a/web 3 a/code", [6.0, 3.0], ["a/web", "a/code"]),
        ("a/web a/code", None, ["a/web", "a/code"]),
        ("1 a/web 2", None, ["1", "a/web", "2"]),
        ("a/web", None, ["a/web"]),
        ("2024 a/web", [2024.0], ["a/web"]),
    ],
)
def test_a_list_is_read_by_the_rule_of_megatrons_parser(
    words: str, weights: list[float] | None, prefixes: list[str]
) -> None:
    assert split_words(Path("f"), words.split()) == (weights, prefixes)


@pytest.mark.parametrize("words", ["", "0.5 a 0 b", "0.5 a x b", "-1 a 2 b"])
def test_a_list_that_stops_megatron_is_refused(words: str, tmp_path: Path) -> None:
    (tmp_path / "blend.txt").write_text(words)
    with pytest.raises(InputError, match="could not be understood"):
        Megatron().read(tmp_path / "blend.txt")


def test_somebodys_file_comes_in_with_its_counts(tmp_path: Path) -> None:
    write_made(ONE, "megatron", tmp_path / "data")
    for one in (tmp_path / "data").glob("*.*"):
        one.rename(one.with_name(f"{one.stem}_text_document{one.suffix}"))
    (tmp_path / "blend.txt").write_text(
        "30 data/web_text_document\n10 data/books_text_document 10 data/code_text_document"
    )
    found = mixdesk.read_mixture(tmp_path / "blend.txt", "megatron", n_tokens=200_000)
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"books": 0.2, "code": 0.2, "web": 0.6})
    assert {one.name: (one.n_tokens, one.n_docs) for one in found.domains} == VECTOR
    # Without weights, by the lengths.
    (tmp_path / "blend.txt").write_text("data/web_text_document data/books_text_document data/code_text_document")
    found = Megatron().read(tmp_path / "blend.txt")
    natural = {"web": 600 / 700, "code": 60 / 700, "books": 40 / 700}
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(natural)
    (tmp_path / "data" / "web_text_document.idx").unlink()
    with pytest.raises(InputError, match="no weights"):
        Megatron().read(tmp_path / "blend.txt")


def test_one_prefix_twice_is_one_domain(tmp_path: Path) -> None:
    (tmp_path / "blend.json").write_text('{"train": "1 /d/web 1 /d/code 2 /d/web", "valid": null, "test": null}')
    found = Megatron().read(tmp_path / "blend.json")
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"web": 0.75, "code": 0.25}
    assert "added" in found.notes[0]


def test_what_cannot_be_filled_is_refused(tmp_path: Path) -> None:
    for wrong, match in [
        (orders()["short run"], "`books` is under"),
        (replace(ONE, seq_len=None), "--seq-len"),
        (replace(ONE, seq_len=300_000), "no whole sequence"),
        (replace(ONE, n_tokens=None), "--n-tokens"),
        (replace(TWO, batch_tokens=1_950), "multiple of 100"),
        (replace(TWO, batch_tokens=None), "--batch-tokens"),
    ]:
        with pytest.raises(InputError, match=match):
            Megatron().export(wrong, tmp_path)
    assert not any(tmp_path.iterdir())


def test_two_hundred_domains_keep_all_digits(tmp_path: Path) -> None:
    many = replace(orders()["200 domains"], n_tokens=100_000_000)
    Megatron().export(many, tmp_path)
    assert Megatron().read(tmp_path).plan.schedule.stages[0].mixture == many.plan.schedule.stages[0].mixture


def test_a_full_pass_is_short_of_one_sequence(tmp_path: Path) -> None:
    losses = Megatron().export(ONE, tmp_path).losses
    assert [line for line in losses if line.startswith("`code` is planned at 1 epochs")]


@pytest.mark.slow
def test_megatron_core_fills_the_vector(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("megatron.core", reason="needs megatron-core: make verify")
    export = Megatron().export(TWO, tmp_path)
    write_made(TWO, "megatron", tmp_path / "data")
    before = sorted(tmp_path.rglob("*"))
    found = Megatron().verify(tmp_path, export, 100_000)
    counts = [{name: round(share * one.n_tokens / 100) for name, share in one.realised} for one in found.stages]
    assert counts == [{"web": 600, "code": 300, "books": 100}, {"web": 800, "code": 100, "books": 100}]
    assert sorted(tmp_path.rglob("*")) == before
    assert "megatron-core 0." in found.how
    assert not caplog.records
    (tmp_path / "data" / "web.idx").unlink()
    with pytest.raises(InputError, match=r"no data/web\.idx"):
        Megatron().verify(tmp_path, export, 100)
