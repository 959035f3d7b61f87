"""Quality by simple signals: how well a text keeps rules that web text of quality mostly keeps.

    score = mean over rules of kept(x),  kept(x) = 1 inside [low, high], x / low below, high / x above

so that a text that breaks a rule by little loses little. The rules (signal, low, high):

    words 50 – 100,000 · mean word length 3 – 10 · symbols (# and ellipses) per word – .1 · lines that begin with a
    bullet – .9 · lines that end in an ellipsis – .3 · words with a letter .8 – · different stop words 2 – (English) ·
    repeated lines – .3 · characters in repeated lines – .2 · characters in the most frequent pair of words – .2

Reference: the rules of Gopher, arXiv 2112.11446, appendix A.1. What we do differently: they remove texts, here each
rule is one tenth of a number; of a long text the first REACH characters are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from mixdesk.core.corpus import Document
from mixdesk.core.observations import Floats

REACH = 4_000
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_LETTER = re.compile(r"[^\W\d_]")
_INFINITY = float("inf")
# Low and high of each signal, in the order of `signals`.
LIMITS = (
    (50.0, 100_000.0),
    (3.0, 10.0),
    (0.0, 0.1),
    (0.0, 0.9),
    (0.0, 0.3),
    (0.8, _INFINITY),
    (2.0, _INFINITY),
    (0.0, 0.3),
    (0.0, 0.2),
    (0.0, 0.2),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The scorer; it is its own model, for there is nothing to learn."""

    title: ClassVar[str] = "how well a text keeps the rules of web text of quality"
    reference: ClassVar[str] = ""

    def prepare(self, sample: Iterable[Document]) -> Rules:
        """This scorer; the sample is not read."""
        return self

    def restore(self, data: dict[str, Any]) -> Rules:
        """This scorer."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def score(self, documents: Sequence[Document]) -> Floats:
        """Mean share of the rules that each document keeps, in [0, 1], (n,)."""
        return np.array([_kept(signals(document.text)) for document in documents], dtype=np.float64)


def signals(text: str) -> tuple[float, ...]:
    """The ten signals of a text, in the order of the module's list; an empty text has zeros."""
    text = text[:REACH]
    words = text.split()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not words:
        return (0.0,) * len(LIMITS)
    n_words, n_lines, n_letters = len(words), len(lines), sum(map(len, words))
    repeated = [line for line, count in Counter(lines).items() for _ in range(count - 1)]
    pair, times = Counter(pairwise(words)).most_common(1)[0] if n_words > 1 else (("", ""), 0)
    return (
        float(n_words),
        n_letters / n_words,
        (text.count("#") + text.count("...") + text.count("…")) / n_words,
        sum(line[0] in "-*•‣●" for line in lines) / n_lines,
        sum(line.endswith(("...", "…")) for line in lines) / n_lines,
        sum(word.isalpha() or _LETTER.search(word) is not None for word in words) / n_words,
        float(len(STOP_WORDS.intersection(text.casefold().split()))),
        len(repeated) / n_lines,
        sum(map(len, repeated)) / n_letters,
        (times * len(pair[0] + pair[1]) if times > 1 else 0) / n_letters,
    )


def _kept(found: Sequence[float]) -> float:
    kept = [
        value / low if value < low else high / value if value > high else 1.0
        for value, (low, high) in zip(found, LIMITS, strict=True)
    ]
    return sum(kept) / len(kept)
