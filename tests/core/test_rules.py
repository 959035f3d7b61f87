"""Formulas by hand: temperature between natural and uniform, UniMax by water-filling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.errors import Infeasible
from mixdesk.core.rules import tempered, unimax


def test_temperature_goes_from_natural_to_uniform() -> None:
    natural = np.array([0.64, 0.32, 0.04])
    assert tempered(natural, 1.0) == pytest.approx(natural)
    assert tempered(np.array([0.64, 0.36]), 2.0) == pytest.approx([0.8 / 1.4, 0.6 / 1.4])
    assert tempered(natural, 1e9) == pytest.approx([1 / 3] * 3)
    assert tempered(np.array([1.0, 0.0]), 2.0).tolist() == [1.0, 0.0]


def test_unimax_by_hand() -> None:
    # The first is held at 4 epochs = 400 of 3,000 tokens; the others share the rest, 1,300 each.
    found = unimax(np.array([100.0, 2500.0, 400.0]), 3000, 4.0)
    assert found == pytest.approx([400 / 3000, 1300 / 3000, 1300 / 3000])
    with pytest.raises(Infeasible, match="longer than 1 epochs") as caught:
        unimax(np.array([100.0, 200.0]), 600, 1.0)
    assert caught.value.remedy == "raise max-epochs, or run 300 tokens"


@given(
    tokens=st.lists(st.integers(1, 10_000), min_size=1, max_size=8),
    share=st.floats(0.05, 1.0),
)
def test_unimax_is_as_even_as_the_cap_allows(tokens: list[int], share: float) -> None:
    tokens_d = np.array(tokens, dtype=np.float64)
    run = max(int(4.0 * tokens_d.sum() * share), 1)
    weights, cap = unimax(tokens_d, run, 4.0), 4.0 * tokens_d / run
    assert weights.sum() == pytest.approx(1.0)
    assert (weights <= cap * (1 + 1e-9)).all()
    free = weights < cap * (1 - 1e-9)
    assert np.ptp(weights[free], axis=0) == pytest.approx(0.0, abs=1e-9) if free.any() else True
    assert not free.any() or weights[free].max() >= weights.max() - 1e-9
