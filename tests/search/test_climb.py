"""CLIMB: rounds of 4 : 2 : 1 that depend on what was before them alone, spend the budget, and end near the optimum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from search_worlds import corners, law_of, names, random_law, trial, view_of

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Floats, Inputs, Observations
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Constraints
from mixdesk.core.trial import StudyView
from mixdesk.laws.exponential import Exponential
from mixdesk.search.climb import Climb, round_ends
from mixdesk.search.design import Design
from mixdesk.search.exact import Exact
from mixdesk.search.simulate import RegMix

TRUTH = law_of([[-4.0, 0.5, 0.0, 0.0], [0.0, -3.0, 0.3, 0.0]])


@dataclass(frozen=True, kw_only=True)
class Known:
    """A law that is known before any run; it still wants three."""

    law: Any = TRUTH

    def fit(self, obs: Observations) -> Any:
        if len(obs.trials) < 3:
            raise NotEnoughEvidence("too few", value=len(obs.trials), bound="3", remedy="run more trials")
        return self.law


def answered(view: StudyView, strategy: Any, n: int, truth: Any = TRUTH, noise: float = 0.0) -> StudyView:
    """The view after the next n proposals were asked and answered."""
    asked = strategy.ask(view, n)
    W_qd = np.array([p.mixture.over(view.domains) for p in asked]).reshape(-1, len(view.domains))
    Y_qm = truth.predict(Inputs.of(view.domains, W_qd)).mean_qm
    Y_qm = Y_qm + noise * np.random.default_rng(len(view.trials)).standard_normal(Y_qm.shape)
    new = [replace(trial(p.mixture, y, p.replicate), why=p.why) for p, y in zip(asked, Y_qm, strict=True)]
    return replace(view, trials=view.trials + tuple(new))


def finished(view: StudyView, strategy: Any, n: int, truth: Any = TRUTH, noise: float = 0.0) -> StudyView:
    while True:
        after = answered(view, strategy, n, truth, noise)
        if after is view or len(after.trials) == len(view.trials):
            return view
        view = after


def small(**more: Any) -> Climb:
    return Climb(law=Known(), n_candidates=600, keep=60, **more)


def test_rounds_share_the_budget_four_two_one() -> None:
    assert round_ends(112) == (64, 96, 112)
    assert [round_ends(n)[-1] for n in range(1, 40)] == list(range(1, 40))


@pytest.mark.parametrize("n_trials", [28, 31])
def test_asking_in_pieces_is_asking_round_by_round(n_trials: int) -> None:
    view = view_of(4, law=TRUTH, budget=Budget(n_trials=n_trials))
    whole, pieces = finished(view, small(), 99), finished(view, small(), 3)
    assert [t.spec for t in whole.trials] == [t.spec for t in pieces.trials]
    assert len(whole.trials) == n_trials
    assert len({t.spec.id for t in whole.trials}) == n_trials


def test_a_round_waits_for_the_one_before_it() -> None:
    view = view_of(4, law=TRUTH, budget=Budget(n_trials=28))
    assert len(small().ask(view, 99)) == 16
    view = answered(view, small(), 99)
    assert [p.why[:8] for p in small().ask(view, 99)] == ["round 2:"] * 8
    assert sum("as a hedge" in p.why for p in small().ask(view, 99)) == 1


def test_later_rounds_ask_what_the_law_likes() -> None:
    view = finished(view_of(4, law=TRUTH, budget=Budget(n_trials=56)), small(), 99)
    values = view.objective.value(view.observations().Y_nm, view.metrics)
    assert values[32:].max() < np.median(values[:32])


def test_answers_of_the_round_itself_change_nothing() -> None:
    view = answered(view_of(4, law=TRUTH, budget=Budget(n_trials=28)), small(), 99)
    halfway = answered(view, small(), 4)
    odd = replace(halfway, trials=(*halfway.trials[:-1], trial(halfway.trials[-1].spec.mixture, [-9.0, -9.0])))
    assert small().ask(halfway, 9) == small().ask(odd, 9) == small().ask(view, 9)[4:]


def test_a_law_without_enough_answers_leaves_it_to_the_design() -> None:
    view = view_of(4, law=TRUTH, budget=Budget(n_trials=28))
    lost = tuple(trial(p.mixture, [np.nan, np.nan], p.replicate, "failed") for p in small().ask(view, 99))
    view = replace(view, trials=lost)
    assert len(small().ask(view, 99)) == 8
    assert all("round" not in p.why for p in small().ask(view, 99))


def test_told_runs_fill_the_first_round() -> None:
    W = np.random.default_rng(0).dirichlet(np.ones(4), 16)
    view = view_of(4, W, law=TRUTH, budget=Budget(n_trials=28))
    assert all(p.why.startswith("round 2") for p in small().ask(view, 99))


def test_a_pool_is_never_left_nor_asked_twice() -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(4), 40)
    pool = tuple(Mixture.of(dict(zip(names(4), row, strict=True)), normalise=True) for row in rows)
    view = view_of(4, law=TRUTH, constraints=Constraints(pool=pool), budget=Budget(n_trials=28))
    done = finished(view, small(), 5)
    assert len(done.trials) == 28
    first = [t.spec.mixture for t in done.trials if t.spec.replicate == 0]
    assert len(set(first)) == len(first)
    assert {Mixture.of(m.as_dict(), normalise=True) for m in first} <= {
        Mixture.of(m.as_dict(), normalise=True) for m in pool
    }
    assert Climb(law=Known()).recommend(done, TRUTH).why == "best predicted of the pool"


def test_the_budget_may_be_in_flops() -> None:
    rungs = (Rung(label="proxy", flops=2.0), Rung(label="target", flops=9.0))
    view = view_of(4, law=TRUTH, rungs=rungs, budget=Budget(flops=57.0))
    assert len(finished(view, small(), 99).trials) == 28


def test_guards_that_no_candidate_keeps_do_not_end_the_study() -> None:
    goal = Objective(terms={"m*": 1.0}, guards=(Guard(metric="m0", at_most=-5.0),))
    view = answered(view_of(4, law=TRUTH, objective={"m*": 1.0}, budget=Budget(n_trials=28)), small(), 99)
    assert len(small().ask(replace(view, objective=goal), 99)) == 8


@pytest.mark.parametrize("strategy", [Climb(law=Known()), RegMix()])
def test_the_worst_metric_is_held_down(strategy: Any) -> None:
    law = law_of([[-4.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

    def worst(one: Any, reduce: str) -> float:
        found = one.recommend(view_of(3, corners(3), law=law, reduce=reduce), law)
        return float(law.mean(np.array([found.mixture.weights])).max())

    assert worst(strategy, "worst") < worst(Exact(kl=0.0), "worst") + 0.03
    assert worst(strategy, "worst") < worst(strategy, "mean") - 0.1


def test_asking_under_worst_goes_to_the_worst_metric() -> None:
    view = view_of(4, law=TRUTH, reduce="worst", budget=Budget(n_trials=28))
    done = finished(view, small(), 99)
    worst = done.observations().Y_nm.max(axis=1)
    assert worst[16:].mean() < worst[:16].mean()


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="n_candidates"):
        Climb(law=Known(), n_candidates=10, keep=20)


def regret(strategy: Any, truth: Any, seed: int, n: int) -> float:
    """(Value − optimum) ÷ (uniform − optimum), all metrics alike; noise a tenth of each metric's sd."""
    d = len(truth.domains)
    sd = truth.mean(np.random.default_rng(0).dirichlet(np.ones(d), 500)).std()
    view = view_of(d, law=truth, budget=Budget(n_trials=n), seed=seed)
    view = finished(view, strategy, n, truth, 0.1 * float(sd))
    found = strategy.recommend(view, Exponential().fit(view.observations())).mixture.weights
    best = Exact(kl=0.0).recommend(view_of(d, corners(d), law=truth), truth).mixture.weights

    def value(w: Floats | tuple[float, ...]) -> float:
        return float(truth.mean(np.array(w)[None]).mean())

    return (value(found) - value(best)) / (value(np.full(d, 1.0 / d)) - value(best))


@pytest.mark.slow
def test_ends_nearer_to_the_optimum_than_regmix_with_the_same_law() -> None:
    pairs = []
    for seed in range(10):
        truth = random_law(8, 8, seed)
        pairs.append([regret(one, truth, seed, 56) for one in (Climb(law=Exponential()), RegMix())])
    climb, one_shot = np.array(pairs).T
    assert (climb <= one_shot).sum() >= 8, np.round(pairs, 4)
    assert climb.mean() < one_shot.mean()


@pytest.mark.slow
def test_three_rounds_over_twenty_domains_beat_one_shot_and_random() -> None:
    """112 trials each, as 64, 32 and 16: the two that predict share their law, random answers by its best run."""
    random = Design(method="random", anchors=False, n_replicates=1)
    strategies = (Climb(law=Exponential()), RegMix(n_candidates=20_000), random)
    rows = [[regret(one, random_law(20, 20, seed), seed, 112) for one in strategies] for seed in range(20)]
    climb, one_shot, best_seen = np.median(rows, axis=0)
    assert climb <= one_shot, np.round(rows, 4)
    assert climb <= best_seen, np.round(rows, 4)
