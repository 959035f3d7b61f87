"""Text tables: names of any length leave them readable."""

from __future__ import annotations

import pytest

from mixdesk.cli.tables import counted, say_table


def test_long_names_lose_their_middle(capsys: pytest.CaptureFixture[str]) -> None:
    long = "metric/" + "x" * 500 + "/end"
    say_table([{"metric": long, "mixture": f"{long} 60 %, code 40 %", long: 1.5}])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 160
    assert "metric/" in shown
    assert "…" in shown
    assert "/end 60 %, code 40 %" in shown
    say_table([{"text": "one word " * 100, "title": "exact minimum with a pull to the natural mixture"}])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 200
    assert "exact minimum with a pull to the natural mixture" in shown


def test_nouns_follow_their_number() -> None:
    assert [counted(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
