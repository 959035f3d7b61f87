import random

import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.gopher_repetition import AGAIN, GopherRepetition


def verdict(text: str, label: str | None = None) -> str:
    answer = GopherRepetition().apply(Document(text=text, label=label))
    return answer if isinstance(answer, str) else "stays"


def words(n: int, seed: int = 0) -> list[str]:
    """Distinct words of six letters."""
    return ["".join(random.Random(seed * 10_000 + i).choices("abcdefghijklmnopqrstuvwxyz", k=6)) for i in range(n)]


def again_by_hand(text: list[str], n: int) -> float:
    """Share of the characters that lie in n-grams that were there before."""
    seen, covered = set(), set()
    for i in range(len(text) - n + 1):
        gram = tuple(text[i : i + n])
        if gram in seen:
            covered.update(range(i, i + n))
        seen.add(gram)
    return sum(len(text[i]) for i in covered) / sum(map(len, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n".join(words(10)), "stays"),
        ("\n".join(words(10) + words(1)), "stays"),  # 1 of 11 lines
        ("\n".join(words(10) + words(3)), "line_characters"),  # 3 of 13 lines, 23 % of lines and characters
        ("\n".join(words(10) + ["x"] * 7), "lines"),
        ("\n\n".join("\n".join(words(3, i)) for i in (0, 1, 2, 0)), "line_characters"),
        (" ".join(words(40) + ["the cat"] * 2), "stays"),
        (" ".join(words(20) + ["the cat"] * 5), "top_3"),  # "the cat the" four times
        (" ".join([f"{one} the cat" for one in words(20)]), "top_2"),
        (" ".join([f"{one} {two} {three} the big cat" for one, two, three in zip(*[iter(words(60))] * 3, strict=True)]),
         "top_2"),
    ],
)  # fmt: skip
def test_rules(text, expected):
    assert verdict(text) == expected


def test_duplicate_ngrams_agree_with_counting_by_hand():
    rng = random.Random(5)
    n_gone = 0
    for _ in range(200):
        text = words(rng.randint(5, 60), rng.randint(0, 9))
        for _ in range(rng.randint(0, 3)):
            start, length = rng.randrange(len(text)), rng.randint(4, 14)
            at = rng.randrange(len(text))
            text[at:at] = text[start : start + length]
        expected = next((f"again_{n}" for n in AGAIN if again_by_hand(text, n) > AGAIN[n]), "stays")
        found = verdict(" ".join(text))
        assert found == expected or found.startswith("top_")
        n_gone += found.startswith("again_")
    assert n_gone > 20


def test_scripts_without_spaces_keep_the_rules_on_lines():
    assert verdict("今天天气很好。" * 40) == "stays"
    assert verdict("今天天气很好。\n" * 40) == "lines"


def test_code_passes():
    assert verdict("}\n" * 100, label="code/c") == "stays"
