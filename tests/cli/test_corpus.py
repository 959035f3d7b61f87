"""`mixdesk corpus` on real text: build, show, split, check, import."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mixdesk
from mixdesk.cli.main import app

# Real text of two kinds, cut into documents.
SOURCE = Path(typing.__file__).read_text()
WORDS = [" ".join(SOURCE.split()[i : i + 120]) for i in range(0, 9_600, 120)]


def run(*words: object, code: int = 0) -> str:
    shown = CliRunner().invoke(app, ["corpus", *map(str, words)])
    assert shown.exit_code == code, shown.output
    return shown.output


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    for name, rows in (("prose", WORDS[:40]), ("code/py", WORDS[40:])):
        (folder / name).mkdir(parents=True)
        lines = [
            json.dumps({"text": text, "license": "MIT" if i % 2 else "GPL-2.0-only"}) for i, text in enumerate(rows)
        ]
        (folder / name / "a.jsonl").write_text("\n".join([*lines, lines[0]]))
    (folder / "exam.txt").write_text(" ".join(WORDS[3].split()[:60]))
    told = run(
        "build", folder / "prose", folder / "code", "--eval", f"exam={folder / 'exam.txt'}", "--step", "unicode",
        "--near", 0.8, "--tokenizer", "bytes", "-o", folder / "corpus", "-q",
    )  # fmt: skip
    assert "exact copy" in told
    assert "holds evaluation text" in told
    return folder / "corpus"


def test_show_says_sizes_licences_tiers_and_what_was_left_out(built: Path) -> None:
    facts = json.loads(run("show", built, "--json", "--samples", 1))
    rows = {row["domain"]: row for row in facts["domains"]}
    assert len(rows) == 2
    for row in rows.values():
        assert row["tier"] == "copyleft"
        assert sum(row["histogram"]) == row["documents"]
        assert sum(row["licences"].values()) == row["tokens"]
    assert {one["reason"] for one in facts["removed"]} >= {"exact copy", "holds evaluation text"}
    assert [step["step"]["name"] for step in facts["steps"]] == ["unicode"]
    assert all(len(documents) == 1 for documents in facts["samples"].values())
    told = run("show", built, "--samples", 1, "--overlap")
    assert "Shared 10-word windows" in told
    leaks = told.split("Hits against evaluation sets, before anything was removed:\n")[1].splitlines()
    assert leaks[1].split()[:2] == ["exam", "1"]
    assert leaks[1].split()[-2:] == ["a", "1"]


def test_split_cuts_by_licence_and_check_finds_damage(built: Path, tmp_path: Path) -> None:
    told = run("split", built, "by_license", "-o", tmp_path / "cut", "-q")
    assert "/copyleft" in told
    assert "/permissive" in told
    before, after = mixdesk.open_corpus(built), mixdesk.open_corpus(tmp_path / "cut")
    assert sum(one.n_docs for one in after.domains) == pytest.approx(sum(one.n_docs for one in before.domains), abs=4)
    assert run("check", tmp_path / "cut", "-q").strip() == "every file is as it was written"
    shard = next((tmp_path / "cut" / "shards").glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:-4])
    assert shard.name in run("check", tmp_path / "cut", "-q", code=1)


def test_import_counts_by_the_index(built: Path, tmp_path: Path) -> None:
    mixdesk.export_corpus(built, tmp_path / "there", "megatron")
    told = run("import", tmp_path / "there", "--tokenizer", "bytes", "-o", tmp_path / "counts", "--n-tokens", "1e6")
    assert "epochs" in told
    counts = {one.name: one.n_tokens for one in mixdesk.open_corpus(tmp_path / "counts").domains}
    assert counts == {one.name: one.n_tokens for one in mixdesk.open_corpus(built).domains}
    two = f"a={tmp_path}", str(tmp_path)
    shown = CliRunner().invoke(app, ["corpus", "import", *two, "--tokenizer", "x", "-o", str(tmp_path / "no")])
    assert shown.exit_code != 0
