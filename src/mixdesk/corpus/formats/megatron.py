"""Megatron's indexed data set: `<prefix>.bin` with the ids, `<prefix>.idx` with everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.corpus import Tokenised, TokenPart
from mixdesk.core.files import atomic
from mixdesk.corpus.formats.flat import Ids, by_place, damaged, dtype_for_ids, place_of, tokenised, write_ids

MAGIC = b"MMIDIDX\x00\x00"
CODES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32", 8: "uint16"}
HEADER = 34
WHAT = "the .idx of a Megatron data set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Megatron:
    """`.bin` and `.idx` of Megatron-LM, NeMo, GPT-NeoX and datatrove's Megatron writer.

    The index, little-endian: 9 bytes magic, uint64 version 1, uint8 code of the type, uint64 sequences S, uint64
    boundaries I = documents + 1; then int32 (S,) lengths, int64 (S,) byte offsets, int64 (I,) boundaries in
    sequences; in multimodal data int8 (S,) modes. A prefix is a domain and split; documents are joined over their
    sequences. Type on disk: uint16, else int32, as the format has no uint32. Checked against megatron-core 0.16.1.

    Fields: `dtype` to write at least, None for the narrowest that holds all ids, found by a pass over them.
    """

    title: ClassVar[str] = "Megatron .bin/.idx"
    reference: ClassVar[str] = ""

    dtype: str | None = None

    def read(self, path: Path) -> Tokenised:
        """What the `.idx` at a path, a prefix or in a folder counts; the `.bin` may be elsewhere until ids are asked.

        Raises:
            InputError: no index, wrong magic or version, cut short, types that differ, or a `.bin` that is too short.
        """
        found = [_read_one(index, place_of(stem)) for index, stem in _indices(path)]
        return tokenised(path, found)

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write `<domain>.bin` and `.idx` under `out`, the index last; one sequence is one document.

        Raises:
            InputError: a name that leads out of the folder, an id over 2³¹ - 1, or a disk that is full.
        """
        dtype = dtype_for_ids(parts, self.dtype, ("uint16", "int32"))
        files: list[Path] = []
        for stem, group in by_place(parts, out):
            data, index = (stem.with_name(stem.name + end) for end in (".bin", ".idx"))
            write_ids(data, index, group, dtype)
            with atomic(index, "wb") as handle:
                _write_index(handle, np.concatenate([part.lengths for part in group]), dtype)
            files += [data, index]
        return files


def _write_index(handle: IO[bytes], lengths: NDArray[np.int64], dtype: str) -> None:
    code = next(code for code, name in CODES.items() if name == dtype)
    version, sizes = np.array([1], dtype="<u8"), np.array([len(lengths), len(lengths) + 1], dtype="<u8")
    handle.write(MAGIC + version.tobytes() + bytes([code]) + sizes.tobytes())
    handle.write(lengths.astype("<i4").tobytes())
    handle.write(((np.cumsum(lengths) - lengths) * np.dtype(dtype).itemsize).astype("<i8").tobytes())
    handle.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())


def _indices(path: Path) -> list[tuple[Path, str]]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*.idx") if not file.name.startswith("."))
        if not found:
            raise damaged(path, "no file `*.idx`", WHAT)
        return [(file, file.relative_to(path).as_posix()[: -len(".idx")]) for file in found]
    prefix = path.with_suffix("") if path.suffix in (".idx", ".bin") else path
    return [(prefix.with_name(prefix.name + ".idx"), prefix.name)]


def _read_one(index: Path, place: tuple[str, str]) -> tuple[str, TokenPart]:
    if not index.is_file():
        raise damaged(index, "no such file", WHAT)
    size = index.stat().st_size
    with index.open("rb") as handle:
        head = handle.read(HEADER)
    if not head.startswith(MAGIC) or len(head) < HEADER:
        raise damaged(index, f"a file that begins with {head[:9]!r}", WHAT)
    version, code = int.from_bytes(head[9:17], "little"), head[17]
    n, n_bounds = (int.from_bytes(head[a : a + 8], "little") for a in (18, 26))
    dtype = CODES.get(code, f"unknown type {code}")
    if version != 1 or not dtype.startswith(("uint", "int")):
        raise damaged(index, f"version {version}, {dtype}", "version 1, whole numbers")
    need = HEADER + 12 * n + 8 * n_bounds
    if size not in (need, need + n) or n_bounds < 1:
        raise damaged(index, f"{size:,} bytes", f"{need:,} bytes for {n:,} sequences")
    lengths = _table(index, "<i4", n, HEADER)
    offsets = _table(index, "<i8", n, HEADER + 4 * n)
    bounds = _table(index, "<i8", n_bounds, HEADER + 12 * n)
    width = np.dtype(dtype).itemsize
    if (lengths < 0).any() or (offsets != (np.cumsum(lengths) - lengths) * width).any():
        raise damaged(index, "sequences that do not follow one another", "their lengths added up")
    if bounds[0] != 0 or bounds[-1] != n or (np.diff(bounds) < 0).any():
        raise damaged(index, "document boundaries out of order", f"rising from 0 to {n}")
    ends = np.concatenate([[0], np.cumsum(lengths)])[bounds]
    data = index.with_suffix(".bin")
    if data.is_file() and data.stat().st_size < ends[-1] * width:
        raise damaged(data, f"{data.stat().st_size:,} bytes", f"the {ends[-1] * width:,} bytes that its index counts")
    per_document = np.diff(ends)
    ids = Ids(data, dtype, ends[:-1] * width, per_document)
    return dtype, TokenPart(domain=place[0], split=place[1], lengths=per_document, ids=ids)


def _table(path: Path, kind: str, n: int, offset: int) -> NDArray[np.int64]:
    return np.fromfile(path, dtype=kind, count=n, offset=offset).astype(np.int64)
