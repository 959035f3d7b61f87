"""The average law: weights that the runs earned, a theorem on log loss, calibrated intervals, the page's form."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Observations
from mixdesk.laws import average
from mixdesk.laws.average import MEMBERS, Average, AverageFit
from mixdesk.laws.rows import folds
from mixdesk.testing.worlds import loglinear, power_sum, pure_noise, quadratic, swarm


def error(fit, world, W_qd):
    true = world.value(W_qd)
    found = fit.predict(Inputs.of(world.domains, W_qd), level=0.0).mean_qm
    return float((((found - true) / true.std(0)) ** 2).mean())


@pytest.mark.parametrize(("make", "right"), [(loglinear, "exponential"), (quadratic, "gp"), (power_sum, "power_sum")])
def test_the_form_behind_the_runs_earns_its_say(make, right):
    says = []
    for seed in range(3):
        world = make(5, 2, seed, 0.1)
        fit = Average().fit(world.observations(np.random.default_rng(seed).dirichlet(np.ones(5), 60)))
        says.append(fit.weight_km[list(fit.members).index(right)].mean())
    assert np.median(says) > 1.0 / 3.0
    np.testing.assert_allclose(fit.weight_km.sum(0), 1.0)


def test_the_average_is_near_its_best_member_on_every_world():
    for make in (loglinear, quadratic, power_sum):
        world = make(6, 2, 1, 0.2)
        rng = np.random.default_rng(5)
        obs, W_qd = world.observations(rng.dirichlet(np.ones(6), 48)), rng.dirichlet(np.ones(6), 200)
        best = min(error(law.fit(obs), world, W_qd) for law in MEMBERS.values())
        assert error(Average().fit(obs), world, W_qd) < 1.3 * best + 0.005


def test_prequential_log_loss_of_a_mixture_is_at_most_that_of_its_best_member_plus_its_prior():
    """Universality Lens: −log Σ w_j p_j ≤ −log p_j − log w_j for every sequence; weights as a Bayesian updates them."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y, mean, sd = rng.standard_normal(24), rng.standard_normal((5, 24)), rng.uniform(0.3, 3.0, (5, 24))
        density = norm.pdf(y, mean, sd)
        posterior, loss = np.full(5, 0.2), 0.0
        for i in range(24):
            loss -= np.log(posterior @ density[:, i])
            posterior = posterior * density[:, i] / (posterior @ density[:, i])
        assert loss <= (-np.log(density).sum(1) + np.log(5)).min() + 1e-9


def test_intervals_cover_what_they_say_on_small_designs():
    inside = []
    for seed in range(6):
        world = (loglinear, quadratic, power_sum)[seed % 3](5, 2, seed, 0.3)
        rng = np.random.default_rng(seed)
        fit = Average().fit(world.observations(rng.dirichlet(np.ones(5), 24)))
        fresh = world.observations(rng.dirichlet(np.ones(5), 100))
        found = fit.predict(Inputs.of(world.domains, fresh.W_nd), sense="run")
        inside.append(((fresh.Y_nm >= found.low_qm) & (fresh.Y_nm <= found.high_qm)).mean())
    assert 0.86 < np.mean(inside) < 0.97


def test_draws_are_mixed_so_that_they_go_together_as_the_errors_do():
    rng = np.random.default_rng(0)
    error_nm = rng.standard_normal((400, 1)) + 0.5 * rng.standard_normal((400, 3))
    error_nm[:, 2] *= -10.0
    error_nm[::7, 1] = np.nan
    sd_nm = np.tile([1.0, 1.0, 10.0], (400, 1))
    away_knm = rng.standard_normal((50, 400, 3)) * sd_nm
    mixed = (away_knm @ average._mixing(error_nm, away_knm, sd_nm)).reshape(-1, 3)
    found, wanted = np.corrcoef(mixed.T), np.corrcoef(error_nm[np.isfinite(error_nm).all(1)].T)
    np.testing.assert_allclose(found, wanted, atol=0.12)
    np.testing.assert_allclose(mixed.std(0), [1.0, 1.0, 10.0], rtol=0.02)
    swap = [2, 0, 1]
    turned = average._mixing(error_nm[:, swap], away_knm[:, :, swap], sd_nm[:, swap])
    np.testing.assert_allclose(turned, average._mixing(error_nm, away_knm, sd_nm)[np.ix_(swap, swap)], atol=1e-9)


def test_pure_noise_is_predicted_as_nearly_constant():
    world = pure_noise(6, 2, 0, 0.1)
    rng = np.random.default_rng(0)
    fit = Average().fit(world.observations(rng.dirichlet(np.ones(6), 60)))
    said = fit.predict(Inputs.of(world.domains, rng.dirichlet(np.ones(6), 300)), level=0.0).mean_qm
    assert said.std(0).max() < 0.05


def test_fits_without_a_part_have_not_seen_it():
    world = power_sum(5, 2, 0, 0.1)
    obs = world.observations(swarm(world, 40, 0))
    parts = folds(obs, 10)
    odd = np.isin(obs.group_n, parts[3])
    changed = replace(obs, Y_nm=np.where(odd[:, None], obs.Y_nm + np.nanstd(obs.Y_nm, axis=0), obs.Y_nm))
    W = Inputs.of(obs.domains, obs.W_nd)
    one, two = (Average().cross_fit(each, parts)[1][3] for each in (obs, changed))
    gap = np.abs(one.predict(W).mean_qm - two.predict(W).mean_qm) / obs.Y_nm.std(0)
    assert gap.max() < 0.2, "only the start of the hyper-parameters and the weights' folds know of it"


def test_parts_that_leave_mixtures_out_of_every_part_are_completed():
    """Every run has a say in the weights: the fit to all rows is the same whatever part of the parts is asked for."""
    obs = loglinear(4, 2, 1, 0.1).observations(np.random.default_rng(1).dirichlet(np.ones(4), 40))
    whole = Average().fit(obs)
    for parts in ([], folds(obs, 10)[:1], folds(obs, 10)[:3], [folds(obs, 10)[0][:1]]):
        full, held = Average().cross_fit(obs, parts)
        assert len(held) == len(parts)
        for fit in (full, *held):
            assert np.isfinite(fit.mix_mm).all()
            np.testing.assert_allclose(fit.weight_km.sum(0), 1.0)
        near = full.predict(obs.inputs()).mean_qm - whole.predict(obs.inputs()).mean_qm
        assert np.abs(near).max() < 0.02 * obs.Y_nm.std(0).max()


def test_a_metric_with_few_runs_leaves_its_members_out_and_no_other_metric_changes():
    world = power_sum(8, 2, 0, 0.1)
    obs = world.observations(swarm(world, 30, 0))
    Y_nm = obs.Y_nm.copy()
    Y_nm[9:, 1] = np.nan
    W = Inputs.of(obs.domains, swarm(world, 10, 5))
    fit = Average().fit(replace(obs, Y_nm=Y_nm))
    names = list(fit.members)
    assert fit.weight_km[names.index("gp"), 1] == 1.0
    assert fit.weight_km[names.index("power_sum"), 1] == 0.0
    both = fit.predict(W, 10)
    assert np.isfinite(both.draws_kqm).all()
    alone = Average().fit(Observations.of(obs.domains, obs.W_nd, obs.Y_nm[:, :1], obs.metrics[:1]))
    np.testing.assert_allclose(both.mean_qm[:, 0], alone.predict(W).mean_qm[:, 0], rtol=1e-9)
    np.testing.assert_allclose(both.high_qm[:, 0], alone.predict(W).high_qm[:, 0], rtol=1e-9)


def test_slope_is_the_derivative_of_the_mean():
    world = power_sum(5, 2, 0, 0.1)
    fit = Average().fit(world.observations(swarm(world, 40, 0)))
    W_qd = np.random.default_rng(3).dirichlet(np.ones(5), 6)
    slope = fit.gradient(W_qd)
    for j in range(5):
        step = 1e-6 * np.eye(5)[j]
        up, down = (fit.predict(Inputs.of(fit.domains, W_qd + s), level=0.0).mean_qm for s in (step, -step))
        np.testing.assert_allclose(slope[:, :, j], (up - down) / 2e-6, rtol=1e-3, atol=1e-5)


def test_draws_are_those_of_the_members_around_the_mean():
    world = power_sum(5, 2, 0, 0.1)
    fit = Average().fit(world.observations(swarm(world, 30, 0)))
    found = fit.predict(Inputs.of(world.domains, swarm(world, 30, 5)), 400, sense="run")
    ratio = found.draws_kqm.std(0) / ((found.high_qm - found.low_qm) / 3.29)
    assert 0.75 < np.median(ratio) < 1.3
    picks = fit._picks(1000)
    np.testing.assert_allclose([(picks[:, 0] == k).mean() for k in range(3)], fit.weight_km[:, 0], atol=2e-3)


def test_a_member_that_runs_away_is_held_within_reach_of_the_values_seen():
    world = quadratic(8, 2, 0, 0.1)
    rng = np.random.default_rng(1)
    obs = world.observations(rng.dirichlet(np.ones(8), 16))
    fit = Average().fit(obs)
    said = fit.predict(Inputs.of(world.domains, np.eye(8)), level=0.0).mean_qm
    span = np.ptp(obs.Y_nm, axis=0)
    assert (said <= obs.Y_nm.max(0) + average.BEYOND * span + 1e-12).all()
    assert (said >= obs.Y_nm.min(0) - average.BEYOND * span - 1e-12).all()


def test_restored_fit_and_damaged_files():
    world = power_sum(4, 1, 0, 0.1)
    fit = Average().fit(world.observations(swarm(world, 20, 0)))
    data = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    W = Inputs.of(world.domains, np.eye(4))
    np.testing.assert_array_equal(AverageFit.from_dict(data).predict(W).low_qm, fit.predict(W).low_qm)
    with pytest.raises(InputError, match="not a fit of the average law"):
        AverageFit.from_dict({key: value for key, value in data.items() if key != "weights"})
    with pytest.raises(InputError, match="not a fit of the average law"):
        AverageFit.from_dict(data | {"members": {"nobody": {}}})


def test_fewer_mixtures_than_any_member_needs_is_a_typed_error():
    world = power_sum(4, 1, 0, 0.1)
    with pytest.raises(NotEnoughEvidence):
        Average().fit(world.observations(swarm(world, 4, 0)))
    obs = power_sum(4, 2, 0, 0.1).observations(swarm(world, 20, 0))
    obs.Y_nm[3:, 1] = np.nan
    with pytest.raises(NotEnoughEvidence):
        Average().fit(obs)
