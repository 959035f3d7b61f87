"""Why evidence is too weak, and what would settle it: how many mixtures, at which size."""

from __future__ import annotations

import pytest

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import LeagueRow
from mixdesk.core.observations import Noise
from mixdesk.recipe.judge import UNJUDGED, Ground, weakness, while_running


def ground(n_scored: int = 42, rank: tuple[float, float, float] = (0.3, -0.1, 0.6), **more: object) -> Ground:
    measures = zip(("spearman", "spearman:low", "spearman:high"), rank, strict=True)
    scores = tuple(LeagueRow(law="x", metric="objective", measure=m, value=v, n=n_scored) for m, v in measures)
    facts = {"n_domains": 5, "n_mixtures": 42, "scores": scores, "noise": (), "rungs": ("1M", "60M"), "rung": "1M"}
    return Ground(**{**facts, **more})  # type: ignore[arg-type]


def test_a_rank_above_chance_is_no_weakness() -> None:
    assert weakness(ground(rank=(0.5, 0.1, 0.8))) is None


def test_it_names_the_trials_and_the_size_that_would_settle_it() -> None:
    found = weakness(ground())
    assert found is not None
    assert found.reason == (
        "Asked about mixtures it had not seen, the law does not surely rank them better than chance: "
        "rank correlation 0.30, 95 % interval −0.10 to 0.60."
    )
    assert "72 mixtures at `1M` would show it: run 30 more." in found.remedy
    assert "ask trials at `60M`" in found.remedy


def test_a_law_over_scales_counts_the_mixtures_it_was_scored_on() -> None:
    found = weakness(ground(8, (0.64, -0.47, 0.95), rung="60M"))
    assert found is not None
    assert "on 8 mixtures at `60M`" in found.reason
    assert "17 mixtures at `60M` would show it: run 9 more." in found.remedy


def test_far_too_few_is_no_number_to_plan_with() -> None:
    found = weakness(ground(rank=(0.02, -0.41, 0.44), rungs=("proxy",), rung="proxy"))
    assert found is not None
    assert found.remedy.startswith("More than 420 mixtures would be needed at this size.")


def test_noise_says_whether_longer_runs_would_help() -> None:
    def said(spread: float) -> str:
        noise = Noise(metric="a", within=0.1, between=0.0, spread=spread, n_mixtures=3, n_replicates=3)
        found = weakness(ground(noise=(noise,)))
        assert found is not None
        return found.remedy

    assert "repeat each mixture" in said(0.1)
    assert "to see more per run" in said(0.3)
    assert "Noise is not what hides it" in said(1.0)


def test_too_few_mixtures_are_an_error_with_four_parts() -> None:
    found = weakness(ground(n_mixtures=5))
    assert found is not None
    with pytest.raises(NotEnoughEvidence) as caught:
        raise found.error()
    assert str(caught.value) == (
        "a law over 5 domains needs at least 7 mixtures: found 5 with an answer, expected 7 or more; "
        "run 2 more mixtures at least; 13 more would be sound."
    )


def test_while_trials_are_out_there_is_no_verdict_yet() -> None:
    found = while_running(UNJUDGED, 1, 40)
    assert found.state == "running"
    assert found.headline == "1 of 40 trials is in. Too early for a recipe."
    assert found.reason == "If it ended now: Not judged yet."
