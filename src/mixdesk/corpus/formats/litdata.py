"""LitData's optimised tokens: `index.json` and `chunk-0-0.bin`, … as litgpt reads them through its `TokensLoader`."""

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
    Ids,
    by_place,
    check_ids,
    cuts,
    damaged,
    dtype_for_ids,
    find,
    ids_of,
    place_of,
    tokenised,
)

INDEX = "index.json"
# LitData's codes of torch's types of whole numbers; the first code of a type is written.
CODES = {20: "uint16", 16: "int32", 15: "int32", 17: "int64", 18: "int64", 11: "uint8", 13: "int16", 14: "int16"}
TYPES = ("uint16", "int32")
# Bytes of ids in one chunk, as LitData's own examples have them.
CHUNK_BYTES = 1 << 26
# A tensor by itself, as LitData writes down the shape of an item.
SPEC = '[1, {"type": null, "context": null, "children_spec": []}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Litdata:
    """Chunks of LitData whose items are documents, tensors of ids without a header.

    A chunk: uint32 items n, uint32 (n + 1,) offsets from its start, the ids. `index.json` counts items and tokens of
    each chunk and names the type of the ids by a code. A block that the loader reads never spans two chunks, so what a
    chunk has beyond whole blocks is never read. There is no uint32: ids are written as uint16 or int32. Checked against
    litdata 0.2.59.

    Field: `dtype` of the ids to write; None is the narrowest that holds them all.
    """

    title: ClassVar[str] = "LitData chunks of tokens, as litgpt reads them"
    reference: ClassVar[str] = ""

    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            checks.one_of("dtype", self.dtype, ("uint16", "uint32", "int32"))

    def read(self, path: Path) -> Tokenised:
        """What the `index.json` at a path and the heads of the chunks count; a chunk is one part.

        Raises:
            InputError: no index of LitData, items that are no bare ids, compression, or a chunk that is cut.
        """
        found = [
            _read_chunk(index.parent, place_of(stem), dtype, chunk)
            for index, stem in find(path, INDEX, "the index.json of a LitData data set")
            for dtype, chunk in _chunks(index)
        ]
        return tokenised(path, found)

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write `<domain>/chunk-0-0.bin`, … and `index.json` under `out`, the index last.

        Raises:
            InputError: a name that leads out of the folder, an id over 2³¹ - 1, or a disk that is full.
        """
        dtype = dtype_for_ids(parts, self.dtype, TYPES)
        code = next(code for code, name in CODES.items() if name == dtype)
        config = {
            "chunk_bytes": CHUNK_BYTES, "chunk_size": None, "compression": None, "encryption": None,
            "data_format": [f"no_header_tensor:{code}"], "data_spec": SPEC, "item_loader": "TokensLoader",
        }  # fmt: skip
        files: list[Path] = []
        for stem, group in by_place(parts, out):
            chunks: list[dict[str, Any]] = []
            with atomic(stem / INDEX) as handle:
                (stem / INDEX).unlink(missing_ok=True)
                for part, first, last in cuts(group, np.dtype(dtype).itemsize, CHUNK_BYTES):
                    path = stem / f"chunk-0-{len(chunks)}.bin"
                    n_bytes = _write_chunk(path, part, (first, last), dtype)
                    n_tokens = int(part.lengths[first:last].sum())
                    chunks.append(
                        {"chunk_bytes": n_bytes, "chunk_size": last - first, "dim": n_tokens, "filename": path.name}
                    )
                    files.append(path)
                handle.write(json.dumps({"chunks": chunks, "config": config}, sort_keys=True))
            files.append(stem / INDEX)
        return files


def _chunks(index: Path) -> list[tuple[str, dict[str, Any]]]:
    """(type of the ids, entry) of each chunk."""
    try:
        data = json.loads(read_text(index))
        config, chunks = data["config"], data["chunks"]
        kind, _, code = str(config["data_format"][0]).partition(":")
        dtype = CODES.get(int(code)) if kind == "no_header_tensor" else None
        if dtype is None or len(config["data_format"]) != 1 or config["compression"] or config.get("encryption"):
            raise damaged(index, f"items {config['data_format']}", "plain tensors of ids, neither packed nor encrypted")
        for chunk in chunks:
            if min(int(chunk[key]) for key in ("chunk_bytes", "chunk_size", "dim")) < 0:
                raise damaged(index, f"a chunk {chunk}", "counts ≥ 0")
            if Path(str(chunk["filename"])).name != chunk["filename"]:
                raise damaged(index, str(chunk["filename"]), "chunks of this folder")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(index, f"{type(error).__name__}: {error}", "the index.json of a LitData data set") from None
    return [(dtype, chunk) for chunk in chunks]


def _read_chunk(folder: Path, place: tuple[str, str], dtype: str, chunk: dict[str, Any]) -> tuple[str, TokenPart]:
    path, n, width = folder / chunk["filename"], int(chunk["chunk_size"]), np.dtype(dtype).itemsize
    size = path.stat().st_size if path.is_file() else -1
    if size != chunk["chunk_bytes"]:
        raise damaged(path, f"{max(size, 0):,} bytes", f"the {chunk['chunk_bytes']:,} bytes that its index counts")
    head = np.fromfile(path, dtype="<u4", count=n + 2).astype(np.int64)
    if len(head) < n + 2 or head[0] != n or head[1] != 4 * (n + 2) or head[-1] != size:
        raise damaged(path, "a head that does not fit", f"{n:,} items, as its index counts")
    sizes: NDArray[np.int64] = np.diff(head[1:])
    if (sizes < 0).any() or (sizes % width).any() or sizes.sum() != chunk["dim"] * width:
        raise damaged(path, f"items of {sizes.sum():,} bytes", f"{chunk['dim']:,} ids of {dtype}")
    lengths = sizes // width
    ids = Ids(path, dtype, head[1:-1], lengths)
    return dtype, TokenPart(domain=place[0], split=place[1], lengths=lengths, ids=ids)


def _write_chunk(path: Path, part: TokenPart, cut: tuple[int, int], dtype: str) -> int:
    """Write documents `cut` of a part as one chunk; its size."""
    kind = np.dtype(dtype).newbyteorder("<")
    lengths = part.lengths[slice(*cut)]
    offsets = 4 * (len(lengths) + 2) + np.concatenate([[0], np.cumsum(lengths * kind.itemsize)])
    if offsets[-1] >= 1 << 32:
        raise InputError(
            f"a document of `{part.domain}` is too long for a chunk", value=f"{int(lengths.max()):,} tokens",
            bound="4 GB", remedy="cut it, or choose another format",
        )  # fmt: skip
    with atomic(path, "wb") as handle:
        handle.write(np.uint32(len(lengths)).astype("<u4").tobytes() + offsets.astype("<u4").tobytes())
        for i in range(*cut):
            ids = ids_of(part, i)
            check_ids(ids, dtype, part.domain)
            handle.write(ids.astype(kind).tobytes())
    return int(offsets[-1])
