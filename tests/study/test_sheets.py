"""Tables of every kind as cells of text."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.study.sheets import number, read_sheet, write_sheet


def test_values_become_cells_that_read_back_bit_for_bit() -> None:
    values = [0.1, np.float64(1 / 3), np.float32(0.5), 7, np.int64(7), None, float("nan"), True, decimal.Decimal("1.5")]
    values += [datetime.date(2026, 1, 2), " x "]
    sheet = read_sheet({"run": range(len(values)), "x": values})
    assert sheet.cells("x") == (*(repr(0.1), repr(1 / 3), "0.5", "7", "7", "", "", "True", "1.5", "2026-01-02", "x"),)
    assert number(sheet.cells("x")[1], "") == 1 / 3


def test_a_written_sheet_is_read_back(tmp_path: Path) -> None:
    rows = [("a, b", 0.1, None), ('q"', 1 / 3, "ü")]
    write_sheet(tmp_path / "t.csv", ["run", "x", "y"], rows)
    sheet = read_sheet(tmp_path / "t.csv")
    assert sheet.rows == (("a, b", repr(0.1), ""), ('q"', repr(1 / 3), "ü"))
    assert sheet.places == ("line 2", "line 3")
    assert sheet.notes == ()


def test_tabs_of_a_tsv_win_over_commas_in_names(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("run\tweb, high\tcode\na\t1\t0\n")
    assert read_sheet(tmp_path / "t.tsv").columns == ("run", "web, high", "code")


def test_a_column_of_decimal_commas_is_not_taken_for_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("run;x\na;0,25\nb;0,75\n")
    sheet = read_sheet(tmp_path / "t.csv")
    assert not sheet.is_text("x")
    with pytest.raises(InputError, match=r"row `a`, column `x`: .*decimal points in place of decimal commas"):
        sheet.numbers("x", sheet.ids("run"))


def test_tables_without_rows_or_names_are_refused() -> None:
    for table, words in (
        ({}, "has no rows"),
        ({"run": []}, "has no rows"),
        ({"run": ["a"]}, "single column"),
        ({"run": ["a"], "x": [1], "x ": [2]}, "has column `x` twice"),
    ):
        with pytest.raises(InputError, match=words):
            read_sheet(table)


def test_text_tables_load_neither_pyarrow_nor_narwhals() -> None:
    script = (
        "import sys, mixdesk; from mixdesk.study.importer import import_study; "
        "from mixdesk.study.sheets import read_sheet; read_sheet({'run': ['a'], 'x': [1]}); "
        "print([name for name in ('pyarrow', 'narwhals', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
