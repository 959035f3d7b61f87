"""Text as it was meant: decoded right, composed, without control characters."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import ClassVar

import ftfy
from ftfy.badness import is_bad
from ftfy.fixes import remove_terminal_escapes

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code

# C0 and C1 controls but tab and line feed; noncharacters; byte order marks; lone surrogates.
_CONTROL = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufeff\ufffe\uffff"
_DIRTY = re.compile(f"[\r\x0c{_CONTROL}\ud800-\udfff]")
_REMOVED = re.compile(f"[{_CONTROL}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAKS = re.compile("[\x0c\u2028\u2029]")
# Once more until nothing changes: repaired text can look broken again.
ROUNDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Unicode:
    """Repairs mojibake by ftfy, removes control characters and terminal escapes, sets line ends, composes (NFC).

    Of what else ftfy can do nothing is done, for it carries meaning: typographic quotes, ligatures, full-width forms
    (Chinese and Japanese punctuation), HTML entities (text about HTML needs them; readers of HTML resolve them). In
    code only control characters, line ends and lone surrogates are touched, and form feeds stay. Lone surrogates become
    U+FFFD: what comes out encodes as UTF-8. No rule removes a document.

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
    """As `_plain`, with mojibake repaired line by line, and composed, until nothing changes."""
    for _ in range(ROUNDS):
        made = remove_terminal_escapes(text) if "\x1b" in text else text
        made = "\n".join(map(_repaired, made.split("\n")))
        made = unicodedata.normalize("NFC", _BREAKS.sub("\n", _plain(made)))
        if made == text:
            break
        text = made
    return text


def _repaired(line: str) -> str:
    """A line with its mojibake repaired; each is judged on its own, and most cannot have any."""
    return line if line.isascii() or not is_bad(line) else ftfy.fix_encoding(line)
