"""Every cleaning step: pure, picklable, done once for all, and never upset by a text."""

import inspect
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.plan import Plug
from mixdesk.corpus.steps import CLEAN, PARTS

NAMES = registry.names("steps")
# Every step as its paper has it, and as the pipeline has it.
STEPS = [(name, {}) for name in NAMES] + [(name, options) for name, options in CLEAN.items() if options]
LABELS = (None, "web", "code/python")
TEXTS = {
    "empty": "",
    "blanks": " \n\t\n ",
    "one word": "word",
    "huge line": "ab " * 70_000,
    "huge word": "a" * 200_000,
    "huge brackets": "[" * 50_000 + "1" + "]" * 50_000,
    "huge numbers": "1.2.3.4 +49 170 1234567 " * 5_000,
    "huge dots": "." * 200_000 + "x",
    "huge blanks": "x" + " " * 200_000 + "x" + "\n \t" * 50_000 + "x",
    "huge comment": "/* copyright " + "* " * 100_000,
    "huge signs": "«»" * 100_000 + "\n" * 1_000,
    "huge at": "a@" * 50_000,
    "huge lines": "»»» ★ !!!\n" * 10_000,
    "controls": "".join(map(chr, range(160))) * 20,
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 é ﷽ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 " * 50,
    "ends of lines": "a\r\nb\rc\u2028d\x85e\x0cf\n",
    "right to left": "\u202eמה שלום\u202c " * 30,
    "Chinese": "今天天气很好，我们去公园散步。\n" * 30,
    "mojibake": "âœ” No problems, cafÃ© â€œquotedâ€\x9d\n" * 20,
    "NUL": "\0" * 1_000,
    "citations": "A [1[2]3] b [[4]] c [5][6]7] d [edit]. [citation needed]\n" * 30,
    "personal": "ann@site.org+49 170 1234567foo@bar.com <a@b.co>8.8.8.88 DE89 3704 0044 0532 0130 00\n" * 30,
    "licences": "/* Copyright 2020 A */\n\n// Licensed under MIT\n# SPDX-License-Identifier: (MIT OR\nx = 1\n",
    "menus": "Home | About | Contact\nRead more\n© 2020 Us. All rights reserved.\nReal text of it.\n" * 20,
}  # fmt: skip


def document(text: str, label: str | None) -> Document:
    return Document(text=text, label=label, url="http://[", language=None)


def made(step, one: Document) -> Document | str:
    """What a step says, after the checks that hold for every answer."""
    before = replace(one)
    answer = step.apply(one)
    assert one == before
    assert step.apply(one) == answer
    if isinstance(answer, str):
        assert answer.isidentifier()
        assert f"`{answer}`" in inspect.getdoc(type(step)) or answer in ("again_6", "again_7", "again_8", "again_9")
        return answer
    answer.text.encode("utf-8")

    again = step.apply(answer)
    assert isinstance(again, str) or again == answer
    return answer


def make(name: str, options: dict):
    return registry.make("steps", Plug(name=name, options=tuple(options.items())))


@pytest.mark.parametrize(("name", "options"), STEPS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("kind", TEXTS)
def test_no_text_upsets_a_step(name, options, kind):
    step = make(name, options)
    for label in LABELS:
        made(step, document(TEXTS[kind], label))


@pytest.mark.parametrize(("name", "options"), STEPS, ids=lambda value: str(value)[:30])
def test_any_text_is_cleaned_once(name, options):
    step = make(name, options)
    pieces = st.sampled_from(
        ["\n", " ", "[1]", "[", "]", "1", "a@b.org", "+49 170 1234567", "8.8.4.40", "Home", "|", "About", "the", "...",
         "Ã©", "â€œ", "\x1b[0m", "//", "# Copyright 2020\n", "/*", "*/", "!!!", "★★★", "word", "e\u0301", "{", "«", "."]
    )  # fmt: skip

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=30).map("".join)), st.sampled_from(LABELS))
    def check(text, label):
        if text.encode("utf-8", "ignore").decode() == text:
            made(step, document(text, label))

    check()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_goes_to_another_process(name):
    step = make(name, {})
    one = document(Path(inspect.getfile(inspect)).read_text(encoding="utf-8")[:20_000], "web")
    answer = step.apply(one)
    assert pickle.loads(pickle.dumps(step)).apply(one) == answer


def test_the_pipeline_names_steps_that_there_are():
    assert set(CLEAN) <= set(PARTS)
    one = document(inspect.cleandoc(
        """The bridge over the river was built in the spring, when the water is low and the days are long enough.
        # What it cost
        Nobody had asked for it, but everyone who lived on the other side was glad that it was there at last.
        - The carpenter, who had given the wood, walked over it every evening with his two dogs.
        In winter they put salt on the boards {and sand}; children were told to keep to the middle of the way."""
    ), "web")  # fmt: skip
    for name, options in CLEAN.items():
        one = make(name, options).apply(one)
        assert isinstance(one, Document), (name, one)
    assert one.language == "en"
