"""Domains from a handful of weak labels: a Gaussian for each, fitted to labelled and unlabelled documents together.

    v_n   vector of a text (`domains/embed.py`)
    R_nk  probability of domain k, by EM that trusts a label in part (`domains/gaussian.py`)

The mixture is compared with the nearest labelled mean on labels held back in turn, and gives way where it is clearly
worse. A document whose largest
probability is below `confidence` is `unknown`.

Without any label, `k` domains begin where the semidefinite relaxation of a sketch puts them (`domains/likelihood.py`).

Reference: agmm (splitter), ilasdp (the start without labels). What we do differently: a mixture of document vectors in
place of a loss on pixels; the encoder is not trained; the nearest labelled mean stays a rival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats
from mixdesk.domains import labelled
from mixdesk.domains.embed import Embedder, Embedding
from mixdesk.domains.gaussian import TRUST, Bools, Gaussians, adapt, adapt_online, start
from mixdesk.domains.likelihood import group

UNKNOWN = "unknown"
# Parts that labels are held back in; vectors of a sketch, and as many of their features as its covariances can bear.
FOLDS, SKETCH, SKETCH_WIDTH = 4, 90, 8

Fit = Callable[[Floats, Bools, Gaussians], Gaussians]


@dataclass(frozen=True, kw_only=True, slots=True)
class ByMixture:
    """The splitter.

    Fields: `labels` JSONL file of texts with their `label` (a domain or a list of those it may be; some may be wrong),
    "": the labels that documents come with; `k` domains to find without labels, 0: the labels say; `confidence` below
    which a document is `unknown`; `trust` in [0, 1] how far a label is believed; `batch` documents per step of online
    EM, 0: all at once; `width` of the vectors; `seed` of embedding, folds, batches and sketch.
    """

    title: ClassVar[str] = "a Gaussian mixture that adapts from a few weak labels"
    reference: ClassVar[str] = "agmm"
    labels: str = ""
    k: int = 0
    confidence: float = 0.5
    trust: float = TRUST
    batch: int = 0
    width: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        checks.count("k", self.k)
        checks.count("batch", self.batch)
        checks.count("width", self.width, 1)
        checks.finite("confidence", self.confidence, 0.0, 1.0)
        checks.finite("trust", self.trust, 0.0, 1.0)
        if self.k and self.labels:
            raise InputError(
                "`k` domains are found without labels",
                value=f"k = {self.k} and labels = {self.labels}",
                bound="one of the two",
                remedy="leave one out",
            )

    def prepare(self, sample: Iterable[Document]) -> MixtureModel:
        """Fit the mixture to a sample and the labelled texts.

        Raises:
            InputError: a line of `labels` is no labelled text.
            NotEnoughEvidence: fewer than two labelled domains, or one that no text is labelled with alone.
        """
        documents = list(sample)
        if self.k:
            return self._without_labels(documents)
        given = labelled.gather(documents, self.labels)
        embedding = Embedder(width=self.width, seed=self.seed).fit(given.texts)
        X_np = embedding.of(given.texts).astype(np.float64)
        allowed_nk = given.allowed(given.names)
        first = start(X_np, allowed_nk)
        held, keep = _held_back(X_np, allowed_nk, self._fit, self.seed)
        return MixtureModel(
            embedding=embedding,
            names=given.names,
            mixture=first if keep else self._fit(X_np, allowed_nk, first),
            trust=0.0 if self.labels else self.trust,
            confidence=self.confidence,
            held=held,
        )

    def restore(self, data: dict[str, Any]) -> MixtureModel:
        """The model that `MixtureModel.to_dict` wrote."""
        return MixtureModel(
            embedding=Embedding.from_dict(data["embedding"]),
            names=tuple(data["names"]),
            mixture=Gaussians.from_dict(data["mixture"]),
            trust=data["trust"],
            confidence=data["confidence"],
            held=data["held"],
        )

    def _fit(self, X_np: Floats, allowed_nk: Bools, first: Gaussians) -> Gaussians:
        if self.batch:
            return adapt_online(X_np, allowed_nk, first, batch=self.batch, trust=self.trust, seed=self.seed)
        return adapt(X_np, allowed_nk, first, trust=self.trust).model

    def _without_labels(self, documents: Sequence[Document]) -> MixtureModel:
        texts = [one.text for one in documents]
        embedding = Embedder(width=self.width, seed=self.seed).fit(texts)
        X_np = embedding.of(texts).astype(np.float64)
        rows = np.random.default_rng(self.seed).permutation(len(texts))[:SKETCH]
        label_n = group(X_np[rows, :SKETCH_WIDTH], self.k).label_n
        sketch_nk = label_n[:, None] == np.arange(self.k)
        first = start(X_np[rows], sketch_nk)
        free_nk = np.ones((len(texts), self.k), np.bool_)
        return MixtureModel(
            embedding=embedding,
            names=tuple(f"part-{j + 1}" for j in range(self.k)),
            mixture=adapt(X_np, free_nk, first).model,
            trust=0.0,
            confidence=self.confidence,
            held={},
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MixtureModel:
    """A fitted mixture of document vectors.

    Fields: `embedding`; `names` of the domains, axis k; `mixture`; `trust` in the label that a document comes with, 0
    where those say nothing; `confidence` below which it is unknown; `held` share of held-back labels that the mixture
    and the nearest labelled mean found.
    """

    embedding: Embedding
    names: tuple[str, ...]
    mixture: Gaussians
    trust: float
    confidence: float
    held: dict[str, float]

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """For each document domain → probability, the most probable first; `unknown` where none is probable enough."""
        X_np = self.embedding.of([one.text for one in documents]).astype(np.float64)
        allowed_nk = labelled.allowed([labelled.own(one) for one in documents], self.names)
        R_nk = self.mixture.weigh(X_np, allowed_nk, trust=self.trust)
        return [labelled.shares(R_k, self.names) if R_k.max() >= self.confidence else {UNKNOWN: 1.0} for R_k in R_nk]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the embedding, the mixture and its settings."""
        return {
            "embedding": self.embedding.to_dict(),
            "names": list(self.names),
            "mixture": self.mixture.to_dict(),
            "trust": self.trust,
            "confidence": self.confidence,
            "held": self.held,
        }


def _held_back(X_np: Floats, allowed_nk: Bools, fit: Fit, seed: int) -> tuple[dict[str, float], bool]:
    """Share of held-back labels that the mixture and the nearest labelled mean find; whether the latter is to be kept.

    It is where the labels that it alone finds exceed those that the mixture alone finds by two standard errors. Nothing
    is held back where there are fewer than two labels per domain.
    """
    sure_n = np.random.default_rng(seed).permutation(np.flatnonzero(allowed_nk.sum(1) == 1))
    # The first label of a domain is never held back.
    free_n = np.delete(sure_n, np.unique(allowed_nk[sure_n].argmax(1), return_index=True)[1])
    if len(free_n) < allowed_nk.shape[1]:
        return {}, False
    hits: list[Bools] = []
    for rows in np.array_split(free_n, FOLDS):
        part_nk = allowed_nk.copy()
        part_nk[rows] = True
        begun = start(X_np, part_nk)
        rivals = fit(X_np, part_nk, begun), begun
        hits.append(np.array([one.weigh(X_np[rows]).argmax(1) for one in rivals]) == allowed_nk[rows].argmax(1))
    mixture_n, nearest_n = np.concatenate(hits, axis=1)
    ahead = int(nearest_n.sum()) - int(mixture_n.sum())
    told = {"mixture": float(mixture_n.mean()), "nearest": float(nearest_n.mean())}
    return told, ahead > 2.0 * np.sqrt((mixture_n != nearest_n).sum())
