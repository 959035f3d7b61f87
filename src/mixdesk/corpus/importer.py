"""Somebody's tokenised data as a corpus by its index alone: counts, no text and no tokens; and our shards as theirs.

An imported corpus is a folder with a manifest and no shards: natural weights and epochs follow from its counts, and
nothing can be trained on it. Content is not read, so a domain's fingerprint is of its name and its documents' lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Domain, Tokenizer, TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint, write_json
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Format
from mixdesk.corpus.shards import MANIFEST, Manifest, TokenStore, open_store

# What lies in a folder → the format that has it; the first that matches.
MARKS = {
    "*.ds.index": "datatrove",
    "*.idx": "megatron",
    "chunk-*-*.bin": "litdata",
    "index.json": "mds",
    "*.npy": "olmo_npy",
}
# Tokens looked at in one go while documents are counted.
BLOCK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What an index counts: `domains` with tokens and documents (bytes 0: unknown), type of the ids, separator."""

    domains: tuple[Domain, ...]
    dtype: str
    separator: int | None


def guess_format(path: Path) -> str:
    """The name of the format that lies at a path (a file, a Megatron prefix or a folder), by its files' names.

    Raises:
        InputError: none of the formats.
    """
    for mark, name in MARKS.items():
        if path.is_dir():
            hits = any(True for _ in path.rglob(mark))
        else:
            near = (path, *(path.with_name(path.name + end) for end in (".index", ".idx")))
            hits = any(one.match(mark) and one.is_file() for one in (*near, path.with_suffix(".idx")))
        if hits:
            return name
    raise InputError(
        f"`{path}` holds no token data that we know", value="none of " + ", ".join(MARKS), bound="one of them",
        remedy="check the path, or name the format",
    )  # fmt: skip


def import_index(sources: Mapping[str, Path] | Path, form: Format) -> Counted:
    """Count the training documents of sources by their index alone.

    Args:
        sources: domain → path of its data; or a folder whose parts name their domains.
        form: how to read them.

    Raises:
        InputError: a source that the format cannot read, ids of several types, or no training token at all.
    """
    named = [("", sources)] if isinstance(sources, Path) else list(sources.items())
    digests: dict[str, list[str]] = {}
    counts: dict[str, list[int]] = {}
    kinds: set[tuple[str, int | None]] = set()
    for name, path in named:
        found = form.read(path)
        kinds.add((found.dtype, found.separator))
        for part in found.parts:
            if part.split != "train":
                continue
            key = name or part.domain
            raw = np.ascontiguousarray(part.lengths, dtype="<i8")
            digests.setdefault(key, []).append(hashlib.sha256(raw.data).hexdigest())
            count = counts.setdefault(key, [0, 0])
            count[0] += int(raw.sum())
            count[1] += len(raw)
    if len(kinds) > 1:
        raise InputError(
            "the sources hold ids of several types", value=", ".join(sorted(dtype for dtype, _ in kinds)),
            bound="one type, as of one tokenizer", remedy="import them as several corpora",
        )  # fmt: skip
    if not any(n_tokens for n_tokens, _ in counts.values()):
        raise InputError(
            "the sources hold no training token", value=", ".join(counts) or "no domain", bound="one or more",
            remedy="check the paths",
        )  # fmt: skip
    [(dtype, separator)] = kinds
    domains = (
        Domain(name=key, n_tokens=n, n_docs=m, fingerprint=fingerprint("by index", key, dtype, *digests[key]))
        for key, (n, m) in counts.items()
    )
    return Counted(domains=tuple(domains), dtype=dtype, separator=separator)


def write_import(counted: Counted, out: Path, tokenizer: Tokenizer) -> Corpus:
    """Write what was counted as the corpus folder `out`: a manifest without shards.

    Raises:
        InputError: the folder holds a corpus already, or cannot be written.
    """
    if (out / MANIFEST).exists():
        raise InputError(
            f"`{out}` holds a corpus already", value=MANIFEST, bound="a new folder", remedy="choose another folder"
        )
    corpus = Corpus(name=out.resolve().name, tokenizer=tokenizer, domains=counted.domains)
    dtype = "uint16" if np.dtype(counted.dtype).itemsize <= 2 else "uint32"
    separator = -1 if counted.separator is None else counted.separator
    write_json(out / MANIFEST, Manifest(corpus=corpus, dtype=dtype, separator=separator))
    return corpus


def write_format(folder: Path, out: Path, plug: Plug) -> list[Path]:
    """The training shards of a corpus folder of ours in somebody's format, a file or folder per domain; the files.

    Documents keep the separator at their end and count it. What the format asks and `plug` leaves open (type of the
    ids, separator, the tokenizer's name) is the corpus' own.

    Raises:
        InputError: no corpus there, one that was imported and holds no tokens, or a name or id the format refuses.
    """
    store = open_store(folder)
    own = {"dtype": store.manifest.dtype, "separator": store.separator, "tokenizer": store.corpus.tokenizer.name}
    form = registry.make("formats", plug, **{key: v for key, v in own.items() if key not in dict(plug.options)})
    files: list[Path] = form.write([shard_part(store, name) for name in store.corpus.names], out)
    return files


def shard_part(store: TokenStore, name: str, split: str = "train") -> TokenPart:
    """The documents of a domain of ours, each with the separator that ends it (found by a pass over the tokens)."""
    tokens = store.tokens(name, split)
    ends = [np.zeros(1, dtype=np.int64)]
    for at in range(0, len(tokens), BLOCK):
        ends.append(at + 1 + np.flatnonzero(tokens[at : at + BLOCK] == store.separator))
    edges = np.concatenate(ends)
    if edges[-1] < len(tokens):
        edges = np.append(edges, len(tokens))

    def ids(document: int) -> NDArray[np.int64]:
        return tokens[int(edges[document]) : int(edges[document + 1])]

    return TokenPart(domain=name, split=split, lengths=np.diff(edges), ids=ids)
