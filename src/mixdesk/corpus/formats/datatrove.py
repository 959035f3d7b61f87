"""datatrove's tokenised output: `<name>.ds`, `<name>.ds.index`, `<name>.ds.metadata`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mixdesk.core.corpus import Tokenised, TokenPart
from mixdesk.core.files import atomic, read_bytes, read_text, write_text
from mixdesk.corpus.formats.flat import (
    by_place,
    damaged,
    dtype_for_ids,
    ends_to_part,
    find,
    place_of,
    tokenised,
    write_ids,
)

NAME = "00000_unshuffled.ds"
INDEX, METADATA = ".ds.index", ".ds.metadata"
DTYPES = {2: "uint16", 4: "uint32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatrove:
    """What datatrove's `DocumentTokenizer` writes and nanotron reads.

    `.ds` raw little-endian uint16 or uint32; `.ds.index` uint64 ends of documents, in tokens; `.ds.metadata` lines
    `tokenizer|bytes per token`, tokens, tokens for people. A folder is a domain and split. Where the metadata is
    missing, the type follows from the size of the file over its last end. Checked against datatrove 0.10.1.

    Fields: `dtype` to write, None for the narrowest that holds all ids; `tokenizer` name for the metadata.
    """

    title: ClassVar[str] = "datatrove .ds, as nanotron reads it"
    reference: ClassVar[str] = ""

    dtype: str | None = None
    tokenizer: str = "Unknown Tokenizer"

    def read(self, path: Path) -> Tokenised:
        """What the `.ds.index` files at a path count.

        Raises:
            InputError: no index, one that is cut or out of order, types that differ, or tokens of another size.
        """
        if path.name.endswith(".ds"):
            path = path.with_name(path.name + ".index")
        found = [_read_one(index, place_of(stem)) for index, stem in find(path, INDEX, "datatrove's .ds.index")]
        return tokenised(path, found)

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write `<domain>/00000_unshuffled.ds` with index and metadata under `out`, the index last.

        Raises:
            InputError: a name that leads out of the folder, an id over 2³² - 1, or a disk that is full.
        """
        dtype = dtype_for_ids(parts, self.dtype)
        files: list[Path] = []
        for stem, group in by_place(parts, out):
            data = stem / NAME
            index, metadata = (stem / (NAME.removesuffix(".ds") + end) for end in (INDEX, METADATA))
            ends = np.cumsum(np.concatenate([part.lengths for part in group]), dtype=np.int64)
            n_tokens = int(ends[-1]) if len(ends) else 0
            write_ids(data, index, group, dtype)
            write_text(metadata, f"{self.tokenizer}|{np.dtype(dtype).itemsize}\n{n_tokens}\n{n_tokens:,} tokens")
            with atomic(index, "wb") as handle:
                handle.write(ends.astype("<u8").tobytes())
            files += [data, metadata, index]
        return files


def _read_one(index: Path, place: tuple[str, str]) -> tuple[str, TokenPart]:
    raw = read_bytes(index)
    if len(raw) % 8:
        raise damaged(index, f"{len(raw)} bytes", "8 bytes for each document")
    ends = np.frombuffer(raw, dtype="<u8")
    if len(ends) and ends.max() > 1 << 62:
        raise damaged(index, f"a document that ends at {ends.max()}", "ends in tokens")
    data = index.with_name(index.name.removesuffix(".index"))
    dtype = _dtype(data, int(ends[-1]) if len(ends) else 0)
    return dtype, ends_to_part(data, place, dtype, ends.astype(np.int64))


def _dtype(data: Path, n_tokens: int) -> str:
    metadata = data.with_name(data.name + ".metadata")
    if metadata.is_file():
        first = read_text(metadata).split("\n")[0]
        width = first.rpartition("|")[2]
        if width not in ("2", "4"):
            raise damaged(metadata, first, "`tokenizer|2` or `tokenizer|4` in its first line")
        return DTYPES[int(width)]
    if not data.is_file():
        raise damaged(data, "neither ids nor metadata", "one of them, for the type of the ids")
    return DTYPES.get(data.stat().st_size // n_tokens if n_tokens else 2, "uint16")
