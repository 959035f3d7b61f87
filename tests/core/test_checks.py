"""The checks that constructors share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixdesk.core import checks
from mixdesk.core.errors import InputError


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "text", None, -0.1, 1.1])
def test_finite_refuses_what_is_no_number_in_bounds(value):
    with pytest.raises(InputError, match=r"`x` is out of range"):
        checks.finite("x", value, 0.0, 1.0)


def test_finite_takes_numpy_numbers_and_open_bounds():
    assert type(checks.finite("x", np.float64(0.5), 0.0, 1.0)) is float
    assert checks.finite("x", 0.0, 0.0) == 0.0
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        checks.finite("x", 0.0, 0.0, 1.0, open_low=True)


@pytest.mark.parametrize("value", [1.5, -1, "x", None, math.inf, math.nan])
def test_count_refuses_what_is_no_whole_number(value):
    with pytest.raises(InputError, match="whole number ≥ 0"):
        checks.count("n", value)


def test_count_gives_a_python_int():
    assert type(checks.count("n", np.int64(3))) is int
    assert checks.count("n", 3.0) == 3


@pytest.mark.parametrize("value", ["", " a", "a ", "a\nb", "a\x00", 3])
def test_label_refuses_names_that_cannot_be_printed_in_a_table(value):
    with pytest.raises(InputError, match="cannot be used as a name"):
        checks.label("domain", value)


def test_unique_names_the_one_that_occurs_twice():
    assert checks.unique("domains", ["b", "a"]) == ("b", "a")
    with pytest.raises(InputError) as caught:
        checks.unique("domains", ["a", "b", "a"])
    assert caught.value.value == "a"


def test_pairs_are_sorted_by_name():
    assert checks.pairs("p", {"b": 1, "a": 2}) == (("a", 2.0), ("b", 1.0))
    with pytest.raises(InputError, match=r"p\[a\]"):
        checks.pairs("p", {"a": math.nan})


def test_one_of_names_the_nearest_word():
    with pytest.raises(InputError) as caught:
        checks.one_of("state", "dne", ("waiting", "done"))
    assert caught.value.remedy == "did you mean `done`?"
    assert checks.nearest("zzz", ["waiting"]) == "choose one of these"
