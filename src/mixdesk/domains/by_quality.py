"""Each domain cut by quality: `web` becomes `web/q1` (the best), `web/q2`, … down to the worst.

    σ_n(x)  share of the domain's bytes in the sample whose score n is better than that of x, ties by half
    q(x)    Σ_n α_n σ_n(x) / Σ_n α_n     over the scores that x has; ½ where it has none
    bin     q(x) against the cuts at which the sample's bytes of the domain, the best first, are in `bins` equal parts

Ranks are learned as QUANTILES numbers per score and domain, so no score needs a scale. Equal q are put in order by a
hash of the text: bins are even where a score has few values. A domain with fewer documents in the sample than
LEAST_PER_BIN per bin is left whole, one that the sample did not have is cut by the ranks of the whole sample.

Bins are named as the lens and the search over quality curves read them (`q1` the best).

Reference: quadmix (eq. 1-2). What we do differently: quantile bins in place of a rank per document, bytes in place of
tokens, which are not counted yet when a corpus is cut, and one α for all domains.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import checks, registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import ScoreModel

QUANTILES = 65
LEAST_PER_BIN = 5
# Order among equal q: a number in [0, TIE) of the text's hash is added.
TIE = 1e-6
# The whole sample, among the domains; no label is empty.
ALL = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ByQuality:
    """The splitter.

    Fields: `scores` names of scorers, or of scores that the documents come with (a scorer goes first); `weights` α of
    each, none: all alike; `bins` per domain; `labels` path of examples for the scorer `classifier`.
    """

    title: ClassVar[str] = "quality bins inside each domain, from several scores"
    reference: ClassVar[str] = "quadmix"
    scores: tuple[str, ...] = ("rules", "perplexity")
    weights: tuple[float, ...] = ()
    bins: int = 4
    labels: str = ""

    def __post_init__(self) -> None:
        scores = (self.scores,) if isinstance(self.scores, str) else self.scores
        checks.put(self, scores=checks.unique("scores", scores), weights=checks.floats("weights", self.weights))
        checks.count("bins", self.bins, 2)
        if not self.scores or (self.weights and len(self.weights) != len(self.scores)):
            raise InputError(
                "scores and weights do not belong together",
                value=f"{len(self.scores)} scores, {len(self.weights)} weights",
                bound="one score at least, and no weights or one per score",
                remedy="give each score a weight",
            )
        if self.weights and (min(self.weights) < 0.0 or sum(self.weights) <= 0.0):
            raise InputError(
                "`weights` cannot be used", value=self.weights, bound="numbers ≥ 0, one > 0", remedy="raise one"
            )

    def prepare(self, sample: Iterable[Document]) -> QualityModel:
        """Learn the scorers, the ranks and the cuts from a sample.

        Raises:
            InputError: no document has a score that is named.
            NotEnoughEvidence: the sample has fewer documents than a domain needs to be cut, or a scorer finds it small.
        """
        documents = list(sample)
        if len(documents) < LEAST_PER_BIN * self.bins:
            raise NotEnoughEvidence(
                "there are too few documents to be cut by quality",
                value=f"{len(documents)} documents",
                bound=f"at least {LEAST_PER_BIN * self.bins} for {self.bins} bins",
                remedy="give a larger sample",
            )
        known = registry.names("scorers", outside=True)
        scorers = {
            name: registry.make("scorers", Plug(name=name), **({"labels": self.labels} if name == "classifier" else {}))
            for name in self.scores
            if name in known
        }
        models = tuple((name, scorers[name].prepare(documents) if name in scorers else None) for name in self.scores)
        score_nx = _scores(models, documents)
        for name, score_x in zip(self.scores, score_nx, strict=True):
            if np.isnan(score_x).all():
                raise InputError(
                    f"no document has the score `{name}`",
                    value=", ".join(sorted({key for one in documents for key, _ in one.scores})) or "no scores",
                    bound="a scorer (" + ", ".join(known) + ") or a score of the documents",
                    remedy="correct `scores`",
                )
        weight_n = np.array(self.weights or (1.0,) * len(self.scores))
        rows: dict[str, list[int]] = {ALL: list(range(len(documents)))}
        for x, document in enumerate(documents):
            if document.label:
                rows.setdefault(document.label, []).append(x)
        ladders = {
            label: _ladder(score_nx[:, row], [documents[x] for x in row], weight_n, self.bins)
            if len(row) >= LEAST_PER_BIN * self.bins
            else None
            for label, row in rows.items()
        }
        return QualityModel(models=models, weight_n=weight_n, ladders=ladders)

    def restore(self, data: dict[str, Any]) -> QualityModel:
        """The model that `QualityModel.to_dict` wrote."""
        return QualityModel(
            models=tuple(
                (name, None if model is None else registry.part("scorers", name)().restore(model))
                for name, model in data["models"]
            ),
            weight_n=np.array(data["weights"], dtype=np.float64),
            ladders={
                label: None if one is None else Ladder(grid_nq=_array(one["grid"]), cuts=_array(one["cuts"]))
                for label, one in data["domains"].items()
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ladder:
    """What quality means in a domain: `grid_nq` quantiles of each score, rising; `cuts` between the bins, in q."""

    grid_nq: Floats
    cuts: Floats

    def merged(self, score_nx: Floats, weight_n: Floats) -> Floats:
        """Merged rank q of each document, in [0, 1], 0 the best, (x,)."""
        rank_nx = np.array([_rank(grid_q, score_x) for grid_q, score_x in zip(self.grid_nq, score_nx, strict=True)])
        weight_nx = np.where(np.isnan(rank_nx), 0.0, weight_n[:, None])
        total_x = weight_nx.sum(axis=0)
        sum_x = (weight_nx * np.nan_to_num(rank_nx)).sum(axis=0)
        q_x: Floats = np.where(total_x > 0.0, sum_x / np.where(total_x > 0.0, total_x, 1.0), 0.5)
        return q_x


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QualityModel:
    """Scorers and ladders.

    Fields: `models` name and scorer of each score, None: the documents' own; `weight_n`; `ladders` by domain, None
    where it is left whole, "" for the whole sample.
    """

    models: tuple[tuple[str, ScoreModel | None], ...]
    weight_n: Floats
    ladders: dict[str, Ladder | None]

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """The bin of each document: `<label>/q1` … or `q1` … without a label; the label where it is not cut."""
        score_nx = _scores(self.models, documents)
        whole = [one.label or ALL for one in documents]
        name_x = list(whole)
        for label in sorted(set(whole)):
            ladder = self.ladders.get(label, self.ladders[ALL])
            if ladder is not None:
                row = [x for x, name in enumerate(whole) if name == label]
                q_x = ladder.merged(score_nx[:, row], self.weight_n) + _ties([documents[x] for x in row])
                for x, number in zip(row, np.searchsorted(ladder.cuts, q_x, side="right").tolist(), strict=True):
                    name_x[x] = f"{label}/q{number + 1}" if label else f"q{number + 1}"
        return [{name: 1.0} for name in name_x]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: scorers, weights, and each domain's quantiles and cuts."""
        return {
            "models": [[name, None if model is None else model.to_dict()] for name, model in self.models],
            "weights": self.weight_n.tolist(),
            "domains": {
                label: None
                if one is None
                # NaN, of a score that the domain never has, is no JSON.
                else {"grid": _plain(one.grid_nq), "cuts": _plain(one.cuts)}
                for label, one in self.ladders.items()
            },
        }


def _ladder(score_nx: Floats, documents: Sequence[Document], weight_n: Floats, bins: int) -> Ladder:
    size_x = np.array([len(one.text.encode("utf-8", "replace")) + 1.0 for one in documents])
    grid_nq = np.array([_quantiles(score_x, size_x, np.linspace(0.0, 1.0, QUANTILES)) for score_x in score_nx])
    q_x = Ladder(grid_nq=grid_nq, cuts=np.zeros(0)).merged(score_nx, weight_n) + _ties(documents)
    return Ladder(grid_nq=grid_nq, cuts=_quantiles(q_x, size_x, np.arange(1, bins) / bins))


def _scores(models: Sequence[tuple[str, ScoreModel | None]], documents: Sequence[Document]) -> Floats:
    """(n, x); NaN where a document does not have a score."""
    rows = [
        np.array([dict(one.scores).get(name, np.nan) for one in documents], dtype=np.float64)
        if model is None
        else model.score(documents)
        for name, model in models
    ]
    return np.array(rows)


def _quantiles(value_x: Floats, size_x: Floats, at_q: Floats) -> Floats:
    """Values between which the given shares of the size lie; NaN where there is none."""
    has_x = ~np.isnan(value_x)
    if not has_x.any():
        return np.full(len(at_q), np.nan)
    order = np.argsort(value_x[has_x], kind="stable")
    value_x, size_x = value_x[has_x][order], size_x[has_x][order]
    middle_x = (np.cumsum(size_x) - size_x / 2.0) / size_x.sum()
    found_q: Floats = np.interp(at_q, middle_x, value_x)
    return found_q


def _rank(grid_q: Floats, score_x: Floats) -> Floats:
    """Share of the sample that is better, ties by half; NaN where there is no score."""
    if np.isnan(grid_q).any():
        return np.full(len(score_x), np.nan)
    at_q = np.linspace(0.0, 1.0, len(grid_q))
    # Between two quantiles in proportion; on a step of equal ones at its middle.
    first_x = np.interp(score_x, grid_q, at_q)
    last_x = 1.0 - np.interp(-score_x, -grid_q[::-1], at_q)
    rank_x: Floats = 1.0 - (first_x + last_x) / 2.0
    return rank_x


def _ties(documents: Sequence[Document]) -> Floats:
    return np.array([TIE * zlib.crc32(one.text.encode("utf-8", "replace")) / 2**32 for one in documents])


def _plain(values: Floats) -> list[Any]:
    return [None if value != value else value for value in values.tolist()] if values.ndim == 1 else [
        _plain(row) for row in values
    ]  # fmt: skip


def _array(values: list[Any]) -> Floats:
    return np.array(values, dtype=np.float64)
