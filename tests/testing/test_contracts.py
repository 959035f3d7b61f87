"""The suites find what they are there to find."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.laws.exponential import Exponential
from mixdesk.testing.contracts import N_TRIALS, _torn, check_law, check_strategy


@dataclass
class Tampered:
    """The exponential law with something done to its rows."""

    change: Any

    def fit(self, obs):
        return Exponential(n_draws=20).fit(self.change(obs))

    def restore(self, data):
        return Exponential().restore(data)


def shuffled_columns(obs):
    """Looks at the domains by position: whatever comes first is called by the first name."""
    return replace(obs, domains=tuple(sorted(obs.domains)))


# One stream for all fits: each has other noise, and the test the same every time.
NOISE = np.random.default_rng(0)


def noisy(obs):
    return replace(obs, Y_nm=obs.Y_nm + 0.01 * NOISE.standard_normal(obs.Y_nm.shape))


def without_direction(obs):
    return replace(obs, metrics=tuple(replace(metric, better="lower") for metric in obs.metrics))


def gaps_as_zero(obs):
    return replace(obs, Y_nm=np.nan_to_num(obs.Y_nm, nan=-100.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shuffled_columns, "column order"),
        (noisy, "same data, same fit"),
        (without_direction, "mirror image"),
        (gaps_as_zero, "not taken for a number"),
    ],
)
def test_a_bad_law_is_found_out(change, message):
    with pytest.raises(AssertionError, match=message):
        check_law(lambda: Tampered(change))


@dataclass
class Listed:
    """A strategy that walks down a fixed list of mixtures."""

    eager: ClassVar[bool] = True

    bound: float = 0.05
    per_ask: int = 99
    limit: int = N_TRIALS
    is_pure: bool = True

    def ask(self, view, n):
        rng = np.random.default_rng(view.seed if self.is_pure else None)
        rows = rng.dirichlet(np.ones(len(view.domains)), 200)
        rows[:, 0] = np.maximum(rows[:, 0], self.bound)
        rows = rows / rows.sum(1, keepdims=True)
        rows = rows[(rows[:, 1] <= 0.6) & (rows[:, 0] >= self.bound)][: self.limit]
        done = len(view.trials)
        return [
            Proposal(mixture=Mixture.of(dict(zip(view.domains, row, strict=True)), normalise=True), rung="proxy")
            for row in rows[done : done + min(n, self.per_ask)]
        ]

    def recommend(self, view, law):
        done = [trial for trial in view.trials if len(trial.final) == len(view.metrics)]
        best = min(done, key=lambda trial: sum(trial.final.values()))
        return Recommendation(mixture=best.spec.mixture, why="best seen")


def test_a_good_strategy_passes():
    check_strategy(Listed, None)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Listed(bound=0.0), "inside the bounds"),
        (Listed(limit=10), "until the budget is spent"),
        (Listed(limit=99), "asks without end|20 trials|beyond the budget"),
        (Listed(is_pure=False), "same view, same answer"),
    ],
)
def test_a_bad_strategy_is_found_out(strategy, message):
    with pytest.raises(AssertionError, match=message):
        check_strategy(lambda: strategy, None)


def test_a_strategy_that_takes_the_mean_for_the_worst_is_found_out():
    with pytest.raises(AssertionError, match="no worse than natural's"):
        check_strategy(Listed, Exponential())


def test_the_best_mean_and_the_best_worst_metric_are_far_apart():
    world = _torn()
    Y_qm = world.value(np.random.default_rng(0).dirichlet(np.full(5, 0.3), 5_000))
    natural = float(world.value(world.natural_d).max())
    assert Y_qm.max(axis=1).min() + 0.1 < natural < Y_qm[Y_qm.mean(axis=1).argmin()].max() - 0.1
