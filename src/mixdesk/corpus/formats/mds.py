"""Mosaic's MDS: `index.json` and `shard.00000.mds`, … with one sample a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Tokenised, TokenPart
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, read_text
from mixdesk.corpus.formats.flat import (
    TYPES,
    Ids,
    by_place,
    check_ids,
    cuts,
    damaged,
    dtype_for_ids,
    find,
    ids_of,
    place_of,
    sequences,
    tokenised,
)

INDEX = "index.json"
WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
# Bytes of samples in one shard, as mosaicml-streaming's own writer has it.
SHARD_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Mds:
    """MDS of mosaicml-streaming, as llm-foundry reads it: a folder is a domain and split, a sample is a document.

    A shard: uint32 samples n, uint32 (n + 1,) offsets, its configuration as JSON, the samples. A sample: uint32 size
    of each column that has no fixed one, then the columns by name. Ids are a column of encoding
    `ndarray:<dtype>[:<shape>]` (without shape a byte 4·axes + log2 of the width of a dimension, the dimensions, the
    ids), or `bytes`. With a fixed shape `index.json` alone counts them; else the offsets at the head of each shard do,
    or the sizes at the head of each sample where other columns vary too. Written as `ndarray:uint16` or `uint32`.
    Checked against mosaicml-streaming 0.13.0.

    Fields: `column` of the ids; `dtype` of the ids in `bytes` (None: int64, as llm-foundry has it) and to write (None:
    the narrowest that holds them all); `seq_len` to write samples of so many ids each, documents joined and the rest
    of a domain left out, as llm-foundry wants them (None: a sample is a document).
    """

    title: ClassVar[str] = "Mosaic MDS, as llm-foundry reads it"
    reference: ClassVar[str] = ""

    column: str = "tokens"
    dtype: str | None = None
    seq_len: int | None = None

    def __post_init__(self) -> None:
        if self.seq_len is not None:
            checks.count("seq_len", self.seq_len, 1)
        if self.dtype is not None:
            checks.one_of("dtype", self.dtype, WHOLE)

    def read(self, path: Path) -> Tokenised:
        """What the `index.json` at a path count; a shard is one part.

        Raises:
            InputError: no index of MDS, no such column, one whose ids have no type, or a shard that is cut.
        """
        found = [
            self._read_shard(index.parent, place_of(stem), shard)
            for index, stem in find(path, INDEX, "the index.json of an MDS data set")
            for shard in _shards(index)
        ]
        return tokenised(path, found)

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write `<domain>/shard.00000.mds`, … and `index.json` under `out`, the index last.

        Raises:
            InputError: a name that leads out of the folder, an id over 2³² - 1, or a disk that is full.
        """
        if self.seq_len is not None:
            parts = [sequences(part, self.seq_len) for part in parts]
        dtype = dtype_for_ids(parts, self.dtype if self.dtype in TYPES else None)
        config = {
            "column_encodings": [f"ndarray:{dtype}"], "column_names": [self.column], "column_sizes": [None],
            "compression": None, "format": "mds", "hashes": [], "size_limit": SHARD_BYTES, "version": 2,
        }  # fmt: skip
        files: list[Path] = []
        for stem, group in by_place(parts, out):
            shards: list[dict[str, Any]] = []
            with atomic(stem / INDEX) as handle:
                (stem / INDEX).unlink(missing_ok=True)
                for part, first, last in cuts(group, np.dtype(dtype).itemsize, SHARD_BYTES, 13):
                    path = stem / f"shard.{len(shards):05d}.mds"
                    n_bytes = _write_shard(path, part, (first, last), config)
                    raw = {"basename": path.name, "bytes": n_bytes, "hashes": {}}
                    shards.append({**config, "raw_data": raw, "samples": last - first, "zip_data": None})
                    files.append(path)
                handle.write(json.dumps({"shards": shards, "version": 2}, sort_keys=True))
            files.append(stem / INDEX)
        return files

    def _read_shard(self, folder: Path, place: tuple[str, str], shard: dict[str, Any]) -> tuple[str, TokenPart]:
        """The part that a shard is, from its entry in the index and, where columns vary, its head."""
        path = folder / str(shard["raw_data"]["basename"])
        names, n = list(shard["column_names"]), int(shard["samples"])
        if path.parent != folder or self.column not in names:
            raise damaged(
                folder / INDEX, ", ".join(map(str, names)), f"a column `{self.column}` in shards of this folder"
            )
        k, sizes = names.index(self.column), list(shard["column_sizes"])
        dtype, is_flat = self._encoding(folder / INDEX, shard["column_encodings"][k])
        width = np.dtype(dtype).itemsize
        varying = [j for j, size in enumerate(sizes) if not size]
        config = {key: shard[key] for key in sorted(shard) if key not in ("raw_data", "samples", "zip_data")}
        if not varying:
            # Nothing to read: where samples begin follows from the sizes too.
            begin = 4 * (n + 2) + len(json.dumps(config, sort_keys=True).encode())
            starts = begin + np.arange(n, dtype=np.int64) * sum(sizes)
            if begin + n * sum(sizes) != shard["raw_data"]["bytes"]:
                raise damaged(
                    folder / INDEX, f"{shard['raw_data']['bytes']} bytes", f"{n:,} samples of {sum(sizes)} bytes"
                )
            sizes_n = np.full(n, sizes[k], dtype=np.int64)
            before_n = np.full(n, sum(sizes[:k]), dtype=np.int64)
        else:
            offsets = _offsets(path, n, int(shard["raw_data"]["bytes"]))
            starts = offsets[:-1]
            varying_nv = _varying(path, offsets, len(varying), sum(size or 0 for size in sizes))
            by_column = {j: varying_nv[:, v] for v, j in enumerate(varying)}
            sizes_n = by_column[k] if k in by_column else np.full(n, sizes[k], dtype=np.int64)
            before_n = 4 * len(varying) + sum((by_column.get(j, sizes[j]) for j in range(k)), np.zeros(n, np.int64))
        at_n = starts + before_n
        head_n = np.zeros(n, dtype=np.int64) if is_flat else _shape_head(path, at_n, sizes_n, width)
        lengths = (sizes_n - head_n) // width
        if (lengths < 0).any() or ((sizes_n - head_n) % width).any():
            raise damaged(path, f"a column `{self.column}` of {int(sizes_n.min())} bytes", f"whole ids of {dtype}")
        ids = Ids(path, dtype, at_n + head_n, lengths)
        return dtype, TokenPart(domain=place[0], split=place[1], lengths=lengths, ids=ids)

    def _encoding(self, index: Path, encoding: str) -> tuple[str, bool]:
        """(type of the ids, whether nothing but ids is in the column)."""
        if encoding == "bytes":
            return self.dtype or "int64", True
        kind, _, rest = encoding.partition(":")
        dtype, _, shape = rest.partition(":")
        if kind != "ndarray" or dtype not in WHOLE:
            raise damaged(index, f"a column `{self.column}` as `{encoding}`", "`ndarray:<whole numbers>` or `bytes`")
        return dtype, bool(shape)


def _shards(index: Path) -> list[dict[str, Any]]:
    try:
        data = json.loads(read_text(index))
        shards: list[dict[str, Any]] = data["shards"]
        if data["version"] != 2 or any(shard["format"] != "mds" or shard["version"] != 2 for shard in shards):
            raise damaged(index, "another format or version", "MDS version 2")
        for shard in shards:
            named = [len(shard[key]) for key in ("column_names", "column_encodings", "column_sizes")]
            if len(set(named)) > 1 or shard["samples"] < 0 or shard["raw_data"]["bytes"] < 0:
                raise damaged(index, "a shard whose columns do not match", "a name, encoding and size for each")
            str(shard["raw_data"]["basename"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(index, f"{type(error).__name__}: {error}", "the index.json of an MDS data set") from None
    return shards


def _offsets(path: Path, n: int, n_bytes: int) -> NDArray[np.int64]:
    """Where samples begin, and the end of the last (n + 1,)."""
    if not path.is_file():
        raise damaged(path, "no such file", "the shard itself, uncompressed, as its ids vary in number")
    if path.stat().st_size != n_bytes:
        raise damaged(path, f"{path.stat().st_size:,} bytes", f"the {n_bytes:,} bytes that its index counts")
    head = np.fromfile(path, dtype="<u4", count=n + 2).astype(np.int64)
    if len(head) != n + 2 or head[0] != n or head[-1] != n_bytes or (np.diff(head[1:]) < 0).any():
        raise damaged(path, "a head that does not match", f"{n:,} samples in {n_bytes:,} bytes")
    return head[1:]


def _varying(path: Path, offsets: NDArray[np.int64], v: int, fixed: int) -> NDArray[np.int64]:
    """Sizes (n, v) of the columns without a fixed one: what is left of a sample, or the sizes at its head."""
    sizes_n = np.diff(offsets)
    if v == 1:
        return (sizes_n - fixed - 4)[:, None]
    if (sizes_n < 4 * v).any():
        raise damaged(path, "a sample shorter than its head", f"at least {4 * v} bytes")
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    heads = np.asarray(raw)[offsets[:-1, None] + np.arange(4 * v)]
    varying_nv: NDArray[np.int64] = heads.view("<u4").astype(np.int64)
    return varying_nv


def _shape_head(path: Path, at_n: NDArray[np.int64], sizes_n: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Bytes before the ids of arrays with one axis, by the size of their column; the first array's are looked at."""
    narrow, wide = 2 + 255 * width, 3 + 65_535 * width
    head_n: NDArray[np.int64] = np.where(sizes_n <= narrow, 2, np.where(sizes_n <= wide, 3, 5))
    for first in np.fromfile(path, dtype=np.uint8, count=1, offset=int(at_n[0])).tolist() if len(at_n) else ():
        if first >> 2 != 1 or 1 + (1 << (first & 3)) != head_n[0]:
            raise damaged(path, f"arrays of {first >> 2} axes", "one axis, the ids of a document")
    return head_n


def _write_shard(path: Path, part: TokenPart, cut: tuple[int, int], config: dict[str, Any]) -> int:
    """Write documents `cut` of a part as one shard; its size."""
    dtype = config["column_encodings"][0].partition(":")[2]
    kind = np.dtype(dtype).newbyteorder("<")
    lengths = part.lengths[slice(*cut)]
    powers = np.where(lengths < 1 << 8, 0, np.where(lengths < 1 << 16, 1, 2))
    sizes = 1 + (1 << powers) + lengths * kind.itemsize
    text = json.dumps(config, sort_keys=True).encode()
    offsets = 4 * (len(lengths) + 2) + len(text) + np.concatenate([[0], np.cumsum(sizes + 4)])
    if offsets[-1] >= 1 << 32:
        raise InputError(
            f"a document of `{part.domain}` is too long for a shard", value=f"{int(lengths.max()):,} tokens",
            bound="4 GB", remedy="cut it, or choose another format",
        )  # fmt: skip
    with atomic(path, "wb") as handle:
        handle.write(np.uint32(len(lengths)).astype("<u4").tobytes() + offsets.astype("<u4").tobytes() + text)
        for i, (size, power) in enumerate(zip(sizes.tolist(), powers.tolist(), strict=True), start=cut[0]):
            ids = ids_of(part, i)
            check_ids(ids, dtype, part.domain)
            shape = len(ids).to_bytes(1 << power, "little")
            handle.write(size.to_bytes(4, "little") + bytes([4 | power]) + shape + ids.astype(kind).tobytes())
    return int(offsets[-1])
