"""The opening: a design, then pairs across the rungs, and what the record has already counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rungs import play, two_rungs

from mixdesk.core.scale import Budget
from mixdesk.search.opening import N_PAIRED, PER_DOMAIN, near, opening


def test_one_rung_opens_with_twice_the_domains_and_one() -> None:
    _, view = two_rungs(5, 0)
    assert len(opening(replace(view, rungs=view.rungs[:1]), None, view.rungs[:1])) == 12


def test_a_cheap_rung_opens_wider_within_half_of_the_budget() -> None:
    _, view = two_rungs(5, 0, budget=100.0)
    assert len(opening(view, None, view.rungs)) == PER_DOMAIN * 6
    assert len(opening(replace(view, budget=Budget(flops=1.0)), None, view.rungs)) == 10
    assert len(opening(replace(view, budget=Budget(n_trials=14)), None, view.rungs)) == 7


def test_pairs_follow_and_then_it_is_over() -> None:
    sizes, view = two_rungs(5, 0, budget=100.0)
    view = play(lambda v: opening(v, 8, v.rungs), view, sizes)
    cheap, dear = view.at("small"), view.at("target")
    assert len(cheap) == 8
    assert len(dear) == N_PAIRED
    assert {trial.spec.mixture for trial in dear} <= {trial.spec.mixture for trial in cheap}
    best = min(cheap, key=lambda trial: trial.final[view.metrics[0].name])
    assert best.spec.mixture in {trial.spec.mixture for trial in dear}
    assert opening(view, 8, view.rungs) == []


def test_trials_that_all_failed_end_the_opening() -> None:
    _, view = two_rungs(5, 0)
    asked = play(lambda v: opening(v, 8, v.rungs[:1]), view, None)
    failed = replace(asked, trials=tuple(replace(trial, state="failed", points=()) for trial in asked.trials))
    assert opening(failed, 8, view.rungs) == []


@pytest.mark.parametrize("reach", [1.0, 0.01])
def test_near_stays_between_its_ends(reach: float) -> None:
    rng = np.random.default_rng(0)
    wide = rng.dirichlet(np.ones(4), 20)
    rows = near(wide[:2], wide, 50, reach, rng)
    assert np.allclose(rows.sum(axis=1), 1.0)
    assert (rows >= 0.0).all()
    assert np.abs(rows[:, None] - wide[:2]).max(axis=2).min(axis=1).max() <= reach
