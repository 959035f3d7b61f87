import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.c4 import C4

KEPT = "The first line has five words.\nHere is yet another sentence!\nAnd do you like this?"
OFF = {"terminal": False, "min_words": 0, "min_sentences": 0, "curly": False}


def clean(text: str, label: str | None = None, **options) -> str:
    answer = C4(**options).apply(Document(text=text, label=label))
    return answer if isinstance(answer, str) else answer.text


@pytest.mark.parametrize(
    "line",
    [
        "A line without an end mark",
        "Only four words here.",
        "Please enable JavaScript to see this page.",
        "This site uses cookies to make it better.",
        "By going on you accept our Terms of Use.",
        "See the word " + "x" * 1001 + " in here.",
    ],
)
def test_lines_that_go(line):
    assert clean(f"{KEPT}\n{line}\nThe last line has words too.") == f"{KEPT}\nThe last line has words too."


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (KEPT + "\nint main() { return 0; }", "curly"),
        (KEPT + "\nLorem ipsum dolor sit amet is here.", "lorem_ipsum"),
        ("Only one sentence is in here.\nAnd a second one is here.", "few_sentences"),
        ("Menu\nHome\nAbout", "empty"),
        ("", "empty"),
    ],
)
def test_pages_that_go(text, rule):
    assert clean(text) == rule


def test_marks_of_citation_go_but_not_other_brackets():
    assert clean("So it was[1] in [2] the old days[citation needed] of a[i] and x[12 + 1].", **OFF) == (
        "So it was in  the old days of a[i] and x[12 + 1]."
    )


def test_rules_can_be_left_out():
    text = "# Heading\n\n| a | b |\n{curly}\n" + KEPT
    assert clean(text) == "curly"
    assert clean(text, **OFF) == text
    assert clean("Please enable JavaScript.\nText", **OFF) == "Text"


def test_a_long_text_about_cookies_stays():
    line = "The law says when a site that uses cookies has to ask, " + "and it says so at length " * 10 + "to all."
    assert line in clean(f"{KEPT}\n{line}")


def test_other_scripts_have_their_own_marks():
    text = "今天天气很好。\n我们去公园散步。\n你要来吗？\n没有标点"
    assert clean(text) == "今天天气很好。\n我们去公园散步。\n你要来吗？"
    assert clean("यह एक लंबा वाक्य है जो समाप्त होता है।\n" * 3).count("।") == 3


def test_code_passes():
    assert clean("x = {1: 2}", label="code/python") == "x = {1: 2}"
