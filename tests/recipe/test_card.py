"""Prediction cards: frozen, scored by what was measured, plain about what cannot be scored."""

from __future__ import annotations

import dataclasses

import pytest
from recipe_worlds import made, studied

from mixdesk.core.errors import InputError
from mixdesk.core.objective import Guard
from mixdesk.core.recipe import PredictionCard
from mixdesk.recipe import card
from mixdesk.testing.worlds import World, loglinear

WORLD = loglinear(4, 2, seed=1, noise=0.05)


@pytest.fixture(scope="module")
def frozen() -> PredictionCard:
    view = studied(WORLD, 40)
    guards = (Guard(metric=WORLD.metrics[0].name, than="natural", slack=0.5),)
    view = dataclasses.replace(view, objective=dataclasses.replace(view.objective, guards=guards))
    return card.freeze(made(view), view, "2026-01-31")


def results(frozen: PredictionCard, world: World = WORLD, n: int = 3) -> dict[str, dict[str, list[float]]]:
    runs = {one.name: [world.measure(one.mixture, 5000 + r) for r in range(n)] for one in frozen.mixtures}
    return {plan: {name: [run[name] for run in found] for name in found[0]} for plan, found in runs.items()}


def test_runs_of_its_own_world_bear_it_out(frozen: PredictionCard) -> None:
    found = card.score(frozen, results(frozen), is_same_scale=True)
    held = [claim.held for claim in found.claims]
    assert sum(map(bool, held)) >= 0.8 * len(held)
    assert all(
        claim.sign_is_right for claim in found.claims if claim.metric == "objective" and claim.rival == "uniform"
    )
    assert found.headline.startswith("The card was right on the objective against")


def test_at_another_scale_signs_alone_are_scored(frozen: PredictionCard) -> None:
    found = card.score(frozen, results(frozen), is_same_scale=False)
    assert {claim.held for claim in found.claims} == {None} == {claim.z for claim in found.claims}
    assert None not in {claim.rival for claim in found.claims}
    assert "sizes are scored at the card's own scale only" in found.headline


def test_a_guard_is_kept_broken_or_not_measured(frozen: PredictionCard) -> None:
    name, told = WORLD.metrics[0].name, results(frozen)
    words = f"Guard {name} ≤ natural + 0.5: "
    assert card.score(frozen, told, is_same_scale=False).notes[0].startswith(words + "kept by ")
    told["recipe"][name] = [value + 9.0 for value in told["natural"][name]]
    assert card.score(frozen, told, is_same_scale=False).notes == (words + "broken by 8.5000, means of runs.",)
    del told["natural"]
    assert card.score(frozen, told, is_same_scale=False).notes == (words + "not measured.",)


def test_missing_metrics_leave_their_claims_out(frozen: PredictionCard) -> None:
    told = results(frozen)
    del told["recipe"][WORLD.metrics[1].name]
    found = card.score(frozen, told, is_same_scale=True)
    assert {claim.metric for claim in found.claims} == {WORLD.metrics[0].name}


def test_what_cannot_be_scored_says_what_is_missing(frozen: PredictionCard) -> None:
    told = results(frozen)
    with pytest.raises(InputError, match="add a rival's run, or say --same-scale"):
        card.score(frozen, {"recipe": told["recipe"]}, is_same_scale=False)
    with pytest.raises(InputError, match="no run of the recipe"):
        card.score(frozen, {"natural": told["natural"]}, is_same_scale=True)


def test_a_table_is_read_by_plan(frozen: PredictionCard) -> None:
    name = WORLD.metrics[0].name
    found, notes = card.tabled(frozen, ["Recipe", "best-seen", frozen.plan], {name: [1.0, 2.0, 3.0], "x": [0, 0, 0]})
    assert found == {"recipe": {name: [1.0, 3.0]}, "best seen": {name: [2.0]}}
    assert notes == ("Column `x` is no metric of the card and was passed over.",)
    with pytest.raises(InputError, match="no plan `nat`"):
        card.tabled(frozen, ["nat"], {name: [1.0]})
    with pytest.raises(InputError, match="no column is a metric of the card: found loss"):
        card.tabled(frozen, ["recipe"], {"loss": [1.0]})


def test_sizes_within_two_per_cent_are_one(frozen: PredictionCard) -> None:
    assert frozen.scale.n_tokens == 1_000_000
    assert card.is_of_size(frozen, {"n_tokens": [1_010_000, 1_000_000]}) is True
    assert card.is_of_size(frozen, {"n_tokens": [1_010_000, 4_000_000]}) is False
    assert card.is_of_size(frozen, {"n_params": [7]}) is None
