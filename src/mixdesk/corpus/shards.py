"""Token shards on disk, their manifest, and the memory-mapped store over them.

A corpus folder holds `manifest.json` (schema 1), the shards it names (`shards/*.bin`, little-endian uint16 or uint32,
one id after another), the tables of documents (`documents/*.parquet`), the `.npy` with the bytes of each id, the
tokenizer's definition and the splitter's model. Names carry a hash of
the content, so nothing that an old manifest names is ever overwritten; the manifest is replaced last, in one step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Options, Pairs, core_type
from mixdesk.core.corpus import Corpus, Document, Shard
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, read_json, read_text
from mixdesk.corpus.cleaning import StepCount
from mixdesk.corpus.tokens import Encoder, bytes_encoder, load_encoder

MANIFEST = "manifest.json"
# Tokens in one file: 128 MB of uint16. Where files end changes nothing that is read.
SHARD_TOKENS = 1 << 26


@core_type
class Left:
    """What was left out for one reason: how many, and the first in words."""

    reason: str
    n: int
    first: str = ""


@core_type
class Table:
    """One file about documents: `path` relative to the corpus folder, whose documents, how many, and its sha256."""

    path: str
    domain: str
    split: str
    n_docs: int
    sha256: str


@core_type
class Manifest:
    """What `manifest.json` holds.

    `corpus` counts and shards; `dtype` of the shards; `separator` id after each document (-1: unknown); `token_bytes`
    and `tokenizer` files beside the manifest (the second None for raw bytes, the first for a corpus imported by its
    index, which has no shards); `skipped` inputs by reason; documents removed per label as `duplicates`, as
    `near_duplicates`, because they are `held_out` for evaluation as a whole, or because they are `contaminated` by a
    text that is; what `leaks` of each evaluation set; what each cleaning step did; `tables` of documents; file of the
    `splitter`'s model; `valid_share` of the documents kept for validation. What a corpus of an earlier version lacks is
    at its default.
    """

    corpus: Corpus
    dtype: str
    separator: int
    token_bytes: str | None = None
    tokenizer: str | None = None
    skipped: tuple[Left, ...] = ()
    duplicates: Pairs = ()
    held_out: Pairs = ()
    steps: tuple[StepCount, ...] = ()
    tables: tuple[Table, ...] = ()
    near_duplicates: Pairs = ()
    contaminated: Pairs = ()
    leaks: Options = ()
    splitter: str | None = None
    valid_share: float = 0.1

    def __post_init__(self) -> None:
        checks.one_of("dtype", self.dtype, ("uint16", "uint32"))

    @property
    def files(self) -> set[str]:
        """Every file that belongs to the corpus, relative to its folder, the manifest apart."""
        named = {one for one in (self.token_bytes, self.tokenizer, self.splitter) if one}
        return named | {shard.path for shard in self.corpus.shards} | {table.path for table in self.tables}


def dtype_for(vocab_size: int) -> str:
    """The narrowest shard type for ids below `vocab_size`."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def write_shards(
    root: Path,
    stem: str,
    place: tuple[str, str],
    chunks: Iterable[NDArray[np.integer[Any]]],
    dtype: str,
    shard_tokens: int = SHARD_TOKENS,
) -> tuple[Shard, ...]:
    """Write the chunks, joined, as files of at most `shard_tokens` tokens; each appears whole or not at all.

    Args:
        root: corpus folder.
        stem: start of the file names.
        place: (domain or evaluation set, split).
        chunks: ids in order.
        dtype: uint16 or uint32.
        shard_tokens: where to cut.

    Raises:
        InputError: the files cannot be written (rights, disk full, file-size limit).
    """
    domain, split = place
    pieces = (chunk for chunk in chunks if len(chunk))
    piece = next(pieces, None)
    shards: list[Shard] = []
    while piece is not None:
        path = f"shards/{stem}.{split}.{len(shards):03d}.bin"
        digest, room = hashlib.sha256(), shard_tokens
        with atomic(root / path, "wb") as handle:
            while piece is not None and room:
                raw = piece[:room].astype(f"<{np.dtype(dtype).str[1:]}").tobytes()
                handle.write(raw)
                digest.update(raw)
                rest = piece[room:]
                room -= len(piece) - len(rest)
                piece = rest if len(rest) else next(pieces, None)
        n_tokens = shard_tokens - room
        shards.append(Shard(path=path, domain=domain, split=split, n_tokens=n_tokens, sha256=digest.hexdigest()))
    return tuple(shards)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One logical stream of ids over its shards. `tokens[a:b]` reads only what lies between."""

    parts: tuple[NDArray[np.uint16 | np.uint32], ...]
    ends: NDArray[np.int64]

    @classmethod
    def over(cls, parts: Iterable[NDArray[np.uint16 | np.uint32]]) -> Tokens:
        """The stream that joins the parts."""
        kept = tuple(parts)
        return cls(parts=kept, ends=np.cumsum([len(part) for part in kept], dtype=np.int64))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, where: slice) -> NDArray[np.int64]:
        start, stop, step = where.indices(len(self))
        assert step == 1, "token streams are read forwards"
        first, last = np.searchsorted(self.ends, (start, max(stop - 1, start)), side="right")
        out = []
        for k in range(int(first), min(int(last) + 1, len(self.parts))):
            offset = int(self.ends[k]) - len(self.parts[k])
            out.append(self.parts[k][max(start - offset, 0) : max(stop - offset, 0)])
        joined = out[0] if len(out) == 1 else np.concatenate(out) if out else np.zeros(0)
        return joined.astype(np.int64)


class TokenStore:
    """A built corpus, opened: counts, memory-mapped tokens, and the bytes behind each id."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self.corpus = manifest.corpus
        self.separator = manifest.separator
        self.token_bytes: NDArray[np.int64] = _load_sizes(root, manifest)
        self._dtype = np.dtype(manifest.dtype).newbyteorder("<")
        for shard in self.corpus.shards:
            _check_size(root / shard.path, shard.n_tokens * self._dtype.itemsize)

    def tokens(self, name: str, split: str = "train") -> Tokens:
        """The ids of a domain ("train" or "valid") or of an evaluation set ("set").

        Raises:
            InputError: no such domain or evaluation set, or a corpus that was imported by its index.
        """
        if self.manifest.token_bytes is None:
            raise InputError(
                f"`{self.root}` was imported by its index", value="counts alone", bound="a corpus with tokens",
                remedy="build the corpus from its texts",
            )  # fmt: skip
        checks.one_of("split", split, ("train", "valid", "set"))
        known = [one.name for one in (self.corpus.evals if split == "set" else self.corpus.domains)]
        checks.one_of("evaluation set" if split == "set" else "domain", name, known)
        shards = [shard for shard in self.corpus.shards if (shard.domain, shard.split) == (name, split)]
        maps = (np.memmap(self.root / shard.path, dtype=self._dtype, mode="r") for shard in shards)
        # A plain array over the map: slicing a memmap costs ten times as much.
        return Tokens.over(np.asarray(one) for one in maps)

    def encoder(self) -> Encoder:
        """The tokenizer of the corpus.

        Raises:
            InputError: its definition is damaged.
            MissingExtra: it needs a package that is not installed.
        """
        if self.manifest.tokenizer is None:
            return bytes_encoder()
        path = self.root / self.manifest.tokenizer
        return load_encoder(self.corpus.tokenizer.name, read_text(path), where=str(path))

    def documents(self, name: str, split: str = "train") -> Iterator[Document]:
        """The documents behind `tokens(name, split)`; see `mixdesk.corpus.documents.read_documents`."""
        from mixdesk.corpus.documents import read_documents

        return read_documents(self, name, split)


def open_store(path: Path) -> TokenStore:
    """The corpus in the folder `path` (or whose manifest is `path`).

    Raises:
        InputError: no manifest, or a file it names is missing or has the wrong size.
    """
    root = path.parent if path.name == MANIFEST else path
    if not (root / MANIFEST).is_file():
        raise InputError(
            f"`{root}` holds no corpus", value=f"no {MANIFEST}", bound="a folder that `corpus build` completed",
            remedy="run `mixdesk corpus build` (again)",
        )  # fmt: skip
    return TokenStore(root, read_json(root / MANIFEST, Manifest))


def _load_sizes(root: Path, manifest: Manifest) -> NDArray[np.int64]:
    if manifest.token_bytes is None:
        return np.zeros(0, dtype=np.int64)
    path = root / manifest.token_bytes
    try:
        sizes: NDArray[np.int64] = np.load(path, allow_pickle=False).astype(np.int64)
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error), "the bytes of each token id") from None
    if sizes.shape != (manifest.corpus.tokenizer.vocab_size,):
        raise _damaged(path, f"shape {sizes.shape}", f"{manifest.corpus.tokenizer.vocab_size} numbers")
    return sizes


def _check_size(path: Path, n_bytes: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != n_bytes:
        raise _damaged(path, "no such file" if found is None else f"{found} bytes", f"{n_bytes} bytes")


def _damaged(path: Path, found: str, bound: str) -> InputError:
    return InputError(f"`{path}` is damaged", value=found, bound=bound, remedy="build the corpus again")
