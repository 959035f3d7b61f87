"""Cases are what they say, a game keeps its budget, regret is measured against the best allowed mixture."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal
from mixdesk.core.scale import Budget
from mixdesk.search.design import Design
from mixdesk.testing.league import CASES, CLOSE, RANK, RATIO, SEEDS, SIZES, play
from mixdesk.testing.worlds import swarm

SMALL = [name for name in CASES if not name.endswith("-100")]
KINDS = sorted({name.rsplit("-", 1)[0] for name in CASES})


def mixture_of(case, w_d):
    return Mixture.of(dict(zip(case.worlds[-1].domains, w_d.tolist(), strict=True)), normalise=True)


def test_every_kind_comes_in_every_size():
    assert set(CASES) == {f"{kind}-{d}" for kind in KINDS for d in SIZES}
    assert list(SEEDS) == list(range(20))
    for name in (*SMALL, "smooth-100"):
        make = CASES[name]
        case = make(0)
        assert case.name == name
        assert len(case.worlds[0].domains) == int(name.rsplit("-", 1)[1])
        assert len(case.worlds[0].metrics) <= 3
        assert make(0) is case
        assert make(1).worlds[0].name != case.worlds[0].name


@pytest.mark.parametrize("name", SMALL)
def test_the_best_mixture_has_no_regret_and_no_other_has_less(name):
    case = CASES[name](0)
    w_d, least = case.optimum
    assert case.space.contains(w_d, 1e-9)[0]
    assert case.regret(mixture_of(case, w_d)) == pytest.approx(0.0, abs=1e-6)
    rng = np.random.default_rng(0)
    tried = np.vstack([rng.dirichlet(np.ones(len(w_d)), 5_000), swarm(case.worlds[-1], 200)])
    tried = np.vstack([tried, w_d + 0.05 * (tried - w_d)])
    tried = tried[case.space.contains(tried)]
    assert len(tried)
    assert case.value(tried).min() >= least - 1e-9
    regret = case.regret(mixture_of(case, tried[0]))
    assert regret == pytest.approx((case.value(tried[:1])[0] - least) / case.spread, rel=1e-9)


def test_limits_bind_where_they_are_tight_and_what_breaks_them_is_worthless():
    for d in (5, 17):
        case = CASES[f"capped-{d}"](0)
        w_d, least = case.optimum
        assert len(case.space.binding(mixture_of(case, w_d))) >= 2
        assert CASES[f"smooth-{d}"](0).optimum[1] < least
        assert case.regret(mixture_of(case, np.eye(d)[0])) == float("inf")


@pytest.mark.parametrize("d", [5, 17])
def test_two_sizes_share_the_ranks_asked_for_and_the_best_mixture_moves(d):
    sizes, close, moving = (CASES[f"{kind}-{d}"](0) for kind in ("sizes", "close", "moving"))
    W_nd = swarm(sizes.worlds[0], 400, seed=9)
    for case, rank in ((sizes, RANK), (close, CLOSE)):
        small, large = (case.objective.value(world.value(W_nd), world.metrics) for world in case.worlds)
        assert spearmanr(small, large)[0] == pytest.approx(rank, abs=0.05)
    for case in (sizes, moving):
        assert [rung.label for rung in case.rungs] == ["proxy", "target"]
        assert case.rungs[1].flops / case.rungs[0].flops == RATIO >= 10.0
        best, _ = case.worlds[0].optimum(case.objective, case.space)
        assert case.regret(mixture_of(case, best)) > (0.1 if case is moving else 1e-3)


@pytest.mark.parametrize("name", ["smooth-5", "moving-5"])
def test_a_game_spends_its_budget_in_batches_and_is_the_same_again(name):
    case = CASES[name](0)
    until = case.budgets[0]
    views = list(play(Design(), case.view(3), case.answer, 5, until))
    n_trials = [0, *(len(view.trials) for view in views)]
    assert 0 < max(np.diff(n_trials)) <= 5
    last = views[-1]
    assert last.budget == until
    assert all(trial.final and trial.flops == last.rung(trial.rung).flops for trial in last.trials)
    if until.n_trials is not None:
        assert len(last.trials) == until.n_trials
    assert last.flops_left is None or last.flops_left >= 0.0
    again = list(play(Design(), case.view(3), case.answer, 5, until))[-1]
    assert again.trials == last.trials


def test_each_rung_answers_from_its_own_world():
    case = CASES["moving-5"](0)
    quiet = replace(case, worlds=tuple(replace(world, noise_m=np.zeros(2)) for world in case.worlds))
    even = Mixture.uniform(case.worlds[0].domains)

    class Both:
        eager = True

        def ask(self, view, n):
            return [] if view.trials else [Proposal(mixture=even, rung=label) for label in ("proxy", "target")]

    (view,) = play(Both(), quiet.view(), quiet.answer, 2, Budget(flops=1.0 + RATIO))
    for trial, world in zip(view.trials, case.worlds, strict=True):
        assert list(trial.final.values()) == pytest.approx(world.value(even.over(world.domains))[0].tolist())
    with pytest.raises(AssertionError, match="within the budget"):
        list(play(Both(), quiet.view(), quiet.answer, 2, Budget(flops=RATIO)))
    with pytest.raises(AssertionError, match="no more than it is asked for"):
        list(play(Both(), quiet.view(), quiet.answer, 1, Budget(flops=2.0 * RATIO)))
