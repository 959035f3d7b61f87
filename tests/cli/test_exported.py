"""What a verification prints and how it judges: chance and whole documents are allowed for, stage by stage."""

from __future__ import annotations

import pytest

from mixdesk.cli.exported import print_verification
from mixdesk.core.export import Realised, Verification


def stage(error: float, **allowed: float) -> Realised:
    return Realised(
        asked=(("a", 0.5), ("b", 0.5)), realised=(("a", 0.5 - error), ("b", 0.5 + error)), n_tokens=9_000, **allowed
    )


@pytest.mark.parametrize(
    ("one", "code", "line"),
    [
        (stage(0.0005), 0, "Largest difference: 0.000500\n"),
        (stage(0.002), 1, "Largest difference: 0.002000, more than 0.001\n"),
        (stage(0.03, chance=0.01), 0, "Largest difference: 0.030000\n"),
        (stage(0.05, chance=0.01), 1, "Largest difference: 0.050000, more than 0.04\n"),
        (stage(0.03, resolution=0.04), 0, "leaves differences of up to 0.04 in so few tokens.\n"),
        (stage(0.05, resolution=0.04), 1, "Largest difference: 0.050000, more than 0.04\n"),
    ],
)
def test_a_stage_is_judged_by_what_is_allowed_in_it(
    one: Realised, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_verification(Verification(stages=(one,), how="Counted.")) == code
    assert line in capsys.readouterr().out


def test_what_one_stage_allows_is_not_allowed_in_another(capsys: pytest.CaptureFixture[str]) -> None:
    found = Verification(stages=(stage(0.0, resolution=0.1), stage(0.05)), how="Counted.")
    assert print_verification(found) == 1
    assert print_verification(found, as_json=True) == 1
    assert capsys.readouterr().out.count("more than") == 1
