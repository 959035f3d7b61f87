"""The desk through the public API: whose recipes it takes, and the laws it shows beside theirs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from desk_worlds import VARIANTS

import mixdesk as mx
from mixdesk.api.desk import QUICK, _tiers
from mixdesk.core.errors import InputError
from mixdesk.testing.worlds import loglinear


def study_of(folder: Path, d: int) -> mx.Study:
    """Twenty runs of a log-linear world over d domains, imported."""
    world = loglinear(d, 2, 0, 0.05)
    obs = world.observations(np.random.default_rng(0).dirichlet(np.full(d, 2.0), 20))
    ids = [f"r{i}" for i in range(20)]
    mixtures = {"run": ids, **dict(zip(obs.domains, obs.W_nd.T, strict=True))}
    scores = {"run": ids, **{metric.name: y for metric, y in zip(obs.metrics, obs.Y_nm.T, strict=True)}}
    return mx.import_study(mixtures, scores, folder)


def test_a_recipe_of_another_study_is_refused_and_the_page_left_as_it_was(tmp_path: Path) -> None:
    mine, other = study_of(tmp_path / "mine", 3), study_of(tmp_path / "other", 4)
    mx.make_recipe(mine, law="exponential")
    page = mx.write_desk(mine)
    before = page.read_bytes()
    assert all(f">{name}<" in page.read_text() for name in QUICK)
    mx.make_recipe(other, law="exponential")
    shutil.copy(other.folder / "recipe.json", mine.folder / "recipe.json")
    with pytest.raises(InputError, match=r"the recipe is of another study.*`d03`"):
        mx.write_desk(mine)
    assert page.read_bytes() == before


def test_a_second_study_stands_beside_the_first(tmp_path: Path) -> None:
    mine, other = study_of(tmp_path / "mine", 3), study_of(tmp_path / "other", 4)
    mx.make_recipe(mine, law="exponential")
    alone = mx.write_desk(mine).read_text()
    assert "Two studies" not in alone
    both = mx.write_desk(mine, beside=other).read_text()
    assert "No recipe was made yet." in both
    mx.make_recipe(other, law="exponential")
    both = mx.write_desk(mine, beside=other).read_text()
    assert "No recipe was made yet." not in both
    # A domain that only the second study has.
    assert '<bdi>d03</bdi></td><td class="r">–</td>' in both


def test_licence_tiers_stand_in_the_table_where_the_corpus_states_licences() -> None:
    domains = (
        mx.Domain(name="a", n_tokens=10, licenses={"MIT": 10.0}),
        mx.Domain(name="b", n_tokens=10, licenses={"GPL-3.0-only": 4.0}),
    )
    corpus = mx.Corpus(name="c", tokenizer=mx.Tokenizer(name="bytes", vocab_size=256, sha256="0"), domains=domains)
    view, _ = VARIANTS["running"]()
    assert _tiers(replace(view, corpus=corpus)) == {"a": "permissive", "b": "unclear"}
    assert _tiers(replace(view, corpus=None)) == {}
    assert _tiers(view) == {}
