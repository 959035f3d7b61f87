"""The order of rows that laws share, and the noise of one run."""

import numpy as np
import pytest

from mixdesk.core.observations import Metric, Observations
from mixdesk.laws.rows import ordered, run_noise
from mixdesk.testing.worlds import loglinear


def test_order_is_decided_by_content_alone():
    world = loglinear(4, 2, 0, 0.1)
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(4), 12)
    obs = world.observations(np.vstack([W_nd, W_nd[:2]]), np.repeat([0, 1], [12, 2]))
    rows, columns = rng.permutation(14), rng.permutation(4)
    mixed = obs.take(rows)
    names = tuple(f"x{j}" for j in range(4))
    mixed = Observations.of(
        names, mixed.W_nd[:, columns], mixed.Y_nm, obs.metrics, replicate_n=mixed.replicate_n, trials=mixed.trials
    )
    one, two = ordered(obs, 4, "test"), ordered(mixed, 4, "test")
    np.testing.assert_array_equal(one.W_nd, two.W_nd)
    np.testing.assert_array_equal(one.Y_nm, two.Y_nm)
    np.testing.assert_array_equal(one.group_n, two.group_n)
    assert one.trials == two.trials
    assert [obs.domains.index(name) for name in one.domains] == [columns[names.index(name)] for name in two.domains]


def test_noise_of_a_run_is_no_smaller_than_the_crossed_block_measured():
    rng = np.random.default_rng(1)
    W_nd = np.repeat(rng.dirichlet(np.ones(3), 6), 4, axis=0)
    replicate_n = np.tile(np.arange(4), 6)
    shared, own = rng.standard_normal((4, 2)), rng.standard_normal((24, 2))
    Y_nm = shared[replicate_n] + 0.5 * own
    metrics = [Metric(name="a"), Metric(name="b")]
    obs = Observations.of(("x", "y", "z"), W_nd, Y_nm, metrics, replicate_n=replicate_n)
    small = run_noise(obs, 1e-3 * own, np.full(2, 1e-6))
    for j, noise in enumerate(obs.noise()):
        assert (small @ small.T)[j, j] == pytest.approx(noise.within**2 + noise.between**2)
    large = run_noise(obs, own, np.full(2, 4.0))
    for j, noise in enumerate(obs.noise()):
        assert (large @ large.T)[j, j] == pytest.approx(4.0 + noise.between**2)


def test_correlated_residuals_are_correlated_noise():
    rng = np.random.default_rng(2)
    residual = rng.standard_normal((200, 1)) * [1.0, -2.0]
    obs = Observations.of(("x", "y"), rng.dirichlet(np.ones(2), 200), residual, [Metric(name="a"), Metric(name="b")])
    covariance = run_noise(obs, residual, np.array([1.0, 4.0]))
    np.testing.assert_allclose(covariance @ covariance.T, [[1.0, -2.0], [-2.0, 4.0]], atol=1e-9)
