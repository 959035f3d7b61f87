"""The catalogue that ships: what a search finds, what it says of itself, and where its numbers are from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core import registry

ROOT = Path(__file__).parents[2]


def test_a_search_looks_at_names_titles_authors_modules_and_ids():
    for search in ("REGMIX", "data mixture as regression", "2407.01492", "mixdesk.laws.trees", "trees lightgbm"):
        assert "regmix" in [entry.paper.key for entry in mx.find_papers(search) if entry.paper is not None], search
    assert [entry.name for entry in mx.find_papers("knowles")] == ["ParEGO"]


def test_a_part_without_a_paper_is_an_entry_of_its_own():
    (entry,) = mx.find_papers("power_sum")
    assert entry.paper is None
    assert entry.name == "power_sum"


def test_every_part_is_in_the_catalogue_once_without_a_paper_or_under_each_of_its_papers():
    entries = mx.find_papers()
    for kind in registry.ROOMS:
        for name in registry.names(kind):
            homes = [entry for entry in entries if any((m.kind, m.name) == (kind, name) for m in entry.methods)]
            assert homes, (kind, name)
            assert len(homes) == 1 or all(entry.paper is not None for entry in homes), (kind, name)


def test_numbers_stand_in_the_file_that_they_name():
    methods = {(m.kind, m.name): m for entry in mx.find_papers() for m in entry.methods}
    figures = {key: method.measured for key, method in methods.items() if method.measured}
    assert {kind for kind, _ in figures} == {"laws", "strategies", "splitters"}
    for figure in (one for found in figures.values() for one in found):
        assert (ROOT / figure.source).exists()
    first = methods["laws", "average"].measured[0]
    text = (ROOT / first.source).read_text()
    rows = re.findall(r"^\| 1M test \| average \| 64 \| \d+ \| ([\d.]+)", text, re.MULTILINE)
    assert [float(value) for value in rows] == [first.value]


def test_what_is_not_there_names_the_nearest_word():
    with pytest.raises(mx.InputError, match=r"nothing found.*did you mean `regmix`\?"):
        mx.find_papers("regmx")
    with pytest.raises(mx.InputError, match="each word is there, but not together"):
        mx.find_papers("knowles lightgbm")
