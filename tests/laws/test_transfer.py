"""Transfer: few runs at a large scale beside many small ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Observations
from mixdesk.laws.average import Average
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.link import Link, Mixtures
from mixdesk.laws.transfer import Transfer
from mixdesk.testing.contracts import check_law
from mixdesk.testing.worlds import loglinear

SMALL, LARGE = 1e6, 6e7
LAW = Transfer(law=Exponential(n_draws=50))


class TwoScales:
    """A log-linear world; at the large scale every metric has another level, spread, and a smooth part of its own."""

    def __init__(self, seed, *, d=6, m=5, noise=0.1, own=0.2):
        self.world = loglinear(d=d, m=m, seed=seed, noise=noise)
        self.rng = np.random.default_rng(seed + 1000)
        pool = self.mixtures(400)
        spread = self.world.value(pool).std(0)
        self.level = self.rng.normal(size=m) - 3.0
        self.slope = np.exp(self.rng.uniform(np.log(0.3), np.log(2.0), m))
        A = self.rng.normal(size=(m, d))
        smooth = np.exp(np.sqrt(pool) @ A.T)
        self.own = lambda W: own * spread * (np.exp(np.sqrt(W) @ A.T) - smooth.mean(0)) / smooth.std(0)

    def mixtures(self, n):
        W = self.rng.dirichlet(np.full(len(self.world.domains), 0.5), n)
        W = np.where(W < 0.01, 0.0, W)
        return W / W.sum(1, keepdims=True)

    def large(self, W, *, noisy=True):
        noise = self.slope * self.world.noise_m * self.rng.normal(size=(len(W), len(self.level)))
        return self.level + self.slope * (self.world.value(W) + self.own(W)) + noisy * noise

    def observations(self, n, k, *, shared=0):
        """`n` small and `k` large runs, the first `shared` of them of mixtures that both have."""
        W = self.mixtures(n)
        T = np.vstack([W[:shared], self.mixtures(k - shared)])
        Y = np.vstack([self.world.observations(W).Y_nm, self.large(T)])
        sizes = np.r_[np.full(n, SMALL), np.full(k, LARGE)]
        return Observations.of(
            self.world.domains, np.vstack([W, T]), Y, self.world.metrics, covariates={"n_params": sizes}
        )


def at(world, W, size=LARGE):
    return Inputs.of(world.domains, W, {"n_params": np.full(len(W), size)})


def rank(A, B):
    return np.mean([spearmanr(a, b)[0] for a, b in zip(A.T, B.T, strict=True)])


def test_contract_with_one_scale():
    check_law(Transfer)


def test_one_scale_is_the_base_law():
    obs = loglinear(d=4, m=2, seed=1).observations(np.random.default_rng(0).dirichlet(np.ones(4), 30))
    inputs = Inputs.of(obs.domains, np.eye(4))
    one, two = LAW.fit(obs).predict(inputs, 5, sense="run"), LAW.law.fit(obs).predict(inputs, 5, sense="run")
    assert np.array_equal(one.draws_kqm, two.draws_kqm)
    assert np.array_equal(one.high_qm, two.high_qm)


def test_the_base_is_the_average_law_whether_mixtures_are_shared_or_not():
    world = TwoScales(3)
    Q = world.mixtures(10)
    for shared in (0, 3):
        obs = world.observations(40, 5, shared=shared)
        alone = Average().fit(obs.take(np.arange(40))).predict(Inputs.of(obs.domains, Q), level=0.0)
        assert np.array_equal(Transfer().fit(obs).predict(at(world.world, Q, SMALL), level=0.0).mean_qm, alone.mean_qm)


def linked(y_im, z_im, W_id):
    n = len(W_id)
    rows = Mixtures(W_id=W_id, y_im=y_im, group_i=np.arange(n), repeat_m=np.zeros(y_im.shape[1]))
    return Link.of(rows, z_im, np.ones(y_im.shape[1]), np.ones(W_id.shape[1]), scale=1, source=0)


def test_slopes_of_different_size_are_found_from_four_runs():
    rng = np.random.default_rng(0)
    slope = np.geomspace(0.2, 3.0, 6)
    away, free = [], []
    for _ in range(50):
        z = rng.normal(size=(4, 6))
        y = 1.0 + slope * (z + 0.3 * rng.normal(size=z.shape))
        r = z - z.mean(0)
        away.append(linked(y, z, rng.dirichlet(np.ones(3), 4)).slope_m / slope - 1.0)
        free.append((r * y).sum(0) / (r**2).sum(0) / slope - 1.0)
    assert np.median(np.abs(away)) < 0.2
    # Better on the whole than lines that know nothing of each other; the outermost slopes pay for being drawn in.
    assert np.mean(np.square(away)) < 0.7 * np.mean(np.square(free))


def test_a_metric_that_small_runs_do_not_tell_spoils_no_other():
    rng = np.random.default_rng(1)
    with_it, without, its = [], [], []
    for _ in range(20):
        z = rng.normal(size=(8, 5))
        y = z + 0.1 * rng.normal(size=z.shape)
        y[:, 0] = rng.normal(size=8)
        W_id = rng.dirichlet(np.ones(3), 8)
        found = linked(y, z, W_id).slope_m
        with_it.append(found[1:])
        its.append(found[0])
        without.append(linked(y[:, 1:], z[:, 1:], W_id).slope_m)
    assert np.abs(np.array(with_it) - 1.0).mean() < np.abs(np.array(without) - 1.0).mean() + 0.01
    assert 0.0 < np.mean(its) < 0.8


def test_where_the_scales_agree_the_rest_spoils_no_order():
    gains = []
    for seed in range(8):
        world = TwoScales(seed, own=0.0)
        obs, Q = world.observations(80, 16), world.mixtures(150)
        true = world.large(Q, noisy=False)
        fit = LAW.fit(obs)
        large, small = (fit.predict(at(world.world, Q, size), level=0.0).mean_qm for size in (LARGE, SMALL))
        gains.append(rank(large, true) - rank(small, true))
    assert np.mean(gains) >= -1e-4
    assert min(gains) >= -2e-3


def score(seed, k):
    """RMSE (in sd) and rank of the mean over metrics: transfer, base law, law on the k alone (or their mean); ranks."""
    world = TwoScales(seed)
    obs, Q = world.observations(80, k), world.mixtures(150)
    true = world.large(Q, noisy=False)
    fit = LAW.fit(obs)
    run = fit.predict(at(world.world, Q), sense="run")
    found = run.mean_qm
    base = fit.predict(at(world.world, Q, SMALL), level=0.0).mean_qm
    few = obs.take(np.arange(80, 80 + k))
    try:
        alone = LAW.law.fit(few).predict(Inputs.of(obs.domains, Q), level=0.0).mean_qm
    except NotEnoughEvidence:
        alone = np.tile(few.Y_nm.mean(0), (len(Q), 1)) + 1e-9 * base
    rmse = [np.sqrt((((x - true) / true.std(0)) ** 2).mean()) for x in (found, base, alone)]
    order = [spearmanr(x.mean(1), true.mean(1))[0] for x in (found, base, alone)]
    noisy = world.large(Q)
    covered = ((noisy >= run.low_qm) & (noisy <= run.high_qm)).mean()
    return [*rmse, *order, rank(found, true), rank(base, true), covered]


@pytest.mark.slow
@pytest.mark.parametrize("k", [4, 8, 16])
def test_transfer_beats_both_scales_alone(k):
    found = np.array([score(seed, k) for seed in range(20)])
    rmse, base_rmse, alone_rmse, order, base_order, alone_order, ranks, base_ranks, covered = found.mean(0)
    print(f"k={k} rmse {rmse:.3f} {base_rmse:.3f} {alone_rmse:.3f} mean's rank {order:.3f} {base_order:.3f} "
          f"{alone_order:.3f} ranks {ranks:.4f} {base_ranks:.4f} coverage {covered:.3f}")  # fmt: skip
    assert rmse < min(base_rmse, alone_rmse)
    assert order > max(base_order, alone_order)
    assert ranks >= base_ranks - 1e-3
    assert 0.87 <= covered <= 0.94


def test_transfer_beats_both_scales_alone_quickly():
    for k in (4, 16):
        rmse, base_rmse, alone_rmse, order, base_order, alone_order, ranks, base_ranks, _ = np.mean(
            [score(seed, k) for seed in range(3)], axis=0
        )
        assert rmse < min(base_rmse, alone_rmse)
        assert order > max(base_order, alone_order)
        assert ranks >= base_ranks - 1e-3


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_lines_keep_the_order_of_the_base_law(k):
    world = TwoScales(3, noise=0.5)
    fit = LAW.fit(world.observations(60, k))
    Q = world.mixtures(50)
    large, small = (fit.predict(at(world.world, Q, size), level=0.0).mean_qm for size in (LARGE, SMALL))
    assert rank(large, small) == pytest.approx(1.0)
    assert (fit.links[0].slope_m > 0.0).all()


def test_one_run_gives_a_level_and_no_interval():
    world = TwoScales(1)
    obs = world.observations(60, 1)
    found = LAW.fit(obs).predict(at(world.world, obs.W_nd[-1:]), 10)
    assert np.allclose(found.mean_qm, obs.Y_nm[-1:])
    assert np.isnan(found.low_qm).all()
    assert np.isfinite(found.draws_kqm).all()


def test_a_scale_without_runs_gets_an_order_and_no_interval():
    world = TwoScales(2)
    fit, Q = LAW.fit(world.observations(60, 8)), world.mixtures(20)
    known, beyond = (fit.predict(at(world.world, Q, size), 5) for size in (LARGE, 1e9))
    assert np.array_equal(known.mean_qm, beyond.mean_qm)
    assert np.isfinite(known.low_qm).all()
    assert np.isnan(beyond.low_qm).all()
    assert np.isnan(beyond.high_qm).all()


def test_candidates_without_sizes_are_of_the_largest_scale():
    world = TwoScales(2)
    fit, Q = LAW.fit(world.observations(60, 8)), world.mixtures(20)
    silent = fit.predict(Inputs.of(world.world.domains, Q), 5)
    assert np.array_equal(silent.mean_qm, fit.predict(at(world.world, Q), 5).mean_qm)


def test_mixed_scales_in_one_call():
    world = TwoScales(4)
    fit, Q = LAW.fit(world.observations(60, 8)), world.mixtures(6)
    sizes = np.array([SMALL, LARGE, SMALL, LARGE, SMALL, LARGE])
    mixed = fit.predict(Inputs.of(world.world.domains, Q, {"n_params": sizes}), 5)
    for size in (SMALL, LARGE):
        alone = fit.predict(at(world.world, Q[sizes == size], size), 5)
        assert np.allclose(mixed.mean_qm[sizes == size], alone.mean_qm)
        assert np.allclose(mixed.low_qm[sizes == size], alone.low_qm, rtol=0.2, atol=0.2)


def test_rows_columns_and_json():
    world = TwoScales(5)
    obs = world.observations(60, 12, shared=4)
    fit, inputs = LAW.fit(obs), at(world.world, world.mixtures(30))
    copy = LAW.restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    for sense in ("mean", "run"):
        one, two = (each.predict(inputs, 7, sense=sense) for each in (fit, copy))
        assert np.array_equal(one.mean_qm, two.mean_qm)
        assert np.array_equal(one.low_qm, two.low_qm)
        assert np.array_equal(one.draws_kqm, two.draws_kqm)
    shuffled = LAW.fit(obs.take(np.random.default_rng(0).permutation(len(obs.trials))))
    assert np.allclose(shuffled.predict(inputs).mean_qm, one.mean_qm, atol=1e-2 * obs.Y_nm.std())
    with pytest.raises(InputError):
        LAW.restore({"base": {}})


def test_browser_data_give_the_means():
    world = TwoScales(6)
    fit, Q = LAW.fit(world.observations(80, 16)), world.mixtures(10)
    data = json.loads(json.dumps(fit.browser(), allow_nan=False))
    z = fit.predict(at(world.world, Q, SMALL), level=0.0).mean_qm
    link = data["scales"][1]
    assert link["source"] == data["start"] == 0
    mean = np.array(link["level"]) + np.array(link["slope"]) * z
    a, b = (np.array(x) ** data["power"] / data["widths"] for x in (Q, link["rest"]["rows"]))
    away = np.linalg.norm(a[:, None] - b[None], axis=2)
    for length, weights in zip(data["lengths"], link["rest"]["weights"], strict=True):
        x = np.sqrt(5.0) * away / length
        mean = mean + ((1 + x + x**2 / 3) * np.exp(-x)) @ np.array(weights)
    assert np.allclose(mean, fit.predict(at(world.world, Q), level=0.0).mean_qm, atol=1e-6)


def test_three_scales_go_by_the_middle_one():
    world = TwoScales(7, noise=0.02, own=0.5)
    obs = world.observations(80, 46)
    # Six of the large runs again, larger still: a line in the middle scale's values, not in the small one's.
    last = obs.take(np.arange(120, 126))
    sizes = np.r_[obs.covariates["n_params"][:120], np.full(6, 1e9)]
    obs = replace(obs, Y_nm=np.vstack([obs.Y_nm[:120], 0.5 * last.Y_nm - 1.0]), covariates={"n_params": sizes})
    fit, Q = LAW.fit(obs), world.mixtures(100)
    assert [(link.scale, link.source) for link in fit.links] == [(1, 0), (2, 1)]
    found = fit.predict(at(world.world, Q, 1e9), 20)
    true = 0.5 * world.large(Q, noisy=False) - 1.0
    assert rank(found.mean_qm, true) > rank(fit.predict(at(world.world, Q, SMALL)).mean_qm, true)
    assert np.isfinite(found.low_qm).all()


def test_missing_cells_and_repeats():
    world = TwoScales(8)
    obs = world.observations(60, 12)
    Y = obs.Y_nm.copy()
    Y[60:64, 0], Y[60:, 1] = np.nan, np.nan
    found = LAW.fit(replace(obs, Y_nm=Y)).predict(at(world.world, world.mixtures(10)), 5)
    assert np.isfinite(found.mean_qm).all()
    assert np.isnan(found.low_qm[:, 1]).all()
    assert np.isfinite(found.low_qm[:, [0, 2, 3, 4]]).all()
    twice = np.r_[np.arange(72), np.arange(60, 72)]
    again = LAW.fit(replace(obs.take(twice), replicate_n=np.r_[np.zeros(72, int), np.ones(12, int)]))
    once = LAW.fit(obs)
    inputs = at(world.world, world.mixtures(10))
    assert np.allclose(again.predict(inputs).mean_qm, once.predict(inputs).mean_qm)
