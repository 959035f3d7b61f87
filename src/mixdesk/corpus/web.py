"""Web pages: HTML files, and HTML responses in WARC files, to the text of their main content.

Resiliparse finds the content (Bevendorff et al. 2018; the extractor of DCLM, arXiv:2406.11794), without navigation
and readers' comments; FastWARC reads the archives. The address, author and licence are those that a page states.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, Any, cast

from fastwarc.stream_io import BrotliReader, ChunkedReader, GzipReader, ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from mixdesk.core.corpus import Document
from mixdesk.corpus.inputs import Skipped, SourceFile, bad, empty, open_bytes, read_whole, too_long

_HTML = ("text/html", "application/xhtml+xml")
_CODINGS = {"gzip": GzipReader, "x-gzip": GzipReader, "br": BrotliReader, "zstd": ZstdReader, "chunked": ChunkedReader}
_END = b"\r\n\r\n"
# Browsers cut trees at this depth; the extractor's time grows with its square (100,000 levels: more than ten minutes).
_DEEPEST = 512
_BOX = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE)


def read_page(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """A file that is one page."""
    raw = read_whole(file, skipped)
    document = None if raw is None else _page(raw, None, "", file.name, file.label, skipped)
    if document is not None:
        yield document


def read_warc(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """The pages among the responses of a web archive.

    Responses of another kind than HTML or another status than 200 are counted, and so are pages without content.
    """
    n_records = 0
    with open_bytes(file.path) as handle:
        source = _Source(handle)
        try:
            for record in ArchiveIterator(cast(Any, source), record_types=WarcRecordType.response):
                n_records += 1
                where = f"{file.name}:{n_records}"
                document = _response(record, where, file.label, skipped)
                if document is not None:
                    yield document
        except OSError as error:
            source.error = source.error or error
        if source.error is not None and source.error.errno is not None:
            raise source.error
    if source.error is not None or source.tail != _END:
        shown = str(source.error or "no end of its last record") if source.tail else "no byte"
        what = f"`{file.name}` is not a whole WARC file"
        skipped.refuse("broken WARC", bad(what, shown, "whole WARC records", "fetch it again"))
    elif not n_records:
        skipped.refuse("empty", empty(file.name))


class _Source:
    """A stream for FastWARC: it may not raise there, so that its error is kept, and its last bytes are."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle, self.offset, self.tail = handle, 0, b""
        self.error: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            raw = self.handle.read(size)
        except OSError as error:
            self.error = error
            return b""
        self.offset += len(raw)
        self.tail = (self.tail + raw[-4:])[-4:]
        return raw

    def tell(self) -> int:
        return self.offset

    def close(self) -> None:
        pass


def _response(record: WarcRecord, where: str, label: str, skipped: Skipped) -> Document | None:
    url = record.headers.get("WARC-Target-URI") or ""
    shown = f"`{where}` ({url})"
    http = record.http_headers if record.is_http_parsed else None
    if http is None or (record.http_content_type or "").lower() not in _HTML:
        skipped.count("another kind of response", f"{shown} is {record.http_content_type or 'no HTTP response'}")
        return None
    if http.status_code != 200:
        skipped.count("another status", f"{shown} has the status {http.status_code}")
        return None
    n_bytes = record.content_length
    raw = record.reader.read(skipped.max_bytes + 1)
    if len(raw) < min(n_bytes, skipped.max_bytes + 1):
        return None  # the archive breaks off here, which its reader says
    codings = f"{http.get('Transfer-Encoding') or ''},{http.get('Content-Encoding') or ''}".lower().split(",")
    try:
        for coding in (one.strip() for one in codings):
            if coding in _CODINGS:
                raw = _CODINGS[coding](io.BytesIO(raw)).read(skipped.max_bytes + 1)
    except OSError as error:
        skipped.refuse("broken response", bad(f"{shown} cannot be unpacked", str(error), "what it says", "take it out"))
        return None
    if len(raw) > skipped.max_bytes:
        skipped.refuse("too long", too_long(where, skipped))
        return None
    return _page(raw, record.http_charset, url, where, label, skipped)


def _page(raw: bytes, charset: str | None, url: str, where: str, label: str, skipped: Skipped) -> Document | None:
    html = _decode(raw, charset)
    if "\0" in html:
        at = f"a NUL character at {html.index(chr(0))}"
        skipped.refuse("binary", bad(f"`{where}` is a binary file", at, "HTML", "take it out"))
        return None
    if _depth(html) > _DEEPEST:
        shown = f"`{where}` has more than {_DEEPEST} boxes inside each other"
        skipped.count("page without content", shown)
        return None
    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, main_content=True, comments=False).strip()
    if not text:
        skipped.count("page without content", f"`{where}` has no main content")
        return None
    license = _stated(tree, "a[rel~=license], link[rel~=license]", "href")
    return Document(
        text=text, label=label, license=license or None, source=where,
        url=url or _stated(tree, "link[rel~=canonical]", "href"), author=_stated(tree, "meta[name=author]", "content"),
    )  # fmt: skip


def _decode(raw: bytes, charset: str | None) -> str:
    """As the response says; else as UTF-8 where the bytes are that; else as the page says or as detection guesses."""
    if charset is None:
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            charset = detect_encoding(raw, from_html_meta=True) or "utf-8"
    return bytes_to_str(raw, charset)


def _depth(html: str) -> int:
    """How many boxes lie inside each other, at most."""
    depth = deepest = 0
    for match in _BOX.finditer(html):
        depth = max(depth - 1, 0) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _stated(tree: HTMLTree, selector: str, attribute: str) -> str:
    found = tree.document.query_selector(selector) if tree.document else None
    stated = " ".join(((found.getattr(attribute) if found else "") or "").split())
    return stated if stated.isprintable() else ""
