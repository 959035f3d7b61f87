"""Domains where no label says any: embed, k-means, prune, merge, and a name from the words each cluster has most of.

    v_n      vector of a text (`domains/embed.py`)
    c_j      `fine` centroids of k-means, the best of N_STARTS starts; or the means of HDBSCAN's clusters, as many as
             the texts have dense places, without the texts that it calls noise
    prune    clusters with less than `least` of the sample, or whose mean of `score` is below `floor`, are no domain
    merge    what is left, by average linkage of centroids, to `k` domains
    p(j|v)   ∝ exp(−|v − c_j|² / (temperature · s²)),  s² = mean |v − c|² of the sample to its nearest centroid

A domain's probability is the sum over its clusters; the share of pruned clusters belongs nowhere. A text that lies
nearest to a pruned cluster has no domain. A text that HDBSCAN calls noise belongs to the clusters it lies near, as
every other does.

A name is two words: those with the largest p(w|domain) ln(p(w|domain) / p(w)), p the share of documents with w.

Reference: climb (splitter). What we do differently: hashed grams in place of a sentence encoder; clusters are merged to
a count, not below a distance, which would depend on the embedder; by default `fine` is `k`, so nothing is merged: on
text with known labels one k-means of the best of ten starts agreed with them better than merged fine clusters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from threadpoolctl import threadpool_limits

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Ints
from mixdesk.domains.embed import Embedder, Embedding

METHODS = ("k_means", "hdbscan")
N_STARTS = 10
# Clusters from which one start is enough: then they are to be merged anyway.
MANY = 100
# Probabilities below are left out of a document's labels.
LEAST_SHARE = 1e-3
# Characters of a text among which words are looked for.
WORDS_REACH = 4_000
# Pairs of Chinese, Japanese or Korean characters; else words of letters.
_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{2}|[^\W\d_]{2,20}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ByCluster:
    """The splitter.

    Fields: `method` k_means or hdbscan; `k` domains, with HDBSCAN at most; `min_cluster_size` texts of the sample that
    are a dense place to HDBSCAN; `fine` clusters that are found first and merged to `k`, 0: as many as `k`; `least`
    share of the sample below which a cluster is no domain; `score` a name among the documents' scores, and `floor` the
    mean of it below which a cluster is no domain, "" : all are kept; `temperature` of the probabilities, 0: the nearest
    cluster has all; `width` of the vectors; `seed` of embedding and k-means.
    """

    title: ClassVar[str] = "clusters of what the texts are written with, named by their words"
    reference: ClassVar[str] = "climb"
    method: str = "k_means"
    k: int = 20
    min_cluster_size: int = 20
    fine: int = 0
    least: float = 0.002
    score: str = ""
    floor: float = 0.0
    temperature: float = 0.5
    width: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("method", self.method, METHODS)
        checks.count("k", self.k, 2)
        checks.count("min_cluster_size", self.min_cluster_size, 2)
        checks.count("fine", self.fine)
        checks.finite("least", self.least, 0.0, 1.0)
        checks.finite("temperature", self.temperature, 0.0)

    def prepare(self, sample: Iterable[Document]) -> ClusterModel:
        """Find the clusters of a sample; the labels of its documents are not read.

        Raises:
            NotEnoughEvidence: fewer differing documents than clusters, no dense place, or all clusters are pruned.
        """
        documents = list(sample)
        embedding = Embedder(width=self.width, seed=self.seed).fit([one.text for one in documents])
        V_np = embedding.of([one.text for one in documents]).astype(np.float64)
        n_least = max(self.k, self.fine) if self.method == "k_means" else 2 * self.min_cluster_size
        if len(np.unique(V_np, axis=0)) < n_least:
            raise NotEnoughEvidence(
                "there are too few documents to find clusters among",
                value=f"{len(documents)} documents",
                bound=f"at least {n_least} that differ, better {50 * n_least}",
                remedy="give a larger sample, or ask for fewer clusters",
            )
        with threadpool_limits(1):
            # One thread: sums of several come in any order, and a split must be the same again.
            centre_jp = self._centres(V_np)
        square_nj = _squares(V_np, centre_jp)
        own_n = square_nj.argmin(axis=1)
        group_j = _merged(centre_jp, self._kept(documents, own_n, len(centre_jp)), self.k)
        group_n = group_j[own_n]
        # Domains in the order of their sizes, largest first.
        order = np.argsort(-np.bincount(group_n[group_n >= 0], minlength=group_j.max() + 1), kind="stable")
        rank_g = np.argsort(order)
        group_j = np.where(group_j >= 0, rank_g[group_j], -1)
        return ClusterModel(
            embedding=embedding,
            names=_names(documents, group_j[own_n]),
            centre_jp=np.round(centre_jp, 6),
            group_j=group_j,
            temperature=float(f"{self.temperature * np.maximum(square_nj.min(axis=1), 0.0).mean():.6g}"),
        )

    def _centres(self, V_np: Floats) -> Floats:
        """The centre of each cluster, (j, p)."""
        if self.method == "k_means":
            n_fine = max(self.k, self.fine)
            n_starts = 1 if n_fine > MANY else N_STARTS
            return np.asarray(KMeans(n_fine, n_init=n_starts, random_state=self.seed).fit(V_np).cluster_centers_)
        own_n = HDBSCAN(self.min_cluster_size, copy=True).fit_predict(V_np)
        if own_n.max() < 1:
            raise NotEnoughEvidence(
                "the texts have no dense places to tell apart",
                value=f"{len(V_np)} documents, none in a cluster" if own_n.max() < 0 else "one cluster",
                bound=f"two clusters or more of {self.min_cluster_size} documents",
                remedy="lower `min_cluster_size`, or use method k_means",
            )
        return np.array([V_np[own_n == j].mean(axis=0) for j in range(own_n.max() + 1)])

    def restore(self, data: dict[str, Any]) -> ClusterModel:
        """The model that `ClusterModel.to_dict` wrote."""
        return ClusterModel(
            embedding=Embedding.from_dict(data["embedding"]),
            names=tuple(data["names"]),
            centre_jp=np.array(data["centres"], dtype=np.float64),
            group_j=np.array(data["groups"], dtype=np.int64),
            temperature=data["temperature"],
        )

    def _kept(self, documents: Sequence[Document], own_n: Ints, n_fine: int) -> Any:
        """Which clusters become domains, (j,)."""
        size_j = np.bincount(own_n, minlength=n_fine)
        kept_j = size_j >= self.least * len(documents)
        if self.score:
            found_n = np.array([dict(one.scores).get(self.score, np.nan) for one in documents])
            has_n = np.isfinite(found_n)
            sum_j = np.bincount(own_n[has_n], weights=found_n[has_n], minlength=n_fine)
            kept_j &= sum_j >= self.floor * np.bincount(own_n[has_n], minlength=n_fine)
        if not kept_j.any():
            raise NotEnoughEvidence(
                "every cluster is pruned", value=f"{n_fine} clusters", bound="one at least that is kept",
                remedy="lower `least` or `floor`",
            )  # fmt: skip
        return kept_j


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClusterModel:
    """Clusters of a sample.

    Fields: `embedding`; `names` of the domains, axis g; `centre_jp` centroids; `group_j` the domain of each cluster, −1
    where it was pruned; `temperature` of the softmax over squared distances.
    """

    embedding: Embedding
    names: tuple[str, ...]
    centre_jp: Floats
    group_j: Ints
    temperature: float

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """For each document domain → probability, the most probable first; empty where its cluster was pruned."""
        V_np = self.embedding.of([one.text for one in documents]).astype(np.float64)
        square_nj = _squares(V_np, self.centre_jp)
        nearest_n = square_nj.argmin(axis=1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share_nj = np.exp(-(square_nj - square_nj.min(axis=1, keepdims=True)) / max(self.temperature, 1e-12))
        share_nj /= share_nj.sum(axis=1, keepdims=True)
        member_jg = (self.group_j[:, None] == np.arange(len(self.names))).astype(np.float64)
        share_ng = np.einsum("nj,jg->ng", share_nj, member_jg)
        return [
            {self.names[g]: float(share_g[g]) for g in np.argsort(-share_g, kind="stable") if share_g[g] > LEAST_SHARE}
            if self.group_j[nearest] >= 0
            else {}
            for share_g, nearest in zip(share_ng, nearest_n, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the embedding, the centroids and their domains."""
        return {
            "embedding": self.embedding.to_dict(),
            "names": list(self.names),
            "centres": self.centre_jp.tolist(),
            "groups": self.group_j.tolist(),
            "temperature": self.temperature,
        }


def _squares(V_np: Floats, centre_jp: Floats) -> Floats:
    """Squared distance of each text to each centre, (n, j). Without BLAS, whose sums depend on the number of rows."""
    product_nj = np.einsum("np,jp->nj", V_np, centre_jp)
    squares: Floats = (V_np**2).sum(axis=1, keepdims=True) - 2.0 * product_nj + (centre_jp**2).sum(axis=1)
    return squares


def _merged(centre_jp: Floats, kept_j: Any, k: int) -> Ints:
    """The domain of each cluster, −1 for the pruned; at most k domains."""
    kept = np.flatnonzero(kept_j)
    group_j = np.full(len(centre_jp), -1)
    if len(kept) <= k:
        group_j[kept] = np.arange(len(kept))
    else:
        group_j[kept] = AgglomerativeClustering(k, linkage="average").fit_predict(centre_jp[kept])
    return group_j


def _names(documents: Sequence[Document], group_n: Ints) -> tuple[str, ...]:
    """A name for each domain, distinct, of its two most distinctive words (more where two would be alike)."""
    words_n = [set(_WORD.findall(document.text[:WORDS_REACH].casefold())) for document in documents]
    everywhere = Counter(word for words in words_n for word in words)
    names: list[str] = []
    for g in range(int(group_n.max()) + 1):
        members = np.flatnonzero(group_n == g)
        inside = Counter(word for n in members for word in words_n[n])
        worth = {
            word: count / len(members) * np.log(count / len(members) * len(documents) / everywhere[word])
            for word, count in inside.items()
        }
        best = [word for word in sorted(worth, key=lambda word: (-worth[word], word)) if worth[word] > 0.0]
        choices = ["-".join(best[:n]) for n in range(2, 6) if best[:n]]
        names.append(next((name for name in choices if name not in names), f"cluster-{g + 1}"))
    return tuple(names)
