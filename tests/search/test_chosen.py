"""The chosen list: greedy in the average variance, indifferent to how it is asked, and worth more than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import law_of, names, trial, view_of

from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats, Inputs
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import StudyView
from mixdesk.laws.gp import MixtureGP
from mixdesk.search.chosen import Chosen
from mixdesk.search.informative import choose
from mixdesk.testing.worlds import power_sum, swarm


def drawn(q: int, d: int = 4, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(d), q)


def answered(view: StudyView, mixtures: list[Mixture]) -> StudyView:
    return replace(view, trials=view.trials + tuple(trial(mixture, [0.0]) for mixture in mixtures))


@pytest.mark.parametrize("is_pool", [False, True])
def test_asking_in_pieces_is_asking_at_once(is_pool: bool) -> None:
    pool = tuple(Mixture.of(dict(zip(names(4), w, strict=True)), normalise=True) for w in drawn(30))
    limits = Constraints(upper={"d000": 0.6}, pool=pool if is_pool else ())
    view = view_of(4, natural=(0.5, 0.3, 0.1, 0.1), constraints=limits, budget=Budget(n_trials=16))
    whole = [p.mixture for p in Chosen().ask(view, 99)]
    pieces: list[Mixture] = []
    for n in (1, 6, 9):
        new = [p.mixture for p in Chosen().ask(view, n)]
        view, pieces = answered(view, new), pieces + new
    assert pieces == whole
    assert len(set(whole)) == 16
    assert Chosen().ask(view, 1) == []
    assert Space.build(limits, names(4)).contains(np.array([m.over(names(4)) for m in whole])).all()


def test_told_runs_are_built_upon() -> None:
    view = view_of(4, constraints=Constraints())
    near_corner = answered(view, [Mixture.of({"d000": 0.97, "d001": 0.01, "d002": 0.01, "d003": 0.01})])
    first, then = (Chosen().ask(each, 6) for each in (view, near_corner))
    assert {p.mixture for p in first} != {p.mixture for p in then}


def test_the_budget_may_be_open_or_in_flops() -> None:
    assert len(Chosen().ask(view_of(4, budget=Budget(seconds=10.0)), 99)) == 15
    rungs = (Rung(label="proxy", flops=2.0), Rung(label="target", flops=9.0))
    assert len(Chosen().ask(view_of(4, budget=Budget(flops=11.0), rungs=rungs), 99)) == 5


def test_recommends_by_the_law() -> None:
    law = law_of([[-3.0, 0.0, 0.0]])
    found = Chosen().recommend(view_of(3, drawn(12, 3), law=law), law)
    assert found.mixture.as_dict()["d000"] > 0.5


@pytest.mark.slow
def test_a_law_learns_more_from_chosen_runs_than_from_random_ones() -> None:
    gain = []
    for seed in range(4):
        world = power_sum(12, 2, seed, 0.05)
        W_qd = swarm(world, 300, seed)
        obs, true = world.observations(W_qd), world.value(W_qd)

        def error(places: list[int], obs=obs, true=true, W_qd=W_qd) -> float:  # type: ignore[no-untyped-def]
            said = MixtureGP().fit(obs.take(np.array(places))).predict(Inputs.of(obs.domains, W_qd), level=0.0)
            return float((((said.mean_qm - true) / true.std(axis=0)) ** 2).mean())

        by_chance = [np.random.default_rng(k).permutation(300)[:32].tolist() for k in range(3)]
        gain.append(np.mean([error(places) for places in by_chance]) - error(choose(W_qd, 32)))
    assert np.mean(gain) > 0.0
    assert sum(each > 0.0 for each in gain) >= 3
