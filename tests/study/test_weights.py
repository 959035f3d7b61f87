"""Rows of weights: one unit for the whole table, and mixtures that do not depend on the order of its rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.errors import InputError
from mixdesk.study.sheets import Sheet, read_sheet
from mixdesk.study.weights import FRACTIONS, PER_CENT, TOKENS, read_weights


def sheet_of(W_nd: np.ndarray) -> tuple[Sheet, list[str], list[str]]:
    ids, names = [f"r{i}" for i in range(len(W_nd))], [f"d{j}" for j in range(W_nd.shape[1])]
    return read_sheet({"run": ids, **dict(zip(names, W_nd.T, strict=True))}), ids, names


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 6), d=st.integers(1, 6), decimals=st.integers(3, 12))
def test_any_unit_gives_the_same_mixtures_up_to_rounding(seed: int, n: int, d: int, decimals: int) -> None:
    W_nd = np.random.default_rng(seed).dirichlet(np.ones(d), n)
    for unit, factor in ((FRACTIONS, 1.0), (PER_CENT, 100.0), (TOKENS, 3e9)):
        scaled = np.round(W_nd * factor, decimals)
        found = read_weights(*sheet_of(scaled))
        assert found.unit == unit
        for row, mixture in zip(W_nd, found.mixtures, strict=True):
            assert mixture is not None
            assert np.allclose(mixture.over([f"d{j}" for j in range(d)]), row, atol=2e-3 * d)


def test_rows_that_are_equal_up_to_rounding_are_one_mixture_in_any_order() -> None:
    W_nd = np.array([[1.0, 2.0], [333_333_333.0, 666_666_667.0], [1e10, 2e10]]) * 1000.0
    sheet, ids, names = sheet_of(W_nd)
    straight = read_weights(sheet, ids, names).mixtures
    turned = read_weights(*sheet_of(W_nd[::-1])).mixtures
    assert len({*straight, *turned}) == 1


def test_single_precision_is_no_news() -> None:
    W_nd = np.random.default_rng(0).dirichlet(np.ones(17), 50).astype(np.float32).astype(np.float64)
    assert read_weights(*sheet_of(W_nd)).notes == ()


def test_a_row_of_another_unit_is_named() -> None:
    for rows, words in (
        ([[0.5, 0.5], [0.1, 0.9], [50.0, 50.0]], "row `r2`: the weights do not sum to one.*divide by 100"),
        ([[50.0, 50.0], [0.1, 0.9], [20.0, 80.0]], "row `r1`: .*per cent"),
        ([[5e6, 5e6], [0.1, 0.9], [2e9, 8e9]], "row `r1`: .*token counts"),
        ([[0.5, 0.5], [0.5, 0.45]], "row `r1`: .*sum 0.95 of d0, d1, expected 1 ± 0.02"),
    ):
        with pytest.raises(InputError, match=words):
            read_weights(*sheet_of(np.array(rows)))
