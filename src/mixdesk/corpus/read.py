"""Files, folders and globs to a stream of documents.

Read are `.txt` and `.md` (one document a file), `.jsonl` (one a line: `text`, and optionally `label` or `domain`,
`license`), and each of them with `.gz`. Folders are walked in sorted order; hidden files are passed over.
A document's label is its record's own; else the folder's path below the source, else the file's stem.
Only one document (or line) is in memory at a time.
"""

from __future__ import annotations

import glob
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError

# What a caller may hand in: paths and globs, or documents made elsewhere.
Sources = Sequence[Path | str] | Iterable[Document]

PLAIN = (".txt", ".md")
RECORDS = (".jsonl",)
_BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(kw_only=True)
class Skipped:
    """What was left out and why: `counts` per reason, and the `first` example of each in words.

    With `on_error` "raise" nothing is left out: the first error is raised.
    """

    on_error: str = "raise"
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.one_of("on_error", self.on_error, ("raise", "skip"))

    def refuse(self, reason: str, error: InputError) -> None:
        """Raise the error, or count it."""
        if self.on_error == "raise":
            raise error
        self.count(reason, str(error))

    def count(self, reason: str, example: str) -> None:
        """Count one thing that was left out."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        # File names and texts may hold what UTF-8 cannot write.
        self.first.setdefault(reason, example.encode(errors="backslashreplace").decode())


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file to read and the label its place gives it."""

    path: Path
    label: str


def find_files(sources: Iterable[Path | str], skipped: Skipped) -> list[SourceFile]:
    """The files behind paths, folders and globs, in the order given; inside a folder or glob sorted by path.

    Files of another kind inside a folder or glob are counted in `skipped`.

    Raises:
        InputError: a source that does not exist or holds no readable file, or a named file of an unknown kind.
    """
    found: list[SourceFile] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside, root = _walk(path), path
        elif path.exists():
            inside, root = [path], path.parent
        else:
            root = _root_of(path)
            inside = sorted(hit for hit in root.glob(str(path.relative_to(root))) if hit.is_file())
        usable = [one for one in inside if _kind(one)]
        if not usable:
            raise InputError(
                f"the source `{source}` holds no text",
                value=f"{len(inside)} files of another kind" if inside else "no such file",
                bound="files ending in .txt, .md or .jsonl, each perhaps with .gz",
                remedy="check the path",
            )
        for one in inside:
            if not _kind(one):
                skipped.count("another kind of file", f"`{one}` does not end in .txt, .md or .jsonl")
        found += [SourceFile(path=one, label=_label_of(one, root)) for one in usable]
    return found


def read_files(files: Iterable[SourceFile], skipped: Skipped) -> Iterator[Document]:
    """The documents of the files, in order.

    Raises:
        InputError: an empty or binary file, invalid UTF-8, a broken line, a record without text, half a gzip file,
            naming file and line; with `on_error` "skip" they are counted instead.
    """
    for file in files:
        try:
            reader = _read_records if _kind(file.path) == "records" else _read_plain
            yield from reader(file, skipped)
        except _BROKEN_GZIP as error:
            # What a JSONL file gave before the break stays in.
            skipped.refuse(
                "broken gzip", _bad(f"`{file.path}` is not a whole gzip file", str(error), "a complete .gz", "fetch it")
            )
        except OSError as error:
            why = error.strerror or str(error)
            skipped.refuse("unreadable", _bad(f"`{file.path}` could not be read", why, "a readable file", "check it"))


def _read_plain(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    with _open(file.path) as handle:
        text = _decode(handle.read(), str(file.path), skipped)
    if text is not None:
        yield Document(text=text, label=file.label, source=str(file.path))


def _read_records(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    n_lines = 0
    with _open(file.path) as handle:
        for number, raw in enumerate(handle, 1):
            if not raw.strip():
                continue
            n_lines += 1
            where = f"{file.path}:{number}"
            line = _decode(raw, where, skipped)
            if line is None and b"\0" in raw:
                return
            document = None if line is None else _parse(line, file.label, where, skipped)
            if document is not None:
                yield document
    if not n_lines:
        skipped.refuse("empty", _empty(str(file.path)))


def _parse(line: str, label: str, where: str, skipped: Skipped) -> Document | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        skipped.refuse("broken JSON", _bad(f"`{where}` is not valid JSON", str(error), "one object a line", "mend it"))
        return None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        shown = sorted(record) if isinstance(record, dict) else type(record).__name__
        skipped.refuse("no text", _bad(f"`{where}` has no text", shown, "an object with a string `text`", "add it"))
        return None
    own = record.get("label", record.get("domain"))
    license = record.get("license")
    for key, value in (("label", own), ("license", license)):
        if value is not None and not isinstance(value, str):
            skipped.refuse("no text", _bad(f"`{where}` has a wrong `{key}`", value, "a string or null", "correct it"))
            return None
    text: str = record["text"]
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = f"a lone surrogate at character {error.start}"
        skipped.refuse("not UTF-8", _bad(f"`{where}` cannot be written as UTF-8", shown, "valid text", "correct it"))
        return None
    if not text.strip():
        skipped.refuse("empty", _empty(where))
        return None
    return Document(text=text, label=own or label, license=license, source=where)


def _decode(raw: bytes, where: str, skipped: Skipped) -> str | None:
    """The text of UTF-8 bytes (a byte-order mark is dropped), or None after a refusal."""
    if b"\0" in raw:
        at = f"a NUL byte at offset {raw.index(0)}"
        skipped.refuse("binary", _bad(f"`{where}` is a binary file", at, "UTF-8 text", "take it out"))
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = f"byte {raw[error.start]:#04x} at offset {error.start}"
        skipped.refuse("not UTF-8", _bad(f"`{where}` is not UTF-8 text", at, "UTF-8", "convert it"))
        return None
    if not text.strip():
        skipped.refuse("empty", _empty(where))
        return None
    return text


def _bad(wrong: str, value: Any, bound: str, remedy: str) -> InputError:
    skip = '--skip-broken, on_error="skip"'
    return InputError(wrong, value=value, bound=bound, remedy=f"{remedy}, or skip broken inputs: {skip}")


def _empty(where: str) -> InputError:
    return _bad(f"`{where}` is empty", "no text", "at least one character that is not blank", "take it out")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _kind(path: Path) -> str:
    """How a file is read: "plain", "records", or "" for not at all."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return "plain" if suffix in PLAIN else "records" if suffix in RECORDS else ""


def _walk(folder: Path) -> list[Path]:
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place) / name for name in files if not name.startswith(".")]
    return sorted(paths)


def _root_of(pattern: Path) -> Path:
    """The longest part of a glob's path without wildcards."""
    fixed: list[str] = []
    for step in pattern.parts[:-1]:
        if glob.has_magic(step):
            break
        fixed.append(step)
    return Path(*fixed)


def _label_of(path: Path, root: Path) -> str:
    folder = path.parent.relative_to(root).as_posix()
    return folder if folder != "." else path.name.removesuffix(".gz").rsplit(".", 1)[0]
