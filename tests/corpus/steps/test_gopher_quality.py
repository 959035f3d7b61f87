import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.gopher_quality import GopherQuality

PROSE = "The old man and his dog walked to the river that runs below the town. " * 10


def verdict(text: str, **fields) -> str:
    answer = GopherQuality().apply(Document(text=text, **fields))
    return answer if isinstance(answer, str) else "stays"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, "stays"),
        ("the cats and dogs have " * 10, "stays"),  # 50 words
        ("the cats and dogs have " * 9 + "been to one", "few_words"),  # 48 words
        ("a b of to " * 30, "word_length"),
        ("incomprehensibilities have " * 40, "word_length"),
        (PROSE + "# " * 20, "symbols"),
        ((PROSE.replace(".", "...") + PROSE).rstrip("\n") + "\nthe end", "stays"),
        ("the dog and cat... have that... " * 15, "symbols"),
        ("\n".join("- the cat and the dog have that" for _ in range(20)), "bullets"),
        ("\n".join("the cat and the dog have seen that with all of the others…" for _ in range(20)), "ellipses"),
        (PROSE + "12345 6789 " * 40, "not_words"),
        ("table chair window garden " * 20, "stop_words"),
    ],
)
def test_each_rule_at_its_bound(text, expected):
    assert verdict(text) == expected


def test_many_words_is_an_option():
    assert GopherQuality(max_words=100).apply(Document(text=PROSE)) == "many_words"


def test_stop_words_are_of_the_language():
    german = "Der alte Mann ging mit seinem Hund zum Fluss, der unter der Stadt liegt. " * 8
    assert verdict(german) == "stays"
    assert verdict(german, language="de") == "stays"
    assert verdict(german, language="en") == "stop_words"
    assert verdict("mtu mzee alienda mtoni pamoja mbwa wake " * 10, language="sw") == "stays"


def test_scripts_without_spaces_count_characters():
    assert verdict("今天天气很好，我们去公园散步吧。" * 10) == "stays"
    assert verdict("今天天气很好，我们去公园散步吧。" * 3) == "few_words"


def test_code_passes():
    assert verdict("{}" * 10, label="code/c") == "stays"
