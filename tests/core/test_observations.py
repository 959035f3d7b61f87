"""Arrays with names: shapes, joins, token averages, and noise against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.observations import Inputs, Metric, Noise, Observations, Prediction, token_average

LOSS = Metric(name="loss", unit="nats")


def observed(W: list[list[float]], y: list[float], replicates: list[int]) -> Observations:
    return Observations.of(
        ["a", "b"], np.array(W), np.array(y)[:, None], [LOSS], replicate_n=np.array(replicates, dtype=np.int64)
    )


def test_noise_of_a_crossed_block_by_hand():
    # Two mixtures × two replicates, and a third mixture that was run once.
    obs = observed(
        [[1, 0], [1, 0], [0, 1], [0, 1], [0.5, 0.5]],
        [1.0, 2.0, 3.0, 4.5, 2.0],
        [0, 1, 0, 1, 0],
    )
    (noise,) = obs.noise()
    # Means: mixtures 1.5 and 3.75, replicates 2.0 and 3.25, all 2.625. Rest of each cell: ±0.125.
    assert noise.within == pytest.approx(math.sqrt(4 * 0.125**2 / ((2 - 1) * (2 - 1))))
    # Variance of the replicate means, less what the rest leaves in a mean of two mixtures.
    assert noise.between == pytest.approx(math.sqrt(0.78125 - 0.0625 / 2))
    assert noise.spread == pytest.approx(np.std([1.5, 3.75, 2.0], ddof=1))
    assert (noise.metric, noise.n_mixtures, noise.n_replicates) == ("loss", 2, 2)
    assert noise.ratio == pytest.approx(noise.spread / 0.25)


def test_a_shift_shared_by_a_replicate_is_no_noise_within():
    rng = np.random.default_rng(0)
    effect, shift = rng.normal(size=4), np.array([0.0, 5.0, -3.0])
    W = rng.dirichlet([1, 1], size=4)
    obs = Observations.of(
        ["a", "b"],
        np.repeat(W, 3, axis=0),
        (effect[:, None] + shift).reshape(-1, 1),
        [LOSS],
        replicate_n=np.tile(np.arange(3), 4),
    )
    (noise,) = obs.noise()
    assert noise.within == pytest.approx(0.0, abs=1e-12)
    assert noise.between == pytest.approx(shift.std(ddof=1))
    assert noise.ratio > 1e6


def test_noise_recovers_the_sd_it_was_drawn_with():
    rng = np.random.default_rng(1)
    W = rng.dirichlet([1, 1], size=40)
    y = rng.normal(size=(40, 1)) + rng.normal(scale=0.3, size=(1, 8)) + rng.normal(scale=0.1, size=(40, 8))
    obs = Observations.of(
        ["a", "b"], np.repeat(W, 8, axis=0), y.reshape(-1, 1), [LOSS], replicate_n=np.tile(np.arange(8), 40)
    )
    (noise,) = obs.noise()
    assert noise.within == pytest.approx(0.1, rel=0.1)
    assert 0.1 < noise.between < 0.6


def test_without_repeats_there_is_no_noise():
    assert observed([[1, 0], [0, 1]], [1, 2], [0, 0]).noise() == ()
    assert observed([[1, 0], [1, 0]], [1, 2], [0, 1]).noise() == ()
    assert observed([[1, 0], [1, 0], [0, 1], [0, 1]], [1, 2, math.nan, 2], [0, 1, 0, 1]).noise() == ()


def test_a_noiseless_world_has_an_infinite_ratio():
    noise = Noise(metric="m", within=0.0, between=0.0, n_mixtures=2, n_replicates=2, spread=1.0)
    assert noise.ratio == math.inf


def test_equal_mixtures_form_one_group():
    obs = observed([[0.25, 0.75], [0.5, 0.5], [0.25, 0.75]], [1, 2, 3], [0, 0, 1])
    assert obs.n_groups == 2
    assert obs.group_n[0] == obs.group_n[2] != obs.group_n[1]


def test_take_keeps_rows_together():
    obs = Observations.of(
        ["a", "b"],
        np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]),
        np.array([[1.0], [2.0], [3.0]]),
        [LOSS],
        covariates={"n_tokens": np.array([10.0, 20.0, 30.0])},
    )
    taken = obs.take(np.array([2, 0]))
    assert taken.trials == ("row2", "row0")
    assert taken.Y_nm[:, 0].tolist() == [3.0, 1.0]
    assert taken.W_nd.tolist() == [[1.0, 0.0], [0.25, 0.75]]
    assert taken.covariates["n_tokens"].tolist() == [30.0, 10.0]
    assert taken.group_n.tolist() == obs.group_n[[2, 0]].tolist()


def test_shapes_that_do_not_agree_are_refused():
    with pytest.raises(InputError, match="`Y_nm` has the wrong shape"):
        Observations.of(["a", "b"], np.ones((2, 2)) / 2, np.ones((3, 1)), [LOSS])
    with pytest.raises(InputError, match="`n_tokens` has the wrong shape"):
        Observations.of(["a"], np.ones((2, 1)), np.ones((2, 1)), [LOSS], covariates={"n_tokens": np.ones(3)})
    with pytest.raises(InputError, match="`W_qsd` has the wrong shape"):
        Inputs.of(["a", "b", "c"], np.ones((1, 2)) / 2)


def test_inputs_are_joined_by_name():
    inputs = Inputs.of(["b", "a"], np.array([[0.75, 0.25]]))
    assert inputs.over(["a", "b"]).tolist() == [[0.25, 0.75]]
    with pytest.raises(InputError, match="domain `c` is not on both sides"):
        inputs.over(["a", "b", "c"])


def test_token_average_weighs_stages_by_length():
    W_nsd = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    assert token_average(W_nsd, np.array([[0.75, 1.0]])).tolist() == [[0.75, 0.25]]


def test_a_prediction_checks_every_array():
    ones = np.ones((2, 1))
    assert (
        Prediction(metrics=("m",), mean_qm=ones, low_qm=ones, high_qm=ones, draws_kqm=np.ones((5, 2, 1))).level == 0.9
    )
    with pytest.raises(InputError, match="`high_qm`"):
        Prediction(metrics=("m",), mean_qm=ones, low_qm=ones, high_qm=np.ones((1, 1)))
    with pytest.raises(InputError, match="`draws_kqm`"):
        Prediction(metrics=("m",), mean_qm=ones, low_qm=ones, high_qm=ones, draws_kqm=np.ones((5, 1, 1)))


def test_the_sign_of_a_metric_makes_lower_better():
    assert LOSS.sign == 1.0
    assert Metric(name="accuracy", better="higher").sign == -1.0
    with pytest.raises(InputError, match="unknown better `up`"):
        Metric(name="x", better="up")


def test_a_mixture_repeated_more_often_alone_does_not_hide_the_block():
    rows = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    crossed = observed([rows[i] for i in (0, 1, 3, 4)], [1, 2, 3, 4.5], [0, 1, 0, 1]).noise()
    (noise,) = observed(rows, [1, 2, 9, 3, 4.5], [0, 1, 2, 0, 1]).noise()
    assert (noise.n_mixtures, noise.n_replicates, noise.within) == (2, 2, crossed[0].within)


def test_a_row_without_the_metric_leaves_the_rest_of_the_block():
    rows = [[1, 0], [1, 0], [0, 1], [0, 1], [0.5, 0.5], [0.5, 0.5]]
    whole = observed(rows[:4], [1, 2, 3, 4.5], [0, 1, 0, 1]).noise()
    (noise,) = observed(rows, [1, 2, 3, 4.5, 7, math.nan], [0, 1, 0, 1, 0, 1]).noise()
    assert (noise.n_mixtures, noise.within, noise.between) == (2, whole[0].within, whole[0].between)
