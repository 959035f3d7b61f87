"""The blend itself: whole documents of all domains in the order to train on, in files that appear one after another.

Each domain is passed in an order of its own, drawn anew for every pass; a stage goes on where the stage before it
stopped, so that nothing comes again before all of its domain was there. What is open at the end of a stage, up to half
a document, is made up in the next. Memory holds a few numbers for each document, and the texts of some hundreds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import registry
from mixdesk.core.corpus import TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, read_data, write_json
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress
from mixdesk.corpus.importer import shard_part
from mixdesk.corpus.shards import TokenStore
from mixdesk.export.data import DONE, head

# Tokens after which a file ends.
FILE_TOKENS = 1 << 26
# Says half the tokens of the document at which each domain was cut, stage by stage: no whole documents come nearer.
CUTS = "cuts.json"
# Documents decoded at once.
BATCH = 256


@dataclass(slots=True)
class _Pass:
    """Where the run is in a domain: which pass, and how many documents of it are used; tokens open, and half of those
    of the document at the cut.
    """

    lengths: NDArray[np.int64]
    seed: tuple[int, ...]
    n_pass: int = 0
    at: int = 0
    open: float = 0.0
    cut: float = 0.0
    order: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def take(self, n_tokens: float) -> NDArray[np.int64]:
        """The next documents that hold `n_tokens` to half a document; at least one, unless too many came before."""
        self.open += n_tokens
        taken: list[NDArray[np.int64]] = []
        while self.open > 0.0:
            if not len(self.order):
                self.order = np.random.default_rng([*self.seed, self.n_pass]).permutation(len(self.lengths))
            rest = self.order[self.at :]
            ends = np.cumsum(self.lengths[rest])
            n = int(np.searchsorted(ends - self.lengths[rest] / 2.0, self.open))
            n = max(n, 0 if taken else 1)
            if n == 0:
                break
            taken.append(rest[:n])
            self.open -= float(ends[n - 1])
            self.at += n
            if n < len(rest):
                break
            self.order, self.at, self.n_pass = self.order[:0], 0, self.n_pass + 1
        if self.open > 0.0:
            self.cut = float(self.lengths[self.order[self.at]]) / 2.0
        elif taken:
            self.cut = float(self.lengths[taken[-1][-1]]) / 2.0
        return np.concatenate(taken) if taken else np.zeros(0, dtype=np.int64)


def write_blend(
    store: TokenStore,
    out: Path,
    stages: Sequence[Mapping[str, float]],
    *,
    form: str = "jsonl",
    seed: int = 0,
    share: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write `out/stage0/00000.jsonl`, …: the documents of each stage, shuffled; files that are there stay.

    Args:
        store: a corpus with tokens.
        out: folder.
        stages: domain → tokens to train on, above zero.
        form: jsonl, parquet (both with `text`, `domain` and `n_tokens`) or megatron (`.bin` and `.idx`, and the domain
            of each document in `00000.domains.npy`).
        seed: of the order.
        share: the first documents that hold so much of each domain's tokens; all of them at 1.
        progress: called with (what, done, total), in tokens.

    Raises:
        InputError: a text that does not come back from its tokens, a domain without documents, or a disk that is full.
    """
    asked = [dict(stage) for stage in stages]
    names = sorted({name for stage in asked for name in stage})
    keys = {"corpus": store.corpus.fingerprint, "form": form, "share": share, "stages": asked, "seed": seed}
    known = (out / DONE).is_file() and read_data(out / DONE) == keys
    write_json(out / DONE, keys)
    parts = [head(shard_part(store, name), share) for name in names]
    empty = next((part.domain for part in parts if not part.lengths.sum()), None)
    if empty is not None:
        raise InputError(
            f"`{empty}` has no documents to train on", value="none", bound="at least one", remedy="leave it out"
        )
    passes = [_Pass(lengths=part.lengths, seed=(seed, i)) for i, part in enumerate(parts)]
    total, done, cuts = int(sum(sum(stage.values()) for stage in asked)), 0, list[dict[str, float]]()
    for k, stage in enumerate(asked):
        taken = [
            one.take(stage[name]) if name in stage else one.order[:0] for name, one in zip(names, passes, strict=True)
        ]
        cuts.append({name: one.cut for name, one in zip(names, passes, strict=True)})
        domains = np.repeat(np.arange(len(names)), [len(one) for one in taken]).astype(np.uint16)
        documents = np.concatenate(taken)
        shuffled = np.random.default_rng([seed, len(names), k]).permutation(len(documents))
        domains, documents = domains[shuffled], documents[shuffled]
        for i, (first, last) in enumerate(_files(parts, domains, documents)):
            path = out / f"stage{k}" / f"{i:05d}"
            chosen = _Chosen(parts=parts, domains=domains[first:last], documents=documents[first:last])
            if not (known and _marker(path, form).is_file()):
                _write(store, form, path, chosen)
            done += int(chosen.lengths.sum())
            if progress is not None:
                progress("blend", min(done, total), total)
    write_json(out / CUTS, {"stages": cuts})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The documents of one file in order: (n,) which part each is of, and which document of it."""

    parts: Sequence[TokenPart]
    domains: NDArray[np.uint16]
    documents: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each, separators included."""
        return _lengths(self.parts, self.domains, self.documents)

    def ids(self, i: int) -> NDArray[np.int64]:
        """Ids of a document."""
        return self.parts[int(self.domains[i])].ids(int(self.documents[i]))


def _lengths(
    parts: Sequence[TokenPart], domains: NDArray[np.uint16], documents: NDArray[np.int64]
) -> NDArray[np.int64]:
    out = np.empty(len(documents), dtype=np.int64)
    for k, part in enumerate(parts):
        own = domains == k
        out[own] = part.lengths[documents[own]]
    return out


def _files(
    parts: Sequence[TokenPart], domains: NDArray[np.uint16], documents: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """First and last document of each file."""
    number = (np.cumsum(_lengths(parts, domains, documents)) - 1) // FILE_TOKENS
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(documents)]
    yield from pairwise(cuts)


def _marker(path: Path, form: str) -> Path:
    """The file that is written last."""
    return path.with_name(path.name + (".idx" if form == "megatron" else f".{form}"))


def _write(store: TokenStore, form: str, path: Path, chosen: _Chosen) -> None:
    if form == "megatron":
        with atomic(path.with_name(path.name + ".domains.npy"), "wb") as handle:
            np.save(handle, chosen.domains)
        part = TokenPart(domain=path.name, split="train", lengths=chosen.lengths, ids=chosen.ids)
        registry.make("formats", Plug(name="megatron"), dtype=store.manifest.dtype).write([part], path.parent)
        return
    if form == "jsonl":
        with atomic(_marker(path, form)) as handle:
            for rows in _rows(store, chosen):
                handle.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("text", pa.string()), ("domain", pa.string()), ("n_tokens", pa.uint32())])
    with (
        atomic(_marker(path, form), "wb") as handle,
        pq.ParquetWriter(handle, schema, compression="zstd", use_dictionary=["domain"]) as writer,
    ):
        for rows in _rows(store, chosen):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _rows(store: TokenStore, chosen: _Chosen) -> Iterator[list[dict[str, Any]]]:
    """Text, domain and tokens of the documents in order, some at a time.

    Raises:
        InputError: a text that has another number of bytes than its tokens stand for.
    """
    decode = store.encoder().decode
    for start in range(0, len(chosen.documents), BATCH):
        ids = [chosen.ids(i) for i in range(start, min(start + BATCH, len(chosen.documents)))]
        bare = [one[:-1] if len(one) and one[-1] == store.separator else one for one in ids]
        rows = []
        for i, (own, text) in enumerate(zip(bare, decode(bare), strict=True), start):
            if len(text.encode()) != int(store.token_bytes[own].sum()):
                raise InputError(
                    "a text does not come back from its tokens", value=text[:60], bound="as many bytes as its tokens",
                    remedy=f"check the corpus: `{store.corpus.tokenizer.name}` may not be exact",
                )  # fmt: skip
            part = chosen.parts[int(chosen.domains[i])]
            rows.append({"text": text, "domain": part.domain, "n_tokens": len(ids[i - start])})
        yield rows
