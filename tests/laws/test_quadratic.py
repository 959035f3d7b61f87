"""The quadratic law: Scheffé's canonical form, its optimum, roots, the recorded table."""

import time
from dataclasses import replace

import numpy as np
import pytest
from law_worlds import regmix_table
from scipy.optimize import minimize
from scipy.stats import spearmanr
from test_features import observe

from mixdesk.core.observations import Inputs
from mixdesk.laws.quadratic import Quadratic, bends_down


def lattice(d):
    """The simplex lattice {d, 2}: vertices and midpoints."""
    first, second = np.triu_indices(d, 1)
    return np.vstack([np.eye(d), (np.eye(d)[first] + np.eye(d)[second]) / 2.0])


@pytest.mark.parametrize("d", [3, 5, 8])
def test_scheffe_coefficients_are_recovered_from_a_lattice(d):
    rng = np.random.default_rng(d)
    W_nd = lattice(d)
    beta_pm = rng.standard_normal((d * (d + 1) // 2, 3))
    law = Quadratic(root=False, ridge=0.0)
    fit = law.fit(observe(W_nd, law._law.features.matrix(W_nd) @ beta_pm))
    found_mp = fit.scale_m[:, None] * fit.theta_mp
    found_mp[:, :d] += fit.shift_m[:, None]
    np.testing.assert_allclose(found_mp.T, beta_pm, atol=1e-10)


@pytest.mark.parametrize("root", [True, False])
def test_sum_of_squares_is_least_at_the_uniform_mixture(root):
    W_nd = np.random.default_rng(0).dirichlet(np.ones(4), 60)
    fit = Quadratic(root=root).fit(observe(W_nd, (W_nd**2).sum(1, keepdims=True)))
    value = lambda w: float(fit.predict(Inputs.of(fit.domains, w[None] / w.sum()), level=0.0).mean_qm[0, 0])  # noqa: E731
    best = minimize(value, np.array([0.4, 0.3, 0.2, 0.1]), bounds=[(1e-6, 1.0)] * 4).x
    np.testing.assert_allclose(best / best.sum(), 0.25, atol=0.05 if root else 1e-4)


def test_noise_free_quadratic_is_recovered():
    rng = np.random.default_rng(1)
    W_nd, C_dd = rng.dirichlet(np.ones(5), 50), rng.standard_normal((5, 5))
    fit = Quadratic(root=False).fit(observe(W_nd, np.einsum("nd,de,ne->n", W_nd, C_dd, W_nd)[:, None]))
    W_qd = rng.dirichlet(np.ones(5), 30)
    found = fit.predict(Inputs.of(fit.domains, W_qd)).mean_qm[:, 0]
    np.testing.assert_allclose(found, np.einsum("nd,de,ne->n", W_qd, C_dd, W_qd), atol=1e-6)


def test_where_the_surface_bends_down_is_said():
    rng = np.random.default_rng(2)
    W_nd = rng.dirichlet(np.ones(4), 60)
    bowl = (W_nd**2).sum(1)
    saddle = W_nd[:, 0] * W_nd[:, 1] - W_nd[:, 2] * W_nd[:, 3]
    obs = observe(W_nd, np.column_stack([bowl, -bowl, saddle]))
    fit = Quadratic(root=False).fit(obs)
    assert bends_down(fit) == ("m1", "m2")
    mirrored = Quadratic(root=False).fit(replace(obs, metrics=tuple(replace(x, better="higher") for x in obs.metrics)))
    assert bends_down(mirrored) == ("m0", "m2")
    assert bends_down(Quadratic().fit(obs)) == ("m1", "m2")


def test_recorded_table_is_ranked_as_by_others():
    obs = regmix_table().observations()
    start = time.perf_counter()
    Quadratic().fit(obs)
    assert time.perf_counter() - start < 3.0
    found = []
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(512)
        rest = obs.take(rows[64:])
        mean_qm = Quadratic().fit(obs.take(rows[:64])).predict(Inputs.of(rest.domains, rest.W_nd), level=0.0).mean_qm
        found.append([spearmanr(a, b)[0] for a, b in zip(mean_qm.T, rest.Y_nm.T, strict=True)])
    assert np.mean(found) > 0.9
