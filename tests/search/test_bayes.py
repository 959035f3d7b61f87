"""BoTorch's process over mixtures and rungs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rungs import play, two_rungs

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Space

pytest.importorskip("botorch")

from mixdesk.search.bayes import Bayes, Runs, Surrogate


def gap(world, view, mixture) -> float:
    _, best = world.optimum(view.objective, Space.build(Constraints(), view.domains))
    spread = world.value(np.random.default_rng(0).dirichlet(np.ones(len(world.domains)), 512)).std()
    return float((world.value(np.array([mixture.over(view.domains)]))[0, 0] - best) / spread)


def asked_by(strategy, view, sizes):
    return play(lambda v: strategy.ask(v, 16), view, sizes)


@pytest.mark.parametrize("acquisition", ["noisy_ei", "entropy", "knowledge"])
def test_each_acquisition_finds_the_bottom_of_a_bowl(acquisition: str) -> None:
    sizes, view = two_rungs(3, 2)
    view = replace(view, rungs=view.rungs[1:], budget=Budget(n_trials=20))
    strategy = Bayes(acquisition=acquisition, batch=6)
    done = asked_by(strategy, view, sizes)
    assert len(done.trials) == 20
    found = strategy.recommend(done, None)
    assert gap(sizes.large, view, found.mixture) < 0.1
    assert "Gaussian process on 20 runs" in found.why
    assert any(acquisition.replace("_", " ") in trial.why for trial in done.trials)


def test_rungs_share_and_their_correlation_is_told() -> None:
    sizes, view = two_rungs(3, 1, rank=0.98, budget=10.0)
    strategy = Bayes(n_start=12, batch=8)
    done = asked_by(strategy, view, sizes)
    assert len(done.at("small")) > 12
    assert len(done.at("target")) >= 5
    found = strategy.recommend(done, None)
    assert gap(sizes.large, view, found.mixture) < 0.1
    assert "`small` is correlated by 0." in found.why
    assert sum(1.0 if t.rung == "target" else 0.05 for t in done.trials) <= 10.0 + 1e-9


def test_posterior_is_near_what_was_measured_and_holds_every_run() -> None:
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(3), 200)
    y_n = (W_nd[:, 0] - 0.3) ** 2 + W_nd[:, 1]
    runs = Runs(W_nd=W_nd, y_n=y_n, rung_n=np.zeros(200, dtype=np.int64), price_r=np.ones(1))
    mean, sd = Surrogate.fit(runs).moments(W_nd)
    assert np.abs(mean - y_n).max() < 0.03
    assert sd.max() < 0.05


def test_one_mixture_is_too_few() -> None:
    _, view = two_rungs(3, 0)
    with pytest.raises(NotEnoughEvidence, match="Gaussian process"):
        Bayes().recommend(view, None)
