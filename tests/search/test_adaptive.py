"""Rounds by a law: better than its own start, on one rung and over two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rungs import play, two_rungs

from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import StudyView
from mixdesk.laws.fidelity_gp import FidelityGP
from mixdesk.laws.gp import MixtureGP
from mixdesk.search.adaptive import Adaptive
from mixdesk.search.exact import Exact
from mixdesk.testing.worlds import World


def gap(world: World, view: StudyView, weights: tuple[float, ...]) -> float:
    """True objective above the optimum, in sd over mixtures."""
    _, best = world.optimum(view.objective, Space.build(Constraints(), view.domains))
    spread = world.value(np.random.default_rng(0).dirichlet(np.ones(len(world.domains)), 512)).std()
    return float((world.value(np.array([weights]))[0, 0] - best) / spread)


@pytest.mark.slow
def test_rounds_beat_the_design_at_the_same_number_of_trials() -> None:
    law, gaps = MixtureGP(), []
    for seed in range(8):
        sizes, view = two_rungs(6, seed)
        view = replace(view, rungs=view.rungs[1:], budget=Budget(n_trials=32))
        for strategy in (Adaptive(law=law), Exact()):
            done = play(lambda v, s=strategy: s.ask(v, 8), view, sizes)
            assert len(done.trials) == 32
            found = strategy.recommend(done, law.fit(done.observations()))
            gaps.append(gap(sizes.large, view, found.mixture.over(view.domains)))
    adaptive, exact = np.array(gaps).reshape(-1, 2).T
    assert np.median(adaptive) < 0.5 * np.median(exact)


def test_two_rungs_are_asked_by_what_they_tell_per_price() -> None:
    sizes, view = two_rungs(4, 1, budget=9.0)
    law = FidelityGP()
    strategy = Adaptive(law=law, n_start=10, batch=6)
    done = play(lambda v: strategy.ask(v, 8), view, sizes)
    n_cheap, n_dear = len(done.at("small")), len(done.at("target"))
    assert n_cheap + 20.0 * n_dear <= 20.0 * 9.0 + 1e-6
    assert n_dear >= 5
    assert n_cheap > 10
    found = strategy.recommend(done, law.fit(done.observations(every_scale=True)))
    assert gap(sizes.large, view, found.mixture.over(view.domains)) < 0.5
    assert any("tells most" in trial.why for trial in done.trials)


def test_without_an_answer_it_goes_on_with_the_design() -> None:
    _, view = two_rungs(4, 0)
    view = replace(view, rungs=view.rungs[:1], budget=Budget(n_trials=16))
    strategy = Adaptive(law=MixtureGP(), n_start=6)
    asked = play(lambda v: strategy.ask(v, 6)[: max(6 - len(v.trials), 0)], view, None)
    failed = replace(asked, trials=tuple(replace(trial, state="failed", points=()) for trial in asked.trials))
    more = strategy.ask(failed, 4)
    assert len(more) == 4
    assert not {one.mixture for one in more} & {trial.spec.mixture for trial in failed.trials}
