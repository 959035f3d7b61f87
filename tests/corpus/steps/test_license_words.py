import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.licenses import FAMILIES, WORDS, tier
from mixdesk.corpus.steps.license_words import RULES, LicenseWords

BODY = "The river rose in spring, and the mill stood still for a week. " * 30


def found(text: str, **fields) -> str | None:
    return LicenseWords().apply(Document(text=text, **fields)).license


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        # permissive
        ("This work is in the public domain.", "permissive"),
        ("Released under CC0.", "permissive"),
        ("CC-0, no rights kept", "permissive"),
        ("See https://creativecommons.org/publicdomain/zero/1.0/", "permissive"),
        ("# SPDX-License-Identifier: Apache-2.0", "permissive"),
        ("/* SPDX-License-Identifier: MIT OR GPL-2.0-only */", "permissive"),
        ("We dedicate it to the public domain", "permissive"),
        (
            "/* Copyright 2020 A\n *\n * Permission is hereby\n * granted, free of charge, to any person */",
            "permissive",
        ),
        ("# Copyright 2020 A\n#\n# Licensed under the Apache License, Version 2.0", "permissive"),
        # attribution
        ("Text under CC BY 4.0.", "attribution"),
        ("Licensed under Creative Commons Attribution 3.0", "attribution"),
        ("https://creativecommons.org/licenses/by/4.0/", "attribution"),
        ("cc-by", "attribution"),
        ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->", "attribution"),
        # copyleft
        ("CC BY-SA 3.0", "copyleft"),
        ("Creative Commons Attribution-ShareAlike", "copyleft"),
        ("https://creativecommons.org/licenses/by-sa/4.0/", "copyleft"),
        ("// SPDX-License-Identifier: GPL-3.0-or-later", "copyleft"),
        ("(c) 2020 A. Under the terms of the GNU Lesser General\n// Public License", "copyleft"),
        # restricted
        ("CC BY-NC 4.0", "restricted"),
        ("CC BY-NC-SA, share alike", "restricted"),
        ("CC BY-ND", "restricted"),
        ("For non-commercial use.", "restricted"),
        ("Copyright 2019 A. Writer", "restricted"),
        ("© 2020 Somebody", "restricted"),
        ("All rights reserved.", "restricted"),
        ("This text may not be reproduced.", "restricted"),
        ("Creative Commons BY 4.0, but copying is prohibited", "restricted"),
        # unclear
        ("A story of a river.", "unclear"),
        ("Some Creative Commons licence or other", "unclear"),
        ("Photos: CC BY 4.0", "unclear"),
        ("Music under Creative Commons Attribution", "unclear"),
        ("# SPDX-License-Identifier: My-Own-1.0", "unclear"),
        ("", "unclear"),
    ],
)
@pytest.mark.parametrize("place", ["head", "tail"])
def test_short_texts_of_each_tier(head, expected, place):
    text = f"{head}\n{BODY}" if place == "head" else f"{BODY}\n{head}"
    assert tier(found(text)) == expected


def test_words_in_the_middle_are_not_read():
    assert found(f"{BODY}CC BY 4.0{BODY}") is None


def test_metadata_goes_before_text():
    assert found("All rights reserved.", license="CC0-1.0") == "CC0-1.0"
    assert found("CC BY 4.0", license="LicenseRef-own") == "LicenseRef-own"
    assert found("CC BY 4.0", license="unknown") == "LicenseRef-words-cc-by"


def test_the_rule_is_the_evidence():
    assert found("Text under CC BY-SA 4.0.") == "LicenseRef-words-cc-by-sa"
    assert found("For non-commercial use.") == "LicenseRef-words-restricted"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.nasa.gov/x", "attribution"),
        ("https://x.gov.uk/", "attribution"),
        ("https://ec.europa.eu/y", "attribution"),
        ("https://go.jp.example.net/", "restricted"),
        ("https://notgov.org/", "restricted"),
        ("http://[", "restricted"),
    ],
)
def test_governments_publish_for_all(url, expected):
    assert tier(found(f"Copyright 2020\n{BODY}", url=url)) == expected
    assert tier(found(f"CC BY-NC\n{BODY}", url=url)) == "restricted"


def test_every_rule_has_a_tier():
    assert {f"{WORDS}{rule}" for rule in ("government", *(rule for rule, _ in RULES))} == {
        name for name in FAMILIES if name.startswith(WORDS)
    }
