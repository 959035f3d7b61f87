"""A recipe is never without its rivals, and a trained comparison counts before a predicted one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.errors import InputError
from mixdesk.core.objective import Comparison
from mixdesk.core.recipe import BEST_SEEN, UNIFORM, Recipe


def comparison(basis: str, rival: str = UNIFORM) -> Comparison:
    return Comparison(
        plan="p",
        rival=rival,
        metric="objective",
        difference=-1.0,
        low=-2.0,
        high=-0.5,
        level=0.95,
        n_pairs=5,
        basis=basis,
        rung="target",
        verdict="better",
    )


@settings(max_examples=8)
@given(recipe=st.from_type(Recipe))
def test_best_seen_and_uniform_must_be_there(recipe):
    for name in (BEST_SEEN, UNIFORM):
        with pytest.raises(InputError, match="never shown without its rivals"):
            replace(recipe, rivals=tuple(rival for rival in recipe.rivals if rival.name != name))


@settings(max_examples=8)
@given(recipe=st.from_type(Recipe))
def test_a_trained_comparison_counts_first(recipe):
    predicted, trained = comparison("predicted"), comparison("trained")
    both = replace(recipe, comparisons=(trained, predicted, comparison("predicted", BEST_SEEN)))
    assert both.against(UNIFORM) == trained
    assert replace(recipe, comparisons=(predicted,)).against(UNIFORM) == predicted
    assert replace(recipe, comparisons=()).against(UNIFORM) is None
    assert both.mixture == recipe.plan.schedule.average
