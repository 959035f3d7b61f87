"""The mixture GP: scikit-learn as oracle, closed-form leave-one-out, slopes, draws, the page's form."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Observations
from mixdesk.laws import gp
from mixdesk.laws.gp import MixtureGP, MixtureGPFit
from mixdesk.testing.worlds import heteroscedastic, power, quadratic, swarm


def fitted(n=40, d=5, m=2, seed=1, noise=0.1):
    world = power(d, m, seed, noise)
    obs = world.observations(swarm(world, n, seed))
    return world, obs, MixtureGP().fit(obs)


def oracle(fit, j, W_qd):
    """The same process by scikit-learn on coordinates in its own units, mean and sd on the bent scale."""
    one = fit.processes[j]
    line = ConstantKernel(one.b) * DotProduct(sigma_0=0.0)
    kernel = ConstantKernel(one.v) * Matern(1.0, nu=2.5) + line + WhiteKernel(one.noise + gp.JITTER)
    z_n = one.a * np.log1p(fit.Y_mn[j, one.rows] / one.a)
    model = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(one.U_nd, z_n - one.mu)
    mean, sd = model.predict(one.coordinates(W_qd), return_std=True)
    return mean + one.mu, np.sqrt(sd**2 - one.noise - gp.JITTER), model


def test_mean_and_sd_are_those_of_scikit_learn():
    world, _, fit = fitted()
    W_qd = swarm(world, 30, 9)[:, [world.domains.index(name) for name in fit.domains]]
    for j, one in enumerate(fit.processes):
        mean, sd = one.said(W_qd, with_sd=True)
        wanted, wanted_sd, _ = oracle(fit, j, W_qd)
        np.testing.assert_allclose(mean, wanted, atol=1e-7)
        np.testing.assert_allclose(sd, wanted_sd, atol=1e-5)


def test_likelihood_is_that_of_scikit_learn_and_the_slope_is_its_derivative():
    _, _, fit = fitted()
    prior = gp._prior(5)
    theta = prior[0] + 0.3 * np.random.default_rng(0).standard_normal(10)
    none = np.zeros((40, 40))
    cost, slope = gp._cost(theta, fit.W_nd, fit.Y_mn[0], none, *prior)
    step = 1e-5 * np.eye(10)
    numeric = [
        (
            gp._cost(theta + e, fit.W_nd, fit.Y_mn[0], none, *prior)[0]
            - gp._cost(theta - e, fit.W_nd, fit.Y_mn[0], none, *prior)[0]
        )
        / 2e-5
        for e in step
    ]
    np.testing.assert_allclose(slope, numeric, atol=1e-5)
    one = gp._Metric.at(fit.W_nd, fit.Y_mn[0], none, theta)
    _, _, model = oracle(replace(fit, processes=(one, *fit.processes[1:])), 0, fit.W_nd)
    bend = np.log1p(fit.Y_mn[0] / one.a).sum()
    penalty = 0.5 * (((theta - prior[0]) / prior[1]) ** 2).sum()
    assert cost == pytest.approx(-model.log_marginal_likelihood() - 20.0 * np.log(2 * np.pi) + bend + penalty, abs=1e-6)


def test_leaving_a_mixture_out_in_closed_form_is_leaving_it_out():
    world = power(4, 1, 2, 0.2)
    W_nd = swarm(world, 20, 3)
    W_nd = np.vstack([W_nd, W_nd[:4]])
    fit = MixtureGP().fit(world.observations(W_nd, np.repeat([0, 1], [20, 4])))
    error, sd = fit.processes[0].left_out(fit.group_n)
    for group in np.unique(fit.group_n)[:8]:
        out = fit.group_n == group
        y = np.where(out, np.nan, fit.Y_mn[0])
        same = (fit.replicate_n[:, None] == fit.replicate_n).astype(float) * fit.share_m[0]
        full = fit.processes[0]
        rest = gp._Metric.at(fit.W_nd, y, same, fit.theta_mp[0])
        rest = replace(rest, a=full.a)
        z = full.a * np.log1p(fit.Y_mn[0] / full.a)
        keep = np.flatnonzero(~out)
        K = full.v * gp._matern(gp._distance2(full.U_nd, full.U_nd)) + full.b * full.U_nd @ full.U_nd.T
        K += same + (full.noise + gp.JITTER) * np.eye(24)
        k = K[np.ix_(np.flatnonzero(out), keep)]
        inverse = np.linalg.inv(K[np.ix_(keep, keep)])
        mean = full.mu + k @ inverse @ (z[keep] - full.mu)
        np.testing.assert_allclose(error[out], z[out] - mean, atol=1e-7)
        np.testing.assert_allclose(sd[out] ** 2, np.diag(K[np.ix_(out, out)] - k @ inverse @ k.T), atol=1e-7)


def test_slope_is_the_derivative_of_the_mean():
    _, _, fit = fitted()
    W_qd = np.random.default_rng(3).dirichlet(np.ones(5), 6)
    slope = fit.gradient(W_qd)
    for j in range(5):
        step = 1e-6 * np.eye(5)[j]
        up, down = (fit.predict(Inputs.of(fit.domains, W_qd + s), level=0.0).mean_qm for s in (step, -step))
        np.testing.assert_allclose(slope[:, :, j], (up - down) / 2e-6, rtol=1e-4, atol=1e-6)


def test_draws_have_the_sd_of_the_intervals_and_are_functions():
    world, _, fit = fitted(n=30)
    W_qd = swarm(world, 40, 7)
    found = fit.predict(Inputs.of(world.domains, W_qd), 600, level=0.9, sense="run")
    ratio = found.draws_kqm.std(0) / ((found.high_qm - found.low_qm) / 3.29)
    assert 0.9 < np.median(ratio) < 1.15
    mean = fit.predict(Inputs.of(world.domains, W_qd), 50).draws_kqm
    alone = fit.predict(Inputs.of(world.domains, W_qd[5:6]), 50).draws_kqm
    np.testing.assert_allclose(alone[:, 0], mean[:, 5], atol=1e-9)


def test_a_steep_rise_near_zero_is_followed_with_few_runs():
    errors = []
    for seed in range(4):
        world = power(8, 2, seed, 0.05)
        fit = MixtureGP().fit(world.observations(swarm(world, 48, seed)))
        W_qd = swarm(world, 200, seed + 50)
        true = world.value(W_qd)
        found = fit.predict(Inputs.of(world.domains, W_qd), level=0.0).mean_qm
        errors.append((((found - true) / true.std(0)) ** 2).mean())
    assert np.median(errors) < 0.03


def test_a_bowl_with_its_optimum_inside_is_followed():
    world = quadratic(5, 2, 0, 0.05)
    rng = np.random.default_rng(1)
    fit = MixtureGP().fit(world.observations(rng.dirichlet(np.ones(5), 80)))
    W_qd = rng.dirichlet(np.ones(5), 200)
    true, found = world.value(W_qd), fit.predict(Inputs.of(world.domains, W_qd), level=0.0).mean_qm
    assert (((found - true) / true.std(0)) ** 2).mean() < 0.02


def test_a_metric_changes_no_other_metric():
    world = heteroscedastic(5, 3, 0, 0.2)
    obs = world.observations(swarm(world, 30, 0))
    two = Observations.of(obs.domains, obs.W_nd, obs.Y_nm[:, :2], obs.metrics[:2])
    W = Inputs.of(obs.domains, swarm(world, 20, 5))
    all_three, only_two = MixtureGP().fit(obs).predict(W), MixtureGP().fit(two).predict(W)
    np.testing.assert_allclose(all_three.mean_qm[:, :2], only_two.mean_qm, rtol=0, atol=0)
    np.testing.assert_allclose(all_three.high_qm[:, :2], only_two.high_qm, rtol=0, atol=0)


def test_fits_without_a_part_are_fits_that_have_never_seen_it():
    _, obs, _ = fitted(n=40)
    part = np.unique(obs.group_n)[:6]
    _, (held,) = MixtureGP().cross_fit(obs, [part])
    scratch = MixtureGP().fit(obs.take(np.flatnonzero(~np.isin(obs.group_n, part))))
    W = Inputs.of(obs.domains, obs.W_nd)
    np.testing.assert_array_equal(held.predict(W).mean_qm, scratch.predict(W).mean_qm)


def test_page_form_says_the_same():
    world, _, fit = fitted()
    page = json.loads(json.dumps(fit.browser(), allow_nan=False))
    W_qd = swarm(world, 25, 4)
    wanted = fit.predict(Inputs.of(world.domains, W_qd)).mean_qm
    order = [world.domains.index(name) for name in page["domains"]]
    for j, one in enumerate(page["processes"]):
        U_nd, u_qd = (
            (rows ** one["p"] - np.array(one["middle"])) / np.array(one["unit"])
            for rows in (np.array(page["W"])[one["rows"]], W_qd[:, order])
        )
        r = np.sqrt(((u_qd[:, None] - U_nd) ** 2).sum(2))
        kernel = one["v"] * (1 + 5**0.5 * r + 5 * r**2 / 3) * np.exp(-(5**0.5) * r)
        z = one["mu"] + u_qd @ np.array(one["line"]) + kernel @ np.array(one["alpha"])
        value = one["sign"] * (one["shift"] + one["scale"] * one["a"] * np.expm1(np.clip(z / one["a"], -50, 20)))
        np.testing.assert_allclose(value, wanted[:, j], atol=1e-6)


def test_too_few_mixtures_and_damaged_files_are_typed_errors():
    world = power(3, 1, 0, 0.1)
    with pytest.raises(NotEnoughEvidence, match="gp law"):
        MixtureGP().fit(world.observations(swarm(world, 4, 0)))
    data = MixtureGP().fit(world.observations(swarm(world, 12, 0))).to_dict()
    with pytest.raises(InputError, match="not a fit of the gp law"):
        MixtureGPFit.from_dict({key: value for key, value in data.items() if key != "theta"})
    with pytest.raises(InputError, match="shapes"):
        MixtureGPFit.from_dict(data | {"share": [0.0, 0.0]})
