"""Domains by legal risk: each label cut into the tiers of its documents' licences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mixdesk.core.corpus import Document
from mixdesk.corpus.licenses import tier


@dataclass(frozen=True, kw_only=True, slots=True)
class ByLicense:
    """The splitter; it is its own model, for there is nothing to learn.

    A document goes to `<label>/<tier>` (`web/copyleft`), one without a label to `<tier>`, with probability one; tiers
    are those of `corpus/licenses.py`, a document without a licence is unclear. After it `licenses.tiers(corpus)` gives
    every domain the tier in its name, and `allowed_tiers` makes the search leave out those one does not want.

    Reference: mixturevitae; its domains are `<tier>/<source>`, ours lie under their source, as those of other
    splitters do.
    """

    title: ClassVar[str] = "the licence tier within each label"
    reference: ClassVar[str] = "mixturevitae"

    def prepare(self, sample: Iterable[Document]) -> ByLicense:
        """This splitter; the sample is not read."""
        return self

    def restore(self, data: dict[str, Any]) -> ByLicense:
        """This splitter."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nothing: the tiers are the library's."""
        return {}

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """The tier of each document within its label, with probability one."""
        return [{_within(one.label, tier(one.license)): 1.0} for one in documents]


def _within(label: str | None, part: str) -> str:
    return part if label is None else f"{label}/{part}"
