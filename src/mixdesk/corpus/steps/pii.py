"""Personal data by which somebody can be reached or charged, behind placeholders."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code

# Patterns begin with a character, and look behind it after: the search then runs at the speed of one character.
_EMAIL = re.compile(
    r"[\w.%+-](?<![\w.%+-].)[\w.%+-]{0,63}@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24}))"
    r"(?![\w@-]|\.\w)(?!:[\w~/])"
)
_AT = re.compile(r"@(?<=[\w.%+-]@)[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]")
# Domains kept for examples, and what looks like one: `logo@2x.png`.
_EXAMPLE = re.compile(r"(?:^|\.)example\.(?:com|org|net)$|\.(?:example|test|invalid|localhost)$", re.IGNORECASE)
_FILES = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "json", "html", "xml", "pdf"))
_IPV4 = re.compile(r"\d(?<![\w.].)\d{0,2}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"[23](?<![\w:.].)[0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,35}(?![\w:]|\.\w)")
# Words after which four numbers are a version.
_VERSION = re.compile(r"(?:\bv|\bver|version|release|build|firmware|driver|==|>=|<=|~=|@|-)[\s:.=]*$", re.IGNORECASE)
# Four numbers all below this are a version or a section: one address in 4,096 is lost by it.
SMALL = 32
_PHONE = re.compile(
    r"[+(1-9](?<![\w+.].)(?:(?<=\+)[1-9](?:\d{9,14}"
    r"|\d{0,2}(?:[ \u00a0./-]{0,2}\(\d{1,4}\))?(?:[ \u00a0./-]{1,2}\d{2,8}){2,5})"
    r"|(?:(?<=1)[ .-]\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))\d\d\)?[ .-][2-9]\d\d[.-]\d{4})(?![\w]|[.,-]\d)"
)
_IBAN = re.compile(r"[A-Z](?<!\w.)[A-Z]\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b")
_IBAN_LENGTH = dict(
    re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 "
        "FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
        "LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 "
        "SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 ",
    )
)
_CARD = re.compile(
    r"\d(?<![\w.,+-].)(?:\d{3}([ -])\d{4}\1\d{4}\1\d{4}|(?<=3)\d{3}([ -])\d{6}\2\d{5}|\d{14,15})(?![\w]|[.,-]\d)"
)
_ISSUER = re.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|6011|65|64[4-9]|35(?:2[89]|[3-8])")
# Masking one thing can lay open another beside it; more rounds than this no text of a person takes.
ROUNDS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pii:
    """Puts `<EMAIL>`, `<IP>`, `<PHONE>`, `<IBAN>`, `<CARD>` in place of such data. No rule removes a document.

    What counts: e-mail addresses, but for domains reserved for examples (RFC 2606), file names (`logo@2x.png`) and
    addresses of repositories (`git@host:path`); public IPv4 addresses, unless a word like `version`, `v`, `==` stands
    before them or all four numbers are below 32 (so `1.2.3.4`, a version or a section, stays); global unicast IPv6
    addresses (2000::/3), but for documentation; telephone numbers in international form (`+49 170 1234567`, 8 to 15
    digits) and North American ones with separators; IBANs with the length of their country and the checksum of
    ISO 7064; payment cards of 15 or 16 digits with an issuer's prefix and Luhn's checksum.

    In code telephone and card numbers are left alone: numbers of every form stand there. Names, postal addresses,
    national numbers without `+` and addresses that people disguise ("ann at site dot org") are not found.

    Fields: `code` patterns of labels of code.
    """

    title: ClassVar[str] = "e-mail, IP, telephone, IBAN and card numbers behind placeholders"
    reference: ClassVar[str] = ""
    code: tuple[str, ...] = CODE

    def apply(self, document: Document) -> Document | str:
        """The document with placeholders."""
        made, found = self.mask(document.text, in_code=is_code(document, self.code))
        return replace(document, text=made) if found else document

    def mask(self, text: str, *, in_code: bool = False) -> tuple[str, dict[str, int]]:
        """The text with placeholders, and how many of each kind were put in."""
        found: Counter[str] = Counter()
        for _ in range(ROUNDS):
            before = found.total()
            for kind, pattern, is_one in _KINDS:
                if in_code and kind in ("PHONE", "CARD"):
                    continue
                if kind != "EMAIL" or _AT.search(text) is not None:
                    text = _masked(text, kind, pattern, is_one, found)
            if found.total() == before:
                break
        return text, dict(found)


def _masked(
    text: str, kind: str, pattern: re.Pattern[str], is_one: Callable[[re.Match[str]], bool], found: Counter[str]
) -> str:
    def place(match: re.Match[str]) -> str:
        if not is_one(match):
            return match[0]
        found[kind] += 1
        return f"<{kind}>"

    return pattern.sub(place, text)


def _is_email(match: re.Match[str]) -> bool:
    return match[2].lower() not in _FILES and _EXAMPLE.search(match[1]) is None


def _is_ipv4(match: re.Match[str]) -> bool:
    parts = match[0].split(".")
    if not SMALL <= max(map(int, parts)) <= 255 or any(len(one) > 1 and one[0] == "0" for one in parts):
        return False
    before = match.string[max(0, match.start() - 12) : match.start()]
    address = ipaddress.IPv4Address(match[0])
    return _VERSION.search(before) is None and address.is_global and not address.is_multicast


def _is_ipv6(match: re.Match[str]) -> bool:
    try:
        return ipaddress.IPv6Address(match[0]).is_global
    except ValueError:
        return False


def _is_phone(match: re.Match[str]) -> bool:
    return 8 <= sum(map(str.isdigit, match[0])) <= 15


def _is_iban(match: re.Match[str]) -> bool:
    bare = match[0].replace(" ", "")
    if str(len(bare)) != _IBAN_LENGTH.get(bare[:2]):
        return False
    return int("".join(str(int(one, 36)) for one in bare[4:] + bare[:4])) % 97 == 1


def _is_card(match: re.Match[str]) -> bool:
    digits = [int(one) for one in match[0] if one.isdigit()]
    doubled = [2 * one - 9 * (one > 4) for one in digits[-2::-2]]
    return _ISSUER.match("".join(map(str, digits))) is not None and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


# In the order they are looked for: what has a checksum before what has only a form.
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    ("EMAIL", _EMAIL, _is_email),
    ("IBAN", _IBAN, _is_iban),
    ("CARD", _CARD, _is_card),
    ("IP", _IPV6, _is_ipv6),
    ("IP", _IPV4, _is_ipv4),
    ("PHONE", _PHONE, _is_phone),
)
