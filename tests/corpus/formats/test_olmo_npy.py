"""OLMo's raw `.npy` against ai2-olmo-core (checked with 3.0.0): it reads ours, we read the index it writes."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats import olmo_npy
from mixdesk.corpus.formats.olmo_npy import OlmoNpy

WHY = "needs ai2-olmo-core: pip install --no-deps ai2-olmo-core==3.0.0 and what it imports, beside torch"
END = 9
DOCS = [[1, 2, END], [END], [70_000, 5, 6, END]]


def part_of(docs: list[list[int]], domain: str = "web") -> TokenPart:
    lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
    return TokenPart(domain=domain, split="train", lengths=lengths, ids=lambda i: np.array(docs[i], dtype=np.int64))


def found_in(form: OlmoNpy, path: Path) -> list[list[int]]:
    return [part.ids(i).tolist() for part in form.read(path).parts for i in range(len(part.lengths))]


@pytest.mark.parametrize("width", ["uint16", "uint32"])
def test_olmo_core_reads_ours(tmp_path: Path, width: str) -> None:
    theirs = pytest.importorskip("olmo_core.data.utils", reason=WHY, exc_type=ImportError)
    data_sets = pytest.importorskip("olmo_core.data.numpy_dataset", reason=WHY, exc_type=ImportError)
    docs = [[n % 60_000 for n in doc] for doc in DOCS] if width == "uint16" else DOCS
    data, _ = OlmoNpy().write([part_of(docs)], tmp_path)
    kind = getattr(np, width)
    ends = list(theirs.iter_document_indices(data))
    assert ends == [(0, 3), (3, 4), (4, 8)]
    assert ends == list(theirs.iter_document_indices(data, eos_token_id=END, dtype=kind))
    rows = data_sets.NumpyFSLDataset(
        data, sequence_length=4, pad_token_id=0, eos_token_id=END, vocab_size=100_000, dtype=kind
    )
    rows.prepare()
    flat = [n for doc in docs for n in doc]
    assert [rows[i]["input_ids"].tolist() for i in range(len(rows))] == [flat[:4], flat[4:]]


def test_we_read_the_index_that_olmo_core_writes(tmp_path: Path) -> None:
    theirs = pytest.importorskip("olmo_core.data.utils", reason=WHY, exc_type=ImportError)
    data = tmp_path / "part-0.npy"
    np.array([n for doc in DOCS for n in doc], dtype="<u4").tofile(data)
    theirs.write_document_indices(data, dtype=np.uint32, eos_token_id=END)
    assert found_in(OlmoNpy(), tmp_path) == DOCS
    assert OlmoNpy().read(tmp_path).parts[0].domain == tmp_path.name


def test_without_an_index_documents_end_with_the_separator(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(olmo_npy, "BLOCK", 2)
    OlmoNpy().write([part_of([*DOCS, [4, 4]])], tmp_path)
    (tmp_path / "web/00000.csv.gz").unlink()
    assert found_in(OlmoNpy(dtype="uint32", separator=END), tmp_path) == [*DOCS, [4, 4]]
    assert found_in(OlmoNpy(dtype="uint32"), tmp_path) == [[n for doc in [*DOCS, [4, 4]] for n in doc]]
    with pytest.raises(InputError, match="how wide its ids are"):
        OlmoNpy().read(tmp_path)


def test_ids_after_the_last_end_are_one_more_document(tmp_path: Path) -> None:
    data, _ = OlmoNpy(dtype="uint16").write([part_of([[1, END], [2, END]])], tmp_path)
    with data.open("ab") as handle:
        handle.write(np.array([7, 8, 8], dtype="<u2").tobytes())
    assert found_in(OlmoNpy(dtype="uint16"), tmp_path) == [[1, END], [2, END], [7, 8, 8]]


def test_rows_of_dolma_have_more_columns(tmp_path: Path) -> None:
    data = tmp_path / "web/part-0.npy"
    data.parent.mkdir()
    np.arange(5, dtype="<u2").tofile(data)
    with gzip.open(data.with_suffix(".csv.gz"), "wt") as lines:
        lines.write('0,3,id-1,s3://x/y.json,1\n3,5,"id,2",#,2\n')
    assert found_in(OlmoNpy(), tmp_path / "web") == [[0, 1, 2], [3, 4]]


def test_the_index_is_the_same_every_time(tmp_path: Path) -> None:
    OlmoNpy().write([part_of(DOCS)], tmp_path / "a")
    OlmoNpy().write([part_of(DOCS)], tmp_path / "b")
    one, two = (tmp_path / name / "web/00000.csv.gz" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()) == b"0,3,0\n3,4,1\n4,8,2\n"


def test_a_numpy_header_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10, dtype=np.uint16))
    with pytest.raises(InputError, match="numpy header"):
        OlmoNpy(dtype="uint16").read(tmp_path)


@pytest.mark.parametrize(
    "index", [b"0,3\n5,8\n", b"1,3\n3,8\n", b"0,x\n", b"3\n", b"0,3\n3,2\n2,8\n", b"0,30\n", b"text file", b"\xff\n"]
)
def test_a_damaged_index_is_refused(tmp_path: Path, index: bytes) -> None:
    OlmoNpy().write([part_of(DOCS)], tmp_path)
    (tmp_path / "web/00000.csv.gz").write_bytes(gzip.compress(index))
    with pytest.raises(InputError, match="cannot be read as token data"):
        OlmoNpy(dtype="uint32").read(tmp_path)


def test_an_index_that_is_no_gzip_is_refused(tmp_path: Path) -> None:
    OlmoNpy().write([part_of(DOCS)], tmp_path)
    (tmp_path / "web/00000.csv.gz").write_bytes(b"0,3\n3,8\n")
    with pytest.raises(InputError, match="gzip lines"):
        OlmoNpy().read(tmp_path)
