"""OLMo's and Dolma's token files: raw ids named `.npy`, without numpy's header, and documents in a `.csv.gz`."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Tokenised, TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic
from mixdesk.corpus.formats.flat import (
    BLOCK,
    TYPES,
    by_place,
    damaged,
    dtype_for_ids,
    ends_to_part,
    find,
    place_of,
    tokenised,
    write_ids,
)

NAME = "00000"
# Lines of an index written at once.
ROWS = 1 << 14
NUMPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, slots=True, kw_only=True)
class OlmoNpy:
    """Raw little-endian uint16 or uint32 ids, one `.npy` after another; `<name>.csv.gz` has `start,end[,id…]` lines.

    A folder is a domain and split. The type follows from the size of the file over the last end of its `.csv.gz`
    and must be given where that is missing; then documents end with `separator`, found by a pass over the ids, or
    without one each file is one document. Ids after the last end are one more document. Checked against
    ai2-olmo-core 3.0.0.

    Fields: `dtype` of the ids (to write, None is the narrowest that holds them all); `separator` id at which
    documents end.
    """

    title: ClassVar[str] = "OLMo .npy: raw ids and .csv.gz"
    reference: ClassVar[str] = ""

    dtype: str | None = None
    separator: int | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            checks.one_of("dtype", self.dtype, TYPES)

    def read(self, path: Path) -> Tokenised:
        """What the `.csv.gz` at a path count, or the sizes of the `.npy`.

        Raises:
            InputError: no such file, a numpy header, a type that is unknown or differs, or an index that is damaged.
        """
        found = [self._read_one(file, place_of(stem)) for file, stem in find(path, ".npy", "raw ids in *.npy")]
        return tokenised(path, found, self.separator)

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write `<domain>/00000.npy` and `.csv.gz` under `out`, the `.csv.gz` last.

        Raises:
            InputError: a name that leads out of the folder, an id over 2³² - 1, or a disk that is full.
        """
        dtype = dtype_for_ids(parts, self.dtype)
        files: list[Path] = []
        for stem, group in by_place(parts, out):
            data, index = stem / f"{NAME}.npy", stem / f"{NAME}.csv.gz"
            write_ids(data, index, group, dtype)
            with atomic(index, "wb") as raw:
                _write_index(raw, np.concatenate([part.lengths for part in group]))
            files += [data, index]
        return files

    def _read_one(self, data: Path, place: tuple[str, str]) -> tuple[str, TokenPart]:
        with data.open("rb") as handle:
            if handle.read(len(NUMPY_MAGIC)) == NUMPY_MAGIC:
                raise damaged(data, "a numpy header", "raw ids, as `numpy.memmap` writes them")
        size, index = data.stat().st_size, data.with_suffix(".csv.gz")
        ends = _read_index(index) if index.is_file() else None
        dtype = self.dtype or _dtype(data, size, None if ends is None else int(ends[-1]) if len(ends) else 0)
        width = np.dtype(dtype).itemsize
        if size % width:
            raise damaged(data, f"{size:,} bytes", f"a multiple of {width}")
        if ends is None and self.separator is not None:
            ends = _ends_by_separator(data, dtype, self.separator)
        n_tokens, last = size // width, int(ends[-1]) if ends is not None and len(ends) else 0
        ends = np.zeros(0, dtype=np.int64) if ends is None else ends
        if last < n_tokens:
            ends = np.append(ends, n_tokens)
        return dtype, ends_to_part(data, place, dtype, ends)


def _dtype(data: Path, size: int, n_tokens: int | None) -> str:
    fits = [one for one in TYPES if n_tokens is not None and n_tokens * np.dtype(one).itemsize == size]
    if not fits:
        raise InputError(
            f"`{data}` does not say how wide its ids are", value=f"{size:,} bytes, unexplained by a .csv.gz",
            bound="uint16 or uint32", remedy="give `dtype`",
        )  # fmt: skip
    return fits[0]


def _read_index(index: Path) -> NDArray[np.int64]:
    """Ends of documents (n,), in tokens."""
    if not index.stat().st_size:
        raise damaged(index, "an empty file", "gzip lines `start,end[,id…]`")
    try:
        with gzip.open(index, "rt", encoding="utf-8") as lines:
            pairs = (tuple(map(int, line.split(",", 2)[:2])) for line in lines)
            table: NDArray[np.int64] = np.fromiter(pairs, dtype=(np.int64, 2))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise damaged(index, str(error), "gzip lines `start,end[,id…]`") from None
    if (table[1:, 0] != table[:-1, 1]).any() or table[:1, 0].any():
        raise damaged(index, "documents that do not follow one another", "each start at the end before")
    return table[:, 1].copy()


def _write_index(handle: IO[bytes], lengths: NDArray[np.int64]) -> None:
    ends = np.cumsum(lengths)
    starts = ends - lengths
    with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as packed:
        for first in range(0, len(ends), ROWS):
            cut = slice(first, first + ROWS)
            pairs = zip(starts[cut].tolist(), ends[cut].tolist(), count(first))
            packed.write("".join(f"{start},{end},{i}\n" for start, end, i in pairs).encode())


def _ends_by_separator(data: Path, dtype: str, separator: int) -> NDArray[np.int64]:
    found, at = [np.zeros(0, dtype=np.int64)], 0
    with data.open("rb") as handle:
        while len(block := np.fromfile(handle, dtype=np.dtype(dtype).newbyteorder("<"), count=BLOCK)):
            found.append(at + 1 + np.flatnonzero(block == separator))
            at += len(block)
    return np.concatenate(found)
