"""Domains by language: each label cut into the languages of its documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.language import identify_all
from mixdesk.corpus.steps.words import CODE, is_code

# Part of the languages that are too rare for a domain of their own, and of what could not be told.
REST = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class ByLanguage:
    """Splits each label into `<label>/<language>`; rare languages and what could not be told go to `<label>/other`.

    Fields: `least` share of the sample's documents with a language that makes it a domain (mistakes of the classifier
    spread over a hundred languages); `threshold` least probability of a language, as in the step `language`; `code`
    patterns of labels of code, which keeps its label alone.
    """

    title: ClassVar[str] = "the language within each label"
    reference: ClassVar[str] = ""
    least: float = 0.01
    threshold: float = 0.5
    code: tuple[str, ...] = CODE

    def __post_init__(self) -> None:
        checks.put(
            self,
            least=checks.finite("least", self.least, 0.0, 1.0),
            threshold=checks.finite("threshold", self.threshold, 0.0, 1.0),
        )

    def prepare(self, sample: Iterable[Document]) -> LanguageModel:
        """The languages that have at least the share `least` of the sample."""
        found = Counter(identify_all(list(sample), self.threshold, self.code))
        del found[None]
        enough = self.least * found.total()
        languages = tuple(sorted(str(one) for one, count in found.items() if count >= enough))
        return LanguageModel(splitter=self, languages=languages)

    def restore(self, data: dict[str, Any]) -> LanguageModel:
        """The model as it was written."""
        return LanguageModel(splitter=self, languages=tuple(data["languages"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModel:
    """The languages that are domains."""

    splitter: ByLanguage
    languages: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The languages."""
        return {"languages": list(self.languages)}

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """The language of each document within its label, with probability one; code's label as it is."""
        languages = identify_all(documents, self.splitter.threshold, self.splitter.code)
        return [{self._name(*one): 1.0} for one in zip(documents, languages, strict=True)]

    def _name(self, document: Document, language: str | None) -> str:
        if document.label is None:
            return language if language in self.languages else REST
        if is_code(document, self.splitter.code):
            return document.label
        return f"{document.label}/{language if language in self.languages else REST}"
