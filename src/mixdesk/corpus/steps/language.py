"""Which language a document is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code

# Characters read, from the middle of a document: heads and tails are menus and legal lines. The time is theirs.
N_READ = 1_000
# The classifier's label of what is no language.
NO_LANGUAGE = "zxx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """Fills a document's `language` (ISO 639-1) by naive Bayes over byte n-grams (py3langid, 140 languages).

    What the source states is not questioned. Code has no language and passes; so does text whose likeliest language
    has a probability below `threshold`, unless `keep` is given.

    Fields: `threshold` least probability; `keep` languages to keep (empty: all), the rest goes by the rule
    `other_language`, and what could not be told by `unsure_language`; `code` patterns of labels of code.

    A thousand characters of the middle decide: a document in two languages gets one of them. Languages that are close
    (Norwegian and Danish, Croatian and Serbian, Indonesian and Malay) are mistaken for each other.

    Raises:
        InputError: a threshold that is no probability, or a language to keep that the classifier does not know.
    """

    title: ClassVar[str] = "language told by byte n-grams"
    reference: ClassVar[str] = ""
    threshold: float = 0.5
    keep: tuple[str, ...] = ()
    code: tuple[str, ...] = CODE

    def __post_init__(self) -> None:
        checks.put(
            self,
            threshold=checks.finite("threshold", self.threshold, 0.0, 1.0),
            keep=checks.unique("keep", self.keep),
        )
        for language in self.keep:
            checks.one_of("language", language, _model().labels)

    def apply(self, document: Document) -> Document | str:
        """The document with its language, or `other_language` or `unsure_language`."""
        if is_code(document, self.code):
            return document
        if document.language is None:
            found = identify(document.text, self.threshold)
            document = document if found is None else replace(document, language=found)
        if not self.keep or document.language in self.keep:
            return document
        return "unsure_language" if document.language is None else "other_language"


def identify(text: str, threshold: float) -> str | None:
    """The language of a text's middle; None below the probability `threshold`, or where there is no language."""
    start = max(0, (len(text) - N_READ) // 2)
    language, probability = _model().classify(text[start : start + N_READ])
    return None if probability < threshold or language == NO_LANGUAGE else str(language)


def identify_all(documents: Sequence[Document], threshold: float, code: Sequence[str]) -> list[str | None]:
    """The language of each document: what it says itself, else what its text says; None of code."""
    return [None if is_code(one, code) else one.language or identify(one.text, threshold) for one in documents]


@lru_cache(maxsize=1)
def _model() -> Any:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
