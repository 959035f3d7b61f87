"""datatrove's folders against datatrove (checked with 0.10.1): it reads ours, we read what its tokenizer wrote."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats.datatrove import Datatrove
from mixdesk.corpus.tokens import train_bpe

WHY = "needs datatrove: pip install --no-deps datatrove==0.10.1 loguru humanize dill"


def part_of(docs: list[list[int]], domain: str = "web") -> TokenPart:
    lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
    return TokenPart(domain=domain, split="train", lengths=lengths, ids=lambda i: np.array(docs[i], dtype=np.int64))


@pytest.mark.parametrize("top", [300, 100_000])
def test_datatrove_reads_ours(tmp_path: Path, top: int) -> None:
    pytest.importorskip("torch", reason=WHY)
    theirs = pytest.importorskip("datatrove.utils.dataset", reason=WHY)
    rng = np.random.default_rng(0)
    docs = [rng.integers(top - 200, top, n).tolist() for n in (5, 20, 1, 40, 7, 33)]
    Datatrove().write([part_of(docs)], tmp_path)
    width = 2 if top < 65_536 else 4
    folder = tmp_path / "web"
    data = theirs.DatatroveFolderDataset(
        str(folder), seq_len=9, filename_pattern="*.ds", token_size=width, return_positions=True
    )
    flat = [one for doc in docs for one in doc]
    assert len(data) == len(flat) // 10
    got = [data[i] for i in range(len(data))]
    assert [n for one in got for n in one["input_ids"].tolist()] == flat[: 10 * len(data)]
    starts = {0, *np.cumsum([len(doc) for doc in docs]).tolist()}
    positions = [n for one in got for n in one["positions"].tolist()]
    # Positions begin anew with a document, and with a window.
    assert {i for i, n in enumerate(positions) if n == 0} == {i for i in starts if i < len(positions)} | {
        *range(0, len(positions), 10)
    }


@pytest.mark.parametrize("shuffled", [True, False])
def test_we_read_what_datatrove_wrote(tmp_path: Path, shuffled: bool) -> None:
    pytest.importorskip("dill", reason=WHY)
    tokens = pytest.importorskip("datatrove.pipeline.tokens", reason=WHY)
    document = pytest.importorskip("datatrove.data", reason=WHY).Document
    texts = ["the cat sat on the mat " * k for k in (3, 1, 7, 2, 5)]
    bpe = train_bpe(texts, 300)
    (tmp_path / "tokenizer.json").write_text(bpe.definition)
    step = tokens.DocumentTokenizer(
        str(tmp_path / "web"), str(tmp_path / "tokenizer.json"), shuffle_documents=shuffled, seed=1
    )
    list(step.run(document(text=text, id=str(i)) for i, text in enumerate(texts)) or ())
    found = Datatrove().read(tmp_path / "web")
    docs = [part.ids(i).tolist() for part in found.parts for i in range(len(part.lengths))]
    want = [ids.tolist() if hasattr(ids, "tolist") else list(ids) for ids in bpe.encode(texts)]
    assert found.dtype == "uint16"
    assert (sorted(docs) == sorted(want)) if shuffled else (docs == want)
    assert {part.domain for part in found.parts} == {"web"}
    width_by_size = [file.unlink() for file in (tmp_path / "web").glob("*.metadata")]
    assert width_by_size
    assert Datatrove().read(tmp_path / "web").dtype == "uint16"


@settings(max_examples=10, deadline=None)
@given(docs=st.lists(st.lists(st.integers(0, 60_000), max_size=40), min_size=1, max_size=10))
def test_ours_is_byte_for_byte_what_their_file_class_writes(tmp_path_factory, docs: list) -> None:
    theirs = pytest.importorskip("datatrove.pipeline.tokens.tokenizer", reason=WHY)
    tmp_path = tmp_path_factory.mktemp("ds")
    file = theirs.TokenizedFile(str(tmp_path / "theirs"), "00000_unshuffled.ds", token_size=2)
    for doc in docs:
        file.write(doc, None)
    file.close()
    Datatrove().write([part_of(docs)], tmp_path)
    for name in ("00000_unshuffled.ds", "00000_unshuffled.ds.index"):
        assert (tmp_path / "web" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_counts_need_no_tokens(tmp_path: Path) -> None:
    Datatrove().write([part_of([[1, 2], [3]])], tmp_path)
    (tmp_path / "web/00000_unshuffled.ds").unlink()
    [part] = Datatrove().read(tmp_path).parts
    assert part.lengths.tolist() == [2, 1]
    with pytest.raises(InputError, match="No such file"):
        part.ids(0)


def test_metadata_names_the_tokenizer(tmp_path: Path) -> None:
    Datatrove(tokenizer="gpt|2", dtype="uint32").write([part_of([[1, 2], [3]])], tmp_path)
    assert (tmp_path / "web/00000_unshuffled.ds.metadata").read_text() == "gpt|2|4\n3\n3 tokens"
    assert Datatrove().read(tmp_path / "web/00000_unshuffled.ds").dtype == "uint32"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("index", b"\0" * 9),
        ("index", np.array([2, 1], dtype="<u8").tobytes()),
        ("index", np.array([2, 4], dtype="<u8").tobytes()),
        ("index", b"\xff" * 16),
        ("metadata", b"gpt2|3\n3\n"),
        ("metadata", b"gpt2"),
    ],
)
def test_damage_is_refused(tmp_path: Path, name: str, raw: bytes) -> None:
    Datatrove().write([part_of([[1, 2], [3]])], tmp_path)
    (tmp_path / f"web/00000_unshuffled.ds.{name}").write_bytes(raw)
    with pytest.raises(InputError, match="cannot be read as token data"):
        Datatrove().read(tmp_path)
