"""All texts of a build in one scratch file, with a small row per document; so memory holds rows, never texts.

`texts.bin` is the texts one after another in UTF-8, `rows.bin` the rows, `spool.json` what the rows' numbers mean.
The last is written last: a spool without it does not exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, canonical, fingerprint, read_json, write_json
from mixdesk.core.protocols import Progress
from mixdesk.corpus.dedup import ExactDedup
from mixdesk.corpus.read import Skipped
from mixdesk.corpus.shards import Left

# For each document domain → probability; empty: it belongs nowhere.
Label = Callable[[Sequence[Document]], Sequence[Mapping[str, float]]]

# `hash` sha256 of the text as it is; `place`, `license` positions in the lists of SpoolInfo.
ROW = np.dtype([("hash", "S32"), ("offset", "<u8"), ("n_bytes", "<u8"), ("place", "<u4"), ("license", "<u4")])
# SPDX's word for a licence nobody stated.
UNSTATED = "NOASSERTION"


@core_type
class SpoolInfo:
    """What a spool was made from (`key`), its `places` as (kind, name) with kind "domain" or "set", its `licenses`, and
    what was left out.
    """

    key: str
    places: tuple[tuple[str, str], ...]
    licenses: tuple[str, ...]
    skipped: tuple[Left, ...] = ()
    duplicates: Pairs = ()
    held_out: Pairs = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spool:
    """A complete spool: its `folder`, its `info`, and one `rows` record (ROW) per document in the order read."""

    folder: Path
    info: SpoolInfo
    rows: NDArray[np.void]

    @property
    def content(self) -> str:
        """Fingerprint of every text, its place and licence, and of what was left out."""
        return fingerprint(self.rows.tobytes(), canonical(self.info))

    def of(self, kind: str, name: str) -> NDArray[np.void]:
        """The rows of a domain or evaluation set, ordered by hash: this is the fixed shuffle inside a domain."""
        mine = self.rows[self.rows["place"] == self.info.places.index((kind, name))]
        ordered: NDArray[np.void] = mine[np.argsort(mine["hash"], kind="stable")]
        return ordered

    def names(self, kind: str) -> tuple[str, ...]:
        """The domains or evaluation sets, sorted."""
        return tuple(sorted(name for one, name in self.info.places if one == kind))

    def batches(self, rows: NDArray[np.void], n_bytes: int) -> Iterator[tuple[NDArray[np.void], list[str]]]:
        """The rows and their texts in runs of about `n_bytes`, one document at least."""
        with (self.folder / "texts.bin").open("rb") as handle:
            start = 0
            while start < len(rows):
                sizes = np.cumsum(rows["n_bytes"][start : start + 4096])
                stop = start + max(1, int(np.searchsorted(sizes, n_bytes, side="right")))
                yield rows[start:stop], [_text(handle, row) for row in rows[start:stop]]
                start = stop


def open_spool(folder: Path, key: str) -> Spool | None:
    """The spool that was completed from the inputs `key`, or None."""
    try:
        info = read_json(folder / "spool.json", SpoolInfo)
    except InputError:
        return None
    return _load(folder, info) if info.key == key else None


def fill_spool(
    folder: Path,
    key: str,
    evals: Mapping[str, Iterable[Document]],
    documents: Iterable[Document],
    label: Label,
    skipped: Skipped,
    progress: Progress | None = None,
) -> Spool:
    """Read everything: evaluation sets first, then the training documents that are not in them, each content once.

    Raises:
        InputError: a document that cannot be used (or it is counted in `skipped`), or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spool.json").unlink(missing_ok=True)
    dedup = ExactDedup()
    with atomic(folder / "texts.bin", "wb") as texts, atomic(folder / "rows.bin", "wb") as rows:
        writer = _Writer(texts=texts, rows=rows)
        for name, held in sorted(evals.items()):
            checks.label("evaluation set", name)
            writer.place("set", name)
            for document in held:
                license = _usable(document, skipped)
                if license is not None and dedup.hold_out(name, document.text):
                    writer.add("set", name, document.text, license)
        for n, document in enumerate(documents):
            if progress is not None and n % 200 == 0:
                progress("read", n, 0)
            license = _usable(document, skipped)
            domain = None if license is None else _domain_of(document, label, skipped)
            if license is not None and domain is not None and dedup.keep(domain, document.text):
                writer.add("domain", domain, document.text, license)
    info = SpoolInfo(
        key=key,
        places=tuple(writer.places),
        licenses=tuple(writer.licenses),
        skipped=tuple(Left(reason=k, n=n, first=skipped.first[k]) for k, n in sorted(skipped.counts.items())),
        duplicates=checks.pairs("duplicates", dedup.duplicates),
        held_out=checks.pairs("held_out", dedup.held_out),
    )
    write_json(folder / "spool.json", info)
    return _load(folder, info)


@dataclass(kw_only=True)
class _Writer:
    """Appends documents; numbers places and licences in the order they come (dicts keep it)."""

    texts: IO[Any]
    rows: IO[Any]
    offset: int = 0

    def __post_init__(self) -> None:
        self.places: dict[tuple[str, str], int] = {}
        self.licenses: dict[str, int] = {}

    def place(self, kind: str, name: str) -> int:
        return self.places.setdefault((kind, name), len(self.places))

    def add(self, kind: str, name: str, text: str, license: str) -> None:
        raw = text.encode()
        number = self.licenses.setdefault(license, len(self.licenses))
        row = (hashlib.sha256(raw).digest(), self.offset, len(raw), self.place(kind, name), number)
        self.texts.write(raw)
        self.rows.write(np.array([row], dtype=ROW).tobytes())
        self.offset += len(raw)


def _usable(document: Document, skipped: Skipped) -> str | None:
    """The document's licence expression, or None after a refusal."""
    where = document.source or document.text[:40]
    try:
        document.text.encode()
        return checks.label("license", " ".join((document.license or UNSTATED).split()) or UNSTATED)
    except UnicodeEncodeError as error:
        shown = f"a lone surrogate at character {error.start}"
        wrong = f"`{where}` cannot be written as UTF-8"
        skipped.refuse("not UTF-8", InputError(wrong, value=shown, bound="valid text", remedy="correct it"))
    except InputError as error:
        skipped.refuse("wrong licence", InputError(**_parts(error, where)))
    return None


def _domain_of(document: Document, label: Label, skipped: Skipped) -> str | None:
    """The most probable domain (the first by name among equals), or None where it belongs nowhere or was refused."""
    where = document.source or document.text[:40]
    try:
        shares = label([document])[0]
        if not shares:
            skipped.count("no domain", f"`{where}` belongs to no domain")
            return None
        return checks.label("domain", min(shares, key=lambda name: (-shares[name], name)))
    except InputError as error:
        skipped.refuse("no label", InputError(**_parts(error, where)))
    return None


def _parts(error: InputError, where: str) -> dict[str, Any]:
    wrong = error.wrong if where in error.wrong else f"{where}: {error.wrong}"
    return {"wrong": wrong, "value": error.value, "bound": error.bound, "remedy": error.remedy}


def _text(handle: IO[bytes], row: np.void) -> str:
    handle.seek(int(row["offset"]))
    return handle.read(int(row["n_bytes"])).decode()


def _load(folder: Path, info: SpoolInfo) -> Spool:
    return Spool(folder=folder, info=info, rows=np.fromfile(folder / "rows.bin", dtype=ROW))
