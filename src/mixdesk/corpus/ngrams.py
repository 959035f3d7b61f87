"""64-bit hashes of the word n-grams of many texts at once, in numpy; near-copies, leaks and overlap are found by them.

Words: the text in NFKC, case-folded; a word is a run of letters, marks and digits, so that case, punctuation and white
space make no difference. Scripts written without blanks (Han, Kana, Thai, Lao, Khmer, Burmese) have no such runs: there
each character is a word, and an n-gram of words is one of characters.

A word's hash is the polynomial Σᵢ v(cᵢ) Bⁱ mod 2⁶⁴ over its characters, v a fixed pseudo-random value of each, made
even by the splitmix64 finaliser; an n-gram's hash is the same polynomial, in another base, over the hashes of its
words. One running sum gives all of them: (S[end] − S[start]) B^−start. The hashes are the same on every machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_BATCH = 1 << 17  # characters hashed at a time: about 50 bytes of working memory each
_LAST = 0x33480  # code points from here on count as this one, which is no word
_OF_WORDS, _OF_GRAMS = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # odd, so that they have inverses modulo 2⁶⁴
_ALONE = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, _LAST - 1),
)


def normalise(text: str) -> str:
    """The text as it is compared: NFKC, case-folded.

    >>> normalise("ＡＢＣ Straße")
    'abc strasse'
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def batches(texts: Sequence[str], n_chars: int = _BATCH) -> Iterator[Sequence[str]]:
    """The texts in runs of about `n_chars` characters; a longer text is a run of its own."""
    start, size = 0, 0
    for i, text in enumerate(texts):
        if size and size + len(text) > n_chars:
            yield texts[start:i]
            start, size = i, 0
        size += len(text) + 1
    if start < len(texts):
        yield texts[start:]


def words(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the words of all texts, one after another, and where each text's begin: (n + 1,) offsets.

    >>> hash_w, offset_n = words(["Don't!", "", "don T 木目"])
    >>> offset_n.tolist(), bool((hash_w[:2] == hash_w[2:4]).all())
    ([0, 2, 2, 6], True)
    """
    parts = [_words(batch) for batch in batches(texts)]
    counts = [np.diff(offset_n) for _, offset_n in parts]
    hash_w = np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, _ in parts)])
    return hash_w, np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))


def _words(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    plain = [normalise(text) for text in texts]
    joined = "\n".join(["", *plain, ""])
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    points = np.minimum(points, np.uint32(_LAST))
    kind, value = _characters()
    kind_c = kind[points]
    run, alone = kind_c == 1, kind_c == 2
    starts = np.flatnonzero(alone[1:] | (run[1:] & ~run[:-1])) + 1
    ends = np.flatnonzero(alone[:-1] | (run[:-1] & ~run[1:])) + 1
    begin_n = np.concatenate([[0], np.cumsum([len(text) + 1 for text in plain], dtype=np.int64)])
    return _polynomial(value[points], starts, ends, _OF_WORDS), np.searchsorted(starts, begin_n)


def ngrams(
    hash_w: Hashes, offset_n: NDArray[np.int64], n: int, *, short: bool = False
) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the n-grams within each text and (n + 1,) offsets of each text's; repeats are kept.

    A text of fewer than n words has none, or with `short` one: all of its words.

    >>> hash_g, offset_n = ngrams(*words(["a b c d", "b c d", "b c"]), 3, short=True)
    >>> offset_n.tolist(), bool(hash_g[1] == hash_g[2])
    ([0, 2, 3, 4], True)
    """
    size_n = np.diff(offset_n)
    count_n = np.maximum(size_n - n + 1, np.minimum(size_n, 1) if short else 0)
    grams_n = np.concatenate([[0], np.cumsum(count_n)])
    starts = np.arange(grams_n[-1]) + np.repeat(offset_n[:-1] - grams_n[:-1], count_n)
    ends = np.minimum(starts + n, np.repeat(offset_n[1:], count_n))
    return _polynomial(hash_w, starts, ends, _OF_GRAMS), grams_n


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Sorted distinct values; np.unique of numpy 2.4 takes ten times as long for millions of hashes."""
    ordered = np.sort(values)
    out: NDArray[Any] = ordered[np.diff(ordered, prepend=~ordered[:1]) != 0]
    return out


def sieve(hashes: Hashes) -> NDArray[np.uint8]:
    """A bit for each of 2^k equal ranges of hashes, set where one is in it; 16 to 32 bits a hash, 2^16 at least.

    Looking there first spares most of the searches for hashes that are hardly ever found.
    """
    k = max(16, (16 * len(hashes)).bit_length())
    bits = np.zeros(1 << k, bool)
    bits[hashes >> np.uint64(64 - k)] = True
    return np.packbits(bits, bitorder="little")


def passes(bits: NDArray[np.uint8], hashes: Hashes) -> NDArray[np.bool_]:
    """Whether each hash may be one of those that `sieve` saw: of those it did not, one in 16 or fewer.

    >>> seen, _ = ngrams(*words(["one two three"]), 2)
    >>> passes(sieve(seen), seen).tolist()
    [True, True]
    """
    at = hashes >> np.uint64(62 - len(bits).bit_length())
    out: NDArray[np.bool_] = (bits[at >> np.uint64(3)] >> (at & np.uint64(7)).astype(np.uint8)) & 1 > 0
    return out


def mix(hashes: Hashes) -> Hashes:
    """The splitmix64 finaliser: every bit of the result depends on every bit of the input."""
    out = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    out = (out ^ (out >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return out ^ (out >> np.uint64(31))


def _polynomial(values: Hashes, starts: NDArray[np.int64], ends: NDArray[np.int64], base: int) -> Hashes:
    """Hash of values[start:end] for each pair."""
    room = 1 << max(len(values) + 1, _BATCH).bit_length()
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(base, room)[: len(values)], out=sums[1:])
    return mix((sums[ends] - sums[starts]) * _powers(pow(base, -1, 1 << 64), room)[starts])


@lru_cache(maxsize=8)
def _powers(base: int, n: int) -> Hashes:
    powers = np.full(n, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


@cache
def _characters() -> tuple[NDArray[np.uint8], Hashes]:
    """Of each code point: 0 between words, 1 in a word, 2 a word alone; and its pseudo-random value."""
    kind = np.array([unicodedata.category(chr(point))[0] in "LMN" for point in range(_LAST + 1)], np.uint8)
    for first, last in _ALONE:
        kind[first : last + 1] *= 2
    kind[_LAST] = 0
    return kind, mix(np.arange(1, _LAST + 2, dtype=np.uint64) * np.uint64(_OF_WORDS))
