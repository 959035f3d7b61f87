"""How good a split is: agreement with known labels, beside plain k-means, and with itself over seeds.

    ARI        adjusted Rand index of the most probable domains with the labels: 0 chance, 1 the same partition
    NMI        normalised mutual information (arithmetic mean of the entropies)
    accuracy   share of documents in the label their domain is matched with, one to one, as well as can be
    stability  mean ARI over pairs of seeds

K-means is one start on the vectors of the same texts with as many clusters as there are labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats
from mixdesk.core.protocols import Splitter
from mixdesk.domains.embed import Embedder


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Verdict:
    """Quality of a splitter, a number per seed s; NaN where no truth was given.

    Fields: `ari_s`, `nmi_s`, `accuracy_s` of the splitter and `plain_ari_s`, `plain_nmi_s`, `plain_accuracy_s` of
    k-means; `stability` (NaN for one seed) and `plain_stability`; `domains_s` how many domains it made; `nowhere_s`
    share of documents without one.
    """

    ari_s: Floats
    nmi_s: Floats
    accuracy_s: Floats
    plain_ari_s: Floats
    plain_nmi_s: Floats
    plain_accuracy_s: Floats
    stability: float
    plain_stability: float
    domains_s: Floats
    nowhere_s: Floats


def judge(
    splitter: Splitter, documents: Sequence[Document], seeds: Sequence[int], truth: Sequence[str] | None = None
) -> Verdict:
    """Split the documents once per seed and compare.

    A splitter with a field `seed` is given each seed; one without sees the documents in an order shuffled by it.

    Args:
        splitter: settings of any splitter.
        documents: as the splitter may see them: take labels off that it must not know.
        seeds: at least one.
        truth: the true label of each document, where known.

    Raises:
        InputError: as many labels as documents are needed, and a seed.
        NotEnoughEvidence: the splitter finds the documents too few.
    """
    if not seeds or (truth is not None and len(truth) != len(documents)):
        raise InputError(
            "there is nothing to compare",
            value=f"{len(seeds)} seeds, {'no' if truth is None else len(truth)} labels",
            bound=f"a seed at least, and no labels or {len(documents)}",
            remedy="give a label per document",
        )
    found_s = [_split(splitter, documents, seed) for seed in seeds]
    n_plain = len(set(truth)) if truth is not None else max(len(set(found)) for found in found_s)
    texts = [document.text for document in documents]
    V_np = Embedder(seed=seeds[0]).fit(texts).of(texts)
    with threadpool_limits(1):
        plain_s = [KMeans(n_plain, n_init=1, random_state=seed).fit_predict(V_np).tolist() for seed in seeds]
    own_3s, plain_3s = _agreement(found_s, truth), _agreement(plain_s, truth)
    return Verdict(
        ari_s=own_3s[0],
        nmi_s=own_3s[1],
        accuracy_s=own_3s[2],
        plain_ari_s=plain_3s[0],
        plain_nmi_s=plain_3s[1],
        plain_accuracy_s=plain_3s[2],
        stability=_stability(found_s),
        plain_stability=_stability(plain_s),
        domains_s=np.array([float(len(set(found) - {""})) for found in found_s]),
        nowhere_s=np.array([found.count("") / len(found) for found in found_s]),
    )


def accuracy(truth: Sequence[Any], found: Sequence[Any]) -> float:
    """Share of documents whose domain is matched with their label, under the best matching of one to one.

    >>> accuracy(["a", "a", "b", "b"], [1, 1, 1, 0])
    0.75
    """
    labels, label_n = np.unique(np.asarray(truth), return_inverse=True)
    domains, domain_n = np.unique(np.asarray(found), return_inverse=True)
    table = np.zeros((len(labels), len(domains)))
    np.add.at(table, (label_n, domain_n), 1.0)
    return float(table[linear_sum_assignment(-table)].sum() / len(label_n))


def _split(splitter: Splitter, documents: Sequence[Document], seed: int) -> list[str]:
    """The most probable domain of each document, "" for none."""
    sample = documents
    settings: Any = splitter
    if any(one.name == "seed" for one in fields(settings)):
        settings = replace(settings, seed=seed)
    else:
        sample = [documents[i] for i in np.random.default_rng(seed).permutation(len(documents))]
    return [
        max(shares, key=shares.__getitem__) if shares else "" for shares in settings.prepare(sample).label(documents)
    ]


def _agreement(found_s: Sequence[Sequence[Any]], truth: Sequence[str] | None) -> Floats:
    """ARI, NMI and accuracy, (3, s)."""
    if truth is None:
        return np.full((3, len(found_s)), np.nan)
    rows = [
        [float(measure(truth, found)) for found in found_s]
        for measure in (adjusted_rand_score, normalized_mutual_info_score, accuracy)
    ]
    return np.array(rows)


def _stability(found_s: Sequence[Sequence[Any]]) -> float:
    if len(found_s) < 2:
        return float("nan")
    return float(np.mean([adjusted_rand_score(one, other) for one, other in combinations(found_s, 2)]))
