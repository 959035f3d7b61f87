"""What a notebook shows: the numbers of the objects, names as text, and no colours of its own."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from desk_worlds import VARIANTS, confirmed, corpus_of, hostile, too_weak

from mixdesk.core.corpus import Corpus
from mixdesk.recipe.judge import while_running
from mixdesk.report import notebook, words


class Reader(HTMLParser):
    """Tags and text of a piece of HTML."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said = ""
        self.feed(said)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.said += data + " "


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_study_and_recipe_can_be_shown_and_names_stay_text(name: str) -> None:
    view, answers = VARIANTS[name]()
    said = [notebook.study(view), *(notebook.recipe(answer.recipe) for answer in answers)]
    said += [notebook.scores("a <law>", answer.scores, view.domains) for answer in answers]
    for one in map(Reader, said):
        assert one.tags <= {
            "div",
            "p",
            "b",
            "ul",
            "li",
            "code",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "span",
            "bdi",
        }


def test_a_recipe_tells_verdict_weights_change_epochs_and_rivals() -> None:
    recipe = confirmed()[1][0].recipe
    said = Reader(notebook.recipe(recipe)).said
    assert recipe.verdict.headline in said
    natural = next(rival.mixture for rival in recipe.rivals if rival.name == "natural")
    for domain, weight in recipe.mixture.as_dict().items():
        assert domain in said
        assert words.percent(weight) in said
        assert words.points(weight - natural.as_dict()[domain]) in said
        assert f"{dict(recipe.epochs)[domain]:.1f}" in said
    assert all(words.difference(recipe.against(rival.name).difference) in said for rival in recipe.rivals)


def test_a_refusal_and_a_running_study_say_so() -> None:
    recipe = too_weak()[1][0].recipe
    assert "refused: evidence too weak" in notebook.recipe(recipe)
    running = replace(recipe, verdict=while_running(replace(recipe.verdict, name="better"), 3, 9))
    assert "◷ better, running" in notebook.recipe(running)


def test_a_corpus_of_many_domains_says_how_many_are_left_out() -> None:
    corpus = hostile()[0].corpus
    assert isinstance(corpus, Corpus)
    assert "more" not in Reader(notebook.corpus(corpus)).said
    names = tuple(f"d{i:03}" for i in range(200))
    many = corpus_of(names, np.full(200, 1 / 200), 2_000_000)
    assert "and 176 more" in Reader(notebook.corpus(many)).said
