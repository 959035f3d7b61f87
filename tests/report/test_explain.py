"""What the menus of figures explain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from desk_worlds import VARIANTS

from mixdesk.core import registry
from mixdesk.report.desk import parts_of
from mixdesk.report.explain import OF_THE_LAW, OF_THE_RUNS, explained
from mixdesk.report.figures import Answer


@pytest.fixture(scope="module")
def answer() -> Answer:
    return VARIANTS["confirmed"]()[1][0]


def by(answer: Answer, law: str) -> Answer:
    provenance = replace(answer.recipe.provenance, law=law)
    return replace(answer, recipe=replace(answer.recipe, provenance=provenance))


def test_a_law_is_explained_from_its_own_words(answer: Answer) -> None:
    rows = explained(answer)["fig-predict"]
    said = dict(rows)
    assert said["formula"] == "f_m(w) = c_m + Σ_h exp(t_mh · w), h = 1 … n_terms"
    assert said["law"].startswith("exponential: ")
    assert said["what we do differently"].startswith("damped least squares in place of a Huber loss")
    papers = [text for term, text in rows if term == "paper"]
    assert len(papers) == 2
    assert papers[0].startswith("Data Mixing Laws")
    assert all("arXiv 2" in text for text in papers)


@pytest.mark.parametrize("law", registry.names("laws"))
def test_every_law_has_a_formula_in_one_line(answer: Answer, law: str) -> None:
    formula = dict(explained(by(answer, law))["fig-predict"])["formula"]
    assert "=" in formula
    assert "\n" not in formula


def test_an_unknown_law_or_paper_is_named(answer: Answer) -> None:
    changed = by(answer, "somebody's own")
    provenance = replace(changed.recipe.provenance, references=("nobody2030",))
    rows = explained(replace(changed, recipe=replace(changed.recipe, provenance=provenance)))["effects"]
    assert rows[1:] == [("law", "somebody's own"), ("paper", "nobody2030")]


def test_every_figure_of_a_page_is_explained() -> None:
    view, answers = VARIANTS["confirmed"]()
    known = {*OF_THE_LAW, *OF_THE_RUNS}
    shown = {part.split('"')[0] for part in parts_of(view, answers)["doubt"].split('class="fig" id="')[1:]}
    assert len(shown) >= 7
    assert shown <= known
    assert set(explained(None)) == set(OF_THE_RUNS)
