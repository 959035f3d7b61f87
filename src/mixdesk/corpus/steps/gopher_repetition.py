"""Gopher's repetition rules: documents that say the same over and over go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code, is_spaceless

# Greatest share of characters in the commonest n-gram, by n; then in n-grams that were there before, by n.
TOP = {2: 0.20, 3: 0.18, 4: 0.16}
AGAIN = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherRepetition:
    """Removes by the repetition rules of Gopher (table A1, "Repetition Removal"; the numbers from memory).

    Rules, in order: `lines` or `paragraphs` more than 30 % of them were there before, `line_characters` or
    `paragraph_characters` more than 20 % of the characters lie in such; `top_2`, `top_3`, `top_4` the commonest n-gram
    of words holds more than 20, 18, 16 % of the characters; `again_5` … `again_10` more than 15, 14, 13, 12, 11, 10 %
    of the characters lie in n-grams that were there before, each character counted once. Characters are those of
    words, without the blanks between them.

    What we do differently: an n-gram that comes once is no repetition, however short the text. n-grams are compared by
    a hash of 64 bits. In scripts without spaces between words only the rules on lines and paragraphs hold. Code
    passes: it repeats lines by its nature.

    Fields: `code` patterns of labels of code.
    """

    title: ClassVar[str] = "Gopher's repetition rules: lines, paragraphs, n-grams"
    reference: ClassVar[str] = "gopher"
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document, or the name of the rule."""
        text = document.text
        if is_code(document, self.code):
            return document
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        paragraphs = [one for one in map(str.strip, _PARAGRAPHS.split(text)) if one]
        for name, pieces in (("line", lines), ("paragraph", paragraphs)):
            n_again, characters_again = _again(pieces)
            if n_again > 0.3 * len(pieces):
                return f"{name}s"
            if characters_again > 0.2 * sum(map(len, pieces)):
                return f"{name}_characters"
        if is_spaceless(text):
            return document
        return _words_rule(text.split()) or document


def _again(pieces: Sequence[str]) -> tuple[int, int]:
    """How many pieces were there before, and their characters."""
    seen: set[str] = set()
    n_again = characters = 0
    for piece in pieces:
        if piece in seen:
            n_again += 1
            characters += len(piece)
        else:
            seen.add(piece)
    return n_again, characters


def _words_rule(words: list[str]) -> str | None:
    """The rule on n-grams of words that is broken."""
    n_words = len(words)
    numbers: dict[str, int] = {}
    ids = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.uint64, n_words)
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, n_words))
    starts = np.concatenate(([0], ends))
    grams = ids = ids * _FACTOR
    for n in range(2, max(AGAIN) + 1):
        if n_words < n:
            return None
        grams = (grams[:-1] ^ (grams[:-1] >> np.uint64(29))) * _FACTOR + ids[n - 1 :]
        order = np.argsort(grams, kind="stable")
        is_same = np.diff(grams[order]) == 0
        if not is_same.any():
            return None  # no n-gram comes twice, so no longer one does
        if n in TOP and _top(order, is_same, ends[n - 1 :] - starts[: n_words - n + 1]) > TOP[n] * ends[-1]:
            return f"top_{n}"
        if n in AGAIN:
            covered = np.zeros(n_words + 1, dtype=np.int64)
            again = order[1:][is_same]
            covered[again] += 1
            covered[again + n] -= 1
            if np.diff(starts)[np.cumsum(covered[:-1]) > 0].sum() > AGAIN[n] * ends[-1]:
                return f"again_{n}"
    return None


def _top(order: NDArray[np.int64], is_same: NDArray[np.bool_], lengths: NDArray[np.int64]) -> int:
    """Characters of the n-gram that comes most often, times how often."""
    first = np.flatnonzero(np.concatenate(([True], ~is_same)))
    counts = np.diff(np.append(first, len(order)))
    most = int(counts.argmax())
    return int(counts[most] * lengths[order[first[most]]])
