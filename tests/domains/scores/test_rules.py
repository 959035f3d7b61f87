"""Rules as one number: whole where all are kept, less for each that is broken, by how much."""

import pytest

from mixdesk.core.corpus import Document
from mixdesk.domains.scores.rules import LIMITS, Rules, signals

PROSE = (
    "The boat went down the river with all that we have, and nobody was to be seen of those who had come. "
    "It had rained for nine days; the water was high, brown and quick, and it took whole trees along. "
    "Near the mill a man stood on the bank, waving a lamp that gave hardly any light in the fog. "
)


def score(text):
    return float(Rules().score([Document(text=text)])[0])


def test_prose_keeps_every_rule():
    assert score(PROSE) == 1.0


@pytest.mark.parametrize(
    "worse",
    [
        PROSE[:60],
        PROSE.replace(" ", "# "),
        PROSE.replace(" ", "... "),
        "\n".join("- " + line for line in PROSE.split(". ")),
        "\n".join([PROSE] * 4),
        "a b " * 200,
        "0101 " * 100 + PROSE,
        "Wasser und Brot, " * 3 + "nichts sonst gab es damals auf den Bergen. " * 4,
        "x" * 400,
        "",
    ],
)
def test_a_broken_rule_costs(worse):
    assert score(worse) < 0.995


def test_little_too_much_costs_little():
    texts = ["# " * n + PROSE for n in (0, 10, 30, 60)]
    got = [score(text) for text in texts]
    assert got == sorted(got, reverse=True)
    assert 1.0 - got[1] < 0.1


def test_there_is_a_limit_per_signal_and_they_are_counted_right():
    assert len(signals("a b")) == len(LIMITS)
    text = "- the sun\n- the sun\nto the moon..."
    n_words, length, symbols, bullets, ellipses, letters, stops, repeated, inside, pair = signals(text)
    assert n_words == 9
    assert length == pytest.approx(26 / 9)
    assert symbols == pytest.approx(1 / 9)
    assert bullets == pytest.approx(2 / 3)
    assert ellipses == pytest.approx(1 / 3)
    assert letters == pytest.approx(7 / 9)
    assert stops == 2
    assert repeated == pytest.approx(1 / 3)
    assert inside == pytest.approx(9 / 26)
    assert pair == pytest.approx(2 * 4 / 26)
