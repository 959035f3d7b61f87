"""The table of a corpus's documents beside its shards, and the documents back out of both.

One Parquet file per domain and split (and per evaluation set), a row per document in the order of the shards: `hash`
sha256 of the text, `n_tokens` with the separator, `n_bytes`, `license`, `source`, `url`, `author`, `language`, `scores`
and `labels` (domain → probability) as maps. It is written and read by row groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, file_sha256
from mixdesk.corpus.shards import Table, TokenStore

_NUMBERS = pa.map_(pa.string(), pa.float32())
SCHEMA = pa.schema(
    [
        ("hash", pa.binary(32)),
        ("n_tokens", pa.uint32()),
        ("n_bytes", pa.uint32()),
        ("license", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("language", pa.string()),
        ("scores", _NUMBERS),
        ("labels", _NUMBERS),
    ]
)
# Columns that are a document's own fields.
_OWN = ("license", "source", "url", "author", "language", "scores")
GROUP_ROWS = 1 << 16
# Ids decoded at once.
DECODE_TOKENS = 1 << 18


class TableWriter:
    """Writes a table batch by batch; memory holds a row group. A context manager: the file appears at its end."""

    def __init__(self, root: Path, path: str, place: tuple[str, str]) -> None:
        self._root, self._path, self._place = root, path, place
        self._n_rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._n_waiting = 0

    def __enter__(self) -> TableWriter:
        self._file = atomic(self._root / self._path, "wb")
        self._writer = pq.ParquetWriter(
            self._file.__enter__(), SCHEMA, compression="zstd", use_dictionary=["license", "author", "language"]
        )
        return self

    def add(
        self,
        documents: Sequence[Document],
        hashes: NDArray[Any],
        n_tokens: NDArray[np.int64],
        n_bytes: NDArray[np.int64],
        labels: Sequence[Sequence[tuple[str, float]]],
    ) -> None:
        """Append a batch of documents and what is counted of them."""
        raw = pa.py_buffer(hashes.astype("S32").tobytes())
        columns = [
            pa.Array.from_buffers(pa.binary(32), len(documents), [None, raw]),
            pa.array(n_tokens, pa.uint32()),
            pa.array(n_bytes, pa.uint32()),
            *(pa.array([getattr(one, name) for one in documents], SCHEMA.field(name).type) for name in _OWN),
            pa.array(labels, _NUMBERS),
        ]
        self._waiting.append(pa.record_batch(columns, schema=SCHEMA))
        self._n_waiting += len(documents)
        self._n_rows += len(documents)
        if self._n_waiting >= GROUP_ROWS:
            self._flush()

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            try:
                self._flush()
                self._writer.close()
            except BaseException as failed:
                self._file.__exit__(type(failed), failed, failed.__traceback__)
                raise
        self._file.__exit__(*error)

    def table(self) -> Table:
        """The finished table, for the manifest."""
        name, split = self._place
        sha256 = file_sha256(self._root / self._path)
        return Table(path=self._path, domain=name, split=split, n_docs=self._n_rows, sha256=sha256)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=GROUP_ROWS)
            self._waiting, self._n_waiting = [], 0


def read_documents(store: TokenStore, name: str, split: str) -> Iterator[Document]:
    """The documents of a domain ("train" or "valid") or evaluation set ("set") in the order of the shards.

    Texts are decoded from the shards and checked against the hash in the table. A document's label is its domain. A
    corpus from before there were tables gives texts and labels alone.

    Raises:
        InputError: the tokenizer does not give a text back as it was, or the table is damaged.
        MissingExtra: the tokenizer needs a package that is not installed.
    """
    decode = store.encoder().decode
    tokens = store.tokens(name, split)
    table = next((one for one in store.manifest.tables if (one.domain, one.split) == (name, split)), None)
    if table is None:
        for ids in _between(tokens, store.separator):
            yield Document(text=decode([ids])[0], label=name)
        return
    start = 0
    for rows in _row_batches(store.root / table.path):
        ends = start + np.cumsum(rows["n_tokens"], dtype=np.int64)
        first = 0
        while first < len(ends):
            begin = int(ends[first - 1]) if first else start
            last = max(first + 1, int(np.searchsorted(ends, begin + DECODE_TOKENS, side="right")))
            cuts = ends[first:last] - begin
            pieces = np.split(tokens[begin : int(cuts[-1]) + begin], cuts[:-1])
            texts = decode([one[:-1] for one in pieces])
            for i, text in enumerate(texts, first):
                _check(text, rows["hash"][i], store, rows["source"][i])
                about = {key: rows[key][i] for key in _OWN[:-1]}
                yield Document(text=text, label=name, scores=checks.pairs("scores", rows["scores"][i]), **about)
            first = last
        start = int(ends[-1]) if len(ends) else start


def lengths(store: TokenStore, name: str, split: str) -> NDArray[np.int64]:
    """Tokens of each document of a domain, separators included, in the order of the shards; read from the table alone.

    Empty where the corpus has no tables.

    Raises:
        InputError: the table is damaged.
    """
    paths = [store.root / one.path for one in store.manifest.tables if (one.domain, one.split) == (name, split)]
    try:
        columns = [pq.read_table(path, columns=["n_tokens"])["n_tokens"].to_numpy() for path in paths]
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"`{paths[0]}` is damaged", value=str(error), bound="a Parquet file", remedy="build the corpus again"
        ) from None
    return np.concatenate([np.zeros(0), *columns]).astype(np.int64)


def read_tables(store: TokenStore, name: str, split: str) -> Iterator[dict[str, list[Any]]]:
    """The columns of a domain's table, some thousand rows at a time; nothing where the corpus has none.

    Raises:
        InputError: the table is damaged.
    """
    for table in store.manifest.tables:
        if (table.domain, table.split) == (name, split):
            yield from _row_batches(store.root / table.path)


def _row_batches(path: Path) -> Iterator[dict[str, list[Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=8192):
                yield batch.to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"`{path}` is damaged", value=str(error), bound="a Parquet file", remedy="build the corpus again"
        ) from None


def _between(tokens: Any, separator: int) -> Iterator[NDArray[np.int64]]:
    """The ids between the separators."""
    held: list[NDArray[np.int64]] = []
    for start in range(0, len(tokens), DECODE_TOKENS):
        ids = tokens[start : start + DECODE_TOKENS]
        *whole, rest = np.split(ids, np.flatnonzero(ids == separator) + 1)
        for one in whole:
            yield np.concatenate([*held, one[:-1]])
            held = []
        held.append(rest)


def _check(text: str, digest: bytes, store: TokenStore, source: str) -> None:
    if hashlib.sha256(text.encode()).digest() != digest:
        raise InputError(
            f"the text of `{source or text[:40]}` does not come back from its tokens",
            value=text[:60],
            bound=f"a text with the sha256 {digest.hex()[:12]}…",
            remedy=f"check the corpus, or build it from its texts: `{store.corpus.tokenizer.name}` may not be exact",
        )
