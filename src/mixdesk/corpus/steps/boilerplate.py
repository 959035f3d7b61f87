"""What is on every page and in every file: menus, legal lines, licence headers, junk."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code, is_spaceless, stop_words

# MixtureVitae's window and the shares that make it suspect.
WINDOW = 500
MOST_SPECIAL, LEAST_STOP = 0.1, 0.05
# A line of a suspect window goes where this share of its characters are special, and no stop word is in it.
LINE_SPECIAL = 0.3

_MENU = re.compile(
    r"(?:home|homepage|menu|main menu|search|login|log ?in|log ?out|sign ?in|sign ?up|register|about|about us|contact"
    r"|contact us|site ?map|faq|help|back|next|previous|prev|top|back to top|go to top|skip to (?:main )?content"
    r"|skip to navigation|jump to navigation|read more|learn more|show more|load more|see more|view all|click here"
    r"|continue reading|share|share this|tweet|e-?mail this|print|print this page|reply|leave a reply|leave a comment"
    r"|add a comment|post a comment|(?:share|follow us|like us|find us) on \w+|subscribe(?: to our newsletter)?"
    r"|newsletter|privacy|privacy policy|cookie policy|terms|terms of (?:use|service)|terms and conditions|disclaimer"
    r"|imprint|impressum|datenschutz|kontakt|startseite|mentions légales|accueil|inicio|contacto|add to cart"
    r"|advertisement|sponsored|related (?:posts|articles)|you may also like|table of contents|loading\W*"
    r"|powered by [\w .]{2,30}|all rights reserved\.?)"
)
_COPYRIGHT = re.compile(r"(?:copyright\b|©|\(c\)\s).{0,160}(?:\d{4}|rights reserved).{0,80}")
_SEPARATORS = re.compile(r"\s*(?:[|•·»›]|::|>)\s*")
# What formulas, tables, markup, code, quotations and indented blocks are made of: their lines are not junk.
_MEANT = re.compile(r"""[\\$={}<>|;_^+`"'()\[\]/#@]|^\s|^(?:[-*=~.]{3,}|\d+\.)""")
_SPECIAL = re.compile(r"[^\w\s]")
_LEGAL = re.compile(
    r"copyright|licen[cs]ed under|spdx-license|permission is hereby|all rights reserved|©", re.IGNORECASE
)
_LINE_COMMENT = re.compile(r"[ \t]*(?:#(?![!\[]|include|define|if|pragma|import)|//|--(?!\[)|;|%|\.\.[ ]|rem[ ])")
_BLOCKS = (("/*", "*/"), ("<!--", "-->"), ("(*", "*)"), ("{-", "-}"))
_KEPT_FIRST = re.compile(r"#!|<\?xml|<!doctype|#.*coding[:=]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Boilerplate:
    """Takes out lines that say nothing of a document's own. Rule `empty`: nothing was left.

    Of prose: lines that are a menu's entry ("Read more", "Skip to content", mostly English) or three and more
    entries of at most three words between separators (`Home | About | Contact`); copyright lines of at most 300
    characters; and junk lines, after MixtureVitae: a window of 500 characters whose share of special characters
    (neither letter, digit nor blank) is above 0.1, or of stop words among the words below 0.05, has its lines looked
    at; one goes where three tenths of it are special and no stop word is in it.

    Of code: the comment at the very beginning, where it speaks of copyright or a licence (`license_words` should have
    read it before); a first line that a machine reads (`#!`, coding, doctype) stays. Nothing else.

    What we do differently: what MixtureVitae does with a suspect line is not stated; ours spares lines that are
    indented, rulers, and what holds signs of formulas, tables, markup, code or quotation. Windows are of whole lines,
    filled up again as lines go, so that cleaning twice is cleaning once. The junk rule is left out in languages of
    whose stop words we have no list, and in scripts without spaces between words.

    Fields: `code` patterns of labels of code.

    Reference: mixturevitae.
    """

    title: ClassVar[str] = "menus, legal lines, licence headers of code, junk lines"
    reference: ClassVar[str] = "mixturevitae"
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document without boilerplate, or `empty`."""
        text = document.text
        if is_code(document, self.code):
            made = _without_header(text)
        else:
            lines = [line for line in text.split("\n") if not _is_boilerplate(line)]
            known = stop_words(document.language)
            if known and not is_spaceless(text):
                lines = _without_junk(lines, known)
            made = "\n".join(lines)
        if made == text:
            return document
        return replace(document, text=made) if made.strip() else "empty"


def _is_boilerplate(line: str) -> bool:
    """Whether a line of prose is a menu or a copyright notice."""
    if len(line) > 300:
        return False
    bare = line.strip().lower()
    if _MENU.fullmatch(bare) or _COPYRIGHT.fullmatch(bare):
        return True
    entries = _SEPARATORS.split(bare) if len(bare) <= 120 else []
    # A row of a table begins and ends with its separator.
    return (
        len(entries) >= 3
        and all(entries)
        and all(len(one.split()) <= 3 and not any(map(str.isdigit, one)) for one in entries)
        and any(_MENU.fullmatch(one) for one in entries)
    )


def _without_junk(lines: list[str], known: frozenset[str]) -> list[str]:
    """The lines without those that are junk in their window."""
    kept: list[str] = []
    window: list[str] = []
    size = 0
    for line in lines:
        window.append(line)
        size += len(line) + 1
        if size < WINDOW:
            continue
        clean = _clean(window, known)
        if len(clean) == len(window):
            kept += window
            window, size = [], 0
        else:
            window, size = clean, sum(map(len, clean)) + len(clean)
    while len(clean := _clean(window, known)) < len(window):
        window = clean
    return kept + window


def _clean(window: list[str], known: frozenset[str]) -> list[str]:
    """The lines of a window that stay: all, where it is not suspect."""
    text = "\n".join(window)
    words = text.lower().split()
    n_special = len(_SPECIAL.findall(text))
    if n_special <= MOST_SPECIAL * len(text) and sum(map(known.__contains__, words)) >= LEAST_STOP * len(words):
        return window
    return [line for line in window if not _is_junk(line, known)]


def _is_junk(line: str, known: frozenset[str]) -> bool:
    n_special = len(_SPECIAL.findall(line))
    if n_special < 3 or n_special < LINE_SPECIAL * len(line.strip()) or _MEANT.search(line) is not None:
        return False
    return known.isdisjoint(re.findall(r"\w+", line.lower()))


def _without_header(text: str) -> str:
    """Code without the comments on its licence at its beginning."""
    first = ""
    if _KEPT_FIRST.match(text):
        line, _, text = text.partition("\n")
        first = line + "\n"
    while True:
        end = _comment_end(text)
        if not end or _LEGAL.search(text, 0, end) is None:
            return first + text
        text = text[end:].lstrip("\n")


def _comment_end(text: str) -> int:
    """Where the comment that a text begins with ends; 0 where it begins with none."""
    start = len(text) - len(text.lstrip())
    for opening, closing in _BLOCKS:
        if text.startswith(opening, start):
            end = text.find(closing, start + len(opening))
            return 0 if end < 0 else end + len(closing)
    end = start
    while _LINE_COMMENT.match(text, end):
        newline = text.find("\n", end)
        if newline < 0:
            return len(text)
        end = newline + 1
    return end if end > start else 0
