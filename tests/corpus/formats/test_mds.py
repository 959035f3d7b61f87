"""MDS against mosaicml-streaming (checked with 0.13.0): its data set reads ours, we read what its writer wrote."""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats import mds
from mixdesk.corpus.formats.mds import Mds

LENGTHS = [3, 1, 255, 256, 257, 0, 65_535, 65_536, 70_000, 2]


@pytest.fixture
def streaming(monkeypatch):
    """The real package's format and data set. Its two `__init__` import data sets of images and more, which need
    torchvision and transformers; without them it is the same code.
    """
    spec = importlib.util.find_spec("streaming")
    if spec is None:
        pytest.skip("needs mosaicml-streaming: pip install --no-deps mosaicml-streaming==0.13.0 and what it imports")
    for name in ("streaming", "streaming.base"):
        package = types.ModuleType(name)
        package.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
        monkeypatch.setitem(sys.modules, name, package)
    yield types.SimpleNamespace(
        writer=importlib.import_module("streaming.base.format.mds").MDSWriter,
        dataset=importlib.import_module("streaming.base.dataset").StreamingDataset,
    )
    importlib.import_module("streaming.base.util").clean_stale_shared_memory()
    for name in [name for name in sys.modules if name.startswith("streaming.")]:
        monkeypatch.delitem(sys.modules, name)


def part_of(docs: list[np.ndarray], domain: str = "web") -> TokenPart:
    lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
    return TokenPart(domain=domain, split="train", lengths=lengths, ids=docs.__getitem__)


def some(top: int, lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, top, n) for n in lengths]


def found_by(form: Mds, path: Path) -> list[list[int]]:
    return [part.ids(i).tolist() for part in form.read(path).parts for i in range(len(part.lengths))]


@pytest.mark.parametrize("top", [60_000, 100_000])
def test_streaming_reads_ours(streaming, tmp_path: Path, monkeypatch, top: int) -> None:
    monkeypatch.setattr(mds, "SHARD_BYTES", 300_000)
    docs = some(top, LENGTHS)
    files = Mds().write([part_of(docs)], tmp_path)
    assert len(files) > 2, "several shards and the index"
    data = streaming.dataset(local=str(tmp_path / "web"), batch_size=1, shuffle=False)
    assert len(data) == len(docs)
    for i, doc in enumerate(docs):
        assert data[i]["tokens"].dtype == (np.uint16 if top < 65_536 else np.uint32)
        assert data[i]["tokens"].tolist() == doc.tolist()


COLUMNS = {
    "tokens alone": {"tokens": "ndarray:uint16"},
    "signed": {"tokens": "ndarray:int32"},
    "bytes of int64": {"tokens": "bytes"},
    "text before": {"id": "str", "tokens": "ndarray:uint32"},
    "text on both sides": {"id": "str", "n": "int", "tokens": "ndarray:uint16", "url": "bytes"},
    "fixed": {"n": "int", "tokens": "ndarray:uint16:16"},
    "fixed beside text": {"id": "str", "tokens": "ndarray:uint16:16", "url": "bytes"},
}


def write_theirs(streaming, out: Path, columns: dict[str, str]) -> list[list[int]]:
    encoding = columns["tokens"]
    docs = some(60_000, [16] * 60 if encoding.endswith(":16") else [200 + 2 * i for i in range(60)])
    with streaming.writer(out=str(out), columns=columns, size_limit="10kb") as writer:
        for i, doc in enumerate(docs):
            dtype = "int64" if encoding == "bytes" else encoding.split(":")[1]
            tokens = doc.astype(dtype)
            row = {"id": "é" * i, "n": i, "url": b"u" * (i % 3)}
            row["tokens"] = tokens.tobytes() if encoding == "bytes" else tokens
            writer.write({name: row[name] for name in columns})
    return [doc.tolist() for doc in docs]


@pytest.mark.parametrize("kind", COLUMNS)
def test_we_read_what_streaming_wrote(streaming, tmp_path: Path, kind: str) -> None:
    docs = write_theirs(streaming, tmp_path / "web", COLUMNS[kind])
    assert found_by(Mds(), tmp_path / "web") == docs
    assert {part.domain for part in Mds().read(tmp_path / "web").parts} == {"web"}
    assert {part.domain for part in Mds().read(tmp_path).parts} == {"web"}


def test_samples_of_fixed_size_are_counted_without_their_shards(streaming, tmp_path: Path) -> None:
    write_theirs(streaming, tmp_path, COLUMNS["fixed"])
    for shard in tmp_path.glob("*.mds"):
        shard.unlink()
    parts = Mds().read(tmp_path).parts
    assert [n for part in parts for n in part.lengths.tolist()] == [16] * 60
    with pytest.raises(InputError, match="No such file"):
        parts[0].ids(0)


def test_arrays_of_two_axes_are_refused(streaming, tmp_path: Path) -> None:
    with streaming.writer(out=str(tmp_path / "web"), columns={"tokens": "ndarray:uint16"}) as writer:
        writer.write({"tokens": np.ones((2, 8), dtype=np.uint16)})
    with pytest.raises(InputError, match="2 axes"):
        Mds().read(tmp_path)


@pytest.mark.parametrize(
    ("encoding", "match"), [("ndarray:float32", "ndarray:float32"), ("ndarray", "ndarray"), ("str", "as `str`")]
)
def test_columns_that_are_no_ids_are_refused(streaming, tmp_path: Path, encoding: str, match: str) -> None:
    with streaming.writer(out=str(tmp_path / "web"), columns={"tokens": encoding}) as writer:
        writer.write({"tokens": "a" if encoding == "str" else np.ones(3, dtype=np.float32)})
    with pytest.raises(InputError, match=match):
        Mds().read(tmp_path)


def test_another_column_may_hold_the_ids(tmp_path: Path) -> None:
    Mds(column="input_ids").write([part_of([np.array([1, 2])])], tmp_path)
    assert found_by(Mds(column="input_ids"), tmp_path) == [[1, 2]]
    with pytest.raises(InputError, match="column `tokens`"):
        Mds().read(tmp_path)


def test_bytes_of_one_shard(tmp_path: Path) -> None:
    Mds().write([part_of([np.array([1, 2, 3])])], tmp_path)
    config = (
        b'{"column_encodings": ["ndarray:uint16"], "column_names": ["tokens"], "column_sizes": [null], '
        b'"compression": null, "format": "mds", "hashes": [], "size_limit": 67108864, "version": 2}'
    )
    begin = 12 + len(config)
    head = b"".join(n.to_bytes(4, "little") for n in (1, begin, begin + 12))
    sample = bytes([8, 0, 0, 0, 4, 3, 1, 0, 2, 0, 3, 0])
    assert (tmp_path / "web/shard.00000.mds").read_bytes() == head + config + sample
    assert json.loads((tmp_path / "web/index.json").read_text())["shards"][0]["samples"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"format": "json"},
        {"version": 1},
        {"samples": -1},
        {"samples": 5},
        {"samples": "x"},
        {"column_sizes": []},
        {"column_names": ["x"]},
        {"raw_data": None},
        {"raw_data": {"basename": "../x.mds", "bytes": 3}},
        {"raw_data": {"basename": "gone.mds", "bytes": 3}},
        {"raw_data": {"basename": "shard.00000.mds", "bytes": 3}},
        {"column_sizes": [6]},
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, change: dict) -> None:
    Mds().write([part_of([np.array([1, 2, 3])])], tmp_path)
    index = tmp_path / "web/index.json"
    data = json.loads(index.read_text())
    data["shards"][0] |= change
    index.write_text(json.dumps(data))
    with pytest.raises(InputError, match="cannot be read as token data"):
        Mds().read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 2, "shards": [1]}', "{"])
def test_another_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read as token data"):
        Mds().read(tmp_path)


def test_samples_of_one_length_run_over_documents(tmp_path: Path) -> None:
    docs = some(60_000, LENGTHS)
    Mds(seq_len=100).write([part_of(docs)], tmp_path)
    flat = np.concatenate(docs).tolist()
    assert found_by(Mds(), tmp_path) == [flat[i : i + 100] for i in range(0, len(flat) - 99, 100)]
