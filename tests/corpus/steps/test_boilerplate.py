import importlib.util
from pathlib import Path

import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.boilerplate import Boilerplate

PROSE = "It was the best of times, and in the town there was a man who had a dog."


def clean(text: str, **fields) -> str:
    answer = Boilerplate().apply(Document(text=text, **fields))
    return answer if isinstance(answer, str) else answer.text


@pytest.mark.parametrize(
    "line",
    [
        "Home",
        "  Read more ",
        "Skip to main content",
        "Share on Facebook",
        "Home | About us | Products",
        "Startseite · Über uns · Kontakt",
        "Copyright © 2019 The Company. All rights reserved.",
        "© 2020 Somebody",
        "(c) 2011 ACME, all rights reserved",
    ],
)
def test_menus_and_legal_lines_go(line):
    assert clean(f"{PROSE}\n{line}\n{PROSE}") == f"{PROSE}\n{PROSE}"


@pytest.mark.parametrize(
    "line",
    [
        "At home he read more than she did.",
        "# About",
        "| Name | Age | Town |",
        "a | b | c",
        "Copyright law was changed in many ways, as the court had said.",
        "$x^2 + y^2 = z^2$",
        "-----",
        "* * *",
        "    [1, 2]: (3, 4)",
        "“Oh!” – “No?!”",
        "1. 2. 3. !!!",
        "Contents > Chapter 1 > Part 2",
    ],
)
def test_what_text_is_made_of_stays(line):
    text = f"{PROSE}\n{line}\n{PROSE}"
    assert clean(text) == text


def test_junk_lines_go_where_their_window_is_suspect():
    junk = "»»» ★★★ !!! ••• ,,, ???"
    text = "\n".join([junk, "names of places"] * 12)
    assert clean(text, language="en") == "\n".join(["names of places"] * 12)
    assert junk in clean("\n".join([PROSE] * 8 + [junk] + [PROSE] * 8), language="en")
    assert clean(text, language="sw") == text


def test_nothing_left_is_a_rule():
    assert clean("Home\nAbout\n") == "empty"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Copyright 2020 A\n# Licensed under MIT\n\nx = 1\n", "x = 1\n"),
        ("#!/bin/sh\n# Copyright 2020 A\nls\n", "#!/bin/sh\nls\n"),
        ("/* Copyright 2020 A */\n// SPDX-License-Identifier: MIT\nint x;\n", "int x;\n"),
        ("# What this file does.\nx = 1  # copyright\n", "# What this file does.\nx = 1  # copyright\n"),
        ("#include <license.h>\n/* copyright */\n", "#include <license.h>\n/* copyright */\n"),
        ("/* Copyright without an end\nint x;\n", "/* Copyright without an end\nint x;\n"),
        ("Home\nx | y | z\n", "Home\nx | y | z\n"),
        ("// Copyright 2020", "empty"),
    ],
)
def test_of_code_only_the_header_on_its_licence_goes(text, expected):
    assert clean(text, label="code/x") == expected


def test_code_of_the_standard_library_still_compiles_to_the_same():
    folder = Path(importlib.util.find_spec("email").origin).parent
    changed = 0
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        made = clean(text, label="code/python")
        changed += made != text
        assert text.endswith(made[made.index("\n") + 1 :])
        compile(made, str(path), "exec")
    assert changed >= 10
