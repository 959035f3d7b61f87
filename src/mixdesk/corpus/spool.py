"""The texts of a build in scratch files, with a small row per document; so memory holds rows, never texts.

A part is a run of input files (or the documents of a program), read and cleaned by one task: `<stem>.texts`, the texts
one after another, each followed by what else is known of it as JSON; `<stem>.rows`, a record (ROW) per document; and
`<stem>.json`, what the numbers in the rows mean and what was left out. The last is written last: a part without it
does not exist, and a build that was stopped goes on with those that do. Tasks need nothing but their files and
settings, so they run wherever the caller's `map` takes them; the order of the parts is the order of the inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, canonical, fingerprint, read_json, write_json
from mixdesk.corpus.cleaning import Cleaner, NamedStep, StepCount, writable
from mixdesk.corpus.dedup import content_key
from mixdesk.corpus.read import Skipped, SourceFile, read_files
from mixdesk.corpus.shards import Left

if TYPE_CHECKING:
    from mixdesk.corpus.screen import Screen

# `hash` sha256 of the text as it is; `key` of its content up to white space; `about` of all else that is known of it;
# `label`, `license` positions in the lists of PartInfo.
ROW = np.dtype(
    [
        ("hash", "S32"),
        ("key", "<u8", 2),
        ("about", "<u8"),
        ("offset", "<u8"),
        ("n_bytes", "<u4"),
        ("n_about", "<u4"),
        ("label", "<u4"),
        ("license", "<u4"),
    ]
)
# What of a row leads to its document.
FIELDS = ["offset", "n_bytes", "n_about", "label", "license"]
# SPDX's word for a licence nobody stated.
UNSTATED = "NOASSERTION"
# Longer texts are refused: they would take all memory in the steps that follow.
LONGEST = 64 << 20
# Rows are written in runs of this many.
RUN = 2000


@core_type
class PartInfo:
    """What a part was made from (`key`), its size and `content`, its `labels` ("" for none) and `licenses`, and what
    was left out.
    """

    key: str
    n_rows: int
    content: str
    labels: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    skipped: tuple[Left, ...] = ()
    steps: tuple[StepCount, ...] = ()

    @property
    def stem(self) -> str:
        """Start of its files' names."""
        return self.key[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartTask:
    """Input files that one process reads and cleans into the part `key` in `folder`."""

    folder: Path
    key: str
    files: tuple[SourceFile, ...]
    steps: tuple[NamedStep, ...] = ()
    screen: Screen | None = None
    on_error: str = "raise"


def fill_part(task: PartTask) -> PartInfo:
    """The part of a task, written now or before.

    Raises:
        InputError: an input that cannot be used (or it is counted), or files that cannot be written.
    """
    try:
        info = read_json(task.folder / f"{task.key[:16]}.json", PartInfo)
        if info.key == task.key:
            return info
    except InputError:
        pass
    skipped = Skipped(on_error=task.on_error)
    return write_part(task.folder, task.key, read_files(task.files, skipped), skipped, task.steps, task.screen)


def write_part(
    folder: Path,
    key: str,
    documents: Iterable[Document],
    skipped: Skipped,
    steps: Sequence[NamedStep] = (),
    screen: Screen | None = None,
) -> PartInfo:
    """Clean the documents and write them as a part; memory holds a run of rows and a document.

    Raises:
        InputError: as `fill_part`.
    """
    stem = key[:16]
    (folder / f"{stem}.json").unlink(missing_ok=True)
    cleaner = Cleaner(steps)
    with ExitStack() as stack:
        texts, rows = (stack.enter_context(atomic(folder / f"{stem}.{kind}", "wb")) for kind in ("texts", "rows"))
        look = stack.enter_context(screen.open(folder, stem)) if screen is not None else None
        writer = _Writer(texts=texts, rows=rows, skipped=skipped)
        for document in cleaner.clean(documents):
            if writer.add(document) and look is not None:
                look.add(document.text)
        writer.flush()
    info = PartInfo(
        key=key,
        n_rows=writer.n_rows,
        content=fingerprint(writer.digest.hexdigest(), *writer.labels, "", *writer.licenses),
        labels=tuple(writer.labels),
        licenses=tuple(writer.licenses),
        skipped=lefts(skipped),
        steps=cleaner.counts(),
    )
    write_json(folder / f"{stem}.json", info)
    return info


@dataclass(kw_only=True)
class _Writer:
    """Appends documents; numbers labels and licences in the order they come (dicts keep it)."""

    texts: IO[Any]
    rows: IO[Any]
    skipped: Skipped
    n_rows: int = 0
    offset: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    licenses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()
        self._run: list[tuple[Any, ...]] = []
        # Label and licence as stated → their numbers.
        self._stated: dict[tuple[str | None, str | None], tuple[int, int]] = {}

    def add(self, document: Document) -> bool:
        """Write a document, or count it where its text, label or licence cannot be used; whether it was written."""
        try:
            raw = document.text.encode()
        except UnicodeEncodeError as error:
            shown = f"a lone surrogate at character {error.start}"
            wrong = f"`{_where(document)}` cannot be written as UTF-8"
            self.skipped.refuse("not UTF-8", InputError(wrong, value=shown, bound="valid text", remedy="correct it"))
            return False
        if len(raw) > LONGEST:
            wrong, bound = f"`{_where(document)}` is too long", f"at most {LONGEST >> 20} MB"
            self.skipped.refuse(
                "too long", InputError(wrong, value=f"{len(raw) >> 20} MB", bound=bound, remedy="cut it into documents")
            )
            return False
        numbers = self._stated.get((document.label, document.license)) or self._number(document)
        if numbers is None:
            return False
        about = _about(document)
        n_about = len(about)
        head = int.from_bytes(hashlib.sha256(about).digest()[:8], "little")
        text_key = content_key(document.text)
        key = (int.from_bytes(text_key[:8], "little"), int.from_bytes(text_key[8:], "little"))
        self._run.append((hashlib.sha256(raw).digest(), key, head, self.offset, len(raw), n_about, *numbers))
        self.texts.write(raw)
        self.texts.write(about)
        self.offset += len(raw) + n_about
        if len(self._run) >= RUN:
            self.flush()
        return True

    def flush(self) -> None:
        """Write the rows that wait."""
        block = np.array(self._run, dtype=ROW).tobytes()
        self.rows.write(block)
        self.digest.update(block)
        self.n_rows += len(self._run)
        self._run.clear()

    def _number(self, document: Document) -> tuple[int, int] | None:
        """Numbers of the label and the licence expression, or None after a refusal."""
        reason = "wrong label"
        try:
            label = checks.label("label", document.label) if document.label else ""
            reason = "wrong licence"
            license = checks.label("license", " ".join((document.license or UNSTATED).split()) or UNSTATED)
        except InputError as error:
            self.skipped.refuse(reason, placed(error, _where(document)))
            return None
        numbers = self.labels.setdefault(label, len(self.labels)), self.licenses.setdefault(license, len(self.licenses))
        self._stated[document.label, document.license] = numbers
        return numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Spool:
    """Complete parts in the order of the inputs; a document is known by its position among all their rows."""

    folder: Path
    parts: tuple[PartInfo, ...]

    @property
    def content(self) -> str:
        """Fingerprint of every text and all that is known of it, and of what was left out."""
        return fingerprint(*(canonical(one) for one in self.parts))

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Position of the first row of each part, and the number of rows: (p + 1,)."""
        return np.cumsum([0, *(part.n_rows for part in self.parts)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def column(self, name: str) -> NDArray[Any]:
        """One column of every row."""
        return np.concatenate([rows[name] for rows in self._rows] or [np.empty(0, dtype=ROW)[name]])

    def numbers(self, kind: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The labels (or licenses) of all parts, sorted, and the number of each row's in them."""
        of_part = [getattr(part, f"{kind}s") for part in self.parts]
        names = tuple(sorted({name for one in of_part for name in one}))
        number = {name: i for i, name in enumerate(names)}
        columns = [
            np.array([number[name] for name in one], dtype=np.int64)[rows[kind]]
            for rows, one in zip(self._rows, of_part, strict=True)
        ]
        return names, np.concatenate(columns or [np.empty(0, dtype=np.int64)])

    def rows(self, where: NDArray[np.int64]) -> NDArray[np.void]:
        """The rows at the positions, in their order."""
        found = np.empty(len(where), dtype=ROW)
        part_n = np.searchsorted(self.starts, where, side="right") - 1
        for p in np.unique(part_n):
            mine = part_n == p
            found[mine] = self._rows[p][where[mine] - self.starts[p]]
        return found

    def batches(self, where: NDArray[np.int64], n_bytes: int) -> Iterator[tuple[slice, list[Document]]]:
        """The documents at the positions in runs of about `n_bytes` of text, one document at least, each run with its
        place among the positions.
        """
        with ExitStack() as stack:
            files = [
                stack.enter_context((self.folder / f"{part.stem}.texts").open("rb", buffering=0)) for part in self.parts
            ]
            for first in range(0, len(where), 1 << 16):
                rows = self.rows(where[first : first + (1 << 16)])
                part_n = np.searchsorted(self.starts, where[first : first + len(rows)], side="right") - 1
                ends = np.cumsum(rows["n_bytes"], dtype=np.int64)
                start = 0
                while start < len(rows):
                    base = int(ends[start - 1]) if start else 0
                    stop = max(start + 1, int(np.searchsorted(ends, base + n_bytes, side="right")))
                    documents = [
                        self._document(files[p].fileno(), self.parts[p], row)
                        for p, row in zip(part_n[start:stop].tolist(), rows[FIELDS][start:stop].tolist(), strict=True)
                    ]
                    yield slice(first + start, first + stop), documents
                    start = stop

    def _document(self, handle: int, part: PartInfo, row: tuple[int, ...]) -> Document:
        offset, n_bytes, n_about, label, license = row
        raw = os.pread(handle, n_bytes + n_about, offset)
        source, url, author, language, scores = json.loads(raw[n_bytes:]) if n_about else ("", "", "", None, ())
        return Document(
            text=raw[:n_bytes].decode(),
            label=part.labels[label] or None,
            license=part.licenses[license],
            source=source,
            url=url,
            author=author,
            language=language,
            scores=tuple((name, score) for name, score in scores),
        )

    @cached_property
    def _rows(self) -> list[NDArray[np.void]]:
        """The rows of each part, as they lie on disk."""
        files = (self.folder / f"{part.stem}.rows" for part in self.parts)
        return [
            np.memmap(file, dtype=ROW, mode="r") if part.n_rows else np.empty(0, dtype=ROW)
            for part, file in zip(self.parts, files, strict=True)
        ]


def lefts(skipped: Skipped) -> tuple[Left, ...]:
    """What was left out, by reason."""
    return tuple(Left(reason=k, n=n, first=skipped.first[k]) for k, n in sorted(skipped.counts.items()))


def merge_lefts(several: Iterable[Iterable[Left]]) -> tuple[Left, ...]:
    """What was left out in several places, added up by reason; the example of the first place stays."""
    merged: dict[str, Left] = {}
    for left in (left for one in several for left in one):
        known = merged.get(left.reason)
        merged[left.reason] = left if known is None else Left(reason=left.reason, n=known.n + left.n, first=known.first)
    return tuple(merged[reason] for reason in sorted(merged))


def placed(error: InputError, where: str) -> InputError:
    """The error, with the place it was met in its first part."""
    wrong = error.wrong if where in error.wrong else f"{where}: {error.wrong}"
    return InputError(wrong, value=error.value, bound=error.bound, remedy=error.remedy)


def _where(document: Document) -> str:
    return document.source or document.text[:40]


def _about(document: Document) -> bytes:
    """What else is known of a document, as JSON; nothing for nothing."""
    one = document
    if not (one.source or one.url or one.author or one.language or one.scores):
        return b""
    texts = [writable(text) if text else text for text in (one.source, one.url, one.author, one.language)]
    return json.dumps([*texts, one.scores], ensure_ascii=False).encode()
