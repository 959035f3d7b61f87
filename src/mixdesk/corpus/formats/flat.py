"""Flat files of ids, one after another: what the formats have in common.

One domain and split is one path stem, `<domain>` for train and `<domain>.valid`, `<domain>.set` for the others: a file
where the format is a file, a folder where it is a folder. Ids are read when asked and written in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.corpus import Tokenised, TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic

# Tokens held at once while writing.
BLOCK = 1 << 20
TYPES = ("uint16", "uint32")


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Ids of the documents of one file: document i lies at byte `offsets[i]`, `lengths[i]` ids of `dtype`."""

    path: Path
    dtype: str
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __call__(self, document: int) -> NDArray[np.int64]:
        """Ids of a document; reads only those.

        Raises:
            InputError: the file is missing or too short.
        """
        n = int(self.lengths[document])
        kind = np.dtype(self.dtype).newbyteorder("<")
        try:
            with self.path.open("rb") as handle:
                handle.seek(int(self.offsets[document]))
                found = np.frombuffer(handle.read(n * kind.itemsize), dtype=kind)
        except (OSError, ValueError) as error:
            raise damaged(self.path, str(error), "the ids that its index counts") from None
        if len(found) != n:
            raise damaged(self.path, f"{len(found)} ids of document {document}", f"{n} ids")
        return found.astype(np.int64)


def ends_to_part(path: Path, place: tuple[str, str], dtype: str, ends: NDArray[np.int64]) -> TokenPart:
    """The part whose documents lie one after another in a file without header, after the token at which each ends.

    Raises:
        InputError: an end before its predecessor, or beyond the file where it is there.
    """
    lengths = np.diff(ends, prepend=0)
    if len(lengths) and lengths.min() < 0:
        raise damaged(path, "documents that end before they begin", "ends that never fall")
    width = np.dtype(dtype).itemsize
    need, size = int(lengths.sum()) * width, path.stat().st_size if path.is_file() else None
    if size is not None and size != need:
        raise damaged(path, f"{size:,} bytes", f"the {need:,} bytes that its index counts")
    offsets = (ends - lengths) * width
    return TokenPart(domain=place[0], split=place[1], lengths=lengths, ids=Ids(path, dtype, offsets, lengths))


def ids_of(part: TokenPart, document: int) -> NDArray[np.int64]:
    """Ids of a document, as many as its part says.

    Raises:
        InputError: another number.
    """
    ids = part.ids(document)
    if len(ids) != part.lengths[document]:
        raise InputError(
            f"document {document} of `{part.domain}` has another length than its part says", value=f"{len(ids)} ids",
            bound=f"{part.lengths[document]} ids", remedy="count the documents again",
        )  # fmt: skip
    return ids


def blocks(part: TokenPart) -> Iterator[NDArray[np.int64]]:
    """The ids of a part in order, whole documents joined to about `BLOCK` tokens.

    Raises:
        InputError: a document with another number of ids than its part says.
    """
    kept: list[NDArray[np.int64]] = []
    room = BLOCK
    for i in range(len(part.lengths)):
        ids = ids_of(part, i)
        kept.append(ids)
        room -= len(ids)
        if room <= 0:
            yield np.concatenate(kept)
            kept, room = [], BLOCK
    if kept:
        yield np.concatenate(kept)


def write_ids(data: Path, index: Path, parts: Sequence[TokenPart], dtype: str) -> None:
    """Write the ids of the parts as little-endian `dtype`, a block at a time; an older `index` of the file goes first.

    Raises:
        InputError: an id that the type cannot hold, or a disk that is full.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    with atomic(data, "wb") as handle:
        index.unlink(missing_ok=True)
        for part in parts:
            for block in blocks(part):
                check_ids(block, dtype, part.domain)
                handle.write(block.astype(kind).tobytes())


def check_ids(ids: NDArray[np.int64], dtype: str, domain: str) -> None:
    """Whether every id fits the type.

    Raises:
        InputError: one does not.
    """
    top = np.iinfo(dtype).max
    if len(ids) and (ids.min() < 0 or ids.max() > top):
        raise InputError(
            f"`{domain}` has a token id that {dtype} cannot hold", value=f"ids from {ids.min()} to {ids.max()}",
            bound=f"0 to {top:,}", remedy="choose a wider type",
        )  # fmt: skip


def dtype_for_ids(parts: Sequence[TokenPart], asked: str | None, choices: Sequence[str] = TYPES) -> str:
    """The first of `choices` as wide as `asked`, or, where nothing is asked, that holds all ids (a pass over them)."""
    if asked is not None:
        return next(one for one in choices if np.dtype(one).itemsize >= np.dtype(asked).itemsize)
    top = max((int(block.max()) for part in parts for block in blocks(part) if len(block)), default=0)
    return next((one for one in choices if top <= np.iinfo(one).max), choices[-1])


def by_place(parts: Sequence[TokenPart], out: Path) -> list[tuple[Path, list[TokenPart]]]:
    """The parts of each domain and split in order, and the path under `out` that they share.

    Raises:
        InputError: a domain's name would lead out of the folder.
    """
    found: dict[Path, list[TokenPart]] = {}
    for part in parts:
        steps = part.domain.split("/")
        if any(step in ("", ".", "..") or "\\" in step for step in steps):
            raise InputError(
                f"the domain `{part.domain}` cannot name a file", value=part.domain,
                bound="a path of names, without `..`", remedy="rename the domain",
            )  # fmt: skip
        stem = part.domain if part.split == "train" else f"{part.domain}.{part.split}"
        found.setdefault(out / stem, []).append(part)
    return list(found.items())


class Sequences:
    """Ids of sequence k of a part cut into `seq_len` tokens each, running over its documents; the rest is left out.

    Keeps the last document read, so that one after another reads each document once.
    """

    def __init__(self, part: TokenPart, seq_len: int) -> None:
        self.part, self.seq_len = part, seq_len
        self.ends = np.cumsum(part.lengths)
        self.last: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    def __call__(self, sequence: int) -> NDArray[np.int64]:
        """Its ids (seq_len,)."""
        at, end, found = sequence * self.seq_len, (sequence + 1) * self.seq_len, []
        document = int(np.searchsorted(self.ends, at, side="right"))
        while at < end:
            if self.last[0] != document:
                self.last = (document, ids_of(self.part, document))
            start = int(self.ends[document]) - int(self.part.lengths[document])
            found.append(self.last[1][at - start : end - start])
            at, document = min(int(self.ends[document]), end), document + 1
        return np.concatenate(found)


def sequences(part: TokenPart, seq_len: int) -> TokenPart:
    """A part whose documents are the whole sequences of `seq_len` tokens of another."""
    n = int(part.lengths.sum()) // seq_len
    return replace(part, lengths=np.full(n, seq_len, dtype=np.int64), ids=Sequences(part, seq_len))


def cuts(group: Sequence[TokenPart], width: int, most: int, extra: int = 0) -> list[tuple[TokenPart, int, int]]:
    """(part, first, last) documents of each piece of a file, of `width` bytes an id and `extra` a document, so that
    none is over `most` bytes but for one long document.
    """
    found = []
    for part in group:
        ends = np.cumsum(part.lengths * width + extra)
        first = 0
        while first < len(ends):
            done = ends[first - 1] if first else 0
            last = max(int(np.searchsorted(ends, done + most, side="right")), first + 1)
            found.append((part, first, last))
            first = last
    return found


def place_of(stem: str) -> tuple[str, str]:
    """(domain, split) behind a path stem, the other way round.

    >>> place_of("web/high.valid")
    ('web/high', 'valid')
    """
    name, _, split = stem.rpartition(".")
    return (name, split) if name and split in ("valid", "set") else (stem, "train")


def find(path: Path, suffix: str, what: str) -> list[tuple[Path, str]]:
    """Files of a format at a path, and for each the stem of its domain: its folder in `path`, or that folder's name.

    Raises:
        InputError: none there.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob(f"*{suffix}") if not file.name.startswith("."))
    else:
        files = [path] if path.name.endswith(suffix) else []
    if not files:
        raise damaged(path, f"no file `*{suffix}`", what)
    root = path if path.is_dir() else path.parent
    return [(file, file.parent.relative_to(root).as_posix().strip(".") or root.resolve().name) for file in files]


def tokenised(path: Path, found: Sequence[tuple[str, TokenPart]], separator: int | None = None) -> Tokenised:
    """The parts (type of the ids, part) as one; those without a token have no say in the type.

    Raises:
        InputError: ids of several types.
    """
    dtypes = {dtype for dtype, part in found if part.lengths.any()} or {dtype for dtype, _ in found[:1]} or {TYPES[0]}
    if len(dtypes) > 1:
        raise damaged(path, "ids as " + " and ".join(sorted(dtypes)), "one type of ids")
    return Tokenised(parts=tuple(part for _, part in found), dtype=dtypes.pop(), separator=separator)


def damaged(path: Path, found: str, bound: str) -> InputError:
    """The error for a file that is not what its format says."""
    return InputError(
        f"`{path}` cannot be read as token data", value=found, bound=bound, remedy="check the path and the format"
    )
