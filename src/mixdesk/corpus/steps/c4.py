"""C4's rules: lines that are no sentences go, and pages of code and filler text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code, is_spaceless

_ENDS = (".", "!", "?", '"', "”", "’", "'", "。", "！", "？", "」", "』", "।", "؟", "…")
# A mark that lies in another bracket stays: without it the other would become a mark.
_CITATION = re.compile(r"\[(?:\d{1,4}|edit|citation needed)\](?![\w ]*\])", re.IGNORECASE)
_POLICY = re.compile("terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies|javascript")
_SENTENCE = re.compile(r"[.!?。！？।؟…][\"”’')\]」』]*(?=\s|$)|[。！？]")
# A longer word is no word but data.
LONGEST_WORD = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class C4:
    """Cleans by the rules of C4 (the T5 paper, section 2.2, and its code; all from memory).

    Marks of citation (`[3]`, `[edit]`, `[citation needed]`) go out of the text. Of its lines go: those that do not end
    in a full stop, `!`, `?` or a closing quotation mark (`terminal`); of fewer than `min_words` (5) words; with a word
    above 1,000 characters; that speak of JavaScript, cookies, terms of use or privacy policy and have at most 200
    characters. Then documents go by the rules `curly` a curly bracket anywhere, `lorem_ipsum`, and `few_sentences`
    below `min_sentences` (3); `empty` where no line is left.

    What we do differently: no list of bad words, no removal of repeated spans of three sentences (the corpus is
    deduplicated as a whole), no language rule (`language` does that); lines on policies go only when short, so that
    text about them stays; ellipses end a sentence; other scripts' terminal marks count. Copies of these rules disagree
    on 5 words and 3 sentences or 3 and 5; FineWeb reports that `terminal` costs most of the text for little (from
    memory): the pipeline `CLEAN` leaves out what takes headings, tables, lists and formulas. Scripts without spaces
    between words know no `min_words` and no longest word. Code passes.

    Fields: `terminal`, `min_words` (0: off), `min_sentences` (0: off), `curly` as above; `code` patterns of labels of
    code.
    """

    title: ClassVar[str] = "C4's rules: sentences, JavaScript, curly brackets, filler text"
    reference: ClassVar[str] = "c4"
    terminal: bool = True
    min_words: int = 5
    min_sentences: int = 3
    curly: bool = True
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document with the lines that stay, or the name of the rule."""
        if is_code(document, self.code):
            return document
        text = document.text
        if self.curly and ("{" in text or "}" in text):
            return "curly"
        if "lorem ipsum" in text.lower():
            return "lorem_ipsum"
        without_spaces = is_spaceless(text)
        lines = (_CITATION.sub("", text) if "[" in text else text).split("\n")
        made = "\n".join(line for line in lines if self._stays(line, without_spaces))
        if not made.strip():
            return "empty"
        if self.min_sentences and not _has_sentences(made, self.min_sentences):
            return "few_sentences"
        return document if made == text else replace(document, text=made)

    def _stays(self, line: str, without_spaces: bool) -> bool:
        bare = line.strip()
        if not bare:
            return True
        if self.terminal and not bare.endswith(_ENDS):
            return False
        if len(bare) <= 200 and _POLICY.search(bare.lower()) is not None:
            return False
        if without_spaces or (self.min_words <= 1 and len(bare) <= LONGEST_WORD):
            return True
        words = bare.split()
        return len(words) >= self.min_words and (len(bare) <= LONGEST_WORD or max(map(len, words)) <= LONGEST_WORD)


def _has_sentences(text: str, least: int) -> bool:
    """Whether the text has that many ends of sentences, or one less and an open end."""
    count = 0
    for count, _ in enumerate(_SENTENCE.finditer(text), 1):
        if count >= least:
            return True
    return count == least - 1 and bool(text.strip()) and not text.rstrip().endswith(_ENDS)
