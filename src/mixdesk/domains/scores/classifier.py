"""Quality by example: logistic regression on the vectors of texts, learned from a few that are called good or bad.

    score = 1 / (1 + exp(−(w · v(x) + b))),  w, b the minimum of Σ_i c_i log-loss_i + |w|² / (2 C)

c_i gives both kinds the same weight. The vectors (`domains/embed.py`) are learned from all of the sample, labelled or
not.

Reference: the quality classifiers of FineWeb-Edu and DCLM, which QuaDMix merges (quadmix). What we do differently:
hashed grams in place of a trained encoder, and tens of examples in place of hundreds of thousands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import read_text
from mixdesk.core.observations import Floats
from mixdesk.domains.embed import Embedder, Embedding

# Inverse strength of the penalty |w|² / 2: vectors have length one.
C = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """The scorer.

    Fields: `labels` path of JSON lines with keys `text` and `score` (the name in the next field), "": the documents of
    the sample that have the score are the examples; `score` its name: 1 is good, 0 is bad; `seed` of the embedding.
    """

    title: ClassVar[str] = "like the documents that were called good, by logistic regression"
    reference: ClassVar[str] = "quadmix"
    labels: str = ""
    score: str = "good"
    seed: int = 0

    def prepare(self, sample: Iterable[Document]) -> ClassifierModel:
        """Learn from the examples.

        Raises:
            InputError: the file of labels cannot be used.
            NotEnoughEvidence: there is not at least one good and one bad example, or the sample is too small.
        """
        documents = list(sample)
        if self.labels:
            examples = _examples(Path(self.labels), self.score)
        else:
            found = [(one.text, dict(one.scores).get(self.score)) for one in documents]
            examples = [(text, value) for text, value in found if value is not None]
        good_i = np.array([value > 0.5 for _, value in examples], dtype=bool)
        if good_i.all() or not good_i.any():
            raise NotEnoughEvidence(
                "there are no examples of both kinds to learn from",
                value=f"{good_i.sum()} good and {(~good_i).sum()} bad",
                bound="one of each at least, better twenty",
                remedy=f"name a file of `labels`, or give documents the score `{self.score}`",
            )
        texts = [text for text, _ in examples]
        embedding = Embedder(seed=self.seed).fit([one.text for one in documents] + (texts if self.labels else []))
        found_c = LogisticRegression(C=C, class_weight="balanced", max_iter=1000).fit(embedding.of(texts), good_i)
        return ClassifierModel(
            embedding=embedding,
            weight_p=np.array([float(f"{w:.6g}") for w in found_c.coef_[0]]),
            bias=float(f"{found_c.intercept_[0]:.6g}"),
        )

    def restore(self, data: dict[str, Any]) -> ClassifierModel:
        """The model that `ClassifierModel.to_dict` wrote."""
        return ClassifierModel(
            embedding=Embedding.from_dict(data["embedding"]),
            weight_p=np.array(data["weight"], dtype=np.float64),
            bias=data["bias"],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassifierModel:
    """A plane in the space of `embedding`: `weight_p`, `bias`."""

    embedding: Embedding
    weight_p: Floats
    bias: float

    def score(self, documents: Sequence[Document]) -> Floats:
        """Probability that each document is good, (n,)."""
        logit_n = self.embedding.of([one.text for one in documents]) @ self.weight_p + self.bias
        score_n: Floats = 1.0 / (1.0 + np.exp(-logit_n))
        return score_n

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the embedding and the plane."""
        return {"embedding": self.embedding.to_dict(), "weight": self.weight_p.tolist(), "bias": self.bias}


def _examples(path: Path, score: str) -> list[tuple[str, float]]:
    examples = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            text, value = record["text"], float(record[score])
        except (ValueError, KeyError, TypeError):
            text, value = None, math.nan
        if not isinstance(text, str) or not math.isfinite(value):
            raise InputError(
                f"{path}:{number}: no labelled text",
                value=line[:80],
                bound=f'a line like {{"text": "…", "{score}": 1}}',
                remedy="correct the line",
            )
        examples.append((text, value))
    return examples
