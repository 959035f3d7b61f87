"""Domains as the sources name them: a document's label is its domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class ByLabel:
    """The splitter; it is its own model, for there is nothing to learn.

    Fields: `default` domain of documents without a label; None: they are errors.
    """

    title: ClassVar[str] = "the label each document comes with"
    reference: ClassVar[str] = ""
    default: str | None = None

    def prepare(self, sample: Iterable[Document]) -> ByLabel:
        """This splitter; the sample is not read."""
        return self

    def restore(self, data: dict[str, Any]) -> ByLabel:
        """The splitter with the default that a model was written with."""
        return ByLabel(default=data["default"])

    def to_dict(self) -> dict[str, Any]:
        """The default."""
        return {"default": self.default}

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """The label of each document with probability one.

        Raises:
            InputError: no label and no default.
        """
        return [{self._name(document): 1.0} for document in documents]

    def _name(self, document: Document) -> str:
        name = document.label or self.default
        if name is None:
            raise InputError(
                f"the document `{document.source or document.text[:40]}` has no label",
                value="nothing",
                bound="a label in its record or from its folder",
                remedy="label it, or give by_label a `default`",
            )
        return name
