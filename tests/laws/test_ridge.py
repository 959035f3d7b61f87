"""The ridge law on weights, roots and logarithms: recovery, the recorded table."""

import time

import numpy as np
from law_worlds import regmix_table
from scipy.stats import spearmanr
from test_features import observe

from mixdesk.core.observations import Inputs
from mixdesk.laws.linear import Linear
from mixdesk.laws.ridge import Ridge


def test_a_sum_of_its_curves_is_recovered():
    rng = np.random.default_rng(0)
    law = Ridge()
    features = law._law.features
    W_nd, W_qd = rng.dirichlet(np.full(4, 0.7), 80), rng.dirichlet(np.full(4, 0.7), 40)
    theta_mp = rng.standard_normal((2, features.n_coefficients(4)))
    fit = law.fit(observe(W_nd, features.values(W_nd, theta_mp).T))
    found = fit.predict(Inputs.of(fit.domains, W_qd)).mean_qm
    np.testing.assert_allclose(found, features.values(W_qd, theta_mp).T, atol=1e-5)


def test_a_steep_fall_near_zero_is_followed():
    rng = np.random.default_rng(1)
    W_nd = rng.dirichlet(np.full(5, 0.4), 120)
    y_n1 = (1.0 / (1.0 + 5.0 * np.maximum(W_nd, 1e-9) ** 0.4)).sum(1, keepdims=True)
    obs = observe(W_nd[:80], y_n1[:80])
    curves, plane = (law.fit(obs).predict(Inputs.of(obs.domains, W_nd[80:])).mean_qm for law in (Ridge(), Linear()))
    assert np.mean((curves - y_n1[80:]) ** 2) < 0.3 * np.mean((plane - y_n1[80:]) ** 2)


def test_recorded_table_is_ranked_as_by_others():
    obs = regmix_table().observations()
    start = time.perf_counter()
    Ridge().fit(obs)
    assert time.perf_counter() - start < 2.0
    found = []
    for seed in range(4):
        rows = np.random.default_rng(seed).permutation(512)
        rest = obs.take(rows[64:])
        mean_qm = Ridge().fit(obs.take(rows[:64])).predict(Inputs.of(rest.domains, rest.W_nd), level=0.0).mean_qm
        found.append([spearmanr(a, b)[0] for a, b in zip(mean_qm.T, rest.Y_nm.T, strict=True)])
    assert np.mean(found) > 0.92
