"""Domains of a taxonomy that may grow: a classifier with fixed class vectors, so that old labels and vectors stay.

Each domain is a corner of a simplex that never moves (`domains/simplex.py`). A later version, made with `before`, gives
a new domain a corner of its own, keeps those of the old ones and never gives a retired one again: the parts of a domain
that is split get new names. Texts are embedded as they were in the first version.

A quarter of the labelled texts is held back: `cross`, the share of them whose nearest vector among those that the
version before stored has their label, is compared with `before`, the same when both are its own. Where it is larger,
stored vectors can be kept; else documents are to be labelled anew.

Reference: stationaryrepresentations (splitter). What we do differently: a linear map of 3-gram vectors in
place of a trained network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import read_data
from mixdesk.core.observations import Floats
from mixdesk.domains import labelled
from mixdesk.domains.embed import Embedder, Embedding
from mixdesk.domains.simplex import CORNERS, SimplexMap, nearest, train

# One labelled text in so many is held back.
HELD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ByTaxonomy:
    """The splitter.

    Fields: `labels` JSONL file of texts with their `label`, "": the labels that documents come with; `before` JSON file
    of the model of the version before, "": this is the first; `width` of the vectors of texts (the first version's
    holds); `seed` of embedding, training and what is held back.
    """

    title: ClassVar[str] = "a taxonomy that may grow: old domains and stored vectors keep their place"
    reference: ClassVar[str] = "stationaryrepresentations"
    labels: str = ""
    before: str = ""
    width: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        checks.count("width", self.width, 1)

    def prepare(self, sample: Iterable[Document]) -> TaxonomyModel:
        """Learn the classifier from the labelled texts of a sample, or of the file.

        Raises:
            InputError: a line of `labels` is no labelled text, `before` is no model, or the corners are used up.
            NotEnoughEvidence: fewer than two labelled domains.
        """
        given = labelled.gather(list(sample), self.labels)
        old = None if not self.before else self.restore(read_data(Path(self.before)))
        known = old.corners if old is not None else ()
        corners = known + tuple(name for name in given.names if name not in known)
        if len(corners) > CORNERS:
            raise InputError(
                "the taxonomy has no corner left for a new domain",
                value=f"{len(corners)} domains, past and present",
                bound=f"at most {CORNERS}",
                remedy="begin anew without `before`",
            )
        embedding = old.embedding if old is not None else self._embedding(given)
        sure = [i for i, names in enumerate(given.said) if len(names) == 1]
        X_np = embedding.of([given.texts[i] for i in sure]).astype(np.float64)
        label_n = np.array([corners.index(given.said[i][0]) for i in sure])
        held = np.random.default_rng(self.seed).permutation(len(sure)) < len(sure) // HELD
        if not held.any():
            raise NotEnoughEvidence(
                "there are too few labelled texts", value=len(sure), bound=f"at least {HELD}", remedy="label more"
            )
        past = None if old is None else old.simplex
        simplex = train(X_np[~held], label_n[~held], old=past, seed=self.seed)
        return TaxonomyModel(
            embedding=embedding,
            corners=corners,
            names=given.names,
            simplex=simplex,
            held=_held(simplex, past, X_np, label_n, held),
        )

    def restore(self, data: dict[str, Any]) -> TaxonomyModel:
        """The model that `TaxonomyModel.to_dict` wrote."""
        return TaxonomyModel(
            embedding=Embedding.from_dict(data["embedding"]),
            corners=tuple(data["corners"]),
            names=tuple(data["names"]),
            simplex=SimplexMap.from_dict(data["simplex"]),
            held=data["held"],
        )

    def _embedding(self, given: labelled.Labelled) -> Embedding:
        return Embedder(width=self.width, seed=self.seed).fit(given.texts)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TaxonomyModel:
    """A version of the taxonomy.

    Fields: `embedding` of the first version; `corners` every domain, past and present, in the order of their corners;
    `names` the present ones; `simplex` the map; `held` on held-back texts the accuracy (`accuracy`), that of the
    nearest vector (`own`), and beside a version before its own (`before`) and that of new queries among its vectors
    (`cross`).
    """

    embedding: Embedding
    corners: tuple[str, ...]
    names: tuple[str, ...]
    simplex: SimplexMap
    held: dict[str, float]

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """For each document domain → probability, the most probable first."""
        classes = np.array([self.corners.index(name) for name in self.names])
        R_nk = self.simplex.weigh(self._features(documents), classes)
        return [labelled.shares(R_k, self.names) for R_k in R_nk]

    def vectors(self, documents: Sequence[Document]) -> Floats:
        """Vectors to store, (n, d), of length one; comparable with those of versions before and after."""
        return self.simplex.vectors(self._features(documents))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the embedding, the domains of the corners, and the map."""
        return {
            "embedding": self.embedding.to_dict(),
            "corners": list(self.corners),
            "names": list(self.names),
            "simplex": self.simplex.to_dict(),
            "held": self.held,
        }

    def _features(self, documents: Sequence[Document]) -> Floats:
        return self.embedding.of([one.text for one in documents]).astype(np.float64)


def _held(simplex: SimplexMap, past: SimplexMap | None, X_np: Floats, label_n: Any, held_n: Any) -> dict[str, float]:
    """What held-back texts say of the version and of its place beside the one before."""
    kept_m, truth_n, ask_np = label_n[~held_n], label_n[held_n], X_np[held_n]

    def found(query: SimplexMap, gallery: SimplexMap) -> float:
        near_n = nearest(query.vectors(ask_np), gallery.vectors(X_np[~held_n]), kept_m)
        return float((near_n == truth_n).mean())

    classes = np.unique(label_n)
    guess_n = classes[simplex.weigh(ask_np, classes).argmax(1)]
    told = {"accuracy": float((guess_n == truth_n).mean()), "own": found(simplex, simplex)}
    return told if past is None else told | {"before": found(past, past), "cross": found(simplex, past)}
