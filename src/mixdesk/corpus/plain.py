"""Files of plain bytes: a text, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from mixdesk.core.corpus import Document
from mixdesk.corpus.inputs import (
    Skipped,
    SourceFile,
    bad,
    decode,
    empty,
    open_bytes,
    read_lines,
    read_whole,
    too_long,
)  # fmt: skip
from mixdesk.corpus.records import document_of


def read_text(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """A file that is one document."""
    raw = read_whole(file, skipped)
    text = None if raw is None else decode(raw, file.name, skipped)
    if text is not None:
        yield Document(text=text, label=file.label, source=file.name)


def read_json_lines(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """A file with an object a line; blank lines are passed over. A binary file is left at its first line.

    A file that is one JSON value over many lines is refused as a whole, not line by line.
    """
    n_lines = 0
    with open_bytes(file.path) as handle:
        for number, raw in enumerate(read_lines(handle, skipped.max_bytes), 1):
            where = f"{file.name}:{number}"
            if raw is None:
                n_lines += 1
                skipped.refuse("too long", too_long(where, skipped))
                continue
            if raw.isspace():
                continue
            n_lines += 1
            if n_lines == 1 and raw.strip() in (b"[", b"{"):
                what = f"`{file.name}` is JSON, but not JSON lines"
                skipped.refuse("broken JSON", bad(what, raw.decode().strip(), "one object a line", "write it so"))
                return
            record = _parse(raw, where, skipped)
            if record is None and b"\0" in raw:
                return
            document = None if record is None else document_of(record, file.label, where, skipped)
            if document is not None:
                yield document
    if not n_lines:
        skipped.refuse("empty", empty(file.name))


def _parse(raw: bytes, where: str, skipped: Skipped) -> dict[str, Any] | None:
    """The object on a line: by the fast parser, and where it refuses by the one that tells why and takes surrogates."""
    try:
        record = from_json(raw)
    except ValueError:
        line = decode(raw, where, skipped)
        if line is None:
            return None
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            wrong = f"`{where}` is not valid JSON"
            skipped.refuse("broken JSON", bad(wrong, str(error), "one object a line", "mend it"))
            return None
    if isinstance(record, dict):
        return record
    shown = type(record).__name__
    skipped.refuse("no text", bad(f"`{where}` has no text", shown, "an object with a string `text`", "add it"))
    return None
