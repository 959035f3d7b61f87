"""Laws on features: formula, slopes, errors of mixtures left out, cross-fits, draws, noise."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_worlds import design

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.laws import features
from mixdesk.laws.features import Features
from mixdesk.laws.linear import Linear
from mixdesk.laws.quadratic import Quadratic
from mixdesk.laws.ridge import Ridge
from mixdesk.laws.rows import offset_columns
from mixdesk.testing.worlds import loglinear, quadratic

LAWS = [Linear(), Ridge(), Quadratic(), Quadratic(root=False)]
ALL = Features(blocks=("weight", "root", "log", "pairs", "root pairs"))


def observe(W_nd, Y_nm, **more):
    domains = [f"d{j}" for j in range(W_nd.shape[1])]
    return Observations.of(domains, W_nd, Y_nm, [Metric(name=f"m{j}") for j in range(Y_nm.shape[1])], **more)


def repeated_record():
    """24 rows of 12 mixtures over 3 replicates: some mixtures once, some three times, one metric with gaps."""
    world = loglinear(4, 2, 0, 0.2)
    W_nd = design(world, 12, np.random.default_rng(0))
    which = np.r_[np.arange(12), np.repeat(np.arange(6), 2)]
    obs = world.observations(W_nd[which], np.r_[np.zeros(12, int), np.tile([1, 2], 6)])
    Y_nm = obs.Y_nm.copy()
    Y_nm[[3, 20], 1] = np.nan
    return replace(obs, Y_nm=Y_nm)


def test_features_are_the_listed_ones():
    w = np.array([[0.04, 0.36, 0.6]])
    pairs = [0.04 * 0.36, 0.04 * 0.6, 0.36 * 0.6]
    wanted = [*w[0], *np.sqrt(w[0]), *np.log(1.0 + w[0] / 0.01), *pairs, *np.sqrt(pairs)]
    np.testing.assert_allclose(ALL.matrix(w)[0], wanted, rtol=1e-14)
    assert ALL.n_coefficients(3) == len(wanted) == ALL.jacobian(w, np.zeros((2, 15))).shape[2]


def test_slope_is_that_of_the_values():
    rng = np.random.default_rng(0)
    W_qd, theta_mp = rng.dirichlet(np.full(4, 5.0), 6), rng.standard_normal((3, ALL.n_coefficients(4)))
    slope = ALL.slope(W_qd, theta_mp)
    for i in range(4):
        step = 1e-6 * np.eye(4)[i]
        rise = (ALL.values(W_qd + step, theta_mp) - ALL.values(W_qd - step, theta_mp)) / 2e-6
        np.testing.assert_allclose(slope[:, :, i], rise.T, rtol=1e-6, atol=1e-7)
    assert np.isfinite(ALL.slope(np.eye(4), theta_mp)).all()


def test_coefficients_turn_with_the_domains():
    rng = np.random.default_rng(1)
    W_qd, theta_mp, columns = (
        rng.dirichlet(np.ones(5), 7),
        rng.standard_normal((2, ALL.n_coefficients(5))),
        [3, 0, 4, 1, 2],
    )
    turned = theta_mp[:, ALL.turned(columns)]
    np.testing.assert_allclose(ALL.values(W_qd[:, columns], turned), ALL.values(W_qd, theta_mp), rtol=1e-13)


def test_unknown_blocks_are_refused():
    with pytest.raises(InputError, match="weigt"):
        Features(blocks=("weigt",))
    with pytest.raises(InputError, match="root"):
        Features(blocks=("root", "weight"))


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_errors_left_out_equal_brute_force(law):
    law = law._law
    obs = features._ordered(law, repeated_record())
    units = features.Units.of(obs)
    scales = np.logspace(0.0, -3.0, 3)
    seen = 0
    for problem in features._problems(law, obs, units):
        found = problem.left_out(problem.rivals[-1], scales, problem.Y_nm).error_gnm
        unit_p = problem.rivals[-1].unit_p
        offsets_nr, ratio_m = offset_columns(obs, units.scale_m)
        X_np = np.hstack([np.ones((len(problem.rows), 1)), offsets_nr[problem.rows], problem.Phi_np])
        for g, scale in enumerate(scales):
            pull_p = np.r_[0.0, np.full(3, ratio_m[problem.metrics[0]]), len(problem.rows) * scale / unit_p**2]
            for group in np.unique(problem.group_n):
                out = problem.group_n == group
                kept = X_np[~out]
                theta = np.linalg.solve(kept.T @ kept + np.diag(pull_p), kept.T @ problem.Y_nm[~out])
                wanted = problem.Y_nm[out] - X_np[out] @ theta
                np.testing.assert_allclose(found[g, out], wanted, rtol=1e-6, atol=1e-8)
                seen += 1
    assert seen == 2 * 3 * 12


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_cross_fits_equal_brute_force(law):
    law = replace(law, ridge=1e-3)._law
    law = replace(law, priors=law.priors[-1:])
    world = loglinear(4, 2, 0, 0.2)
    obs = world.observations(design(world, 40, np.random.default_rng(1)))
    W_qd = np.random.default_rng(2).dirichlet(np.ones(4), 20)
    inputs, Phi_qp = Inputs.of(obs.domains, W_qd), law.features.matrix(W_qd)
    parts = np.array_split(np.unique(obs.group_n), 5)
    whole, fits = law.cross_fit(obs, parts)
    np.testing.assert_array_equal(whole.predict(inputs).mean_qm, law.fit(obs).predict(inputs).mean_qm)
    Phi_np = law.features.matrix(obs.W_nd)
    centred = np.split(Phi_np - Phi_np.mean(0), np.cumsum(law.features.sizes(4))[:-1], axis=1)
    spread_p = np.concatenate([np.full(x.shape[1], np.sqrt((x**2).mean())) for x in centred])
    for part, fit in zip(parts, fits, strict=True):
        kept = ~np.isin(obs.group_n, part)
        X_np = np.column_stack([np.ones(kept.sum()), Phi_np[kept]])
        theta = np.linalg.solve(X_np.T @ X_np + np.diag(np.r_[0.0, 40 * 1e-3 * spread_p**2]), X_np.T @ obs.Y_nm[kept])
        np.testing.assert_allclose(fit.predict(inputs).mean_qm, theta[0] + Phi_qp @ theta[1:], rtol=1e-8)


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_a_cross_fit_is_blind_to_the_part_left_out(law):
    obs = repeated_record()
    part = np.array([int(obs.group_n[0]), int(obs.group_n[5])])
    solution = features._Solution.of(law._law, obs)
    is_out = np.isin(solution.obs.covariates["group"], part)
    for one in solution.solved:
        moved = replace(one, target_kn=one.target_kn + 10.0 * is_out[one.problem.rows])
        np.testing.assert_allclose(moved.coefficients(is_out), one.coefficients(is_out), atol=1e-6)
        assert np.abs(moved.coefficients(is_out & False) - one.coefficients(is_out & False)).max() > 0.1


def test_too_few_mixtures_beside_a_part_are_not_enough():
    obs = loglinear(8, 1, 0, 0.1).observations(np.random.default_rng(0).dirichlet(np.ones(8), 9))
    Linear().fit(obs)
    with pytest.raises(NotEnoughEvidence):
        Linear().cross_fit(obs, [obs.group_n[:2]])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_pure_noise_shrinks_to_a_constant(seed):
    rng = np.random.default_rng(seed)
    W_nd, W_qd = rng.dirichlet(np.full(6, 0.5), 60), rng.dirichlet(np.full(6, 0.5), 50)
    obs = observe(W_nd, rng.standard_normal((60, 8)))
    for law in LAWS:
        found = law.fit(obs).predict(Inputs.of(obs.domains, W_qd), level=0.0).mean_qm
        assert np.median(found.std(axis=0)) < 0.3


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_a_metric_changes_no_other(law):
    obs = repeated_record()
    inputs = Inputs.of(obs.domains, np.random.default_rng(0).dirichlet(np.ones(4), 10))
    both = law.fit(obs).predict(inputs)
    for j, metric in enumerate(obs.metrics):
        alone = law.fit(replace(obs, metrics=(metric,), Y_nm=obs.Y_nm[:, [j]])).predict(inputs)
        np.testing.assert_allclose(both.mean_qm[:, j], alone.mean_qm[:, 0], rtol=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_offsets_of_replicates_leave_the_mixtures_alone(law):
    world = loglinear(4, 2, 3, 0.05)
    W_nd = design(world, 30, np.random.default_rng(3))
    obs = world.observations(np.vstack([W_nd, W_nd]), np.repeat([0, 1], 30))
    moved = replace(obs, Y_nm=obs.Y_nm + 5.0 * obs.replicate_n[:, None])
    W_qd = design(world, 20, np.random.default_rng(4))
    one, two = (law.fit(each).predict(Inputs.of(obs.domains, W_qd)).mean_qm for each in (obs, moved))
    np.testing.assert_allclose(one - one.mean(axis=0), two - two.mean(axis=0), atol=0.2 * obs.Y_nm.std())


@pytest.mark.parametrize("law", [Ridge(), Quadratic()], ids=["ridge", "quadratic"])
@pytest.mark.parametrize("make", [loglinear, quadratic])
def test_intervals_of_a_run_cover(law, make):
    inside = []
    for seed in range(4):
        world = make(6, 3, seed, 0.1)
        W_nd = design(world, 264, np.random.default_rng(seed))
        obs = world.observations(W_nd[:64], np.zeros(64, int))
        new = world.observations(W_nd[64:], np.zeros(200, int))
        found = law.fit(obs).predict(Inputs.of(new.domains, new.W_nd), sense="run")
        inside.append((found.low_qm <= new.Y_nm) & (new.Y_nm <= found.high_qm))
    assert 0.84 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("law", LAWS, ids=["linear", "ridge", "quadratic", "raw"])
def test_fits_survive_json(law):
    obs = repeated_record()
    fit = law.fit(obs)
    copy = law.restore(json.loads(json.dumps(fit.to_dict())))
    inputs = Inputs.of(obs.domains, obs.W_nd)
    np.testing.assert_array_equal(fit.predict(inputs, 9).draws_kqm, copy.predict(inputs, 9).draws_kqm)
    np.testing.assert_array_equal(fit.gradient(obs.W_nd), copy.gradient(obs.W_nd))
    assert fit.browser()["form"] == "features"
    with pytest.raises(InputError):
        law.restore(fit.to_dict() | {"form": "exponential"})


def test_metrics_with_gaps_share_the_numbers_of_their_mixtures():
    world = loglinear(4, 1, 0, 0.2)
    obs = world.observations(design(world, 40, np.random.default_rng(1)))
    gaps_n = np.where(np.arange(40) % 20 == 7, np.nan, obs.Y_nm[:, 0])
    obs = replace(obs, metrics=(obs.metrics[0], Metric(name="gaps")), Y_nm=np.column_stack([obs.Y_nm[:, 0], gaps_n]))
    # A ridge of their own would tell the two apart; this is about the normal numbers.
    draws_kqm = Ridge(ridge=1e-2).fit(obs).predict(Inputs.of(obs.domains, np.full((1, 4), 0.25)), 200).draws_kqm
    assert np.corrcoef(draws_kqm[:, 0].T)[0, 1] > 0.8
