"""Megatron's files against megatron-core (checked with 0.16.1), and against bytes that its builder wrote."""

from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats.megatron import HEADER, Megatron

WHY = "needs megatron-core: pip install --no-deps megatron-core==0.16.1 packaging, beside torch"
DOCS = [[1, 2, 3], [4, 5, 6, 7], [60_000]]
# IndexedDatasetBuilder of megatron-core 0.16.1 for DOCS, the second document as sequences of 1 and 3: uint16, int32.
GOLDEN = {
    "uint16": (
        "4d4d494449445800000100000000000000080400000000000000040000000000000003000000010000000300000001000000"
        "0000000000000000060000000000000008000000000000000e00000000000000"
        "0000000000000000010000000000000003000000000000000400000000000000",
        "010002000300040005000600070060ea",
    ),
    "int32": (
        "4d4d494449445800000100000000000000040400000000000000040000000000000003000000010000000300000001000000"
        "00000000000000000c0000000000000010000000000000001c00000000000000"
        "0000000000000000010000000000000003000000000000000400000000000000",
        "0100000002000000030000000400000005000000060000000700000060ea0000",
    ),
}


def part_of(docs: list[list[int]], domain: str = "web") -> TokenPart:
    lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
    return TokenPart(domain=domain, split="train", lengths=lengths, ids=lambda i: np.array(docs[i], dtype=np.int64))


def found_in(path: Path) -> list[list[int]]:
    return [part.ids(i).tolist() for part in Megatron().read(path).parts for i in range(len(part.lengths))]


@pytest.mark.parametrize("dtype", GOLDEN)
def test_we_read_what_megatron_wrote(tmp_path: Path, dtype: str) -> None:
    index, data = (bytes.fromhex(text) for text in GOLDEN[dtype])
    (tmp_path / "x.idx").write_bytes(index)
    (tmp_path / "x.bin").write_bytes(data)
    for path in (tmp_path, tmp_path / "x", tmp_path / "x.idx", tmp_path / "x.bin"):
        assert found_in(path) == DOCS
    found = Megatron().read(tmp_path)
    assert (found.dtype, found.separator, found.parts[0].domain) == (dtype, None, "x")


@pytest.mark.parametrize("dtype", GOLDEN)
def test_we_write_what_megatron_writes(tmp_path: Path, dtype: str) -> None:
    """Documents of one sequence each: the golden bytes but for the sequence that was cut in two."""
    Megatron(dtype=dtype).write([part_of([*DOCS[:1], [4], [5, 6, 7], DOCS[2]])], tmp_path)
    golden, data = (bytes.fromhex(text) for text in GOLDEN[dtype])
    index = (tmp_path / "web.idx").read_bytes()
    assert (tmp_path / "web.bin").read_bytes() == data
    assert index[:26] == golden[:26]
    assert int.from_bytes(index[26:34], "little") == 5
    assert index[34 : 34 + 12 * 4] == golden[34 : 34 + 12 * 4]
    assert index[34 + 12 * 4 :] == np.arange(5, dtype="<i8").tobytes()


@pytest.mark.parametrize("top", [60_000, 100_000])
def test_megatron_reads_ours(tmp_path: Path, top: int) -> None:
    theirs = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason=WHY, exc_type=ImportError)
    rng = np.random.default_rng(0)
    docs = [rng.integers(0, top, n).tolist() for n in (5, 0, 3000, 1, 7)]
    Megatron().write([part_of(docs, "web/high")], tmp_path)
    data = theirs.IndexedDataset(str(tmp_path / "web/high"))
    assert [data[i].tolist() for i in range(len(data))] == docs
    assert data.document_indices.tolist() == list(range(6))
    assert data.index.dtype == (np.uint16 if top < 65_536 else np.int32)
    assert data.sequence_lengths.tolist() == [len(doc) for doc in docs]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_we_read_what_its_builder_writes(tmp_path: Path, dtype: str) -> None:
    theirs = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason=WHY, exc_type=ImportError)
    rng = np.random.default_rng(1)
    docs = [rng.integers(0, 100, n).tolist() for n in (5, 300, 1, 7)]
    builder = theirs.IndexedDatasetBuilder(str(tmp_path / "x.bin"), dtype=np.dtype(dtype).type)
    for doc in docs:
        builder.add_document(doc, [len(doc) // 2, len(doc) - len(doc) // 2])
    builder.finalize(str(tmp_path / "x.idx"))
    assert found_in(tmp_path) == docs
    assert Megatron().read(tmp_path).dtype == dtype


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_ours_is_byte_for_byte_what_its_builder_writes(tmp_path: Path, dtype: str) -> None:
    theirs = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason=WHY, exc_type=ImportError)
    docs = [*DOCS, [], [5] * 300]
    builder = theirs.IndexedDatasetBuilder(str(tmp_path / "x.bin"), dtype=np.dtype(dtype).type)
    for doc in docs:
        builder.add_document(doc, [len(doc)])
    builder.finalize(str(tmp_path / "x.idx"))
    for ours in Megatron(dtype=dtype).write([part_of(docs)], tmp_path / "ours"):
        assert ours.read_bytes() == (tmp_path / "x").with_suffix(ours.suffix).read_bytes()


def test_modes_of_multimodal_data_are_passed_over(tmp_path: Path) -> None:
    theirs = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason=WHY, exc_type=ImportError)
    builder = theirs.IndexedDatasetBuilder(str(tmp_path / "x.bin"), dtype=np.int32, multimodal=True)
    builder.add_document([1, 2, 3], [1, 2], modes=[0, 1])
    builder.finalize(str(tmp_path / "x.idx"))
    assert found_in(tmp_path) == [[1, 2, 3]]


def test_counts_need_no_tokens(tmp_path: Path) -> None:
    """Neither an absent `.bin` nor one of a terabyte (sparse) matters to the counts."""
    n = 1000
    part = TokenPart(
        domain="web", split="train", lengths=np.full(n, 5), ids=lambda i: np.full(5, i % 7, dtype=np.int64)
    )
    Megatron().write([part], tmp_path)
    data = tmp_path / "web.bin"
    data.unlink()
    assert Megatron().read(tmp_path).parts[0].lengths.sum() == 5 * n
    lengths = np.full(256, 2**31 - 1, dtype="<i4")
    offsets = 2 * (np.cumsum(lengths, dtype="<i8") - lengths)
    head = (tmp_path / "web.idx").read_bytes()[:18] + np.array([256, 257], dtype="<u8").tobytes()
    tables = (lengths, offsets, np.arange(257, dtype="<i8"))
    (tmp_path / "web.idx").write_bytes(head + b"".join(table.tobytes() for table in tables))
    [part] = Megatron().read(tmp_path).parts
    assert int(part.lengths.sum()) == 256 * (2**31 - 1)
    with data.open("wb") as handle:
        try:
            handle.truncate(2 * 256 * (2**31 - 1))
        except OSError:
            pytest.skip("this file system has no sparse files of a terabyte")
    assert int(Megatron().read(tmp_path).parts[0].lengths.sum()) == 256 * (2**31 - 1)


def test_ids_over_int32_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="int32 cannot hold"):
        Megatron().write([part_of([[2**31]])], tmp_path)
    with pytest.raises(InputError, match="int32 cannot hold"):
        Megatron().write([part_of([[-1, 2**20]])], tmp_path)


def changed(at: int, raw: bytes):
    return lambda index: index[:at] + raw + index[at + len(raw) :]


@pytest.mark.parametrize(
    "damage",
    [
        changed(0, b"TNTIDX\0\0\0"),
        changed(9, bytes([2])),
        changed(17, bytes([9])),
        changed(17, bytes([7])),
        changed(18, bytes([5])),
        changed(18, b"\xff" * 8),
        changed(26, bytes(8)),
        changed(HEADER, b"\xff\xff\xff\xff"),
        changed(HEADER, bytes([9])),
        changed(HEADER + 3 * 4 + 8, bytes([1])),
        changed(HEADER + 3 * 12, bytes([1])),
        changed(HEADER + 3 * 12 + 8, bytes([3])),
        changed(HEADER + 3 * 12 + 24, bytes([2])),
        lambda index: index[:20],
        lambda index: index[:-1],
        lambda index: index + b"\0",
        lambda index: b"",
        lambda index: b"a text file\n" * 20,
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, damage) -> None:
    Megatron().write([part_of(DOCS)], tmp_path)
    index = tmp_path / "web.idx"
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(InputError, match="cannot be read as token data"):
        Megatron().read(tmp_path)


def test_an_index_beyond_its_bin_is_refused(tmp_path: Path) -> None:
    Megatron().write([part_of(DOCS)], tmp_path)
    data = tmp_path / "web.bin"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InputError, match="15 bytes, expected the 16 bytes"):
        Megatron().read(tmp_path)
