"""Gopher's quality rules: documents whose words and lines are not those of prose go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code, is_spaceless, stop_words

_LETTER = re.compile(r"[^\W\d_]")
_ELLIPSES = ("...", "…")
_BULLETS = ("•", "-", "*", "‣", "●", "◦", "∙")
# Characters that stand for a word in scripts that do not part words.
PER_WORD = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherQuality:
    """Removes by the quality rules of Gopher (appendix A.1.1, "Quality Filtering"; the numbers from memory).

    Rules, in the order they are tried (words are what blanks part):
    `few_words` below `min_words` (50) words; `many_words` above `max_words` (100,000); `word_length` mean length
    of words outside 3 to 10 characters; `symbols` more than one `#`, or one ellipsis, per ten words; `bullets` more
    than 90 % of the lines begin with a bullet; `ellipses` more than 30 % of them end in an ellipsis; `not_words` fewer
    than 80 % of the words hold a letter; `stop_words` fewer than `min_stop_words` (2) different stop words.

    What we do differently: blank lines are no lines. Stop words are those of the document's language, not of English
    alone: where it is not known, of any language we have a list of; where we have none, the rule is left out. Scripts
    without spaces between words (Chinese, Japanese, Thai, …) count two characters as a word and know neither
    `word_length` nor `not_words` nor `stop_words`. Code passes.

    Fields: `min_words`, `max_words`, `min_stop_words`; `code` patterns of labels of code.
    """

    title: ClassVar[str] = "Gopher's quality rules: words, symbols, bullets, stop words"
    reference: ClassVar[str] = "gopher"
    min_words: int = 50
    max_words: int = 100_000
    min_stop_words: int = 2
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document, or the name of the rule."""
        if is_code(document, self.code):
            return document
        text = document.text
        words = text.split()
        n_characters = sum(map(len, words))
        without_spaces = is_spaceless(text)
        n_words = n_characters // PER_WORD if without_spaces else len(words)
        if n_words < max(self.min_words, 1):
            return "few_words"
        if n_words > self.max_words:
            return "many_words"
        if not without_spaces and not 3.0 <= n_characters / n_words <= 10.0:
            return "word_length"
        if max(text.count("#"), sum(map(text.count, _ELLIPSES))) > 0.1 * n_words:
            return "symbols"
        by_lines = _lines_rule(text)
        if by_lines is not None or without_spaces:
            return by_lines or document
        return self._words_rule(document, words) or document

    def _words_rule(self, document: Document, words: list[str]) -> str | None:
        odd = [word for word in words if not word.isalpha()]
        n_without_letter = sum(_LETTER.search(word) is None for word in odd)
        if n_without_letter > 0.2 * len(words):
            return "not_words"
        known = stop_words(document.language)
        if known and len(known.intersection(map(str.lower, words))) < self.min_stop_words:
            return "stop_words"
        return None


def _lines_rule(text: str) -> str | None:
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    if sum(line.startswith(_BULLETS) for line in lines) > 0.9 * len(lines):
        return "bullets"
    if sum(line.endswith(_ELLIPSES) for line in lines) > 0.3 * len(lines):
        return "ellipses"
    return None
