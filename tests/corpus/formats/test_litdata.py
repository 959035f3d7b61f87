"""LitData against the package itself (checked with 0.2.59): its loader reads ours, we read what its writer wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats import litdata as own
from mixdesk.corpus.formats.litdata import Litdata


def part_of(docs: list[list[int]]) -> TokenPart:
    lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
    return TokenPart(domain="web", split="train", lengths=lengths, ids=lambda i: np.array(docs[i], dtype=np.int64))


@pytest.mark.parametrize("top", [60_000, 100_000])
def test_litdata_reads_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: int) -> None:
    """Blocks run over documents and end with their chunk."""
    litdata = pytest.importorskip("litdata")
    monkeypatch.setattr(own, "CHUNK_BYTES", 500)
    docs = [np.random.default_rng(i).integers(0, top, 10 + i).tolist() for i in range(30)]
    Litdata().write([part_of(docs)], tmp_path)
    loader = litdata.TokensLoader(block_size=16)
    found = [block.tolist() for block in litdata.StreamingDataset(str(tmp_path / "web"), item_loader=loader)]
    expected, at = [], 0
    for chunk in json.loads((tmp_path / "web" / "index.json").read_text())["chunks"]:
        flat = [token for doc in docs[at : at + chunk["chunk_size"]] for token in doc]
        expected += [flat[i : i + 16] for i in range(0, len(flat) - 15, 16)]
        at += chunk["chunk_size"]
    assert found == expected
    assert len(found) > 20


def test_we_read_what_litdata_wrote(tmp_path: Path) -> None:
    torch, streaming = pytest.importorskip("torch"), pytest.importorskip("litdata.streaming")
    item_loader = pytest.importorskip("litdata.streaming.item_loader")
    docs = [[300 + i] * (20 + i) for i in range(10)]
    cache = streaming.Cache(str(tmp_path / "web"), chunk_bytes=300, item_loader=item_loader.TokensLoader(block_size=5))
    for i, doc in enumerate(docs):
        cache[i] = torch.tensor(doc, dtype=torch.int32)
    cache.done()
    cache.merge()
    found = Litdata().read(tmp_path)
    assert found.dtype == "int32"
    assert [part.ids(i).tolist() for part in found.parts for i in range(len(part.lengths))] == docs


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"data_format": ["jpeg"]}, "cannot be read"),
        ({"data_format": ["no_header_tensor:0"]}, "plain tensors of ids"),
        ({"compression": "zstd"}, "plain tensors of ids"),
    ],
)
def test_other_items_are_refused(change: dict, what: str, tmp_path: Path) -> None:
    Litdata().write([part_of([[1, 2]])], tmp_path)
    index = tmp_path / "web" / "index.json"
    data = json.loads(index.read_text())
    data["config"] |= change
    index.write_text(json.dumps(data))
    with pytest.raises(InputError, match=what):
        Litdata().read(tmp_path)


def test_the_index_of_mds_is_no_index_of_litdata(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"shards": [], "version": 2}')
    with pytest.raises(InputError, match="LitData"):
        Litdata().read(tmp_path)
