from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.plan import Plug
from mixdesk.corpus.build import build, rebuild
from mixdesk.corpus.documents import read_tables
from mixdesk.corpus.labelling import OwnLabel
from mixdesk.corpus.shards import TokenStore, open_store

ODD = ["  two  blanks \n", "\r\n\ttabs", "naïve 日本語 👩‍👩‍👧 \u2028", "<|endoftext|></s> plain text", "e\u0301\ufeff"]


def documents(n: int = 60) -> list[Document]:
    rng = np.random.default_rng(1)
    return [
        Document(
            text=f"{i} {ODD[i % 5]}" + " ".join(rng.choice(["stone", "lamp", "moth"], 80)), label="ab"[i % 2],
            license=[None, "MIT"][i % 2], source=f"f{i}.txt" if i % 3 else "", url=f"http://x/{i}" if i % 4 else "",
            author="Ann" if i % 5 else "", language=[None, "de"][i % 2], scores=(("fluent", i / 4),) if i % 2 else (),
        )
        for i in range(n)
    ]  # fmt: skip


def everything(store: TokenStore) -> list[Document]:
    return [one for name in store.corpus.names for split in ("train", "valid") for one in store.documents(name, split)]


@pytest.mark.parametrize("tokenizer", ["bpe", "bytes"])
def test_documents_come_back_whole(tmp_path: Path, tokenizer: str) -> None:
    build(documents(), tmp_path / "c", name="c", tokenizer=tokenizer, vocab_size=300, evals={"e": [Document(text="x")]})
    store = open_store(tmp_path / "c")
    wanted = {one.text: replace(one, license=one.license or "NOASSERTION") for one in documents()}
    assert {one.text: one for one in everything(store)} == wanted
    assert [one.text for one in store.documents("e", "set")] == ["x"]
    for batch in read_tables(store, "a", "train"):
        assert sum(batch["n_tokens"]) == store.corpus.domains[0].n_tokens
        assert sum(batch["n_bytes"]) == store.corpus.domains[0].n_bytes
        assert {tuple(one) for one in batch["labels"]} == {(("a", 1.0),)}


def test_a_corpus_without_tables_gives_texts_and_labels(tmp_path: Path) -> None:
    build(documents(), tmp_path / "c", name="c", vocab_size=300)
    store = open_store(tmp_path / "c")
    with_tables = [(one.text, one.label) for one in everything(store)]
    old = TokenStore(store.root, replace(store.manifest, tables=()))
    assert [(one.text, one.label) for one in everything(old)] == with_tables
    assert len(with_tables) == 60


def test_text_that_does_not_come_back_is_an_error(tmp_path: Path) -> None:
    build(documents(), tmp_path / "c", name="c", tokenizer="bytes")
    store = open_store(tmp_path / "c")
    file = tmp_path / "c" / next(one.path for one in store.corpus.shards if one.split == "train")
    raw = bytearray(file.read_bytes())
    raw[0] ^= 1
    file.write_bytes(raw)
    with pytest.raises(InputError, match="does not come back"):
        list(open_store(tmp_path / "c").documents("a"))


class ByLicense(OwnLabel):
    """`<label>/<licence>`."""

    def prepare(self, sample):
        return self

    restore = prepare

    def label(self, documents):
        return [{f"{one.label}/{one.license}": 1.0} for one in documents]


def test_a_built_corpus_is_cut_anew(tmp_path: Path) -> None:
    mixed = [replace(one, license=["MIT", "CC0-1.0"][i // 2 % 2]) for i, one in enumerate(documents(120))]
    build(mixed, tmp_path / "c", name="c", vocab_size=300, evals={"e": [Document(text="x y")]}, valid_share=0.2)
    before = open_store(tmp_path / "c")
    plug = Plug(name="by_license")
    after = rebuild(before, tmp_path / "new", splitter=(plug, ByLicense()))
    assert after.names == ("a/CC0-1.0", "a/MIT", "b/CC0-1.0", "b/MIT")
    assert after.tokenizer == before.corpus.tokenizer
    assert after.evals == before.corpus.evals
    assert {one.text: one.url for one in everything(open_store(tmp_path / "new"))} == {o.text: o.url for o in mixed}
    with pytest.raises(InputError, match="its own folder"):
        rebuild(before, tmp_path / "c", splitter=(plug, ByLicense()))
