"""The linear law: RegMix's least squares, gauge, recovery, the recorded table."""

import time

import numpy as np
import pytest
from law_worlds import PILE_CC, regmix_table
from scipy.stats import spearmanr
from test_features import observe

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs
from mixdesk.laws.linear import Linear


def test_linear_world_is_recovered():
    rng = np.random.default_rng(0)
    W_nd, b_dm = rng.dirichlet(np.ones(7), 30), rng.standard_normal((7, 3))
    fit = Linear().fit(observe(W_nd, W_nd @ b_dm))
    np.testing.assert_allclose(fit.predict(Inputs.of(fit.domains, np.eye(7))).mean_qm, b_dm, atol=1e-8)


def test_no_ridge_is_least_squares_without_intercept():
    rng = np.random.default_rng(1)
    W_nd, Y_nm = rng.dirichlet(np.ones(5), 20), rng.standard_normal((20, 2))
    fit = Linear(ridge=0.0).fit(observe(W_nd, Y_nm))
    b_dm = np.linalg.lstsq(W_nd, Y_nm, rcond=None)[0]
    np.testing.assert_allclose(fit.predict(Inputs.of(fit.domains, np.eye(5))).mean_qm, b_dm, atol=1e-9)


def test_a_number_moved_from_the_level_to_the_weights_changes_nothing():
    rng = np.random.default_rng(2)
    W_nd, y_n1 = rng.dirichlet(np.ones(5), 20), rng.standard_normal((20, 1))
    one, two = (Linear().fit(observe(W_nd, y)).theta_mp for y in (y_n1, y_n1 + 3.0 * W_nd.sum(1, keepdims=True)))
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_slope_is_the_coefficients():
    rng = np.random.default_rng(3)
    W_nd, b_dm = rng.dirichlet(np.ones(4), 20), rng.standard_normal((4, 2))
    fit = Linear().fit(observe(W_nd, W_nd @ b_dm))
    slope = fit.gradient(W_nd[:2])
    np.testing.assert_allclose(slope - slope.mean(2, keepdims=True), np.stack([(b_dm - b_dm.mean(0)).T] * 2), atol=1e-7)


def test_interval_of_the_mean_covers_the_truth_of_a_linear_world():
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(30):
        W_nd, W_qd, b_dm = rng.dirichlet(np.ones(6), 40), rng.dirichlet(np.ones(6), 50), rng.standard_normal((6, 2))
        fit = Linear().fit(observe(W_nd, W_nd @ b_dm + 0.3 * rng.standard_normal((40, 2))))
        found = fit.predict(Inputs.of(fit.domains, W_qd))
        inside.append((found.low_qm <= W_qd @ b_dm) & (W_qd @ b_dm <= found.high_qm))
    assert 0.82 <= np.mean(inside) <= 0.96


def test_fewer_mixtures_than_domains_are_enough_but_not_a_handful():
    rng = np.random.default_rng(5)
    W_nd = rng.dirichlet(np.ones(17), 12)
    Linear().fit(observe(W_nd, rng.standard_normal((12, 1))))
    with pytest.raises(NotEnoughEvidence, match="linear"):
        Linear().fit(observe(W_nd[:7], rng.standard_normal((7, 1))))


def test_settings_are_checked():
    with pytest.raises(InputError, match="ridge"):
        Linear(ridge=-1.0)
    with pytest.raises(InputError, match="n_draws"):
        Linear(n_draws=1)


def test_recorded_table_is_ranked_as_by_others():
    obs = regmix_table().observations()
    start = time.perf_counter()
    Linear().fit(obs)
    assert time.perf_counter() - start < 2.0
    found = []
    for seed in range(4):
        rows = np.random.default_rng(seed).permutation(512)
        rest = obs.take(rows[64:])
        mean_qm = Linear().fit(obs.take(rows[:64])).predict(Inputs.of(rest.domains, rest.W_nd), level=0.0).mean_qm
        found.append([spearmanr(a, b)[0] for a, b in zip(mean_qm.T, rest.Y_nm.T, strict=True)])
    assert np.mean(found) > 0.72
    # With all rows, RegMix's Pile-CC rank correlation on its own runs is near .90.
    own = Linear(ridge=0.0).fit(obs).predict(Inputs.of(obs.domains, obs.W_nd), level=0.0).mean_qm
    j = [metric.name for metric in obs.metrics].index(PILE_CC)
    assert 0.88 < spearmanr(own[:, j], obs.Y_nm[:, j])[0] < 0.93
