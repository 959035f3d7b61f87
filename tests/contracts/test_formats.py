"""Every format gives back what it was given, by its index, and refuses what is not its own."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core import registry
from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.corpus.formats import flat

FORMATS = registry.names("formats")
documents = st.lists(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 300), max_size=300), max_size=8)
corpora = st.dictionaries(
    st.tuples(st.sampled_from(["web", "web/high", "a b", "日本語", "x.y"]), st.sampled_from(["train", "valid", "set"])),
    documents.filter(any),
    min_size=1,
    max_size=4,
)


def part_of(docs: list, domain: str = "web", split: str = "train") -> TokenPart:
    return TokenPart(
        domain=domain,
        split=split,
        lengths=np.array([len(doc) for doc in docs], dtype=np.int64),
        ids=lambda i: np.array(docs[i], dtype=np.int64),
    )


def documents_of(parts) -> dict:
    """Documents by place; parts of one place joined."""
    found: dict = {}
    for part in parts:
        docs = [part.ids(i) for i in range(len(part.lengths))]
        assert [len(ids) for ids in docs] == part.lengths.tolist()
        assert all(ids.dtype == np.int64 for ids in docs)
        found.setdefault((part.domain, part.split), []).extend(ids.tolist() for ids in docs)
    return found


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None)
@given(corpus=corpora)
def test_documents_come_back(name: str, corpus: dict) -> None:
    form = registry.part("formats", name)()
    with tempfile.TemporaryDirectory() as folder:
        files = form.write([part_of(docs, *place) for place, docs in corpus.items()], Path(folder))
        assert sorted(files) == sorted(file for file in Path(folder).rglob("*") if file.is_file())
        found = form.read(Path(folder))
        assert documents_of(found.parts) == corpus
        wide = max(max(doc, default=0) for docs in corpus.values() for doc in docs) > 65_535
        assert np.dtype(found.dtype).itemsize == (4 if wide else 2)


@pytest.mark.parametrize("name", FORMATS)
def test_parts_of_one_domain_are_joined_and_empty_ones_stay_empty(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)()
    form.write([part_of([[1], [2, 3]]), part_of([], "none"), part_of([[70_000]])], tmp_path)
    found = documents_of(form.read(tmp_path).parts)
    assert found.pop(("none", "train"), []) == []
    assert found == {("web", "train"): [[1], [2, 3], [70_000]]}


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_the_same_however_the_blocks_fall(name: str, tmp_path: Path, monkeypatch) -> None:
    form = registry.part("formats", name)()
    parts = [part_of([[i] * (i % 7) for i in range(50)])]
    one = form.write(parts, tmp_path / "one")
    monkeypatch.setattr(flat, "BLOCK", 3)
    two = form.write(parts, tmp_path / "two")
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.parametrize("name", FORMATS)
def test_writing_holds_a_block_and_no_more(name: str, tmp_path: Path, monkeypatch) -> None:
    """A domain is never whole in memory: the ids asked for and not yet written stay few."""
    monkeypatch.setattr(flat, "BLOCK", 1000)
    monkeypatch.setattr("mixdesk.corpus.formats.mds.SHARD_BYTES", 10_000)
    alive = 0
    peak = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def ids(i: int) -> np.ndarray:
        nonlocal alive, peak
        alive += 1
        peak = max(peak, alive)
        return np.full(100, i, dtype=np.int64).view(Counted)

    lengths = np.full(500, 100, dtype=np.int64)
    form = registry.part("formats", name)(dtype="uint16")
    form.write([TokenPart(domain="web", split="train", lengths=lengths, ids=ids)], tmp_path)
    assert sum(int(part.lengths.sum()) for part in form.read(tmp_path).parts) == 50_000
    assert peak <= 40


@pytest.mark.parametrize("name", FORMATS)
def test_a_failed_write_leaves_nothing_that_reads(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)(dtype="uint16")
    form.write([part_of([[1, 2]])], tmp_path)
    with pytest.raises(InputError, match="cannot hold"):
        form.write([part_of([[1, 2], [2**31]])], tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".part")]
    try:
        found = form.read(tmp_path)
    except InputError:
        return
    # OLMo's ids count without an index: then they are whole, the old ones.
    assert sum(int(part.lengths.sum()) for part in found.parts) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_parts_survive_a_pickle(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)()
    form.write([part_of([[5, 6], [7]])], tmp_path)
    [part] = form.read(tmp_path).parts
    assert pickle.loads(pickle.dumps(part.ids))(1).tolist() == [7]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("domain", ["../out", "/etc/x", "a//b", "a/..", "..", "a\\b"])
def test_names_do_not_lead_out_of_the_folder(name: str, domain: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot name a file"):
        registry.part("formats", name)().write([part_of([[1]], domain)], tmp_path / "in")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_not_the_format_is_refused(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)()
    text = tmp_path / "a.txt"
    text.write_text("hello")
    for path in (tmp_path, text, tmp_path / "missing"):
        with pytest.raises(InputError, match="cannot be read as token data"):
            form.read(path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_cut_is_noticed(name: str, tmp_path: Path) -> None:
    """Each file in turn cut to every length: an error, at reading or when ids are asked, or the same documents."""
    form = registry.part("formats", name)(dtype="uint32")
    docs = {("web", "train"): [[1, 70_000, 3], [], [4]]}
    files = form.write([part_of(docs["web", "train"])], tmp_path)
    for file in files:
        whole = file.read_bytes()
        for n in sorted({*range(0, len(whole), 4), *range(len(whole) - 3, len(whole))}):
            file.write_bytes(whole[:n])
            try:
                found = documents_of(form.read(tmp_path).parts)
            except InputError:
                continue
            assert found == docs, f"{file.name} cut to {n} bytes"
        file.write_bytes(whole)


@pytest.mark.parametrize("name", FORMATS)
def test_types_that_differ_are_refused(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)()
    form.write([part_of([[1]], "a")], tmp_path)
    form.write([part_of([[70_000]], "b")], tmp_path)
    with pytest.raises(InputError, match="one type of ids"):
        form.read(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_that_miscounts_is_refused(name: str, tmp_path: Path) -> None:
    part = TokenPart(domain="web", split="train", lengths=np.array([3]), ids=lambda i: np.array([1, 2]))
    with pytest.raises(InputError, match="another length"):
        registry.part("formats", name)(dtype="uint16").write([part], tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_where_the_folder_should_be_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="could not be written"):
        registry.part("formats", name)().write([part_of([[1]])], tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"
