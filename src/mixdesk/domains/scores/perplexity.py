"""Quality by surprise: a text is better the fewer bits per byte a small n-gram model of bytes needs for it.

    p_n(b | h) = min((count(h b) + β p_{n−1}(b | h')) / (count(h) + β), 1)     h' the context h without its first byte
    p_0 = 1 / 256,   score = − mean log2 p_N over the first `reach` characters

Counts of one and two bytes are exact; those of longer grams are kept by hash, 2^BITS to an order, so grams that meet
there share a count and the bits are a little too few.

Reference: CCNet, arXiv 1911.00359 (perplexity under a model of reference text). What we do differently: bytes in place
of word pieces, hashed counts in numpy, and, if no reference is named, the sample itself: then what is unlike the rest
is bad. Compare within one kind of text (`by_quality` does): scripts and formats differ in bits per byte.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats

BITS = 17
# Bytes that a model is trained on at least, and weight of the shorter context in counts.
LEAST_BYTES, BETA = 1_000, 4.0
N_TOGETHER = 256
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Perplexity:
    """The scorer.

    Fields: `order` bytes in the longest gram, 1 to 6; `trained_on` the label whose documents it learns from, "": all;
    `reach` characters read of a text.
    """

    title: ClassVar[str] = "few bits per byte under an n-gram model of the sample"
    reference: ClassVar[str] = ""
    order: int = 4
    trained_on: str = ""
    reach: int = 2048

    def __post_init__(self) -> None:
        checks.finite("order", checks.count("order", self.order), 1, 6)
        checks.count("reach", self.reach, 1)

    def prepare(self, sample: Iterable[Document]) -> PerplexityModel:
        """Count the grams of the sample, or of its documents with the label `trained_on`.

        Raises:
            NotEnoughEvidence: less than LEAST_BYTES bytes of text.
        """
        texts = [one.text for one in sample if self.trained_on in ("", one.label)]
        counts = tuple(np.zeros(_size(n), dtype=np.uint32) for n in range(1, self.order + 1))
        n_bytes = 0
        for start in range(0, len(texts), N_TOGETHER):
            index_nb, own_b, _ = _grams(texts[start : start + N_TOGETHER], self.order, self.reach)
            n_bytes += int(own_b.sum())
            for n, count in enumerate(counts):
                # Every place, also those before a text begins: they are contexts.
                count += np.bincount(index_nb[n], minlength=len(count)).astype(np.uint32)
        if n_bytes < LEAST_BYTES:
            raise NotEnoughEvidence(
                f"there is too little text{f' of `{self.trained_on}`' * bool(self.trained_on)} to learn from",
                value=f"{n_bytes} bytes",
                bound=f"at least {LEAST_BYTES}",
                remedy="give a larger sample",
            )
        return PerplexityModel(reach=self.reach, counts=counts)

    def restore(self, data: dict[str, Any]) -> PerplexityModel:
        """The model that `PerplexityModel.to_dict` wrote."""
        raws = (zlib.decompress(base64.b64decode(packed)) for packed in data["counts"])
        return PerplexityModel(reach=data["reach"], counts=tuple(np.frombuffer(raw, dtype="<u4") for raw in raws))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PerplexityModel:
    """Counts of grams by order, `counts[n − 1]` those of n bytes; `reach` characters read of a text."""

    reach: int
    counts: tuple[NDArray[np.uint32], ...]

    def score(self, documents: Sequence[Document]) -> Floats:
        """Minus bits per byte of each document, (n,); −8 where there is no text. Some thousands a second."""
        found = [
            self._bits([one.text for one in documents[start : start + N_TOGETHER]])
            for start in range(0, len(documents), N_TOGETHER)
        ]
        return np.concatenate([*found, np.zeros(0)])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, some hundred kB: counts compressed, in base64."""
        packed = [base64.b64encode(zlib.compress(count.astype("<u4").tobytes())).decode() for count in self.counts]
        return {"reach": self.reach, "counts": packed}

    def _bits(self, texts: Sequence[str]) -> Floats:
        index_nb, own_b, text_b = _grams(texts, len(self.counts), self.reach)
        p_b = np.full(len(own_b), 1.0 / 256.0)
        context_b = np.full(len(own_b), float(self.counts[0].sum()))
        for index_b, count in zip(index_nb, self.counts, strict=True):
            seen_b = count[index_b].astype(np.float64)
            p_b = np.minimum((seen_b + BETA * p_b) / (context_b + BETA), 1.0)
            # The gram that ends one byte earlier is the next order's context.
            context_b = np.concatenate([[0.0], seen_b[:-1]])
        sum_n = np.bincount(text_b[own_b], weights=np.log2(p_b[own_b]), minlength=len(texts))
        size_n = np.bincount(text_b[own_b], minlength=len(texts))
        score_n: Floats = np.where(size_n > 0, sum_n / np.maximum(size_n, 1), -8.0)
        return score_n


def _size(n: int) -> int:
    """Places of the counts of grams of n bytes."""
    return int(min(256**n, 2**BITS))


def _grams(texts: Sequence[str], order: int, reach: int) -> tuple[list[Any], Any, Any]:
    """For each n the place of the gram of n bytes that ends at each byte; whether the byte is a text's own; whose."""
    raws = [b"\n" * order + text[:reach].encode("utf-8", "replace") for text in texts]
    byte = np.frombuffer(b"".join(raws), dtype=np.uint8).astype(np.uint64)
    lengths = np.array([len(raw) for raw in raws], dtype=np.int64)
    start_b = np.repeat(np.cumsum(lengths) - lengths, lengths)
    own_b = np.arange(len(byte)) - start_b >= order
    key, places = byte, [byte.astype(np.int64)]
    for n in range(2, order + 1):
        # Line ends before the first text; before any other its own stand.
        shifted = np.concatenate([np.full(n - 1, 10, dtype=np.uint64), byte])[: len(byte)]
        key = key | (shifted << np.uint64(8 * (n - 1)))
        place = key if 256**n <= 2**BITS else (key * _MULTIPLIER) >> np.uint64(64 - BITS)
        places.append(place.astype(np.int64))
    return places, own_b, np.repeat(np.arange(len(raws)), lengths)
