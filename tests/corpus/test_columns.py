import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.read import Skipped, find_files, read_files


def read(*sources, on_error="skip", **options):
    skipped = Skipped(on_error=on_error, **options)
    return list(read_files(find_files(sources, skipped), skipped)), skipped


def write(table: pa.Table, path: Path) -> Path:
    """As Parquet, an Arrow file or an Arrow stream, by the name."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=7)
    else:
        new = pa.ipc.new_file if "file" in path.stem else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as handle, new(handle, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return path


KINDS = ["rows.parquet", "file.arrow", "stream.arrow"]


@pytest.mark.parametrize("name", KINDS)
def test_only_columns_in_use_are_read_and_rows_are_numbered(tmp_path: Path, name: str) -> None:
    n = 600
    columns = {
        "id": list(range(n)),
        "text": [f"text {i}" for i in range(n)],
        "metadata": [{"url": f"u{i}", "raw": b"\xff" * 10, "score": i / 2} for i in range(n)],
        "picture": [b"\xff\0" for _ in range(n)],
    }
    documents, skipped = read(write(pa.table(columns), tmp_path / name), on_error="raise")
    assert [one.text for one in documents] == columns["text"]
    assert [one.url for one in documents] == [f"u{i}" for i in range(n)]
    assert documents[3].scores == (("score", 1.5),)
    assert documents[299].source == f"{tmp_path}/{name}:300"
    assert not skipped.counts


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "large_binary", "dictionary"])
def test_texts_of_every_kind_and_what_is_wrong_with_them(tmp_path: Path, name: str, kind: str) -> None:
    texts = ["good", None, "  ", "caf\u00e9", "x" * 50, "a\0b", "good"]
    wanted = pa.dictionary(pa.int32(), pa.string()) if kind == "dictionary" else getattr(pa, kind)()
    documents, skipped = read(write(pa.table({"content": pa.array(texts).cast(wanted)}), tmp_path / name), max_bytes=20)
    assert [one.text for one in documents] == ["good", "caf\u00e9", "good"]
    assert skipped.counts == {"null text": 1, "empty": 1, "too long": 1, "binary": 1}
    assert f"{name}:2`" in skipped.first["null text"]
    assert f"{name}:5`" in skipped.first["too long"]


@pytest.mark.parametrize("name", KINDS)
def test_one_row_of_another_encoding_costs_one_row(tmp_path: Path, name: str) -> None:
    texts = pa.array([b"one", b"caf\xe9", b"two"]).view(pa.string())
    documents, skipped = read(write(pa.table({"text": texts}), tmp_path / name))
    assert [one.text for one in documents] == ["one", "two"]
    assert skipped.counts == {"not UTF-8": 1}
    assert f"{name}:2`" in skipped.first["not UTF-8"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("table", "reason", "shown"),
    [
        (pa.table({"body": ["x"], "n": [1]}), "no text", "body (string), n (int64)"),
        (pa.table({"text": [1, 2]}), "no text", "text (int64)"),
        (pa.table({"text": pa.array([], pa.string())}), "empty", "is empty"),
        (pa.table({"text": pa.nulls(2)}), "null text", "null"),
        (pa.table([["a"], ["b"]], names=["text", "text"]), "wrong columns", "twice"),
        (pa.table({"text": ["a"], "label": [3]}), "wrong field", "wrong `label`"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path: Path, name: str, table: pa.Table, reason, shown) -> None:
    write(table, tmp_path / name)
    documents, skipped = read(tmp_path)
    assert not documents
    assert set(skipped.counts) == {reason}
    assert shown in skipped.first[reason]
    assert name in skipped.first[reason]
    if reason != "null text":
        with pytest.raises(InputError, match=name):
            read(tmp_path, on_error="raise")


@pytest.mark.parametrize("name", KINDS)
def test_broken_tables_never_raise_anything_else(tmp_path: Path, name: str) -> None:
    noise = random.Random(0)
    table = pa.table({"text": [noise.randbytes(30).hex() for _ in range(50)], "scores": [{"a": 1.0}] * 50})
    raw = write(table, tmp_path / name).read_bytes()
    for place in range(0, len(raw), 97):
        (tmp_path / name).write_bytes(raw[:place] if place % 2 else raw[:place] + noise.randbytes(4) + raw[place + 4 :])
        documents, _ = read(tmp_path)
        assert len(documents) <= 50
    (tmp_path / name).write_bytes(raw[: len(raw) // 2])
    assert any(reason.startswith("broken") for reason in read(tmp_path)[1].counts)


def test_a_large_parquet_file_is_not_held(tmp_path: Path) -> None:
    noise = random.Random(0)
    texts = [noise.randbytes(4000).hex() for _ in range(4000)]
    pq.write_table(pa.table({"text": texts, "other": texts[::-1]}), tmp_path / "big.parquet", row_group_size=4000)
    del texts
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        skipped = Skipped()
        n_bytes = sum(len(one.text) for one in read_files(find_files([tmp_path], skipped), skipped))
    finally:
        pa.set_memory_pool(before)
    assert n_bytes == 32_000_000
    assert pool.max_memory() < 20_000_000


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"text": [f"row {i}" for i in range(10)], "license": ["MIT"] * 10}
    made = datasets.Dataset.from_dict(rows)
    made.save_to_disk(tmp_path / "web", num_shards=3)
    documents, skipped = read(tmp_path / "web", on_error="raise")
    assert [(one.text, one.label, one.license) for one in documents] == [(f"row {i}", "web", "MIT") for i in range(10)]
    assert not skipped.counts
    (tmp_path / "web" / "cache-1.arrow").write_bytes((tmp_path / "web" / "data-00000-of-00003.arrow").read_bytes())
    assert len(read(tmp_path / "web")[0]) == 10
    (tmp_path / "web" / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(InputError, match="lacks a file"):
        read(tmp_path / "web", on_error="raise")
    datasets.DatasetDict({"de": made, "en": made}).save_to_disk(tmp_path / "all")
    assert [one.label for one in read(tmp_path / "all")[0]] == ["de"] * 10 + ["en"] * 10
