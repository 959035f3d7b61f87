import gzip
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.corpus.read import READERS, Skipped, find_files, read_files


def read(*sources, on_error="raise", **options):
    skipped = Skipped(on_error=on_error, **options)
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
HALF_ZST = pa.compress(random.Random(0).randbytes(9000).hex().encode(), "zstd", asbytes=True)[:4000]
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
    "label.jsonl": (b'{"text": "x", "label": 3}', "wrong field", "wrong `label`"),
    "void.jsonl": (b'{"text": "  "}', "empty", "void.jsonl:1"),
    "surrogate.jsonl": (b'{"text": "x\\ud800"}', "not UTF-8", "character 1"),
    "half.txt.gz": (HALF, "broken gzip", "half.txt.gz"),
    "half.jsonl.gz": (HALF, "broken gzip", "half.jsonl.gz"),
    "not.txt.gz": (b"plain", "broken gzip", "not.txt.gz"),
    "half.txt.zst": (HALF_ZST, "broken zstd", "half.txt.zst"),
    "half.jsonl.zst": (HALF_ZST, "broken zstd", "half.jsonl.zst"),
    "not.json.zst": (b"plain", "broken zstd", "not.json.zst"),
    "none.jsonl.zst": (b"", "empty", "is empty"),
    "wide.txt": ("wide".encode("utf-16"), "not UTF-8", "UTF-16"),
    "wide.jsonl": ('{"text": "x"}'.encode("utf-16"), "not UTF-8", "UTF-16"),
    "types.ndjson": (b'{"text": "ok"}\n{"text": ["to", "kens"]}\n', "no text", "types.ndjson:2"),
    "path.jsonl": (b'{"text": "ok"}\n{"text": "b", "label": "../../etc/x"}\n', "unsafe label", "path.jsonl:2"),
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


RECORD_FILES = ["a.jsonl", "a.jsonl.gz", "a.json.zst", "a.ndjson", "a.parquet", "a.arrow"]
NAMES = st.text("abc\u00e9/-", min_size=1, max_size=9).filter(lambda name: all(name.split("/")))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
MADE = st.builds(
    Document,
    text=WORDS.filter(lambda text: text[0] != "\ufeff"),
    label=NAMES,
    license=st.none() | WORDS,
    url=st.just("") | WORDS,
    author=st.just("") | WORDS,
    language=st.sampled_from([None, "de", "en"]),
    scores=st.dictionaries(st.sampled_from(["edu", "score_b"]), st.floats(-9, 9)).map(
        lambda d: tuple(sorted(d.items()))
    ),
)


def write(path: Path, documents: list[Document], inside: bool) -> None:
    """Write documents in the format of the name; `inside` puts all but the text where datatrove does."""
    rows = []
    for one in documents:
        fields = {k: getattr(one, k) for k in ("label", "license", "url", "author", "language")}
        fields["scores"] = {"edu": None, "score_b": None} | dict(one.scores)
        rows.append({"text": one.text, "id": "7", **({"metadata": fields} if inside else fields)})
    if path.suffix in (".parquet", ".arrow"):
        table = pa.Table.from_pylist(rows)
        if path.suffix == ".parquet":
            pq.write_table(table, path, row_group_size=3)
        else:
            with pa.OSFile(str(path), "wb") as handle, pa.ipc.new_stream(handle, table.schema) as writer:
                writer.write_table(table)
        return
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.CompressedOutputStream(str(path), codec) if codec else path.open("wb") as handle:
        handle.write(raw)


@pytest.mark.parametrize("name", RECORD_FILES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(MADE, min_size=1, max_size=8), inside=st.booleans())
def test_documents_come_back_as_they_were(tmp_path: Path, name: str, documents: list[Document], inside: bool) -> None:
    write(tmp_path / name, documents, inside)
    back, skipped = read(tmp_path / name)
    assert [replace(one, source="") for one in back] == documents
    assert not skipped.counts


def test_golden_counts(tmp_path: Path) -> None:
    """The same eleven texts in every format: 10,780 bytes each time."""
    texts = [f"{i} \u00e9t\u00e9 " * (i * 20 + 20) for i in range(11)]
    for name in RECORD_FILES:
        folder = tmp_path / name
        folder.mkdir()
        write(folder / name, [Document(text=text) for text in texts], inside=False)
        documents, _ = read(folder)
        assert len(documents) == 11
        assert sum(len(one.text.encode()) for one in documents) == 10_780


def test_what_datatrove_writes(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    from datatrove.data import Document as Theirs
    from datatrove.pipeline.writers import JsonlWriter, ParquetWriter

    for writer in (JsonlWriter(str(tmp_path / "web")), ParquetWriter(str(tmp_path / "book"))):
        with writer:
            for i in range(5):
                metadata = {"url": f"http://{i}", "license": "MIT", "score": i / 2}
                writer.write(Theirs(text=f"text {i}", id=str(i), metadata=metadata), rank=0)
    assert (tmp_path / "web" / "00000.jsonl.gz").exists()
    for name in ("web", "book"):
        documents, _ = read(tmp_path / name)
        assert [(one.text, one.url, one.scores, one.license, one.label) for one in documents] == [
            (f"text {i}", f"http://{i}", (("score", i / 2),), "MIT", name) for i in range(5)
        ]


def test_the_number_of_a_shard_is_no_label(tmp_path: Path) -> None:
    names = [
        "web-00000-of-00002.jsonl",
        "c4.00001.jsonl",
        "00007.jsonl",
        "data-00000-of-00001.jsonl",
        "news-2023.jsonl",
    ]
    for name in names:
        (tmp_path / name).write_text('{"text": "x"}')
    labels = [file.label for file in find_files([tmp_path / name for name in names], Skipped())]
    assert labels == ["web", "c4", tmp_path.name, tmp_path.name, "news-2023"]


def test_links_pipes_and_folders_named_like_files(tmp_path: Path) -> None:
    (tmp_path / "in" / "x.txt").mkdir(parents=True)
    (tmp_path / "in" / "x.txt" / "y.txt").write_text("inside")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self.txt").symlink_to(tmp_path / "in" / "self.txt")
    (tmp_path / "in" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "again.txt").symlink_to(tmp_path / "in" / "x.txt" / "y.txt")
    os.mkfifo(tmp_path / "in" / "pipe.txt")
    documents, skipped = read(tmp_path / "in", tmp_path / "in" / "**" / "*.txt")
    assert [one.text for one in documents] == ["inside"]
    assert skipped.counts == {"link to a folder": 1, "no regular file": 3, "found twice": 3}
    with pytest.raises(InputError, match="holds no text"):
        read(tmp_path / "in" / "self.txt")


def test_paths_that_leave_their_folder_give_no_label(tmp_path: Path) -> None:
    for folder in ("a/x", "b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "t.txt").write_text(folder)
    (tmp_path / "b" / "...txt").write_text("dots")
    (tmp_path / "b" / os.fsdecode(b"caf\xe9.txt")).write_text("latin")
    (tmp_path / "b" / "c\nd.txt").write_text("line")
    for source in (tmp_path / "*" / ".." / "b" / "t.txt", tmp_path / "b" / "...txt", tmp_path / "b" / "c\nd.txt"):
        with pytest.raises(InputError, match="cannot be used as a name"):
            read(source)
    documents, skipped = read(tmp_path, on_error="skip")
    assert sorted(one.text for one in documents) == ["a/x", "b", "latin", "line"]
    assert all("\udce9" not in one.source for one in documents)
    assert not skipped.counts


def test_what_the_system_refuses_is_named(tmp_path: Path) -> None:
    # The kernel refuses this file to everybody, as it refuses other files to some.
    (tmp_path / "a.txt").symlink_to("/proc/self/mem")
    (tmp_path / "b.txt").write_text("whole")
    with pytest.raises(InputError, match=r"a\.txt.*could not be read"):
        read(tmp_path)
    documents, skipped = read(tmp_path, on_error="skip")
    assert [one.text for one in documents] == ["whole"]
    assert skipped.counts == {"unreadable": 1}


def test_records_beyond_the_bound_are_left_out_and_the_next_are_read(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x" * n}) for n in (5, 88, 89, 5000, 6)]
    assert len(lines[1]) == 100
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "b.txt").write_text("x" * 101)
    documents, skipped = read(tmp_path, on_error="skip", max_bytes=100)
    assert [len(one.text) for one in documents] == [5, 88, 6]
    assert skipped.counts == {"too long": 3}
    assert "a.jsonl:3" in skipped.first["too long"]


@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.txt.gz", "bomb.txt.zst"])
def test_a_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    import tracemalloc

    with pa.CompressedOutputStream(str(tmp_path / name), "gzip" if name.endswith("gz") else "zstd") as handle:
        for _ in range(30):
            handle.write(b"x" * 1_000_000)
    tracemalloc.start()
    _, skipped = read(tmp_path, on_error="skip", max_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert skipped.counts == {"too long": 1}
    assert peak < 8_000_000


@pytest.mark.slow
def test_a_line_of_a_gigabyte_takes_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "a.jsonl").open("wb") as handle:
        handle.truncate(1 << 30)
        handle.seek(1 << 30)
        handle.write(b'\n{"text": "after"}\n')
    tracemalloc.start()
    documents, skipped = read(tmp_path, on_error="skip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.text for one in documents] == ["after"]
    assert skipped.counts == {"too long": 1}
    assert peak < 200_000_000


def test_every_suffix_has_its_reader() -> None:
    import importlib

    for place in READERS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(f"mixdesk.corpus.{module}"), function))


def test_settings_beside_the_data_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "done.json").write_text('{\n  "n": 3\n}\n')
    (tmp_path / "list.json").write_text('[\n  {"text": "x"}\n]\n')
    skipped = Skipped()
    assert [file.path.name for file in find_files([tmp_path], skipped)] == ["a.json"]
    assert skipped.counts == {"another kind of file": 2}
    with pytest.raises(InputError, match="not JSON lines"):
        list(read_files(find_files([tmp_path / "done.json"], Skipped()), Skipped()))
