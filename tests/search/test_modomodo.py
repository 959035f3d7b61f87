"""MoDoMoDo: its seeds, and a minimum that is followed where it is credible and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import Quadratic as Bowl
from search_worlds import corners, law_of, names, random_law, trial, view_of

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Space
from mixdesk.laws.quadratic import Quadratic
from mixdesk.search.modomodo import MoDoMoDo
from mixdesk.testing.worlds import quadratic


def test_seeds_come_first_then_the_design() -> None:
    asked = MoDoMoDo().ask(view_of(5, budget=Budget(n_trials=30)), 99)
    W = np.array([p.mixture.over(names(5)) for p in asked])
    assert len(asked) == len({p.mixture for p in asked}) == 30
    assert np.allclose(W[:5], np.eye(5))
    assert np.allclose(W[5:10], (1.0 - np.eye(5)) / 4.0)
    assert np.allclose(W[10], 0.2)
    assert asked[5].why == "all but `d000`"
    assert {p.why for p in asked[11:]} == {"tells most about the other mixtures"}
    assert all(p.replicate == 0 for p in asked)


def test_asking_in_pieces_is_asking_at_once_and_bounds_hold() -> None:
    limits = Constraints(upper={"d000": 0.5}, lower={"d001": 0.1})
    view = view_of(4, constraints=limits, budget=Budget(n_trials=20))
    whole, pieces = MoDoMoDo().ask(view, 99), []
    for n in (1, 5, 9, 9):
        new = MoDoMoDo().ask(view, n)
        view = replace(view, trials=view.trials + tuple(trial(p.mixture, [0.0]) for p in new))
        pieces += new
    assert pieces == whole
    assert len(whole) == 20
    W = np.array([p.mixture.over(names(4)) for p in whole])
    assert W[:, 0].max() <= 0.5 + 1e-9
    assert W[:, 1].min() >= 0.1 - 1e-9
    assert whole[0].why == "`d000` alone, moved inside the bounds"


def test_two_domains_have_three_seeds_and_a_pool_is_kept() -> None:
    assert [p.why for p in MoDoMoDo().ask(view_of(2, budget=Budget(n_trials=3)), 9)] == [
        "`d000` alone", "`d001` alone", "all domains alike",
    ]  # fmt: skip
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    pool = tuple(Mixture.of(dict(zip(names(3), row, strict=True)), normalise=True) for row in rows)
    asked = MoDoMoDo().ask(view_of(3, constraints=Constraints(pool=pool), budget=Budget(n_trials=40)), 99)
    assert len(asked) == len({p.mixture for p in asked}) == 12


def test_a_sure_law_is_followed_and_a_doubtful_one_is_not() -> None:
    truth = random_law(3, 2)
    sure, doubtful = replace(truth, doubt=1e-3), replace(truth, doubt=30.0)
    view = view_of(3, corners(3), law=truth)
    best = MoDoMoDo().recommend(view, sure)
    assert best.why == "minimum of the predicted objective; better than the best mixture seen with probability 1.00"
    fallen = MoDoMoDo().recommend(view, doubtful)
    seen = view.best_seen()
    assert seen is not None
    assert fallen.mixture == seen.spec.mixture
    assert fallen.why.startswith("best mixture measured: the probability that the law's minimum is better is 0.")
    assert MoDoMoDo(credible=0.5).recommend(view, sure).mixture == best.mixture


def test_a_law_without_draws_is_not_followed() -> None:
    bowl = Bowl(domains=names(3), star_d=np.array([0.5, 0.3, 0.2]))
    found = MoDoMoDo().recommend(view_of(3, corners(3), law=bowl), bowl)
    assert "is unknown" in found.why
    assert found.mixture.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_there_is_no_falling_back_to_what_is_not_allowed() -> None:
    truth = replace(law_of([[-3.0, 0.0, 0.0], [0.0, -3.0, 0.0]]), doubt=30.0)
    view = view_of(3, corners(3), law=truth, constraints=Constraints(upper={"d000": 0.3, "d001": 0.3, "d002": 0.45}))
    assert MoDoMoDo().recommend(view, truth).why.startswith("minimum of the predicted objective")
    # The best seen, uniform, breaks the guard on m1.
    goal = Objective(terms={"m0": 1.0}, guards=(Guard(metric="m1", at_most=2.3),))
    guarded = replace(view_of(3, corners(3), law=truth), objective=goal)
    found = MoDoMoDo().recommend(guarded, truth)
    assert truth.mean(np.array([found.mixture.weights]))[0, 1] <= 2.3 + 1e-3


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="credible"):
        MoDoMoDo(credible=0.3)


def regrets_of(seed: int, noise: float) -> tuple[list[float], bool]:
    """A bowl of four domains after 30 trials whose noise is so large a part of its range: regret of the recommendation
    and of the best seen in parts of that range, and whether it fell back.
    """
    world = quadratic(4, 1, seed, 0.0)
    values = world.value(np.random.default_rng(0).dirichlet(np.full(4, 0.5), 2000))
    span = float(np.ptp(values))
    view = view_of(4, budget=Budget(n_trials=30), seed=seed)
    asked = MoDoMoDo().ask(view, 30)
    W = np.array([p.mixture.weights for p in asked])
    Y = world.value(W) + noise * span * np.random.default_rng(seed).standard_normal((30, 1))
    view = replace(view, trials=tuple(trial(p.mixture, y) for p, y in zip(asked, Y, strict=True)))
    found = MoDoMoDo().recommend(view, Quadratic(root=False).fit(view.observations()))
    seen = view.best_seen()
    assert seen is not None
    best = world.optimum(Objective(terms={"*": 1.0}), Space.build(Constraints(), world.domains))[1]
    rows = np.array([found.mixture.weights, seen.spec.mixture.weights])
    regrets = ((world.value(rows)[:, 0] - best) / span).tolist()
    return regrets, found.why.startswith("best mixture measured")


@pytest.mark.slow
def test_follows_the_minimum_at_little_noise_and_falls_back_at_much() -> None:
    found = {noise: [regrets_of(seed, noise) for seed in range(20)] for noise in (0.01, 0.03, 0.1)}
    regret = {noise: np.array([one for one, _ in each]) for noise, each in found.items()}
    fell = {noise: np.mean([is_back for _, is_back in each]) for noise, each in found.items()}
    assert regret[0.01][:, 0].mean() < 0.3 * regret[0.01][:, 1].mean()
    assert fell[0.01] <= 0.25
    assert regret[0.03][:, 0].mean() < regret[0.03][:, 1].mean()
    assert (regret[0.03][:, 0] - regret[0.03][:, 1]).max() < 0.03
    assert fell[0.1] >= 0.5
    assert regret[0.1][:, 0].mean() < 1.05 * regret[0.1][:, 1].mean()
