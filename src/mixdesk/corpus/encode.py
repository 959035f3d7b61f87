"""Documents of domains and evaluation sets to shards and tables, each set of files whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type
from mixdesk.core.corpus import Corpus, Domain, EvalSet, Shard
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, fingerprint, read_json, write_json, write_text
from mixdesk.core.protocols import Progress
from mixdesk.corpus.documents import TableWriter
from mixdesk.corpus.labelling import Labels
from mixdesk.corpus.shards import Manifest, Table, dtype_for, write_shards
from mixdesk.corpus.spool import Spool
from mixdesk.corpus.tokens import Encoder

# Text a domain gives to the tokenizer's training: enough for 32k merges, seconds to train on.
SAMPLE_BYTES = 2_000_000
# Text encoded at once: enough to keep every core busy, some hundred MB of token objects at most.
BATCH_BYTES = 1_000_000
# Part of every key: raise it when the same documents give other files.
FORM = "2"


@core_type
class Part:
    """A domain or evaluation set whose shards and tables are complete; `key` of its documents and the tokenizer."""

    key: str
    shards: tuple[Shard, ...]
    tables: tuple[Table, ...]
    domain: Domain | None = None
    set: EvalSet | None = None

    @property
    def paths(self) -> list[str]:
        """Its files."""
        return [*(shard.path for shard in self.shards), *(table.path for table in self.tables)]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Place:
    """A domain or evaluation set: its documents' positions in a spool ordered by hash, which is the fixed shuffle
    inside a domain; their hashes (n,), bytes of text (n,), and the labels of a domain's documents.
    """

    kind: str
    name: str
    spool: Spool
    where: NDArray[np.int64]
    hashes: NDArray[Any]
    n_bytes: NDArray[np.int64]
    labels: Labels | None

    def shares(self, run: slice) -> list[list[tuple[str, float]]]:
        """Domain → probability of a run of the documents."""
        if self.labels is None:
            return [[] for _ in self.where[run]]
        n, shares = self.labels.shares_of(self.where[run])
        names, domain = self.labels.domains, shares["domain"].tolist()
        pairs = [(names[d], share) for d, share in zip(domain, shares["share"].tolist(), strict=True)]
        ends = np.cumsum(n).tolist()
        return [pairs[end - k : end] for end, k in zip(ends, n.tolist(), strict=True)]

    @property
    def about(self) -> bytes:
        """Of all that is known of the documents beside their texts."""
        rows = self.spool.rows(self.where)
        names, number = self.spool.numbers("license")
        licenses = "\n".join(names[i] for i in number[self.where].tolist())
        parts: list[str | bytes] = [rows["about"].tobytes(), licenses]
        if self.labels is not None:
            n, shares = self.labels.shares_of(self.where)
            used, domain = np.unique(shares["domain"], return_inverse=True)
            parts += [n.tobytes(), *(self.labels.domains[i] for i in used.tolist()), domain.tobytes()]
            parts.append(shares["share"].tobytes())
        return fingerprint(*parts).encode()


def place_of(kind: str, name: str, spool: Spool, where: NDArray[np.int64], labels: Labels | None = None) -> Place:
    """The documents at the positions of a spool as a domain ("domain") or evaluation set ("set")."""
    rows = spool.rows(where)
    order = np.argsort(rows["hash"], kind="stable")
    return Place(
        kind=kind, name=name, spool=spool, where=where[order], hashes=rows["hash"][order],
        n_bytes=rows["n_bytes"][order].astype(np.int64), labels=labels,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """The second half: from places and an encoder to shards, tables and manifest."""

    out: Path
    name: str
    encoder: Encoder
    valid_share: float
    min_tokens: int

    def manifest(self, places: Sequence[Place], progress: Progress | None) -> Manifest:
        """Encode what is not yet encoded; the manifest, after the files it names."""
        parts = []
        n_bytes = [int(one.n_bytes.sum()) for one in places]
        for i, place in enumerate(places):
            parts.append(self.part(place))
            if progress is not None:
                progress("encode", sum(n_bytes[: i + 1]), sum(n_bytes))
        corpus = Corpus(
            name=self.name,
            tokenizer=self.encoder.reference,
            domains=tuple(part.domain for part in parts if part.domain is not None),
            evals=tuple(part.set for part in parts if part.set is not None),
            shards=tuple(shard for part in parts for shard in part.shards),
        )
        reference = self.encoder.reference
        sizes = f"token-bytes-{fingerprint(reference.sha256, length=12)}.npy"
        with atomic(self.out / sizes, "wb") as handle:
            np.save(handle, self.encoder.token_bytes)
        definition = f"tokenizer-{reference.sha256[:12]}.json" if self.encoder.definition is not None else None
        if definition is not None and self.encoder.definition is not None:
            write_text(self.out / definition, self.encoder.definition)
        return Manifest(
            corpus=corpus,
            dtype=dtype_for(reference.vocab_size),
            separator=self.encoder.separator,
            token_bytes=sizes,
            tokenizer=definition,
            tables=tuple(table for part in parts for table in part.tables),
            valid_share=self.valid_share,
        )

    def part(self, place: Place) -> Part:
        """A domain or evaluation set, encoded now or before."""
        n_valid = _n_valid(place.hashes, self.valid_share) if place.kind == "domain" else len(place.where)
        texts = fingerprint(
            FORM, place.kind, place.name, self.encoder.reference.sha256, str(n_valid), place.hashes.tobytes()
        )
        key = fingerprint(texts, place.about)
        slug = re.sub("[^a-z0-9]+", "-", place.name.lower())[:40].strip("-") or place.kind
        marker = self.out / "work" / f"{slug}-{key[:12]}.json"
        if marker.is_file():
            part = read_json(marker, Part)
            if part.key == key and all((self.out / path).is_file() for path in part.paths):
                return part
        stems = (f"{slug}-{texts[:12]}", f"{slug}-{key[:12]}")
        part = self.domain(key, stems, place, n_valid) if place.kind == "domain" else self.set(key, stems, place)
        write_json(marker, part)
        return part

    def domain(self, key: str, stems: tuple[str, str], place: Place, n_valid: int) -> Part:
        """Shards, tables and counts of a domain; the documents with the lowest hashes are for validation."""
        licenses: dict[str, float] = {}
        train = slice(n_valid, len(place.where))
        shards, table = self.split(stems, place, train, "train", licenses)
        n_tokens = sum(shard.n_tokens for shard in shards)
        if n_tokens < self.min_tokens:
            raise InputError(
                f"the domain `{place.name}` has too little text",
                value=f"{n_tokens} training tokens in {table.n_docs} documents",
                bound=f"at least {self.min_tokens}",
                remedy=f"add text to `{place.name}`, merge it with another domain, or leave it out",
            )
        valid_shards, valid_table = self.split(stems, place, slice(0, n_valid), "valid", {})
        domain = Domain(
            name=place.name,
            n_tokens=n_tokens,
            n_bytes=int(place.n_bytes[train].sum()),
            n_docs=table.n_docs,
            licenses=checks.pairs("licenses", licenses),
            fingerprint=fingerprint(place.hashes[train].tobytes(), place.hashes[:n_valid].tobytes()),
        )
        return Part(key=key, shards=shards + valid_shards, tables=(table, valid_table), domain=domain)

    def set(self, key: str, stems: tuple[str, str], place: Place) -> Part:
        """Shards, table and counts of an evaluation set."""
        shards, table = self.split(stems, place, slice(0, len(place.where)), "set", {})
        one = EvalSet(
            name=place.name,
            n_tokens=sum(shard.n_tokens for shard in shards),
            n_bytes=int(place.n_bytes.sum()),
            fingerprint=fingerprint(place.hashes.tobytes()),
        )
        return Part(key=key, shards=shards, tables=(table,), set=one)

    def split(
        self, stems: tuple[str, str], place: Place, run: slice, split: str, licenses: dict[str, float]
    ) -> tuple[tuple[Shard, ...], Table]:
        """Shards and table of a run of a place's documents; tokens per licence are added up."""
        where = (place.name, split)
        with TableWriter(self.out, f"documents/{stems[1]}.{split}.parquet", where) as writer:
            ids = self.ids(place, run, writer, licenses)
            shards = write_shards(self.out, stems[0], where, ids, dtype_for(self.encoder.reference.vocab_size))
        return shards, writer.table()

    def ids(
        self, place: Place, run: slice, writer: TableWriter, licenses: dict[str, float]
    ) -> Iterator[NDArray[np.uint32]]:
        """The ids of the documents in order, a separator after each; each is told to the table's writer."""
        for inside, documents in place.spool.batches(place.where[run], BATCH_BYTES):
            at = slice(run.start + inside.start, run.start + inside.stop)
            ids, lengths = self.encoder.encode_joined([document.text for document in documents])
            for document, n in zip(documents, lengths.tolist(), strict=True):
                license = str(document.license)
                licenses[license] = licenses.get(license, 0) + n
            writer.add(documents, place.hashes[at], lengths, place.n_bytes[at], place.shares(at))
            yield ids


def _n_valid(hashes: NDArray[Any], share: float) -> int:
    """How many of the sorted hashes are for validation: those below the share, one at least."""
    heads = np.frombuffer(hashes.astype("S8").tobytes(), dtype=">u8")
    below = int(np.searchsorted(heads, np.uint64(int(share * 2.0**64)), side="left"))
    return min(max(below, 1), len(hashes) - 1)


def sample_texts(places: Sequence[Place], valid_share: float) -> Iterator[str]:
    """What a tokenizer is trained on: the first SAMPLE_BYTES of each domain's training documents."""
    for place in places:
        if place.kind == "domain":
            start = _n_valid(place.hashes, valid_share)
            n = 1 + int(np.searchsorted(np.cumsum(place.n_bytes[start:]), SAMPLE_BYTES))
            for _, documents in place.spool.batches(place.where[start : start + n], BATCH_BYTES):
                yield from (document.text for document in documents)
