"""How much domains have in common with each other and with evaluation sets: shared word windows, and near neighbours.

    windows_ij     share of the distinct 10-word windows of domain i that stand in domain j too
    leaked_ij      the same of evaluation set i and domain j
    neighbours_ij  share of texts of domain i whose nearest text, among as many of i as of j, is one of j

Windows find common text. All of them are read but of a domain only those whose hash is under a bound are kept, and the
bound is halved when they become too many [coordinated sampling, Broder 1997]: under the lower of two bounds a window is
kept in both domains or in neither, so that the share is unbiased; samples of documents would miss most common text.
Evaluation sets are small: all of their windows are looked for.

Neighbours find common kind. Near 0: apart; near .5: a text's domain cannot be told from the texts most like it. We
take neighbours, not a classifier's errors: nothing is fitted between domains, and a number means the same for every
pair, however many domains there are and whatever their sizes. Vectors are those of domains/embed.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats
from mixdesk.corpus.ngrams import Hashes, batches, distinct, ngrams, passes, sieve, words
from mixdesk.domains.embed import Embedder

_TOGETHER = 512  # documents read at a time
_SAME_WINDOWS, _SAME_NEIGHBOURS, _LEAK = 0.3, 0.4, 0.01


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Overlap:
    """What overlap() measured; matrices are plain numbers, rows and columns in the order of `names`.

    Fields: `names` domains; `sets` evaluation sets; `n` words in a window; `windows_dd`, NaN where none of i was kept,
    and `kept_dd` how many each rests on: the standard error of a share p is √(p (1 − p) / kept); `leaked_sd`, NaN for a
    set without a window; `neighbours_dd`, 0 on the diagonal, NaN where either has fewer than two texts; `texts_d` texts
    sampled for it.
    """

    names: tuple[str, ...]
    sets: tuple[str, ...]
    n: int
    windows_dd: Floats
    kept_dd: NDArray[np.int64]
    leaked_sd: Floats
    neighbours_dd: Floats
    texts_d: NDArray[np.int64]

    def warnings(self) -> list[str]:
        """Pairs of domains that are one, and evaluation sets that stand in a domain; worst first.

        Two domains are one where one shares 30 % of its windows with the other, or where neighbours cross 40 % of the
        time, the mean of both ways (chance: 50 %). A set leaks where a domain holds 1 % of its windows.
        """
        found = []
        for i, a in enumerate(self.names):
            for j, b in enumerate(self.names[:i]):
                share_ij, share_ji = self.windows_dd[i, j], self.windows_dd[j, i]
                crossed = (self.neighbours_dd[i, j] + self.neighbours_dd[j, i]) / 2
                if max(share_ij, share_ji) >= _SAME_WINDOWS:
                    one, other = (a, b) if share_ij >= share_ji else (b, a)
                    share = max(share_ij, share_ji)
                    text = f"`{one}` shares {share:.0%} of its {self.n}-word windows with `{other}`: merge them"
                    found.append((share, text))
                elif crossed >= _SAME_NEIGHBOURS:
                    text = f"of texts of `{b}` and `{a}` {crossed:.0%} are most like one of the other: merge them"
                    found.append((crossed, text))
        for i, j in np.argwhere(self.leaked_sd >= _LEAK):
            share, name, domain = self.leaked_sd[i, j], self.sets[i], self.names[j]
            text = f"{share:.0%} of the {self.n}-word windows of the set `{name}` stand in `{domain}`: remove them"
            found.append((share, text))
        return [text for _, text in sorted(found, key=lambda one: -one[0])]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; what is not known is null."""
        return {
            "names": list(self.names),
            "sets": list(self.sets),
            "window_words": self.n,
            "windows": _plain(self.windows_dd),
            "kept": self.kept_dd.tolist(),
            "leaked": _plain(self.leaked_sd),
            "neighbours": _plain(self.neighbours_dd),
            "texts": self.texts_d.tolist(),
            "warnings": self.warnings(),
        }


def overlap(
    domains: Mapping[str, Iterable[Document]],
    sets: Mapping[str, Iterable[str]] | None = None,
    *,
    n: int = 10,
    n_windows: int = 100_000,
    n_texts: int = 300,
    seed: int = 0,
) -> Overlap:
    """Measure the overlap of domains, each read once.

    Memory: 8 bytes a kept window and 9 one of a set, and the sampled texts, whatever the domains' sizes. Time: some
    20 MB of text a second; the neighbours' grows with the number of domains squared.

    Args:
        domains: Name → documents.
        sets: Evaluation set → its texts; they are compared by windows alone.
        n: Words in a window (characters in scripts without blanks). Shorter texts have none.
        n_windows: Distinct windows kept of a domain, at most.
        n_texts: Texts sampled of a domain for their neighbours, at most.
        seed: Of the sample and the embedding.

    Raises:
        InputError: a setting out of bounds.
    """
    n, n_windows = checks.count("n", n, 1), checks.count("n_windows", n_windows, 1)
    n_texts = checks.count("n_texts", n_texts, 2)
    sets = sets or {}
    windows_s = [_windows(list(texts), n) for texts in sets.values()]
    wanted = distinct(np.concatenate([np.zeros(0, np.uint64), *windows_s]))
    read = [
        _read((one.text for one in documents), n, n_windows, n_texts, wanted, np.random.default_rng([seed, k]))
        for k, documents in enumerate(domains.values())
    ]
    n_domains = len(read)
    windows_dd, kept_dd = np.full((n_domains, n_domains), np.nan), np.zeros((n_domains, n_domains), np.int64)
    for i, mine in enumerate(read):
        for j, theirs in enumerate(read):
            of_i = mine.kept[mine.kept <= min(mine.bound, theirs.bound)]
            kept_dd[i, j] = len(of_i)
            if len(of_i):
                windows_dd[i, j] = np.isin(of_i, theirs.kept, assume_unique=True).mean()
    leaked_sd = np.full((len(windows_s), n_domains), np.nan)
    for i, windows in enumerate(windows_s):
        if len(windows):
            leaked_sd[i] = [one.found[np.searchsorted(wanted, windows)].mean() for one in read]
    samples = [one.sample for one in read]
    return Overlap(
        names=tuple(domains),
        sets=tuple(sets),
        n=n,
        windows_dd=windows_dd,
        kept_dd=kept_dd,
        leaked_sd=leaked_sd,
        neighbours_dd=_neighbours(samples, seed),
        texts_d=np.array([len(one) for one in samples], dtype=np.int64),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Domain:
    """What is kept of a domain: hashes of windows, sorted, the bound they are under; which of the sets' were found."""

    kept: Hashes
    bound: int
    found: NDArray[np.bool_]
    sample: list[str]


def _windows(texts: list[str], n: int) -> Hashes:
    parts = [ngrams(*words(batch), n)[0] for batch in batches(texts)]
    return distinct(np.concatenate([np.zeros(0, np.uint64), *parts]))


def _read(
    texts: Iterable[str], n: int, n_windows: int, n_texts: int, wanted: Hashes, rng: np.random.Generator
) -> _Domain:
    texts = iter(texts)
    kept, bound = np.zeros(0, np.uint64), 2**64 - 1
    found, bits = np.zeros(len(wanted), bool), sieve(wanted)
    sample: list[str] = []
    n_seen = 0
    while together := list(islice(texts, _TOGETHER)):
        for text in together:
            n_seen += 1
            if len(sample) < n_texts:
                sample.append(text)
            elif (at := int(rng.integers(n_seen))) < n_texts:
                sample[at] = text
        parts = [kept]
        for batch in batches(together):
            hash_g, _ = ngrams(*words(batch), n)
            parts.append(hash_g[hash_g <= np.uint64(bound)])
            if len(wanted):
                maybe = hash_g[passes(bits, hash_g)]
                at_g = np.minimum(np.searchsorted(wanted, maybe), len(wanted) - 1)
                found[at_g[wanted[at_g] == maybe]] = True
        kept = distinct(np.concatenate(parts))
        while len(kept) > n_windows:
            bound >>= 1
            kept = kept[kept <= np.uint64(bound)]
    return _Domain(kept=kept, bound=bound, found=found, sample=sample)


def _neighbours(samples: list[list[str]], seed: int) -> Floats:
    """Share of texts of i that are more like the nearest of j than the nearest other of i; a tie counts half."""
    out_dd = np.full((len(samples), len(samples)), np.nan)
    try:
        embedding = Embedder(seed=seed).fit([text for sample in samples for text in sample])
    except NotEnoughEvidence:
        return out_dd
    V_dnp = [embedding.of(sample) for sample in samples]
    for i, V_np in enumerate(V_dnp):
        own_nm = V_np @ V_np.T
        np.fill_diagonal(own_nm, -np.inf)
        for j, U_mp in enumerate(V_dnp):
            k = min(len(V_np), len(U_mp))
            if i == j or k < 2:
                continue
            own_n, other_n = own_nm[:, :k].max(axis=1), (V_np @ U_mp[:k].T).max(axis=1)
            out_dd[i, j] = (other_n > own_n).mean() + (other_n == own_n).mean() / 2
    np.fill_diagonal(out_dd, 0.0)
    return out_dd


def _plain(matrix: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(value) else round(float(value), 6) for value in row] for row in matrix]
