"""Near-duplicates by MinHash and locality-sensitive hashing: of texts nearly alike, the earliest stays.

Two texts are near where the Jaccard similarity of their sets of 5-word n-grams (characters in scripts without blanks;
the whole text where it has fewer words) reaches the threshold. MinHash estimates it: the share of hash functions whose
minimum over the two sets agrees [Broder 1997]. `rensa` (MIT, Rust) finds the minima. Of each we keep 64 / rows bits, so
that a band of `rows` minima is one 64-bit word: 16 words say both in which groups a text falls and, by their equal
parts, how near two texts of one group are [b-bit minwise hashing, Li & König 2010].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rensa
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.errors import InputError
from mixdesk.corpus.ngrams import batches, ngrams, words

Bands = NDArray[np.uint64]
_PAIRS = 1 << 16  # pairs compared at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """What counts as near.

    Fields: `threshold` Jaccard similarity from which the later text goes; `n_hashes` minima per text, a multiple of 8:
    the signature takes 8 · n_hashes / rows bytes, 128 by default, and the estimate's standard error at similarity J is
    √(J (1 − J) / n_hashes), .035 at .8; `n` words in an n-gram; `seed` of the hash functions.
    """

    threshold: float = 0.8
    n_hashes: int = 128
    n: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        checks.count("n", self.n, 1)
        checks.finite("threshold", self.threshold, 0.3, 1.0)
        if self.n_hashes < 8 or self.n_hashes % 8:
            raise InputError(
                "the number of hash functions does not fill whole words",
                value=self.n_hashes,
                bound="a multiple of 8",
                remedy="take 128",
            )

    @property
    def rows(self) -> int:
        """Minima in a band: the most of 8, 4, 2 with which a pair at the threshold meets with probability ≥ .85.

        A pair at similarity J meets in one band of b = n_hashes / rows at least with probability 1 − (1 − J^rows)^b.
        """
        meets = ((rows, 1 - (1 - self.threshold**rows) ** (self.n_hashes // rows)) for rows in (8, 4, 2))
        return next((rows for rows, probability in meets if probability >= 0.85), 2)

    @property
    def n_bands(self) -> int:
        """Columns of the signatures."""
        return self.n_hashes // self.rows


def signatures(texts: Sequence[str], near: Near) -> Bands:
    """Signature of each text, (n, n_bands): its bands, which duplicates() compares. A text without words has zeros."""
    parts = [_signatures(batch, near) for batch in batches(texts)]
    return np.concatenate(parts) if parts else np.zeros((0, near.n_bands), np.uint64)


def _signatures(texts: Sequence[str], near: Near) -> Bands:
    hash_g, offset_n = ngrams(*words(texts), near.n, short=True)
    minima = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hash_g, offset_n.tolist(), near.n_hashes, near.seed)
    minima_nh = np.array(minima.to_rows(), np.uint32) * np.uint32(0x9E3779B1)  # minima are small: spread their bits
    bits = 64 // near.rows
    lanes_nh = (minima_nh >> np.uint32(32 - bits)).astype(f"<u{bits // 8}")
    bands_nb: Bands = lanes_nh.view("<u8").astype(np.uint64)
    bands_nb[np.diff(offset_n) == 0] = 0
    return bands_nb


def duplicates(bands_nb: Bands, near: Near) -> NDArray[np.int64]:
    """For each text the index of the earlier text it is a near-copy of, or its own index where it stays: (n,).

    In rounds: in each band texts with equal words are a group; a text is a copy of the earliest text of its groups that
    the estimated similarity finds near. It goes once that text is known to stay. So every text that goes is near the
    one that stays, and chains (a near b, b near c, a not near c) merge nothing; joining by connected components, as
    is common, would. The result depends on the order alone: signatures go in file order.

    Memory beside the signatures: about 80 bytes per text. Time: one sort per band and round; the rounds after the first
    look only at texts that share a group.
    """
    copy_n = np.arange(len(bands_nb))
    open_m = np.flatnonzero(bands_nb.any(axis=1))
    while open_m.size:
        of_m, grouped_m = _earliest(bands_nb, open_m, near)
        copies_m = of_m != np.arange(len(open_m))
        gone_m = copies_m & ~copies_m[of_m]
        if not gone_m.any():
            break
        copy_n[open_m[gone_m]] = open_m[of_m[gone_m]]
        open_m = open_m[grouped_m & ~gone_m]
    return copy_n


def _earliest(bands_nb: Bands, open_m: NDArray[np.int64], near: Near) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Position in `open_m` of the earliest near head of each text's groups, else its own; whether it has any."""
    of_m = np.arange(len(open_m))
    grouped_m = np.zeros(len(open_m), bool)
    for b in range(bands_nb.shape[1]):
        keys = bands_nb[open_m, b]
        order = np.argsort(keys, kind="stable")
        new = np.concatenate([[True], np.diff(keys[order]) != 0])
        head = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
        grouped_m[order[~new]] = grouped_m[head[~new]] = True
        better = np.flatnonzero(head < of_m[order])
        for start in range(0, len(better), _PAIRS):
            late, early = order[better[start : start + _PAIRS]], head[better[start : start + _PAIRS]]
            close = similarity(bands_nb[open_m[early]], bands_nb[open_m[late]], near) >= near.threshold
            of_m[late[close]] = early[close]
    return of_m, grouped_m


def similarity(first_pb: Bands, second_pb: Bands, near: Near) -> NDArray[np.float64]:
    """Estimated similarity of each pair: Ĵ = (m − c) / (1 − c), m the share of equal parts, c = 2^(−64/rows)."""
    lane = f"u{8 // near.rows}"
    equal_p = (np.ascontiguousarray(first_pb).view(lane) == np.ascontiguousarray(second_pb).view(lane)).mean(axis=1)
    chance = 2.0 ** (-64 / near.rows)
    out: NDArray[np.float64] = (equal_p - chance) / (1 - chance)
    return out
