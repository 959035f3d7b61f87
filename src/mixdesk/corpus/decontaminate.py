"""Evaluation text found inside training documents, by the word n-grams they share.

After MixtureVitae's tool (13-grams, at least 3 of them, boilerplate never indexed). What we do differently: stop words
stay; hits count per evaluation item, not per document, so that a long document does not collect them from many items;
and items too short for that rule are found too, even with one word changed. An item of L words is indexed by n-grams of
order o, the largest of `n`, 8 and 5 with L ≥ 2 o + min_hits − 1: one word changed, added or left out anywhere spoils at
most o of its L − o + 1, so L + 1 − 2 o ≥ min_hits are left. A document holds the item if it has

- `min_hits` of them, where o = n;
- as many as one change leaves, where o is 8 or 5: all its distinct ones less o, and min_hits at least;
- all of them, where the item has 8 words or more but too few for order 5 (that is the whole item).

Shorter items ("what is the capital of france") stand in clean text and are not indexed; the report counts them. Words
are those of corpus/ngrams.py: case, punctuation and white space make no difference, and in scripts without blanks a
word is one character.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.corpus.ngrams import Hashes, batches, distinct, ngrams, passes, sieve, words

BOILERPLATE = (
    "which of the following",
    "all of the above",
    "none of the above",
    "both of the above",
    "choose the best answer",
    "choose the correct answer",
    "the correct answer is",
    "true or false",
    "true false true false",
    "false true false true",
    "true true false false",
    "find the value of",
    "what is the value of",
    "a b c d",
    "read the following",
    "answer the following question",
    "the following are multiple choice questions",
    "write a python function to",
    "let s think step by step",
)
_SHORT = (8, 5)  # orders for items too short for `n`
_LEAST = 8  # words of an item that can be told from clean text


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scan:
    """What was found in some texts: `hits` per text, and `grams` the positions in the index of the n-grams found."""

    hits: list[dict[str, int]]
    grams: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Index:
    """The n-grams of evaluation sets; picklable, 14 to 16 bytes per n-gram and item.

    Fields: `sets` names; `n`, `min_hits` the rule's; `hash_g` hashes of the n-grams, sorted, `item_g` the item each is
    of; `set_i` position in `sets` of each item, `need_i` n-grams that tell it, `order_i` their order; `small` items per
    set that are too short to be indexed; `filter` their sieve.
    """

    sets: tuple[str, ...]
    n: int
    min_hits: int
    hash_g: Hashes
    item_g: NDArray[np.int32]
    set_i: NDArray[np.int32]
    need_i: NDArray[np.int32]
    order_i: NDArray[np.int32]
    small: dict[str, int]
    filter: NDArray[np.uint8]

    @classmethod
    def build(
        cls,
        sets: Mapping[str, Iterable[str]],
        *,
        n: int = 13,
        min_hits: int = 3,
        reject: Iterable[str] = BOILERPLATE,
    ) -> Index:
        """Index of the items of each set.

        Args:
            sets: Name → texts of its items (question and answer together where both must stay unseen).
            n: Words in an n-gram, at least 5.
            min_hits: Distinct n-grams of one item from which a document holds it.
            reject: Phrases; n-grams in which one stands are never indexed, nor are items of which fewer than `min_hits`
                are left.

        Raises:
            InputError: `n` or `min_hits` out of bounds.
        """
        n, min_hits = checks.count("n", n, 5), checks.count("min_hits", min_hits, 1)
        phrases = list(reject)
        items = [(k, text) for k, texts in enumerate(sets.values()) for text in texts]
        set_i = np.array([k for k, _ in items], np.int32)
        hash_w, offset_n = words([text for _, text in items])
        size_i = np.diff(offset_n)
        orders = [n, *(order for order in _SHORT if order < n)]
        order_i = np.full(len(items), orders[-1], np.int32)
        for order in reversed(orders):
            order_i[size_i >= 2 * order + min_hits - 1] = order
        hashes, owners = [], []
        for order in orders:
            hash_g, start_i = ngrams(hash_w, offset_n, order)
            item_g = np.repeat(np.arange(len(items), dtype=np.int32), np.diff(start_i))
            keep = (order_i[item_g] == order) & (size_i[item_g] >= _LEAST)
            keep &= ~_rejected(hash_w, offset_n, order, phrases)
            hashes.append(hash_g[keep])
            owners.append(item_g[keep])
        hash_g, item_g = _sorted_pairs(np.concatenate(hashes), np.concatenate(owners))
        left_i = np.bincount(item_g, minlength=len(items))
        known_i = (left_i > 0) & (left_i >= np.minimum(size_i - order_i + 1, min_hits))
        need_i = np.where(order_i == n, min_hits, np.maximum(left_i - order_i, min_hits))
        need_i = np.where(size_i < 2 * order_i + min_hits - 1, left_i, need_i)
        keep = known_i[item_g]
        return cls(
            sets=tuple(sets),
            n=n,
            min_hits=min_hits,
            hash_g=hash_g[keep],
            item_g=item_g[keep],
            set_i=set_i,
            need_i=need_i.astype(np.int32),
            order_i=order_i,
            small={name: int((~known_i[set_i == k]).sum()) for k, name in enumerate(sets)},
            filter=sieve(hash_g[keep]),
        )

    def hits(self, text: str) -> dict[str, int]:
        """Evaluation sets of which the text holds an item → distinct n-grams of such items in it; empty: clean."""
        return self.scan([text]).hits[0]

    def scan(self, texts: Sequence[str]) -> Scan:
        """hits() of many texts, much faster than one by one, and the n-grams found, for report()."""
        hits: list[dict[str, int]] = []
        grams = []
        for batch in batches(texts):
            row_f, gram_f = self._found(batch)
            grams.append(distinct(gram_f))
            hits += self._held(len(batch), row_f, gram_f)
        return Scan(hits=hits, grams=distinct(np.concatenate(grams)) if grams else np.zeros(0, np.int64))

    def _found(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Distinct pairs (text, position in the index) of what stands in the texts."""
        hash_w, offset_n = words(texts)
        pairs = []
        for order in np.unique(self.order_i):
            hash_t, start_n = ngrams(hash_w, offset_n, int(order))
            maybe = np.flatnonzero(passes(self.filter, hash_t))
            first = np.searchsorted(self.hash_g, hash_t[maybe], "left")
            count = np.searchsorted(self.hash_g, hash_t[maybe], "right") - first
            row = np.searchsorted(start_n, maybe, "right") - 1
            begin = np.cumsum(count) - count
            gram = np.repeat(first - begin, count) + np.arange(count.sum())
            pairs.append(np.repeat(row, count) * len(self.hash_g) + gram)
        found = distinct(np.concatenate(pairs)) if pairs else np.zeros(0, np.int64)
        return found // max(len(self.hash_g), 1), found % max(len(self.hash_g), 1)

    def _held(self, n_texts: int, row_f: NDArray[np.int64], gram_f: NDArray[np.int64]) -> list[dict[str, int]]:
        hits: list[dict[str, int]] = [{} for _ in range(n_texts)]
        pair_p, count_p = np.unique(row_f * len(self.set_i) + self.item_g[gram_f], return_counts=True)
        for pair, count in zip(pair_p.tolist(), count_p.tolist(), strict=True):
            row, item = divmod(pair, len(self.set_i))
            if count >= self.need_i[item]:
                name = self.sets[self.set_i[item]]
                hits[row][name] = hits[row].get(name, 0) + count
        return hits

    def report(self, grams: NDArray[np.int64], documents: Iterable[tuple[str, Mapping[str, int]]]) -> dict[str, Any]:
        """How much of the evaluation sets the training text holds, as plain JSON.

        Args:
            grams: Positions of the n-grams found anywhere (`Scan.grams`; of several scans: all of them, concatenated).
            documents: (domain, hits) of every document.

        Returns:
            `sets`: name → `items`, `not_indexed` (too short, or boilerplate alone), `ngrams` distinct n-grams, `leaked`
            the share of them found; `documents`: domain → set → documents that hold one of its items.
        """
        of_g = self.set_i[self.item_g]
        found_g = np.zeros(len(self.hash_g), bool)
        found_g[grams] = True
        sets = {}
        for k, name in enumerate(self.sets):
            total = len(distinct(self.hash_g[of_g == k]))
            leaked = len(distinct(self.hash_g[(of_g == k) & found_g]))
            sets[name] = {
                "items": int((self.set_i == k).sum()),
                "not_indexed": self.small[name],
                "ngrams": total,
                "leaked": leaked / max(total, 1),
            }
        counts: dict[str, dict[str, int]] = {}
        for domain, hits in documents:
            for name in hits:
                of_domain = counts.setdefault(domain, {})
                of_domain[name] = of_domain.get(name, 0) + 1
        return {"sets": sets, "documents": counts}


def _rejected(hash_w: Hashes, offset_n: NDArray[np.int64], order: int, phrases: list[str]) -> NDArray[np.bool_]:
    """Whether one of the phrases stands in each n-gram of that order."""
    counts = np.maximum(np.diff(offset_n) - order + 1, 0)
    starts_i = np.concatenate([[0], np.cumsum(counts)])
    bad = np.zeros(starts_i[-1], bool)
    phrase_w, phrase_offset = words(phrases)
    for first, last in pairwise(phrase_offset.tolist()):
        size = last - first
        if not 0 < size <= order:
            continue
        here, here_i = ngrams(hash_w, offset_n, size)
        wanted = ngrams(phrase_w[first:last], np.array([0, size]), size)[0][0]
        seen = np.concatenate([[0], np.cumsum(here == wanted)])
        begin = np.arange(starts_i[-1]) + np.repeat(here_i[:-1] - starts_i[:-1], counts)
        bad |= seen[begin + order - size + 1] > seen[begin]
    return bad


def _sorted_pairs(hash_g: Hashes, item_g: NDArray[np.int32]) -> tuple[Hashes, NDArray[np.int32]]:
    """Distinct pairs, sorted by hash, then item."""
    order = np.lexsort((item_g, hash_g))
    hash_g, item_g = hash_g[order], item_g[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(hash_g) != 0) | (np.diff(item_g) != 0)
    return hash_g[new], item_g[new]
