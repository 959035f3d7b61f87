"""Licences: what people write as an SPDX expression, and the legal risk of it as one of five tiers.

    permissive   public domain, and licences that ask for no more than their notice: CC0, MIT, BSD, Apache-2.0, …
    attribution  licences of works and data whose condition is naming the source: CC-BY, ODC-By, OGL, …
    copyleft     what is made of it must be shared alike: CC-BY-SA, GFDL, ODbL, GPL, LGPL, MPL, …
    unclear      no licence, one that is not known, or words too vague to tell
    restricted   non-commercial, no derivatives, source-available, proprietary, all rights reserved

The order is that of risk. AND takes the worse side, OR the better one (the user may choose), WITH the licence's own
tier unless the exception is unknown or takes rights away. The category of an SPDX licence is the one that ScanCode's
licence database gives it (in the package `license-expression`); the table below adds families without a version,
attribution, and claims that were read in the text. These are statements about what sources claim, no clearance and no
legal advice.

Reference: mixturevitae, whose three risk tiers of sources these five replace: its tier 1 is permissive and
attribution, its tier 2 copyleft, its tier 3 unclear; what it excludes is restricted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from license_expression import get_license_index, get_spdx_licensing

from mixdesk.core.corpus import Corpus, Domain

# By risk, the least first.
TIERS = ("permissive", "attribution", "copyleft", "unclear", "restricted")
NOTHING = "NOASSERTION"
# Licences that a step read in a document's text: `LicenseRef-words-<rule>`.
WORDS = "LicenseRef-words-"
# Characters of what can still be an expression; what is longer is a licence's text.
LONGEST = 500

# ScanCode's category → tier. "CLA", "Patent License" and "Unstated License" say nothing on the text: unclear.
CATEGORIES = {
    "Public Domain": "permissive",
    "Permissive": "permissive",
    "Copyleft": "copyleft",
    "Copyleft Limited": "copyleft",
    "Proprietary Free": "restricted",
    "Free Restricted": "restricted",
    "Source-available": "restricted",
    "Commercial": "restricted",
}
# SPDX has no id for these: families every version of which has one tier, and claims in words.
FAMILIES = {
    "LicenseRef-BSD": "permissive",
    "LicenseRef-Apache-any": "permissive",
    "LicenseRef-public-domain": "permissive",
    "LicenseRef-CC-BY": "attribution",
    "LicenseRef-CC-BY-SA": "copyleft",
    "LicenseRef-CC-BY-NC": "restricted",
    "LicenseRef-CC-BY-ND": "restricted",
    "LicenseRef-CC-BY-NC-SA": "restricted",
    "LicenseRef-CC-BY-NC-ND": "restricted",
    "LicenseRef-all-rights-reserved": "restricted",
    WORDS + "public-domain": "permissive",
    WORDS + "permissive": "permissive",
    WORDS + "cc-by": "attribution",
    WORDS + "government": "attribution",
    WORDS + "cc-by-sa": "copyleft",
    WORDS + "gnu": "copyleft",
    WORDS + "creative-commons": "unclear",
    WORDS + "reserved": "restricted",
    WORDS + "restricted": "restricted",
}
_ATTRIBUTION = re.compile(r"(CC-BY-\d|ODC-By|OGL-|OGC-|etalab|NLOD-|DL-DE-BY|OGDL-|CDLA-Permissive-1)")
# Whole names as people write them, in the form of `_plain`, → SPDX id.
_ALIASES = {
    "mit": "MIT", "expat": "MIT", "mit x11": "MIT", "mit expat": "MIT", "mit mit": "MIT",
    "apache": "LicenseRef-Apache-any", "asl 2.0": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache2": "Apache-2.0", "apache2.0": "Apache-2.0", "apache software 2.0": "Apache-2.0",
    "apache software": "LicenseRef-Apache-any", "apache 1.1": "Apache-1.1", "bsd": "LicenseRef-BSD",
    "bsd 2": "BSD-2-Clause", "bsd 2 clause": "BSD-2-Clause", "2 clause bsd": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause", "freebsd": "BSD-2-Clause", "bsd 3": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause", "3 clause bsd": "BSD-3-Clause", "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause", "revised bsd": "BSD-3-Clause", "bsd new": "BSD-3-Clause", "0bsd": "0BSD",
    "isc": "ISC", "iscl": "ISC", "zlib": "Zlib", "boost": "BSL-1.0", "boost software 1.0": "BSL-1.0",
    "unlicense": "Unlicense", "wtfpl": "WTFPL", "psf": "PSF-2.0", "psfl": "PSF-2.0",
    "python software foundation": "PSF-2.0", "mpl 2": "MPL-2.0", "mpl 2.0": "MPL-2.0", "mozilla 2.0": "MPL-2.0",
    "mpl2.0": "MPL-2.0", "eclipse 2.0": "EPL-2.0", "epl 2.0": "EPL-2.0",
    "cc0": "CC0-1.0", "cc 0": "CC0-1.0", "cc zero": "CC0-1.0", "cc0 1.0": "CC0-1.0", "cc0 1.0 universal": "CC0-1.0",
    "public domain": "LicenseRef-public-domain", "pd": "LicenseRef-public-domain", "pddl": "PDDL-1.0",
    "odc by": "ODC-By-1.0", "odbl": "ODbL-1.0", "open database": "ODbL-1.0", "ogl": "LicenseRef-OGL",
    "open government 3.0": "OGL-UK-3.0",
    "all rights reserved": "LicenseRef-all-rights-reserved", "proprietary": "LicenseRef-all-rights-reserved",
    "copyrighted": "LicenseRef-all-rights-reserved",
    "": NOTHING, "other": NOTHING, "unknown": NOTHING, "none": NOTHING, "n a": NOTHING, "noassertion": NOTHING,
    "null": NOTHING, "no": NOTHING, "see file": NOTHING, "custom": NOTHING,
}  # fmt: skip
_GNU_OLDEST = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "1.0", "GFDL": "1.1"}
_SHORT = (
    ("affero general public", "agpl"), ("lesser general public", "lgpl"), ("library general public", "lgpl"),
    ("general public", "gpl"), ("free documentation", "gfdl"), ("gnu fdl", "gfdl"), ("creative commons", "cc"),
    ("attribution", "by"), ("non commercial", "nc"), ("noncommercial", "nc"), ("no derivatives", "nd"),
    ("no derivs", "nd"), ("noderivatives", "nd"), ("noderivs", "nd"), ("share alike", "sa"), ("sharealike", "sa"),
)  # fmt: skip
_GNU = re.compile(
    r"(?:gnu )?(l?gpl|agpl|gfdl) ?v? ?(\d(?:\.\d)?)?(?: ?only| ?(\+|or later|or newer|or any later|and later))?"
)
_CC = re.compile(r"cc((?: (?:by|nc|nd|sa))+)(?: (\d(?:\.\d)?))?(?: ([a-z]{2,3}))?")
_CC_URL = re.compile(r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)(?:/(\d\.\d))?.*")
_FILLER = re.compile(r"\b(?:the|licen[cs]es?|version|international|unported|generic|deed|v(?= ?\d))\b|\bv(?=\d)")
_SPLIT = re.compile(r"(\s+(?:AND|OR|WITH)\s+|[()])", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9.+-]+")


@lru_cache(maxsize=1)
def _spdx() -> Any:
    return get_spdx_licensing()


@lru_cache(maxsize=1)
def _categories() -> dict[str, str]:
    return {one["spdx_license_key"]: one["category"] for one in get_license_index() if one.get("spdx_license_key")}


@lru_cache(maxsize=4096)
def normalise(expression: str | None) -> str:
    """The SPDX expression of what somebody wrote, by licence ids in their own spelling, sorted and without repeats.

    Names and versions that people use in place of ids ("Apache 2.0", "GPLv2+", "CC BY-SA 4.0", "BSD", licence URLs of
    Creative Commons, Python's classifiers) are known; a family without a version stays `LicenseRef-<family>`, a name
    that is not known `LicenseRef-<name>`, nothing at all `NOASSERTION`: nothing is guessed. A bare GNU version means
    that version only, as SPDX reads its old ids, and a GNU licence without one any version, as the licence itself says.

    >>> normalise("Apache 2.0"), normalise("GPLv2+"), normalise("mit or foo bar")
    ('Apache-2.0', 'GPL-2.0-or-later', 'LicenseRef-mit-or-foo-bar')
    """
    text = " ".join((expression or "").split())
    if len(text) > LONGEST:
        return _reference(text)
    whole = _name(text)
    if whole is not None:
        return whole
    parts = _SPLIT.split(text)
    names = [_name(part.strip()) if i % 2 == 0 and part.strip() else None for i, part in enumerate(parts)]
    known = all(name or not part.strip() or i % 2 for i, (name, part) in enumerate(zip(names, parts, strict=True)))
    operators = [part.strip() for part in parts[1::2] if part.strip() not in "()"]
    if not known and not all(one.isupper() for one in operators):
        return _reference(text)
    joined = "".join(
        part.upper() if i % 2 else (names[i] or _reference(part)) if part.strip() else part
        for i, part in enumerate(parts)
    )
    try:
        return str(_spdx().parse(joined).simplify())
    except Exception:  # on malformed input the parser raises IndexError and TypeError too
        return _reference(text)


@lru_cache(maxsize=4096)
def explain(expression: str | None) -> tuple[tuple[str, str, str], ...]:
    """The evidence of a tier: for each licence of the expression its id, its tier, and where the tier is from."""
    parsed = _spdx().parse(normalise(expression))
    return tuple(dict.fromkeys((one.key, *_tier_of(one.key)) for one in _spdx().license_symbols(parsed)))


@lru_cache(maxsize=4096)
def tier(expression: str | None) -> str:
    """The tier of a licence expression, one of `TIERS`.

    >>> tier("MIT OR GPL-3.0-only"), tier("MIT AND CC-BY-SA-4.0"), tier("whatever"), tier("CC BY-NC 4.0")
    ('permissive', 'copyleft', 'unclear', 'restricted')
    """
    return TIERS[_rank(_spdx().parse(normalise(expression)))]


def tiers(corpus: Corpus) -> dict[str, str]:
    """Domain → tier, as `Constraints.tiers` takes it: the worst tier of any licence in the domain's training text.

    One document in a thousand decides, for a mixture draws from all of them: split a domain of several tiers by
    `by_license`. Tokens of which no licence is stated are unclear.
    """
    return {domain.name: TIERS[max(map(TIERS.index, _found(domain)))] for domain in corpus.domains}


def _found(domain: Domain) -> set[str]:
    """The tiers of a domain's licences, with unclear where they do not cover all of its tokens."""
    found = {tier(name) for name, n_tokens in domain.licenses if n_tokens}
    stated = sum(n_tokens for _, n_tokens in domain.licenses)
    return found if found and stated >= (domain.n_tokens or 0) else found | {"unclear"}


def _rank(node: Any) -> int:
    """The place in TIERS of a parsed expression."""
    if node.__class__.__name__ in ("AND", "OR"):
        ranks = [_rank(one) for one in node.args]
        return max(ranks) if node.__class__.__name__ == "AND" else min(ranks)
    if hasattr(node, "license_symbol"):
        exception = TIERS.index(_tier_of(node.exception_symbol.key)[0])
        return max(_rank(node.license_symbol), exception if exception >= TIERS.index("unclear") else 0)
    return TIERS.index(_tier_of(node.key)[0])


def _tier_of(key: str) -> tuple[str, str]:
    """The tier of one licence id, and where it is from."""
    if key in FAMILIES:
        return FAMILIES[key], "words in the text" if key.startswith(WORDS) else "every version of the family"
    if _ATTRIBUTION.match(key):
        return "attribution", "the licence's condition is to name the source"
    category = _categories().get(key)
    if category is None:
        return "unclear", "not a known licence"
    return CATEGORIES.get(category, "unclear"), f"ScanCode's category {category}"


def _reference(text: str) -> str:
    """A LicenseRef for a name that is not known; NOASSERTION where nothing is left of it."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60].strip("-.")
    return f"LicenseRef-{slug}" if slug else NOTHING


def _name(text: str) -> str | None:
    """The id of one licence's name; None where it is not known."""
    if _ID.fullmatch(text) and text.upper() not in ("AND", "OR", "WITH"):
        if text.startswith("LicenseRef-"):
            return text
        found = _spdx().parse(text)
        if not _spdx().unknown_license_keys(found):
            return str(found)
    url = _CC_URL.fullmatch(text.lower())
    if url is not None:
        kind, name, version = url.groups()
        if kind == "publicdomain":
            return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}.get(name)
        return _creative_commons(f"cc {name.replace('-', ' ')} {version or ''}".strip())
    plain = _plain(text)
    found = _ALIASES.get(plain) or _creative_commons(plain) or _gnu(plain)
    twice = re.fullmatch(r"([^()]+) \(([^()]+)\)", text)
    if found is None and twice is not None and _name(twice[1]) is not None:
        return _name(twice[2])
    return found


def _plain(text: str) -> str:
    """A licence's name in small letters, without punctuation and the words that all of them have."""
    text = text.rsplit("::", 1)[-1].casefold().replace("licence", "license")
    text = re.sub(r"[-_/,()\"']+", " ", text)
    for words, short in _SHORT:
        text = text.replace(words, short)
    return " ".join(_FILLER.sub(" ", text).split()).rstrip(".")


def _creative_commons(plain: str) -> str | None:
    found = _CC.fullmatch(plain)
    if found is None:
        return None
    words, version, country = found.groups()
    order = "-".join(("BY", *(one.upper() for one in ("nc", "nd", "sa") if one in words.split())))
    version = version if version is None or "." in version else f"{version}.0"
    for made in (f"CC-{order}-{version}-{(country or '').upper()}", f"CC-{order}-{version}"):
        if made in _categories():
            return made
    return f"LicenseRef-CC-{order}"


def _gnu(plain: str) -> str | None:
    found = _GNU.fullmatch(plain)
    if found is None:
        return None
    family, version, after = found.groups()
    family = family.upper()
    if version is None:
        return f"{family}-{_GNU_OLDEST[family]}-or-later"
    made = f"{family}-{version if '.' in version else version + '.0'}-{'or-later' if after else 'only'}"
    return made if made in _categories() else None
