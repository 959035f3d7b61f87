"""What readers share: a file and its label, what was left out and why, and bytes of bounded length."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from mixdesk.core import checks
from mixdesk.core.errors import InputError

# Suffix → the codec's name in Arrow, whose streams say so where a file breaks off.
PACKED = {".gz": "gzip", ".zst": "zstd"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(kw_only=True)
class Skipped:
    """What was left out and why: `counts` per reason, and the `first` example of each in words.

    With `on_error` "raise" nothing that is broken is left out: the first error is raised. A record (a file of one
    document, a line, a row, a page) may have `max_bytes` at most; this bounds what a reader holds in memory.
    """

    on_error: str = "raise"
    max_bytes: int = 64 << 20
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.one_of("on_error", self.on_error, ("raise", "skip"))
        checks.count("max_bytes", self.max_bytes, low=1)

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

    @property
    def name(self) -> str:
        """The path in words: what UTF-8 cannot write is escaped."""
        return str(self.path).encode(errors="backslashreplace").decode()


def bad(wrong: str, value: Any, bound: str, remedy: str) -> InputError:
    """An error of one input, which may also be skipped."""
    skip = '--skip-broken, on_error="skip"'
    return InputError(wrong, value=value, bound=bound, remedy=f"{remedy}, or skip broken inputs: {skip}")


def empty(where: str) -> InputError:
    """The error of an input that has no text."""
    return bad(f"`{where}` is empty", "no text", "at least one character that is not blank", "take it out")


def too_long(where: str, skipped: Skipped) -> InputError:
    """The error of a record beyond the bound."""
    limit = f"at most {skipped.max_bytes} bytes a record"
    return bad(f"`{where}` is too long", f"more than {skipped.max_bytes} bytes", limit, "cut it into documents")


def is_safe(label: str) -> bool:
    """Whether a label stays inside a folder when it is used as a path: no part of it is empty, `.` or `..`."""
    inside = all(part not in ("", ".", "..") for part in label.split("/"))
    return inside and label.isprintable() and label == label.strip() and "\\" not in label


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where its suffix says so, without holding more than a buffer of them.

    Raises:
        OSError: it cannot be read (with an `errno`), or later, it is not a whole packed file (without).
    """
    codec = PACKED.get(path.suffix.lower())
    if codec is None:
        return path.open("rb")
    packed = pa.CompressedInputStream(pa.OSFile(os.fsencode(path)), codec)
    return io.BufferedReader(cast(io.RawIOBase, packed), 1 << 14)


def read_whole(file: SourceFile, skipped: Skipped) -> bytes | None:
    """All bytes of a file of one document, or None after a refusal."""
    with open_bytes(file.path) as handle:
        raw = handle.read(skipped.max_bytes + 1)
    if len(raw) > skipped.max_bytes:
        skipped.refuse("too long", too_long(file.name, skipped))
        return None
    return raw


def read_lines(handle: IO[bytes], max_bytes: int) -> Iterator[bytes | None]:
    """The lines of a file, in place of each that is too long None; no more than one line is held."""
    while raw := handle.readline(max_bytes + 1):
        if len(raw) <= max_bytes or raw.endswith(b"\n"):
            yield raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = handle.readline(1 << 20)
        yield None


def decode(raw: bytes, where: str, skipped: Skipped) -> str | None:
    """The text of UTF-8 bytes (a byte-order mark is dropped), or None after a refusal."""
    if raw.startswith(_UTF16):
        skipped.refuse("not UTF-8", bad(f"`{where}` is UTF-16 text", "a byte-order mark", "UTF-8", "convert it"))
        return None
    if b"\0" in raw:
        at = f"a NUL byte at offset {raw.index(0)}"
        skipped.refuse("binary", bad(f"`{where}` is a binary file", at, "UTF-8 text", "take it out"))
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = f"byte {raw[error.start]:#04x} at offset {error.start}"
        skipped.refuse("not UTF-8", bad(f"`{where}` is not UTF-8 text", at, "UTF-8", "convert it"))
        return None
    if not text.strip():
        skipped.refuse("empty", empty(where))
        return None
    return text
