"""The pipeline: read, label, deduplicate, split, tokenise, shard, count.

Each step writes under `work/` what the next needs, whole or not at all, so a build that was stopped goes on and ends
byte for byte as an undisturbed one. The manifest comes last; an older corpus in the folder stays usable until then.
Memory holds one row per document and one batch of texts.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type
from mixdesk.core.corpus import Corpus, Document, Domain, EvalSet, Shard
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, file_sha256, fingerprint, read_json, write_json, write_text
from mixdesk.core.protocols import Progress
from mixdesk.corpus.read import Skipped, SourceFile, Sources, find_files, read_files
from mixdesk.corpus.shards import MANIFEST, Manifest, dtype_for, open_store, write_shards
from mixdesk.corpus.spool import Label, Spool, fill_spool, open_spool
from mixdesk.corpus.tokens import Encoder, bytes_encoder, read_tokenizer, train_bpe

# Text a domain gives to the tokenizer's training: enough for 32k merges, seconds to train on.
SAMPLE_BYTES = 2_000_000
# Text encoded at once: enough to keep every core busy, some hundred MB of token objects at most.
BATCH_BYTES = 1_000_000
# Part of every key: raise it when the same inputs give other files.
BUILD = 1


@core_type
class Done:
    """What a completed build was made from, and the sha256 of the manifest it wrote."""

    key: str
    manifest: str


@core_type
class Part:
    """A domain or evaluation set whose shards are complete; `key` of its texts, licences and tokenizer."""

    key: str
    shards: tuple[Shard, ...]
    domain: Domain | None = None
    set: EvalSet | None = None


def own_label(documents: Sequence[Document]) -> list[dict[str, float]]:
    """The label each document came with, as its domain.

    Raises:
        InputError: one has none.
    """
    for document in documents:
        if not document.label:
            raise InputError("the document has no label", value=document.source, bound="a domain", remedy="label it")
    return [{str(document.label): 1.0} for document in documents]


def build(  # noqa: PLR0913  (the one door to the room; all but two are keywords)
    sources: Sources,
    out: Path,
    *,
    name: str,
    tokenizer: str | Path = "bpe",
    vocab_size: int = 2048,
    evals: Mapping[str, Sources] | None = None,
    label: Label = own_label,
    valid_share: float = 0.1,
    min_tokens: int = 1024,
    on_error: str = "raise",
    progress: Progress | None = None,
) -> Corpus:
    """Texts to a counted corpus in the folder `out`; interrupted builds go on, completed ones are left alone.

    Args:
        sources: files, folders and globs, or documents.
        out: corpus folder, made if need be.
        name: of the corpus.
        tokenizer: "bpe" (byte-level, trained on the training split), "bytes", or the path of a `tokenizer.json`.
        vocab_size: ids of the trained BPE, the separator included.
        evals: evaluation set → its sources. Texts in one are removed from training.
        label: domain → probability of a document; the most probable domain gets it.
        valid_share: part of each domain's documents, by hash, that is kept for validation; at least one document.
        min_tokens: training tokens every domain must have.
        on_error: "raise", or "skip" to count broken inputs in the manifest.
        progress: called with (what, done, total).

    Raises:
        InputError: a broken input, a domain with too little text, or files that cannot be written.
        MissingExtra: the tokenizer needs a package that is not installed.
    """
    checks.finite("valid_share", valid_share, 0.0, 0.5, open_low=True)
    skipped = Skipped(on_error=on_error)
    _make_folder(out)
    inputs = {key: _resolve(one, skipped) for key, one in [("", sources), *sorted((evals or {}).items())]}
    is_ours = str(tokenizer) in ("bpe", "bytes")
    settings = [str(one) for one in (BUILD, name, vocab_size, valid_share, min_tokens, on_error)]
    settings.append(str(tokenizer) if is_ours else read_tokenizer(Path(tokenizer)).reference.sha256)
    # Files are known by their stamps. Documents from a program, and labels from a function of unknown settings, leave
    # none: they are read again, and known by their content.
    stamps = [one.stamp() if isinstance(one, _Files) else None for one in inputs.values()] + [_label_stamp(label)]
    key = "" if None in stamps else fingerprint(*settings, *inputs, *(one for one in stamps if one is not None))
    done = _completed(out, key) if key else None
    if done is not None:
        return done
    spool = open_spool(out / "work", key) if key else None
    if spool is None:
        texts = {k: one.read(skipped) if isinstance(one, _Files) else one for k, one in inputs.items()}
        documents = texts.pop("")
        spool = fill_spool(out / "work", key, texts, documents, label, skipped, progress)
    if not key:
        key = fingerprint(*settings, spool.content)
        done = _completed(out, key)
        if done is not None:
            return done
    _check_documents(spool)
    encoder = _make_encoder(tokenizer, vocab_size, spool, valid_share, progress)
    return _Builder(out, name, spool, encoder, valid_share, min_tokens, progress).finish(key)


@dataclass(frozen=True, slots=True)
class _Builder:
    """The second half: from a spool and an encoder to shards and manifest."""

    out: Path
    name: str
    spool: Spool
    encoder: Encoder
    valid_share: float
    min_tokens: int
    progress: Progress | None

    def finish(self, key: str) -> Corpus:
        """Encode what is not yet encoded, write the manifest, mark the build as done, remove the scratch files."""
        places = [(kind, name) for kind in ("domain", "set") for name in self.spool.names(kind)]
        parts = []
        for i, (kind, name) in enumerate(places):
            parts.append(self.part(kind, name))
            if self.progress is not None:
                self.progress("encode", i + 1, len(places))
        corpus = Corpus(
            name=self.name,
            tokenizer=self.encoder.reference,
            domains=tuple(part.domain for part in parts if part.domain is not None),
            evals=tuple(part.set for part in parts if part.set is not None),
            shards=tuple(shard for part in parts for shard in part.shards),
        )
        manifest = self.manifest(corpus)
        write_json(self.out / MANIFEST, manifest)
        write_json(self.out / "build.json", Done(key=key, manifest=file_sha256(self.out / MANIFEST)))
        _tidy(self.out, manifest)
        return corpus

    def part(self, kind: str, name: str) -> Part:
        """A domain or evaluation set, encoded now or before."""
        rows = self.spool.of(kind, name)
        n_valid = _n_valid(rows, self.valid_share) if kind == "domain" else len(rows)
        licenses = "\n".join(self.spool.info.licenses[i] for i in rows["license"])
        key = fingerprint(
            str(BUILD), kind, name, self.encoder.reference.sha256, str(n_valid), rows["hash"].tobytes(), licenses
        )
        slug = re.sub("[^a-z0-9]+", "-", name.lower())[:40].strip("-")
        stem = f"{slug or kind}-{key[:12]}"
        marker = self.out / "work" / f"{stem}.json"
        if marker.is_file():
            part = read_json(marker, Part)
            if part.key == key and all((self.out / shard.path).is_file() for shard in part.shards):
                return part
        part = self.domain(key, stem, name, rows, n_valid) if kind == "domain" else self.set(key, stem, name, rows)
        write_json(marker, part)
        return part

    def domain(self, key: str, stem: str, name: str, rows: NDArray[np.void], n_valid: int) -> Part:
        """Shards and counts of a domain; the documents with the lowest hashes are for validation."""
        valid, train = rows[:n_valid], rows[n_valid:]
        licenses: dict[str, int] = {}
        shards = write_shards(self.out, stem, (name, "train"), self.ids(train, licenses), self.dtype)
        n_tokens = sum(shard.n_tokens for shard in shards)
        if n_tokens < self.min_tokens:
            raise InputError(
                f"the domain `{name}` has too little text",
                value=f"{n_tokens} training tokens in {len(train)} documents",
                bound=f"at least {self.min_tokens}",
                remedy=f"add text to `{name}`, merge it with another domain, or leave it out",
            )
        shards += write_shards(self.out, stem, (name, "valid"), self.ids(valid, {}), self.dtype)
        domain = Domain(
            name=name,
            n_tokens=n_tokens,
            n_bytes=int(train["n_bytes"].sum()),
            n_docs=len(train),
            licenses=checks.pairs("licenses", licenses),
            fingerprint=fingerprint(train["hash"].tobytes(), valid["hash"].tobytes()),
        )
        return Part(key=key, shards=shards, domain=domain)

    def set(self, key: str, stem: str, name: str, rows: NDArray[np.void]) -> Part:
        """Shards and counts of an evaluation set."""
        shards = write_shards(self.out, stem, (name, "set"), self.ids(rows, {}), self.dtype)
        one = EvalSet(
            name=name,
            n_tokens=sum(shard.n_tokens for shard in shards),
            n_bytes=int(rows["n_bytes"].sum()),
            fingerprint=fingerprint(rows["hash"].tobytes()),
        )
        return Part(key=key, shards=shards, set=one)

    def ids(self, rows: NDArray[np.void], licenses: dict[str, int]) -> Iterator[NDArray[np.int64]]:
        """The ids of the rows in order, a separator after each document; tokens per licence are added up."""
        names = self.spool.info.licenses
        end = np.array([self.encoder.separator], dtype=np.int64)
        for batch, texts in self.spool.batches(rows, BATCH_BYTES):
            encoded = self.encoder.encode(texts)
            for row, ids in zip(batch, encoded, strict=True):
                license = names[row["license"]]
                licenses[license] = licenses.get(license, 0) + len(ids) + 1
            yield np.concatenate([piece for ids in encoded for piece in (ids, end)])

    @property
    def dtype(self) -> str:
        """Type of the shards."""
        return dtype_for(self.encoder.reference.vocab_size)

    def manifest(self, corpus: Corpus) -> Manifest:
        """The manifest, after the files it names beside the shards."""
        reference = self.encoder.reference
        sizes = f"token-bytes-{fingerprint(reference.sha256, length=12)}.npy"
        with atomic(self.out / sizes, "wb") as handle:
            np.save(handle, self.encoder.token_bytes)
        definition = f"tokenizer-{reference.sha256[:12]}.json" if self.encoder.definition is not None else None
        if definition is not None and self.encoder.definition is not None:
            write_text(self.out / definition, self.encoder.definition)
        info = self.spool.info
        return Manifest(
            corpus=corpus,
            dtype=self.dtype,
            separator=self.encoder.separator,
            token_bytes=sizes,
            tokenizer=definition,
            skipped=info.skipped,
            duplicates=info.duplicates,
            held_out=info.held_out,
        )


@dataclass(frozen=True, slots=True)
class _Files:
    """Sources that are files."""

    files: tuple[SourceFile, ...]

    def stamp(self) -> str:
        """Path, size and time of change of each file."""
        stats = ((file, file.path.stat()) for file in self.files)
        return "\n".join(
            f"{str(file.path)!a}\t{file.label!a}\t{stat.st_size}\t{stat.st_mtime_ns}" for file, stat in stats
        )

    def read(self, skipped: Skipped) -> Iterator[Document]:
        """Their documents."""
        return read_files(self.files, skipped)


def _resolve(sources: Sources, skipped: Skipped) -> _Files | Iterable[Document]:
    """Paths as the files behind them; documents as they are."""
    if isinstance(sources, str | Path):
        sources = [sources]
    if not isinstance(sources, Sequence):
        return sources
    documents = [one for one in sources if isinstance(one, Document)]
    paths = [one for one in sources if not isinstance(one, Document)]
    if documents and paths:
        raise InputError(
            "the sources mix paths and documents", value=f"{len(paths)} paths, {len(documents)} documents",
            bound="one kind", remedy="read the paths with find_files and read_files, and give documents only",
        )  # fmt: skip
    return documents or _Files(tuple(find_files(paths, skipped)))


def _label_stamp(label: Label) -> str | None:
    """What tells two labellers apart: a splitter's settings. None for a function that we do not know."""
    model = getattr(label, "__self__", None)
    if label is own_label or is_dataclass(model):
        return f"{label.__module__}.{getattr(label, '__qualname__', '')} {model!r}"
    return None


def _make_folder(out: Path) -> None:
    try:
        (out / "work").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"`{out}` cannot be a corpus folder", value=error.strerror or str(error), bound="a writable folder",
            remedy="choose another one",
        ) from None  # fmt: skip


def _check_documents(spool: Spool) -> None:
    """Every domain needs a document to train on and one to validate on, every evaluation set one at all."""
    if not spool.names("domain"):
        raise InputError("the sources hold no training text", value="0 documents", bound="two", remedy="add text")
    for kind, least in (("domain", 2), ("set", 1)):
        for name in spool.names(kind):
            rows = spool.of(kind, name)
            if len(rows) < least:
                n_bytes = int(rows["n_bytes"].sum())
                what = "domain" if kind == "domain" else "evaluation set"
                raise InputError(
                    f"the {what} `{name}` has too little text",
                    value=f"{len(rows)} documents with {n_bytes} bytes, so at most {n_bytes + len(rows)} tokens",
                    bound=f"at least {least} different documents" + (", one for validation" if least == 2 else ""),
                    remedy=f"add text to `{name}`, cut long texts into documents, or leave it out",
                )


def _n_valid(rows: NDArray[np.void], share: float) -> int:
    """How many of the rows, sorted by hash, are for validation: those with a hash below the share, one at least."""
    heads = np.frombuffer(rows["hash"].astype("S8").tobytes(), dtype=">u8")
    below = int(np.searchsorted(heads, np.uint64(int(share * 2.0**64)), side="left"))
    return min(max(below, 1), len(rows) - 1)


def _make_encoder(
    tokenizer: str | Path, vocab_size: int, spool: Spool, valid_share: float, progress: Progress | None
) -> Encoder:
    if str(tokenizer) == "bytes":
        return bytes_encoder()
    if str(tokenizer) != "bpe":
        return read_tokenizer(Path(tokenizer))
    if progress is not None:
        progress("train the tokenizer", 0, 1)
    return train_bpe(_sample(spool, valid_share), vocab_size)


def _sample(spool: Spool, valid_share: float) -> Iterator[str]:
    """The first SAMPLE_BYTES of each domain's training documents."""
    for name in spool.names("domain"):
        rows = spool.of("domain", name)
        train = rows[_n_valid(rows, valid_share) :]
        n = 1 + int(np.searchsorted(np.cumsum(train["n_bytes"]), SAMPLE_BYTES))
        for _, texts in spool.batches(train[:n], BATCH_BYTES):
            yield from texts


def _completed(out: Path, key: str) -> Corpus | None:
    """The corpus in the folder if it was made from `key` and is whole."""
    try:
        done = read_json(out / "build.json", Done)
        if done.key != key or done.manifest != file_sha256(out / MANIFEST):
            return None
        store = open_store(out)
    except (InputError, OSError):
        return None
    _tidy(out, store.manifest)
    return store.corpus


def _tidy(out: Path, manifest: Manifest) -> None:
    """Remove the scratch folder and what earlier builds and cut-off writes left."""
    shutil.rmtree(out / "work", ignore_errors=True)
    ours = [*out.glob("token-bytes-*.npy"), *out.glob("tokenizer-*.json"), *(out / "shards").glob("*.bin")]
    for path in [*out.glob(".*.part"), *(out / "shards").glob(".*.part"), *ours]:
        if path.relative_to(out).as_posix() not in manifest.files:
            path.unlink(missing_ok=True)
