"""Whether a corpus on disk is as it was built: every file, its sha256, and the counts it stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixdesk.core.corpus import Shard
from mixdesk.core.files import file_sha256, read_json
from mixdesk.core.machine import n_cores
from mixdesk.core.protocols import Progress
from mixdesk.corpus.shards import MANIFEST, Manifest, Table
from mixdesk.corpus.tokens import load_encoder

# Bytes read at once: a whole number of ids.
BLOCK = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What is `wrong` with a file, and what is in it."""

    wrong: list[str]
    n_tokens: int = 0
    n_bytes: int = 0
    n_docs: int = 0
    is_ended: bool = True


def check(folder: Path, progress: Progress | None = None) -> list[str]:
    """Read every file once, in as many threads as there are cores; what is wrong, in words, in the manifest's order.

    Of shards: presence, size, sha256, ids within the vocabulary, a separator at the end of each domain and set, and
    their tokens, bytes and documents. Of tables: sha256 and rows. Of the tokenizer: sha256, and the
    bytes of its ids.

    Raises:
        InputError: the folder holds no manifest that can be read.
    """
    root = folder.parent if folder.name == MANIFEST else folder
    manifest = read_json(root / MANIFEST, Manifest)
    vocab_size = manifest.corpus.tokenizer.vocab_size
    if manifest.token_bytes is None:
        return []  # imported by its index: there is no file to read
    try:
        sizes: NDArray[np.int64] = np.load(root / manifest.token_bytes, allow_pickle=False)
    except (OSError, ValueError) as error:
        return [f"{manifest.token_bytes}: cannot be read ({_why(error)})"]
    if sizes.shape != (vocab_size,):
        return [f"{manifest.token_bytes}: holds {sizes.shape} numbers for {vocab_size} ids"]
    files: list[Shard | Table] = [*manifest.corpus.shards, *manifest.tables]

    def look(file: Shard | Table) -> _Found:
        path = root / file.path
        return _shard(path, file, manifest, sizes) if isinstance(file, Shard) else _table(path, file)

    found = []
    with ThreadPoolExecutor(n_cores()) as pool:
        for one in pool.map(look, files):
            found.append(one)
            if progress is not None:
                progress("check", len(found), len(files))
    wrong = [line for one in found for line in one.wrong]
    if manifest.tokenizer is not None:
        path = root / manifest.tokenizer
        if not path.is_file() or file_sha256(path) != manifest.corpus.tokenizer.sha256:
            wrong.append(f"{manifest.tokenizer}: is not the tokenizer of the manifest")
        elif not np.array_equal(load_encoder("", path.read_text(encoding="utf-8")).token_bytes, sizes):
            wrong.append(f"{manifest.token_bytes}: is not what the tokenizer's ids stand for")
    if manifest.splitter is not None and not (root / manifest.splitter).is_file():
        wrong.append(f"{manifest.splitter}: no such file")
    return wrong or _counts(manifest, files, found)


def _shard(path: Path, shard: Shard, manifest: Manifest, sizes: NDArray[np.int64]) -> _Found:
    digest, n_tokens, n_bytes, n_docs, last = hashlib.sha256(), 0, 0, 0, -1
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    try:
        with path.open("rb") as handle:
            while block := handle.read(BLOCK):
                digest.update(block)
                ids = np.frombuffer(block, dtype=dtype)
                n_tokens += len(ids)
                n_bytes += int(sizes[ids].sum())
                n_docs += int(np.count_nonzero(ids == manifest.separator))
                last = int(ids[-1])
    except IndexError:
        return _Found(wrong=[f"{shard.path}: an id is outside the vocabulary of {len(sizes)}"])
    except (OSError, ValueError) as error:
        return _Found(wrong=[f"{shard.path}: cannot be read ({_why(error)})"])
    wrong = []
    if n_tokens != shard.n_tokens:
        wrong.append(f"{shard.path}: holds {n_tokens} tokens, the manifest says {shard.n_tokens}")
    elif digest.hexdigest() != shard.sha256:
        wrong.append(f"{shard.path}: its content is not what was written (sha256)")
    ended = last == manifest.separator
    return _Found(wrong=wrong, n_tokens=n_tokens, n_bytes=n_bytes, n_docs=n_docs, is_ended=ended)


def _table(path: Path, table: Table) -> _Found:
    try:
        if file_sha256(path) != table.sha256:
            return _Found(wrong=[f"{table.path}: its content is not what was written (sha256)"])
        n_docs = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        return _Found(wrong=[f"{table.path}: cannot be read ({_why(error)})"])
    wrong = [] if n_docs == table.n_docs else [f"{table.path}: holds {n_docs} rows, the manifest says {table.n_docs}"]
    return _Found(wrong=wrong, n_docs=n_docs)


def _counts(manifest: Manifest, files: Sequence[Shard | Table], found: Sequence[_Found]) -> list[str]:
    """The manifest's counts against what the whole files hold."""
    places: dict[tuple[str, str], list[_Found]] = {}
    for file, one in zip(files, found, strict=True):
        if isinstance(file, Shard):
            places.setdefault((file.domain, file.split), []).append(one)
    wrong = [f"{name} ({split}): does not end with a separator" for (name, split), ones in places.items()
             if not ones[-1].is_ended]  # fmt: skip

    def compare(place: tuple[str, str], **said: int | None) -> None:
        for what, number in said.items():
            there = sum(getattr(one, what) for one in places.get(place, ()))
            if number is not None and there != number:
                wrong.append(f"{place[0]} ({place[1]}): {what} is {there}, the manifest says {number}")

    for domain in manifest.corpus.domains:
        said: dict[str, Any] = {"n_tokens": domain.n_tokens, "n_bytes": domain.n_bytes, "n_docs": domain.n_docs}
        compare((domain.name, "train"), **said)
    for held in manifest.corpus.evals:
        compare((held.name, "set"), n_tokens=held.n_tokens, n_bytes=held.n_bytes)
    for table in manifest.tables:
        compare((table.domain, table.split), n_docs=table.n_docs)
    return wrong


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
