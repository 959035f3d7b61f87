"""A licence read in a document's first and last words, where its source states none."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit

from mixdesk.core.corpus import Document
from mixdesk.corpus.licenses import NOTHING, WORDS, normalise

# Characters of the head and of the tail that are read: MixtureVitae's are about 100, headers of code are longer.
N_READ = 400
_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n*]{1,120}?)[ \t]*(?:\*/|-->|\n|$)")
_WORDS = (
    ("restricted", r"\bby[- ](?:nc|nd)\b|\bnc[- ](?:sa|nd)\b|non-?commercial|no[- ]?derivative|personal use only"
                   r"|may not be (?:copied|reproduced|redistributed)|copying (?:is )?prohibit|not for redistribution"),
    ("cc-by-sa", r"\b(?:cc|creative commons)[ -]*(?:by|attribution)[ -]*(?:sa\b|share-?alike)"
                 r"|creativecommons\.org/licenses/by-sa\b"),
    ("cc-by", r"\b(?:cc|creative commons)[ -]*(?:by|attribution)\b|creativecommons\.org/licenses/by/"),
    ("public-domain", r"\bcc[- ]?0\b|\bcc zero\b|\b(?:in|into|to) the public domain\b|\bpublic domain (?:work|mark|ded)"
                      r"|creativecommons\.org/publicdomain"),
    ("creative-commons", r"\bcreative commons\b"),
    ("gnu", r"\bgnu\W+(?:lesser\W+|affero\W+|library\W+)?general\W+public\W+licen[cs]e"),
    ("permissive", r"permission\W+is\W+hereby\W+granted,\W+free\W+of\W+charge"
                   r"|redistribution\W+and\W+use\W+in\W+source\W+and\W+binary\W+forms"
                   r"|permission\W+to\W+use,\W+copy,\W+modify,?\W+and(?:/or)?\W+distribute"
                   r"|licensed\W+under\W+the\W+(?:apache|mit|bsd|isc)\b"),
    ("reserved", r"\b(?:all )?rights reserved\b|\bcopyright (?:©|\(c\)|\d{4})|©\s*(?:copyright )?\d{4}"),
)  # fmt: skip
# Rule → its words, in the order they are tried.
RULES = tuple((rule, re.compile(pattern, re.IGNORECASE)) for rule, pattern in _WORDS)
# Words by which the licence is that of something else in the document.
_OF_OTHERS = re.compile(
    r"\b(?:photos?|photographs?|images?|pictures?|illustrations?|music|songs?|videos?|logos?|icons?|fonts?)\b",
    re.IGNORECASE,
)
_NEAR = 40
_GOVERNMENT = re.compile(
    r"(?:^|\.)(?:gov|mil|int|europa\.eu|bund\.de|gov\.[a-z]{2}|go\.(?:jp|kr|th|id)|gob\.[a-z]{2}|gouv\.fr|gc\.ca"
    r"|govt\.nz|admin\.ch)$"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseWords:
    """Fills a document's `license` from its own words, and says which rule did: metadata goes before text.

    Where the source states a licence nothing is read. Else, in the first and last 400 characters: an
    `SPDX-License-Identifier` is taken as it stands. Words give `LicenseRef-words-<rule>`, the first of: `restricted`
    (non-commercial, no derivatives, copying prohibited), `cc-by-sa`, `cc-by`, `public-domain`, `creative-commons`
    (no variant named: unclear), `gnu`, `permissive` (the opening words of the MIT, BSD, ISC and Apache licences),
    `reserved` (a copyright line, rights reserved). A government's web address gives
    `government` where the words say nothing, or only that rights are reserved. So the evidence stays with each
    document and in a domain's counts, apart from what sources state, and `corpus/licenses.py` knows the rules' tiers.

    After MixtureVitae's curation code, what we do differently: nothing is removed here, for whether a tier may be used
    is a constraint of the search; words within 40 characters of photos, music and the like are no licence of the
    text; texts without any such words stay without a licence (unclear). String rules err both ways: a text *about*
    Creative Commons may be taken for one under it.

    Reference: mixturevitae.
    """

    title: ClassVar[str] = "licence from the words of head and tail, with the rule as evidence"
    reference: ClassVar[str] = "mixturevitae"

    def apply(self, document: Document) -> Document | str:
        """The document with the licence that its words name."""
        if document.license is not None and normalise(document.license) != NOTHING:
            return document
        found = _license(document)
        return document if found is None else replace(document, license=found)


def _license(document: Document) -> str | None:
    text = document.text
    window = text if len(text) <= 2 * N_READ else f"{text[:N_READ]}\n{text[-N_READ:]}"
    stated = _SPDX.search(window)
    if stated is not None:
        return normalise(stated[1])
    rule = next((rule for rule, pattern in RULES if _speaks(pattern, window)), None)
    if rule in (None, "reserved") and _is_government(document.url):
        rule = "government"
    return None if rule is None else f"{WORDS}{rule}"


def _speaks(pattern: re.Pattern[str], window: str) -> bool:
    """Whether the pattern is met, and not beside words on photos, music and the like."""
    for match in pattern.finditer(window):
        around = window[max(0, match.start() - _NEAR) : match.end() + _NEAR]
        if _OF_OTHERS.search(around) is None:
            return True
    return False


def _is_government(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return _GOVERNMENT.search(host) is not None
