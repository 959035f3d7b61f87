import gzip
import json
import random
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.read import Skipped, find_files, read_files


def read(*sources, on_error="raise"):
    skipped = Skipped(on_error=on_error)
    return list(read_files(find_files(sources, skipped), skipped)), skipped


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "texts"
    (root / "code" / "c").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.txt").write_text("never")
    (root / "code" / "c" / "b.txt").write_bytes(b"int b;\r\n")
    (root / "code" / "c" / "a.md").write_text("\ufeffint a;")
    (root / "web.txt").write_text("a page")
    (root / "picture.png").write_bytes(b"\x89PNG\0")
    with gzip.open(root / "log.txt.gz", "wt") as handle:
        handle.write("packed")
    lines = [{"text": "one", "label": "x/y", "license": "MIT"}, {"text": "two", "domain": "z"}, {"text": "three"}]
    (root / "code" / "d.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    with gzip.open(root / "e.jsonl.gz", "wt") as handle:
        handle.write('{"text": "four", "label": null}')
    return root


def test_labels_come_from_the_record_then_the_folder_then_the_name(tree: Path) -> None:
    documents, skipped = read(tree)
    found = {document.text: document.label for document in documents}
    assert found == {
        "int a;": "code/c",
        "int b;\r\n": "code/c",
        "one": "x/y",
        "two": "z",
        "three": "code",
        "four": "e",
        "packed": "log",
        "a page": "web",
    }
    assert [d.license for d in documents if d.text == "one"] == ["MIT"]
    assert [d.source for d in documents if d.text == "two"] == [f"{tree}/code/d.jsonl:2"]
    assert skipped.counts == {"another kind of file": 1}
    assert "picture.png" in skipped.first["another kind of file"]


def test_globs_and_files_keep_the_order_given(tree: Path) -> None:
    documents, _ = read(tree / "web.txt", f"{tree}/code/*/*.txt", str(tree / "log.txt.gz"))
    assert [(d.text, d.label) for d in documents] == [("a page", "web"), ("int b;\r\n", "c"), ("packed", "log")]


@pytest.mark.parametrize("source", ["nowhere.txt", "nowhere/*.txt", "texts/picture.png"])
def test_a_source_without_text_is_an_error_even_when_skipping(tree: Path, source: str) -> None:
    with pytest.raises(InputError, match="holds no text"):
        read(tree.parent / source, on_error="skip")


HALF = gzip.compress(random.Random(0).randbytes(9000).hex().encode())[:4000]
BROKEN = {
    "empty.txt": (b"", "empty", "is empty"),
    "blank.md": (b" \n\t\n", "empty", "is empty"),
    "none.jsonl": (b"\n\n", "empty", "is empty"),
    "image.txt": (b"GIF\0\0abc", "binary", "NUL byte at offset 3"),
    "image.jsonl": (b"GIF\0\0abc\nmore\n", "binary", ":1"),
    "latin.txt": ("caf\u00e9".encode("latin-1"), "not UTF-8", "offset 3"),
    "latin.jsonl": (b'{"text": "ok"}\n{"text": "caf\xe9"}\n', "not UTF-8", "latin.jsonl:2"),
    "torn.jsonl": (b'{"text": "ok"}\n\n{"text": "to', "broken JSON", "torn.jsonl:3"),
    "deep.jsonl": (b"[" * 100_000, "broken JSON", "deep.jsonl:1"),
    "huge.jsonl": (b'{"text": ' + b"1" * 5000 + b"}", "broken JSON", "huge.jsonl:1"),
    "list.jsonl": (b'["text"]', "no text", "list.jsonl:1"),
    "missing.jsonl": (b'{"txt": "x"}', "no text", "missing.jsonl:1"),
    "number.jsonl": (b'{"text": 3}', "no text", "number.jsonl:1"),
    "label.jsonl": (b'{"text": "x", "label": 3}', "no text", "wrong `label`"),
    "void.jsonl": (b'{"text": "  "}', "empty", "void.jsonl:1"),
    "surrogate.jsonl": (b'{"text": "x\\ud800"}', "not UTF-8", "character 1"),
    "half.txt.gz": (HALF, "broken gzip", "half.txt.gz"),
    "half.jsonl.gz": (HALF, "broken gzip", "half.jsonl.gz"),
    "not.txt.gz": (b"plain", "broken gzip", "not.txt.gz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_inputs_are_named_or_counted(tmp_path: Path, name: str) -> None:
    raw, reason, named = BROKEN[name]
    (tmp_path / name).write_bytes(raw)
    (tmp_path / "zz.txt").write_text("whole")
    with pytest.raises(InputError) as error:
        read(tmp_path)
    assert named in str(error.value)
    assert name in str(error.value)
    assert error.value.bound
    assert error.value.remedy
    documents, skipped = read(tmp_path, on_error="skip")
    assert documents[-1].text == "whole"
    assert [d.text for d in documents[:-1]] == (["ok"] if b"ok" in raw else [])
    assert skipped.counts == {reason: 1}
    assert name in skipped.first[reason]


def test_lines_before_half_a_gzip_file_breaks_stay(tmp_path: Path) -> None:
    noise = random.Random(1)
    lines = "".join(json.dumps({"text": noise.randbytes(500).hex()}) + "\n" for _ in range(200))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:60_000])
    documents, skipped = read(tmp_path, on_error="skip")
    assert 50 < len(documents) < 200
    assert skipped.counts["broken gzip"] == 1


def test_a_stream_holds_one_document(tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "big.jsonl").open("w") as handle:
        for i in range(20_000):
            handle.write(json.dumps({"text": f"{i} " * 100}) + "\n")
    skipped = Skipped()
    tracemalloc.start()
    n_bytes = sum(len(d.text) for d in read_files(find_files([tmp_path], skipped), skipped))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_bytes > 10_000_000
    assert peak < 1_000_000


def test_on_error_is_one_of_two_words() -> None:
    with pytest.raises(InputError, match="on_error"):
        Skipped(on_error="ignore")
