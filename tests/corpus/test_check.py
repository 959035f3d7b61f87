from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import read_json, write_json
from mixdesk.corpus.build import build
from mixdesk.corpus.check import check
from mixdesk.corpus.shards import MANIFEST, Manifest

WORDS = ["river", "stone", "lamp", "naïve", "日本"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 60)) for _ in range(60)]
    documents = [Document(text=text, label="ab"[i % 2]) for i, text in enumerate(texts[:50])]
    evals = {"exam": [Document(text=text) for text in texts[50:]]}
    build(documents, tmp_path / "c", name="c", vocab_size=300, evals=evals)
    return tmp_path / "c"


def test_a_whole_corpus_has_nothing_wrong(folder: Path) -> None:
    said = []
    assert check(folder, lambda *what: said.append(what)) == []
    manifest = read_json(folder / MANIFEST, Manifest)
    assert said[-1] == ("check", 10, 10) == ("check", *[len(manifest.corpus.shards) + len(manifest.tables)] * 2)


@pytest.mark.parametrize("pattern", ["shards/a-*.train.*", "documents/b-*.valid.*", "tokenizer-*", "token-bytes-*"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_every_kind_of_damage_is_found(folder: Path, pattern: str, damage: str) -> None:
    file = next(folder.glob(pattern))
    raw = bytearray(file.read_bytes())
    raw[-len(raw) // 3] ^= 1
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(raw[: len(raw) // 2])
    else:
        file.write_bytes(raw)
    found = check(folder)
    assert found
    if pattern != "token-bytes-*" or damage != "flip":
        assert [file.relative_to(folder).as_posix() in line for line in found] == [True]


@pytest.mark.parametrize("key", ["n_tokens", "n_bytes", "n_docs"])
def test_wrong_counts_in_the_manifest_are_found(folder: Path, key: str) -> None:
    text = (folder / MANIFEST).read_text()
    domain = read_json(folder / MANIFEST, Manifest).corpus.domains[0]
    (folder / MANIFEST).write_text(text.replace(f'"{key}": {getattr(domain, key)}', f'"{key}": 7', 1))
    assert check(folder) == [f"a (train): {key} is {getattr(domain, key)}, the manifest says 7"]


def test_a_corpus_without_tables_is_checked_too(folder: Path) -> None:
    manifest = read_json(folder / MANIFEST, Manifest)
    old = {key: getattr(manifest, key) for key in ("corpus", "dtype", "separator", "token_bytes", "tokenizer")}
    write_json(folder / MANIFEST, Manifest(**old))
    assert check(folder) == []
    with pytest.raises(InputError):
        check(folder / "shards")
