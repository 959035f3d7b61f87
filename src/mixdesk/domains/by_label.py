"""Domains as the sources name them: a document's label is its domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

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

    def label(self, document: Document) -> dict[str, float]:
        """The document's label with probability one.

        Raises:
            InputError: no label and no default.
        """
        name = document.label or self.default
        if name is None:
            raise InputError(
                f"the document `{document.source or document.text[:40]}` has no label",
                value="nothing",
                bound="a label in its record or from its folder",
                remedy="label it, or give by_label a `default`",
            )
        return {name: 1.0}
