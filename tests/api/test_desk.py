"""The desk through the public API: whose recipes it takes, and the laws it shows beside theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.api.desk import QUICK
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
