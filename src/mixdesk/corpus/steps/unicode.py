"""Text as it was meant: decoded right, composed, without control characters."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import ftfy

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code

# C0 and C1 controls but tab and line feed; noncharacters; byte order marks; lone surrogates.
_CONTROL = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufeff\ufffe\uffff"
_DIRTY = re.compile(f"[\r\x0c{_CONTROL}\ud800-\udfff]")
_REMOVED = re.compile(f"[{_CONTROL}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PROSE = ftfy.TextFixerConfig(
    unescape_html=False, fix_latin_ligatures=False, fix_character_width=False, uncurl_quotes=False, explain=False
)
# ftfy once more until nothing changes: repaired text can look broken again.
ROUNDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Unicode:
    """Repairs text with ftfy: mojibake, control characters and terminal escapes, line ends; composes it (NFC).

    Left as they are, for they carry meaning: typographic quotes, ligatures, full-width forms (Chinese and Japanese
    punctuation), HTML entities (text about HTML needs them; readers of HTML resolve them). In code only control
    characters, line ends and lone surrogates are touched, and form feeds stay. Lone surrogates become U+FFFD: what
    comes out encodes as UTF-8. No rule removes a document.

    Fields: `code` patterns of labels of code.
    """

    title: ClassVar[str] = "decoding repaired, composed, control characters removed"
    reference: ClassVar[str] = ""
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document with its text repaired."""
        text = document.text
        if text.isascii() and _DIRTY.search(text) is None:
            return document
        made = _plain(text) if is_code(document, self.code) else _prose(text)
        return document if made == text else replace(document, text=made)


def _plain(text: str) -> str:
    """Without control characters and lone surrogates."""
    if _DIRTY.search(text) is None:
        return text
    if _SURROGATE.search(text) is not None:  # pairs are characters that JSON writes as two
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _REMOVED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _prose(text: str) -> str:
    """As `_plain` and through ftfy, until nothing changes."""
    for _ in range(ROUNDS):
        made = _plain(ftfy.fix_text(text, config=_PROSE)).replace("\x0c", "\n")
        if made == text:
            break
        text = made
    return text
