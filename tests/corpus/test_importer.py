from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shards import make_store

from mixdesk.api import build_corpus, export_corpus, import_corpus, open_corpus
from mixdesk.core import registry
from mixdesk.core.corpus import Document, TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Scale
from mixdesk.corpus import importer
from mixdesk.corpus.importer import guess_format, shard_part
from mixdesk.corpus.shards import MANIFEST, open_store
from mixdesk.corpus.tokens import train_bpe

FORMATS = registry.names("formats")


def write(name: str, out: Path, lengths: dict[str, list[int]], top: int = 9) -> None:
    parts = [
        TokenPart(
            domain=domain, split="train", lengths=np.array(ns, dtype=np.int64), ids=lambda i, ns=ns: np.full(ns[i], top)
        )
        for domain, ns in lengths.items()
    ]
    registry.part("formats", name)().write(parts, out)


@pytest.mark.parametrize("name", FORMATS)
def test_counts_weights_and_epochs_of_somebodys_data(name: str, tmp_path: Path) -> None:
    write(name, tmp_path / "data", {"web": [500, 250], "code": [150, 0, 50], "books/old": [50]})
    corpus = import_corpus(tmp_path / "data", tmp_path / "corpus", tokenizer="gpt2", vocab_size=50_257)
    assert corpus == open_corpus(tmp_path / "corpus")
    counts = {domain.name: (domain.n_tokens, domain.n_docs, domain.n_bytes) for domain in corpus.domains}
    assert counts == {"web": (750, 2, 0), "code": (200, 3, 0), "books/old": (50, 1, 0)}
    assert (corpus.tokenizer.name, corpus.tokenizer.vocab_size) == ("gpt2", 50_257)
    assert Mixture.natural(corpus).as_dict() == pytest.approx({"web": 0.75, "code": 0.2, "books/old": 0.05})
    asked = Mixture.of({"web": 0.2, "code": 0.4, "books/old": 0.4})
    epochs = dict(asked.epochs(corpus, Scale(n_tokens=1000)))
    assert epochs == pytest.approx({"web": 200 / 750, "code": 2.0, "books/old": 8.0})


@pytest.mark.parametrize("name", FORMATS)
def test_sources_with_names(name: str, tmp_path: Path) -> None:
    write(name, tmp_path / "a", {"x": [3], "y": [4]})
    write(name, tmp_path / "b", {"x": [5]})
    sources = {"web": tmp_path / "a", "code": tmp_path / "b"}
    corpus = import_corpus(sources, tmp_path / "corpus", tokenizer="t", format=name)
    assert {domain.name: domain.n_tokens for domain in corpus.domains} == {"web": 7, "code": 5}


def test_no_token_is_read(tmp_path: Path) -> None:
    write("megatron", tmp_path / "data", {"web": [500, 250]})
    (tmp_path / "data/web.bin").unlink()
    corpus = import_corpus({"web": tmp_path / "data/web"}, tmp_path / "corpus", tokenizer="t")
    assert corpus.domains[0].n_tokens == 750


def test_held_out_splits_are_not_counted(tmp_path: Path) -> None:
    write("datatrove", tmp_path / "data", {"web": [3], "web.valid": [40]})
    corpus = import_corpus(tmp_path / "data", tmp_path / "corpus", tokenizer="t")
    assert [(domain.name, domain.n_tokens) for domain in corpus.domains] == [("web", 3)]


def test_identity_follows_counts_and_not_the_format_or_place(tmp_path: Path) -> None:
    prints = set()
    for name in ("mds", "olmo_npy", "datatrove"):
        write(name, tmp_path / name, {"web": [3, 4], "code": [3, 4]})
        corpus = import_corpus(tmp_path / name, tmp_path / f"corpus-{name}", tokenizer="t")
        prints.add(corpus.fingerprint)
        assert corpus.domains[0].fingerprint != corpus.domains[1].fingerprint
    assert len(prints) == 1
    write("mds", tmp_path / "other", {"web": [4, 3], "code": [3, 4]})
    other = import_corpus(tmp_path / "other", tmp_path / "corpus-other", tokenizer="t")
    assert other.fingerprint not in prints


def test_a_tokenizer_that_is_a_file_is_known_exactly(tmp_path: Path) -> None:
    write("datatrove", tmp_path / "data", {"web": [3]})
    path = tmp_path / "mine.json"
    bpe = train_bpe(["the cat sat on the mat. " * 20], 300)
    path.write_text(bpe.definition or "")
    corpus = import_corpus(tmp_path / "data", tmp_path / "corpus", tokenizer=str(path))
    assert corpus.tokenizer.name == "mine"
    assert corpus.tokenizer.vocab_size == bpe.reference.vocab_size


def test_an_imported_corpus_has_no_tokens_to_train_on(tmp_path: Path) -> None:
    write("datatrove", tmp_path / "data", {"web": [3]})
    import_corpus(tmp_path / "data", tmp_path / "corpus", tokenizer="t")
    store = open_store(tmp_path / "corpus")
    assert store.manifest.files == set()
    with pytest.raises(InputError, match="imported by its index"):
        store.tokens("web")
    with pytest.raises(InputError, match="imported by its index"):
        export_corpus(tmp_path / "corpus", tmp_path / "out", "mds")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    write("datatrove", tmp_path / "narrow", {"web": [3]})
    write("datatrove", tmp_path / "wide", {"web": [3]}, top=70_000)
    write("datatrove", tmp_path / "none", {"web": [0]})
    (tmp_path / "a.txt").write_text("text")

    def refused(sources, match: str, **options) -> None:
        with pytest.raises(InputError, match=match):
            import_corpus(sources, tmp_path / "out", tokenizer="t", **options)
        assert not (tmp_path / "out" / MANIFEST).exists()

    refused({"a": tmp_path / "narrow", "b": tmp_path / "wide"}, "several types")
    refused(tmp_path / "none", "no training token")
    refused({}, "nothing to import")
    refused(tmp_path / "a.txt", "no token data")
    refused(tmp_path / "missing", "no token data")
    refused(tmp_path / "a.txt", "cannot be read as token data", format="megatron")
    refused(tmp_path / "narrow", "one of megatron", format="nemo")
    refused({" web": tmp_path / "narrow"}, "cannot be used as a name")
    import_corpus(tmp_path / "narrow", tmp_path / "twice", tokenizer="t")
    with pytest.raises(InputError, match="holds a corpus already"):
        import_corpus(tmp_path / "narrow", tmp_path / "twice", tokenizer="t")


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_guessed_by_the_names_of_files(name: str, tmp_path: Path) -> None:
    form = registry.part("formats", name)()
    files = form.write(
        [TokenPart(domain="web", split="train", lengths=np.array([1]), ids=lambda i: np.ones(1))], tmp_path
    )
    assert guess_format(tmp_path) == name
    assert guess_format(files[0] if name != "mds" else files[-1]) == name
    if name == "megatron":
        assert guess_format(tmp_path / "web") == name


@pytest.mark.parametrize("name", FORMATS)
def test_a_built_corpus_goes_out_and_its_counts_come_back(name: str, tmp_path: Path) -> None:
    documents = [Document(text=f"text number {i} " * (i % 5 + 5), label=["web", "code"][i % 2]) for i in range(60)]
    built = build_corpus(documents, tmp_path / "corpus", tokenizer="bytes")
    files = export_corpus(tmp_path / "corpus", tmp_path / "out", name)
    assert all(file.is_file() for file in files)
    imported = import_corpus(tmp_path / "out", tmp_path / "back", tokenizer="t")
    for ours, theirs in zip(built.domains, imported.domains, strict=True):
        assert (ours.name, ours.n_tokens, ours.n_docs) == (theirs.name, theirs.n_tokens, theirs.n_docs)
    store = open_store(tmp_path / "corpus")
    for part in registry.make("formats", Plug(name=name)).read(tmp_path / "out").parts:
        joined = np.concatenate([part.ids(i) for i in range(len(part.lengths))])
        assert joined.tolist() == store.tokens(part.domain)[:].tolist()
        assert all(part.ids(i)[-1] == store.separator for i in range(len(part.lengths)))


def test_datatrove_metadata_names_our_tokenizer(tmp_path: Path) -> None:
    make_store(tmp_path, 1000)
    export_corpus(tmp_path, tmp_path / "out", "datatrove")
    assert (tmp_path / "out/web/00000_unshuffled.ds.metadata").read_text().startswith("t|2\n500\n")
    export_corpus(tmp_path, tmp_path / "wide", Plug(name="datatrove", options={"dtype": "uint32"}))
    assert (tmp_path / "wide/web/00000_unshuffled.ds.metadata").read_text().startswith("t|4\n500\n")


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(40, 600), block=st.integers(1, 600))
def test_documents_of_shards_end_with_the_separator(tmp_path_factory, cut: int, block: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    make_store(folder, cut, n_ids=7 * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer, "BLOCK", block)
        part = shard_part(open_store(folder), "web")
    docs = [part.ids(i).tolist() for i in range(len(part.lengths))]
    whole = (np.arange(500) * 7 % 280).tolist()
    assert [n for doc in docs for n in doc] == whole
    assert all(doc.count(0) == (doc[-1] == 0) for doc in docs)
    assert all(doc[-1] == 0 for doc in docs[:-1])
