"""The power-sum law: slopes, recovery, useless domains, levels, noise, the recorded table."""

from dataclasses import replace

import numpy as np
import pytest
from formula_checks import check_slopes, same_but_for_the_level
from law_worlds import regmix_table
from scipy.stats import spearmanr

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.laws.power_sum import PowerSum, PowerSumFormula

NAMES = ("a", "b", "c", "d")


def world(W_qd):
    """Two metrics; domain d is of no use to either."""
    C_mj, gamma_mj = np.array([[2.0, 0.5, 1.0, 0.0], [0.3, 3.0, 0.1, 0.0]]), np.array([[0.5, 0.3, 0.8, 1.0]])
    return np.array([1.0, -2.0]) + np.array([2.0, 5.0]) / (1.0 + (C_mj * W_qd[:, None, :] ** gamma_mj).sum(2))


def observe(n=80, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    W_nd = rng.dirichlet(np.full(4, 0.6), n)
    Y_nm = world(W_nd)
    return Observations.of(
        NAMES, W_nd, Y_nm + noise * Y_nm.std(0) * rng.standard_normal(Y_nm.shape), [Metric(name="x"), Metric(name="y")]
    )


def test_slopes_are_exact():
    rng = np.random.default_rng(0)
    check_slopes(PowerSumFormula(), rng.dirichlet(np.ones(4), 6), rng.normal(size=(3, 10)))


def test_own_world_is_recovered_without_noise():
    fit = PowerSum().fit(observe())
    W_qd = np.random.default_rng(1).dirichlet(np.ones(4), 200)
    gap = fit.predict(Inputs.of(NAMES, W_qd), level=0.0).mean_qm - world(W_qd)
    assert (np.sqrt((gap**2).mean(0)) < 0.01 * world(W_qd).std(0)).all()


def test_a_domain_that_never_helps_adds_nothing():
    fit = PowerSum().fit(observe(noise=0.02))
    columns = [2 + fit.domains.index(name) for name in NAMES]
    knowledge_mj = np.exp(fit.theta_mp[:, columns])
    assert (knowledge_mj[:, 3] < 0.1 * knowledge_mj.max(1)).all()


def test_a_constant_added_moves_the_level_alone():
    obs = observe(n=40, noise=0.1)
    np.testing.assert_allclose(
        same_but_for_the_level(PowerSum(), obs, replace(obs, Y_nm=obs.Y_nm + 7.0)), 7.0, atol=1e-9
    )


def test_pure_noise_is_nearly_a_constant():
    rng = np.random.default_rng(3)
    obs = Observations.of(
        NAMES, rng.dirichlet(np.ones(4), 40), rng.normal(size=(40, 12)), [Metric(name=x) for x in "abcdefghijkl"]
    )
    found = PowerSum().fit(obs).predict(Inputs.of(NAMES, rng.dirichlet(np.ones(4), 200)), sense="run")
    assert found.mean_qm.std(0).mean() < 0.35
    assert ((found.high_qm - found.low_qm).mean(0) > 2.0).all()


def test_a_metric_changes_no_other_metrics_prediction():
    obs = observe(n=40, noise=0.1)
    alone = replace(obs, metrics=obs.metrics[1:], Y_nm=obs.Y_nm[:, 1:])
    inputs = Inputs.of(NAMES, np.random.default_rng(4).dirichlet(np.ones(4), 20))
    both, one = (PowerSum().fit(each).predict(inputs).mean_qm[:, -1] for each in (obs, alone))
    np.testing.assert_allclose(one, both, atol=1e-6)


def test_fits_to_parts_are_near_separate_fits():
    obs = observe(n=48, noise=0.1)
    parts = np.array_split(np.unique(obs.group_n), 4)
    full, folds = PowerSum().cross_fit(obs, parts)
    inputs = Inputs.of(NAMES, np.random.default_rng(5).dirichlet(np.ones(4), 50))
    np.testing.assert_array_equal(full.theta_mp, PowerSum().fit(obs).theta_mp)
    for part, fold in zip(parts, folds, strict=True):
        apart = PowerSum().fit(obs.take(np.flatnonzero(~np.isin(obs.group_n, part))))
        gap = fold.predict(inputs).mean_qm - apart.predict(inputs).mean_qm
        assert (np.sqrt((gap**2).mean(0)) < 0.25 * obs.Y_nm.std(0)).all()
        assert fold.theta_mp.tolist() != full.theta_mp.tolist()


def test_intervals_for_a_run_cover():
    held = []
    for seed in range(6):
        fit, new = PowerSum().fit(observe(n=40, noise=0.2, seed=seed)), observe(n=100, noise=0.2, seed=100 + seed)
        found = fit.predict(Inputs.of(NAMES, new.W_nd), sense="run")
        held.append(((new.Y_nm >= found.low_qm) & (new.Y_nm <= found.high_qm)).mean())
    assert 0.82 <= np.mean(held) <= 0.97


def test_page_form_predicts_the_same_as_python():
    fit = PowerSum().fit(observe(n=30, noise=0.1))
    page, W_qd = fit.browser(), np.array([[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
    found = []
    for sign, shift, scale, theta in zip(page["sign"], page["shift"], page["scale"], page["theta"], strict=True):
        C, gamma = np.exp(theta[2:6]), np.exp(theta[6:])
        f_q = theta[0] + theta[1] / (1.0 + (C * np.maximum(W_qd, 1e-9) ** gamma).sum(1))
        found.append(sign * (shift + scale * f_q))
    np.testing.assert_allclose(np.array(found).T, fit.predict(Inputs.of(page["domains"], W_qd)).mean_qm, atol=1e-9)


def test_too_few_mixtures_and_damaged_fits_are_typed_errors():
    with pytest.raises(NotEnoughEvidence, match="at least 6 mixtures"):
        PowerSum().fit(observe(n=5))
    fit = PowerSum(n_draws=5).fit(observe(n=12))
    with pytest.raises(InputError, match="not a fit"):
        PowerSum().restore({**fit.to_dict(), "form": "exponential"})


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(32, 0.95), (64, 0.972), (128, 0.982)])
def test_ranks_the_recorded_runs_it_has_not_seen(n, least):
    obs = regmix_table().observations()
    found = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(obs.trials))
        fit, new = PowerSum().fit(obs.take(order[:n])), obs.take(order[n:])
        mean_qm = fit.predict(Inputs.of(new.domains, new.W_nd), level=0.0).mean_qm
        found.append(np.mean([spearmanr(a, b)[0] for a, b in zip(mean_qm.T, new.Y_nm.T, strict=True)]))
    assert np.mean(found) >= least
