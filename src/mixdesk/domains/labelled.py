"""Weak labels: what a sample, or a file beside it, says of the domains of some documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import read_text
from mixdesk.core.observations import Floats

# Probabilities below are left out of a document's labels.
LEAST_SHARE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Texts, and for each the domains that it may belong to: one, several (a coarse label), or none said."""

    texts: tuple[str, ...]
    said: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every domain that is said, sorted."""
        return tuple(sorted({name for names in self.said for name in names}))

    def allowed(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which of `names` each text may belong to, (n, k); all, where nothing known is said."""
        return allowed(self.said, names)


def allowed(said: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of `names` each document may belong to, (n, k); all, where nothing known is said."""
    place = {name: k for k, name in enumerate(names)}
    allowed_nk = np.zeros((len(said), len(names)), np.bool_)
    for row, one in zip(allowed_nk, said, strict=True):
        row[[place[name] for name in one if name in place]] = True
    allowed_nk[~allowed_nk.any(1)] = True
    return allowed_nk


def own(document: Document) -> tuple[str, ...]:
    """What a document says of itself."""
    return () if document.label is None else (document.label,)


def gather(documents: Sequence[Document], path: str) -> Labelled:
    """The documents with the labels they come with; with a `path`, without, and the file's labelled texts after them.

    A line of the file is {"text": …, "label": a domain, or a list of those it may be}.

    Raises:
        InputError: the file cannot be read, or a line is not that.
        NotEnoughEvidence: fewer than two domains are labelled.
    """
    texts = [one.text for one in documents]
    said = [() if path else own(one) for one in documents]
    if path:
        for number, line in enumerate(read_text(Path(path)).splitlines(), 1):
            text, names = _parsed(line, f"{path}:{number}")
            texts.append(text)
            said.append(names)
    found = Labelled(texts=tuple(texts), said=tuple(said))
    if len(found.names) < 2:
        raise NotEnoughEvidence(
            "there are too few labelled domains",
            value=", ".join(found.names) or "no label",
            bound="documents of at least two domains with their labels",
            remedy=f"label some in {path}" if path else "give `labels`, a file of labelled texts",
        )
    return found


def _parsed(line: str, place: str) -> tuple[str, tuple[str, ...]]:
    try:
        row = json.loads(line)
        text, label = row["text"], row["label"]
    except (ValueError, KeyError, TypeError):
        text, label = None, None
    names = label if isinstance(label, list) else [label]
    if not isinstance(text, str) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{place} is no labelled text",
            value=line[:80],
            bound='{"text": a text, "label": a domain or a list of domains}',
            remedy="correct the line or remove it",
        )
    return text, tuple(checks.label("domain", name) for name in names)


def shares(R_k: Floats, names: Sequence[str]) -> dict[str, float]:
    """Domain → probability, the most probable first, to six digits, so that how texts are batched changes nothing.

    Those of a thousandth or less are left out. Rounded shares that sum to more than one are brought back to it.
    """
    found = {names[k]: round(float(R_k[k]), 6) for k in np.argsort(-R_k, kind="stable") if R_k[k] > LEAST_SHARE}
    total = max(sum(found.values()), 1.0)
    return {name: share / total for name, share in found.items()}
