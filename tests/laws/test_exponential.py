"""The exponential law: the numbers of the paper, recovery, gauge, offsets, noise, regret."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_worlds import design
from scipy.optimize import minimize

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.core.space import Constraints, Space
from mixdesk.laws.exponential import Exponential, ExponentialFormula
from mixdesk.laws.formula import FormulaFit
from mixdesk.testing.worlds import loglinear, ridge

# Ye et al. 2024, notebook `mix_5_domains`: log c, log k, t of academic, prose, dialogue, symbolic, internet.
PRINTED = {
    "academic": (0.9750, -2.1391, -10.0864, 2.7140, 2.7106, 2.6083, 1.5866),
    "prose": (1.2624, -2.1656, 1.3930, -4.6811, 0.7855, 1.8719, 0.5734),
    "dialogue": (1.1375, -7.1017, 6.7135, 6.2643, -31.8621, 6.6423, 6.2053),
    "symbolic": (0.4750, -3.6546, 3.3289, 3.6705, 3.1127, -16.4217, 3.1591),
    "internet": (1.2402, -1.9510, 1.1897, 0.8697, -0.5184, 1.7122, -3.0870),
}
UNIFORM = (2.7584, 3.6473, 3.1192, 1.6218, 3.6032)


def printed_fit(gauge=0.0):
    """The paper's law in our gauge; `gauge` moves that much of log k from every t into the constant of the score."""
    log_c, log_k, t = (np.array([row[part] for row in PRINTED.values()]) for part in (0, 1, slice(2, 7)))
    t_md = t + log_k[:, None] + gauge
    theta_mp = np.column_stack([np.exp(log_c), t_md])
    return FormulaFit(
        formula=ExponentialFormula(),
        domains=tuple(PRINTED),
        metrics=tuple(PRINTED),
        sign_m=np.ones(5),
        shift_m=np.zeros(5),
        scale_m=np.ones(5),
        theta_mp=theta_mp,
        draw_shift_km=np.zeros((2, 5)),
        draw_kmp=np.stack([theta_mp, theta_mp]),
        noise_mm=np.zeros((5, 5)),
    )


def coefficients(fit, domains):
    """c (m,) and t (m, d) in the metric's unit, domains in the given order."""
    columns = [1 + fit.domains.index(name) for name in domains]
    return fit.shift_m + fit.scale_m * fit.theta_mp[:, 0], fit.theta_mp[:, columns] + np.log(fit.scale_m)[:, None]


def observe(W_nd, Y_nm, better="lower", **more):
    domains = [f"d{j}" for j in range(W_nd.shape[1])]
    metrics = [Metric(name=f"m{j}", better=better) for j in range(Y_nm.shape[1])]
    return Observations.of(domains, W_nd, Y_nm, metrics, **more)


def test_printed_coefficients_predict_the_uniform_mixture():
    found = printed_fit().predict(Inputs.of(tuple(PRINTED), np.full((1, 5), 0.2)))
    np.testing.assert_allclose(found.mean_qm[0], UNIFORM, atol=5e-5)


def test_printed_world_is_recovered_where_it_is_identified():
    rng = np.random.default_rng(0)
    truth = printed_fit()
    W_nd = rng.dirichlet(np.ones(5), 60)
    names = [f"d{j}" for j in range(5)]
    fit = Exponential().fit(observe(W_nd, truth.predict(Inputs.of(truth.domains, W_nd)).mean_qm))
    W_qd = rng.dirichlet(np.ones(5), 50)
    wanted = truth.predict(Inputs.of(truth.domains, W_qd)).mean_qm
    np.testing.assert_allclose(fit.predict(Inputs.of(names, W_qd)).mean_qm, wanted, rtol=1e-6)
    np.testing.assert_allclose(coefficients(fit, names)[0], truth.theta_mp[:, 0], rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(d=st.integers(2, 10), seed=st.integers(0, 10_000))
def test_noise_free_world_is_recovered(d, seed):
    rng = np.random.default_rng(seed)
    c_m = rng.uniform(-1.0, 2.0, 2)
    t_md = rng.uniform(-0.3, 0.5, (2, d))
    t_md[[0, 1], [0, 1]] = -rng.uniform(1.0, 5.0, 2)
    W_nd = rng.dirichlet(np.ones(d), 3 * (d + 1))
    fit = Exponential().fit(observe(W_nd, c_m + np.exp(W_nd @ t_md.T)))
    found_c, found_t = coefficients(fit, [f"d{j}" for j in range(d)])
    np.testing.assert_allclose(found_t, t_md, atol=1e-4 * np.abs(t_md).max())
    np.testing.assert_allclose(found_c, c_m, atol=1e-4 * np.abs(c_m).max())


def test_gauge_a_factor_before_the_exponential_is_a_common_shift_of_t():
    W_qd = np.random.default_rng(1).dirichlet(np.ones(5), 20)
    inputs = Inputs.of(tuple(PRINTED), W_qd)
    plain, moved = printed_fit(), printed_fit(gauge=0.7)
    factor = np.exp(0.7)
    c_m = plain.theta_mp[:, 0]
    wanted = c_m + factor * (plain.predict(inputs).mean_qm - c_m)
    np.testing.assert_allclose(moved.predict(inputs).mean_qm, wanted, rtol=1e-12)


def test_a_constant_added_moves_c_alone():
    world = loglinear(d=5, m=2, seed=2)
    obs = world.observations(design(world, 30, np.random.default_rng(2)))
    one, two = (Exponential().fit(replace(obs, Y_nm=obs.Y_nm + shift)) for shift in (0.0, 2.5))
    np.testing.assert_allclose(two.shift_m - one.shift_m, 2.5, atol=1e-9)
    np.testing.assert_allclose(two.theta_mp, one.theta_mp, atol=1e-4)


def test_a_metric_that_is_better_higher_is_the_mirror_image():
    rng = np.random.default_rng(3)
    W_nd = rng.dirichlet(np.ones(4), 30)
    accuracy = 0.8 - 0.3 * np.exp(W_nd @ rng.uniform(-3.0, 0.5, (4, 1)))
    fit = Exponential().fit(observe(W_nd, accuracy, better="higher"))
    np.testing.assert_allclose(fit.predict(Inputs.of(["d0", "d1", "d2", "d3"], W_nd)).mean_qm, accuracy, atol=1e-6)
    assert fit.browser()["sign"] == [-1.0]


def test_replicate_offsets_are_taken_out_and_the_level_is_that_of_their_mean():
    rng = np.random.default_rng(4)
    W_nd = rng.dirichlet(np.ones(4), 24)
    t_md = rng.uniform(-3.0, 1.0, (2, 4))
    W_nd = np.vstack([W_nd, W_nd[:3], W_nd[:3]])
    replicate_n = np.repeat([0, 1, 2], [24, 3, 3])
    offset = np.array([0.3, -0.2, 0.5])
    fit = Exponential().fit(
        observe(W_nd, 1.0 + np.exp(W_nd @ t_md.T) + offset[replicate_n, None], replicate_n=replicate_n)
    )
    found_c, found_t = coefficients(fit, ["d0", "d1", "d2", "d3"])
    np.testing.assert_allclose(found_t, t_md, atol=1e-4)
    np.testing.assert_allclose(found_c, 1.2, atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_repeats_that_are_equal_leave_the_level_alone(noise, seed):
    rng = np.random.default_rng(seed)
    W = rng.dirichlet(np.ones(4), 20)
    W, replicate = np.vstack([W, W[:3], W[:3]]), np.repeat([0, 1, 2], [20, 3, 3])
    y = 2.0 - W[:, :1] + noise * rng.normal(size=(26, 1))
    obs = Observations.of(tuple("abcd"), W, y, (Metric(name="m"),), replicate_n=replicate)
    said = Exponential().fit(obs).predict(Inputs.of(tuple("abcd"), np.full((1, 4), 0.25)))
    assert said.mean_qm[0, 0] == pytest.approx(1.75, abs=0.01)


def test_a_seed_per_run_does_not_swallow_the_law():
    world = loglinear(d=4, m=1, seed=0)
    W_nd = design(world, 40, np.random.default_rng(0))
    fit = Exponential().fit(world.observations(W_nd, np.arange(40)))
    W_qd = np.random.default_rng(1).dirichlet(np.ones(4), 100)
    gap = fit.predict(Inputs.of(world.domains, W_qd)).mean_qm - world.value(W_qd)
    assert np.sqrt((gap**2).mean()) < 0.1 * world.value(W_qd).std()


def test_page_form_predicts_the_same_as_python():
    world = loglinear(d=4, m=2, seed=1)
    fit = Exponential().fit(world.observations(design(world, 20, np.random.default_rng(1))))
    page, W_qd = fit.browser(), np.random.default_rng(2).dirichlet(np.ones(4), 10)
    assert page["form"] == "exponential"
    assert page["options"] == {"n_terms": 1}
    for shift, theta, wanted in [
        (page["shift"], page["theta"], fit.predict(Inputs.of(page["domains"], W_qd)).mean_qm),
        (
            page["draws"]["shift"][3],
            page["draws"]["theta"][3],
            fit.predict(Inputs.of(page["domains"], W_qd), 4).draws_kqm[3],
        ),
    ]:
        theta = np.array(theta)
        f_qm = theta[:, 0] + np.exp(np.minimum(W_qd @ theta[:, 1:].T, 30.0))
        found = np.array(page["sign"]) * (np.array(shift) + np.array(page["scale"]) * f_qm)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert len(page["draws"]["theta"]) == 100


def test_implicit_domains_follow_what_one_exponential_cannot():
    rng = np.random.default_rng(8)
    W_nd = rng.dirichlet(np.ones(3), 80)
    t_hd = np.array([[-6.0, 1.0, 0.0], [1.0, -6.0, 0.0]])
    y_nm = 1.0 + np.exp(W_nd @ t_hd.T).sum(1, keepdims=True)
    W_qd = rng.dirichlet(np.ones(3), 100)
    wanted = 1.0 + np.exp(W_qd @ t_hd.T).sum(1)
    inputs = Inputs.of(("d0", "d1", "d2"), W_qd)
    one, two = (Exponential(n_terms=h).fit(observe(W_nd, y_nm)).predict(inputs).mean_qm[:, 0] for h in (1, 2))
    assert np.abs(two - wanted).max() < 0.1 * np.abs(one - wanted).max()
    with pytest.raises(InputError, match="n_terms"):
        Exponential(n_terms=5)


def test_draws_are_joint_the_difference_of_neighbours_is_surer_than_either():
    world = loglinear(d=5, m=1, seed=5, noise=0.3)
    fit = Exponential().fit(world.observations(design(world, 30, np.random.default_rng(5))))
    W_qd = np.array([[0.2] * 5, [0.21, 0.19, 0.2, 0.2, 0.2]])
    draws = fit.predict(Inputs.of(world.domains, W_qd), 200).draws_kqm[:, :, 0]
    assert (draws[:, 0] - draws[:, 1]).std() < 0.3 * draws[:, 0].std()


@pytest.mark.parametrize("world_of", [loglinear, ridge])
def test_intervals_cover(world_of):
    held = [[], []]
    for seed in range(8):
        world = world_of(8, 3, seed, 0.1)
        rng = np.random.default_rng(seed)
        fit = Exponential().fit(world.observations(design(world, 38, rng)))
        new = world.observations(design(world, 100, rng))
        inputs = Inputs.of(world.domains, new.W_nd)
        for part, sense, truth in ((0, "run", new.Y_nm), (1, "mean", world.value(new.W_nd))):
            found = fit.predict(inputs, sense=sense)
            # All runs are of replicate 0: what they share is seen by no law, so it is taken out of the truth.
            truth = truth + (np.median(new.Y_nm - world.value(new.W_nd), axis=0) if sense == "mean" else 0.0)
            held[part].append(((truth >= found.low_qm) & (truth <= found.high_qm)).mean())
    assert 0.84 <= np.mean(held[0]) <= 0.97
    assert 0.75 <= np.mean(held[1]) <= 0.98


def test_too_few_mixtures_is_a_typed_error_and_repeats_do_not_count():
    rng = np.random.default_rng(6)
    W_nd = np.repeat(rng.dirichlet(np.ones(5), 6), 3, axis=0)
    with pytest.raises(NotEnoughEvidence, match="at least 7 mixtures"):
        Exponential().fit(observe(W_nd, rng.random((18, 1))))
    Y_nm = np.column_stack([rng.random(8), [*rng.random(6), np.nan, np.nan]])
    with pytest.raises(NotEnoughEvidence, match="`m1`"):
        Exponential().fit(observe(rng.dirichlet(np.ones(5), 8), Y_nm))


def test_the_smallest_record_has_a_finite_fit():
    rng = np.random.default_rng(7)
    W_nd = rng.dirichlet(np.ones(8), 10)
    fit = Exponential().fit(observe(W_nd, rng.standard_normal((10, 2))))
    found = fit.predict(Inputs.of(fit.domains, np.eye(8)), sense="run")
    assert np.isfinite([found.mean_qm, found.low_qm, found.high_qm]).all()


def test_damaged_fit_and_strange_domains_are_input_errors():
    fit = printed_fit()
    with pytest.raises(InputError, match="not a fit"):
        Exponential().restore({**fit.to_dict(), "theta": [[1.0]]})
    with pytest.raises(InputError, match="not a fit"):
        Exponential().restore({"domains": []})
    with pytest.raises(InputError, match="not on both sides"):
        fit.predict(Inputs.of(("a", "b"), np.array([[0.5, 0.5]])))
    with pytest.raises(InputError):
        Exponential(n_draws=0)


def regret_of_argmin(seed, objective, n=64):
    """True regret of the fitted law's argmin, in units of uniform − best."""
    world = loglinear(8, 8, seed, 0.1)
    rng = np.random.default_rng(seed)
    fit = Exponential().fit(world.observations(design(world, n, rng)))
    space = Space.build(Constraints(), world.domains)

    def predicted(w):
        return objective.value(fit.predict(Inputs.of(world.domains, w), level=0.0).mean_qm, world.metrics)[0]

    found = min(
        (
            minimize(
                predicted,
                start,
                method="SLSQP",
                bounds=[(0.0, 1.0)] * 8,
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
            )
            for start in [np.full(8, 0.125), *rng.dirichlet(np.ones(8), 2)]
        ),
        key=lambda result: result.fun,
    )
    _, best = world.optimum(objective, space)
    chosen, uniform = objective.value(
        world.value(np.vstack([space.project(found.x), np.full((1, 8), 0.125)])), world.metrics
    )
    return (chosen - best) / (uniform - best)


@pytest.mark.parametrize("n_seeds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_regret_of_the_argmin_in_a_world_with_ten_per_cent_noise(n_seeds):
    objective = Objective(terms={"bpb/domain/*": 1.0})
    assert np.median([regret_of_argmin(seed, objective) for seed in range(n_seeds)]) <= 0.05


def test_a_fit_with_two_hundred_draws_takes_seconds_at_most():
    world = loglinear(17, 13, 0, 0.1)
    obs = world.observations(design(world, 64, np.random.default_rng(0)))
    start = time.perf_counter()
    Exponential(n_draws=200).fit(obs)
    assert time.perf_counter() - start < 10.0
