"""Learning curves: what they say where more trials help, where they do not, and where nobody can know."""

import numpy as np
import pytest

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.learning import SHARES, _ratio, learning_curve
from mixdesk.laws.score import out_of_fold, scores
from mixdesk.testing.worlds import loglinear

MEAN = Objective(terms={"bpb/*": 1.0})
LAW = Exponential(n_draws=10)


def world_of(n, noise=0.1, d=8):
    world = loglinear(d, 3, 0, noise)
    return world.observations(np.random.default_rng(0).dirichlet(np.ones(d), n))


def test_small_studies_are_told_that_trials_help_and_large_ones_that_they_do_not():
    few = learning_curve(LAW, world_of(48), MEAN, name="exponential")
    assert few.answer == "yes"
    assert few.low < few.then < few.high < few.now
    assert few.sentence.startswith("40 more trials would lower the out-of-fold error from ")
    assert [point.n for point in few.points] == [12, 24, 36]
    assert few.points[0].error > few.points[-1].error
    many = learning_curve(LAW, world_of(200), MEAN, name="exponential")
    assert many.answer == "no"
    assert "hardly help" in many.sentence


def test_what_is_promised_comes_true():
    now, later = (
        next(
            row.value
            for row in scores("law", out_of_fold(LAW, world_of(n), MEAN))
            if (row.metric, row.measure) == ("objective", "rmse")
        )
        for n in (32, 72)
    )
    curve = learning_curve(LAW, world_of(32), MEAN, name="exponential", now=now)
    assert curve.now == now
    assert curve.low <= later <= now


def test_too_few_mixtures_cannot_tell():
    curve = learning_curve(LAW, world_of(12), MEAN, name="exponential")
    assert curve.answer == "cannot tell"
    assert curve.points == ()
    assert "too few" in curve.sentence
    assert learning_curve(LAW, world_of(7), MEAN, name="exponential", now=1.0).answer == "cannot tell"
    with pytest.raises(NotEnoughEvidence):
        learning_curve(LAW, world_of(7), MEAN, name="exponential")


def test_progress_ends_at_its_total():
    seen = []
    learning_curve(LAW, world_of(40), MEAN, name="exponential", progress=lambda *what: seen.append(what))
    assert seen[-1][1] == seen[-1][2] == len(seen)


def test_the_ratio_of_known_curves():
    share = np.array(SHARES)
    falling = np.outer([1.0, 2.0, 0.5, 1.0], share**-0.5)
    mean, low, high = _ratio(falling, share, 2.0, 100)
    assert low <= 2.0**-0.5 <= high
    assert mean == pytest.approx(2.0**-0.5, abs=0.05)
    flat_mean, flat_low, flat_high = _ratio(np.ones((4, 3)), share, 2.0, 100)
    assert flat_mean > 0.93
    assert 0.8 < flat_low <= flat_high == 1.0
    # An error that grows is no reason for more trials, and none that were measured are no answer.
    assert _ratio(np.outer(np.ones(4), share), share, 2.0, 100)[0] > 0.95
    assert _ratio(np.full((4, 3), np.nan), share, 2.0, 100) is None
