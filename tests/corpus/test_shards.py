from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.files import file_sha256, read_json, write_json
from mixdesk.corpus.shards import MANIFEST, Manifest, Tokens, dtype_for, open_store, write_shards


def make_store(root: Path, cut: int, dtype: str = "uint16", n_ids: int = 1000) -> None:
    train = np.arange(500, dtype=np.int64) * 7 % n_ids
    chunks = [train[:3], train[3:3], train[3:250], train[250:]]
    shards = write_shards(root, "web-x", ("web", "train"), chunks, dtype, cut)
    shards += write_shards(root, "web-x", ("web", "valid"), [np.array([5, 6])], dtype, cut)
    shards += write_shards(root, "exam-x", ("exam", "set"), [np.array([8])], dtype, cut)
    np.save(root / "sizes.npy", np.ones(n_ids, dtype=np.int64))
    corpus = Corpus(
        name="c",
        tokenizer=Tokenizer(name="t", vocab_size=n_ids, sha256="0"),
        domains=(Domain(name="web", n_tokens=500),),
        evals=(EvalSet(name="exam"),),
        shards=shards,
    )
    write_json(root / MANIFEST, Manifest(corpus=corpus, dtype=dtype, separator=0, token_bytes="sizes.npy"))


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 40), st.integers(0, 40))
def test_tokens_are_the_joined_shards(sizes: list[int], a: int, b: int) -> None:
    whole = np.arange(sum(sizes), dtype=np.uint16)
    tokens = Tokens.over(np.split(whole, np.cumsum(sizes)[:-1]) if sizes else [])
    assert len(tokens) == len(whole)
    assert tokens[a:b].dtype == np.int64
    assert tokens[a:b].tolist() == whole[a:b].tolist()
    assert tokens[:].tolist() == whole.tolist()


@pytest.mark.parametrize("cut", [9, 250, 500, 501])
def test_where_files_are_cut_changes_nothing_that_is_read(tmp_path: Path, cut: int) -> None:
    make_store(tmp_path, cut)
    store = open_store(tmp_path)
    assert store.tokens("web")[:].tolist() == [i * 7 % 1000 for i in range(500)]
    assert store.tokens("web", "valid")[:].tolist() == [5, 6]
    assert store.tokens("exam", "set")[:].tolist() == [8]
    shards = [shard for shard in store.corpus.shards if shard.split == "train"]
    assert len(shards) == -(-500 // cut)
    assert all(file_sha256(tmp_path / shard.path) == shard.sha256 for shard in shards)
    assert not list(tmp_path.rglob("*.part"))


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    assert (dtype_for(1 << 16), dtype_for((1 << 16) + 1)) == ("uint16", "uint32")
    make_store(tmp_path, 100, "uint32", 100_000)
    assert open_store(tmp_path / MANIFEST).tokens("web")[499:500].tolist() == [499 * 7]


def test_manifest_round_trip(tmp_path: Path) -> None:
    make_store(tmp_path, 100)
    manifest = read_json(tmp_path / MANIFEST, Manifest)
    write_json(tmp_path / "again.json", manifest)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / MANIFEST).read_bytes()


def test_unknown_names_are_named(tmp_path: Path) -> None:
    make_store(tmp_path, 100)
    store = open_store(tmp_path)
    with pytest.raises(InputError, match=r"unknown domain `wet`.*did you mean `web`"):
        store.tokens("wet")
    with pytest.raises(InputError, match="unknown evaluation set `web`"):
        store.tokens("web", "set")


@pytest.mark.parametrize("damage", ["no manifest", "no shard", "short shard", "no sizes", "other sizes", "no json"])
def test_a_damaged_corpus_says_what_is_damaged(tmp_path: Path, damage: str) -> None:
    make_store(tmp_path, 100)
    shard = tmp_path / "shards" / "web-x.train.002.bin"
    if damage == "no manifest":
        (tmp_path / MANIFEST).unlink()
    elif damage == "no shard":
        shard.unlink()
    elif damage == "short shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "no sizes":
        (tmp_path / "sizes.npy").unlink()
    elif damage == "other sizes":
        np.save(tmp_path / "sizes.npy", np.ones(3))
    else:
        (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(InputError) as error:
        open_store(tmp_path)
    assert str(tmp_path) in str(error.value)
