"""Sizes of runs: cells as people write them, sizes that are one, and labels that tell them apart."""

from __future__ import annotations

import pytest

from mixdesk.core.errors import InputError
from mixdesk.study.sheets import read_sheet
from mixdesk.study.sizes import alike, counts, rungs_of, short, size_column, told


def test_cells_may_have_suffixes_or_exponents() -> None:
    cells = ["60M", "1e9", "1.5B", "25 b", "1000000", "2k", "1T", "7.0"]
    sheet = read_sheet({"run": list("abcdefgh"), "n": cells})
    assert counts(sheet, "n", list("abcdefgh")) == (
        *(60 * 10**6, 10**9, 15 * 10**8, 25 * 10**9, 10**6, 2000, 10**12, 7),
    )
    assert counts(sheet, None, list("abcdefgh")) == (None,) * 8


@pytest.mark.parametrize("cell", ["0", "-1", "0.06", "big", "1.2.3", "inf", "60MB"])
def test_what_is_no_whole_number_names_its_row(cell: str) -> None:
    with pytest.raises(InputError, match=r"`table`, row `b`, column `n`: no size of a run"):
        counts(read_sheet({"run": ["a", "b"], "n": ["1M", cell]}), "n", ["a", "b"])


@pytest.mark.parametrize(
    ("given", "n"), [("1e9", 10**9), ("60M", 60 * 10**6), ("1.5B", 15 * 10**8), (7, 7), (1e9, 10**9)]
)
def test_a_size_is_told_as_cells_are(given: str | int, n: int) -> None:
    assert told("n_tokens", given) == n


@pytest.mark.parametrize("given", ["0.5", "many", -3, ""])
def test_a_size_that_is_none_is_refused(given: str | int) -> None:
    with pytest.raises(InputError, match=r"`n_tokens` is no size of a run: .*20M or 2e7"):
        told("n_tokens", given)


def test_a_column_is_found_by_its_usual_names_or_given() -> None:
    weights, measured = read_sheet({"run": ["a"], "params": [7], "w": [1]}), read_sheet({"run": ["a"], "tokens": [9]})
    assert size_column(weights, measured, "n_params", None) == ("params", None)
    assert size_column(weights, measured, "n_tokens", None) == ("tokens", None)
    assert size_column(weights, measured, "n_tokens", "w") == ("w", None)
    assert size_column(weights, measured, "n_tokens", 5_000) == (None, 5_000)
    assert size_column(measured, measured, "n_params", None) == (None, None)


def test_sizes_within_two_per_cent_are_the_most_frequent_of_them() -> None:
    assert alike([1000, 1010, 1010, 1030, None]) == {None: None, 1000: 1010, 1010: 1010, 1030: 1030}


def test_labels_are_short_distinct_and_in_order() -> None:
    def labels(*known: tuple[int | None, int | None]) -> list[str]:
        return [rung.label for rung in rungs_of(known).values()]

    assert labels((None, None)) == ["proxy"]
    assert labels((60_000_000, None), (1_000_000, None)) == ["1M", "60M"]
    assert labels((10**6, 10**9), (10**6, 25 * 10**9)) == ["1M x 1B", "1M x 25B"]
    assert labels((60 * 10**6, 10**9), (10**6, 10**9)) == ["1M", "60M"]
    assert labels((None, 10**9), (None, 2 * 10**9)) == ["1B tokens", "2B tokens"]
    assert labels((1_000_001, None), (1_000_002, None)) == ["1000001", "1000002"]
    assert [short(n) for n in (12, 1234, 1_234_567, 10**12)] == ["12", "1.23k", "1.23M", "1T"]
