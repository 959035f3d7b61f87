"""Synthetic worlds: known values, known optimum, noise as promised."""

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.space import Constraints, Space
from mixdesk.testing.worlds import SHARED, WORLDS, loglinear, power, pure_noise, scores, swarm, with_loudness

MEAN = Objective(terms={"*": 1.0})


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_answer_and_know_their_optimum(name):
    world = WORLDS[name](5, 3, 2, 0.1)
    tokens = [domain.n_tokens for domain in world.corpus.domains]
    assert max(tokens) == 10 * min(tokens)
    assert world.domains == tuple(sorted(world.domains))
    space = Space.build(Constraints(upper={"d00": 0.3}), world.domains)
    weights, value = world.optimum(MEAN, space)
    assert space.contains(weights)[0]
    rivals = space.project(np.random.default_rng(0).dirichlet(np.ones(5), 3000))
    assert value <= MEAN.value(world.value(rivals), world.metrics).min() + 1e-9
    assert MEAN.value(world.value(weights), world.metrics)[0] == pytest.approx(value)


def test_quadratic_optimum_lies_at_its_centre():
    world = WORLDS["quadratic"](4, 1, 0, 0.0)
    space = Space.build(Constraints(), world.domains)
    weights, value = world.optimum(MEAN, space)
    again = world.value(weights + 1e-3 * (np.eye(4)[0] - np.eye(4)[1]))[0, 0]
    assert value < again
    assert value == pytest.approx(world.value(weights)[0, 0])
    assert (weights > 0.0).all()


def test_a_run_is_a_pure_function_of_mixture_and_replicate():
    one, two = loglinear(4, 2, 0), loglinear(4, 2, 0)
    mixture = Mixture.of({"d00": 0.5, "d01": 0.5})
    padded = Mixture.of({"d00": 0.5, "d01": 0.5, "d02": 0.0})
    assert one.measure(mixture, 3) == two.measure(padded, 3)
    assert one.measure(mixture, 3) != one.measure(mixture, 4)
    assert loglinear(4, 2, 1).measure(mixture, 3) != one.measure(mixture, 3)


def test_noise_has_the_size_asked_for_and_is_partly_shared():
    world = loglinear(4, 1, 0, noise=0.2)
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(4), 60)
    spread = world.value(rng.dirichlet(np.ones(4), 4000)).std()
    gap_rn = np.array(
        [world.observations(W_nd, np.full(60, r)).Y_nm[:, 0] - world.value(W_nd)[:, 0] for r in range(60)]
    )
    assert gap_rn.std() == pytest.approx(0.2 * spread, rel=0.1)
    assert gap_rn.mean(1).var() / gap_rn.var() == pytest.approx(SHARED, abs=0.12)
    noise = world.observations(np.repeat(W_nd[:8], 6, axis=0), np.tile(np.arange(6), 8)).noise()[0]
    assert noise.within == pytest.approx(0.8 * 0.2 * spread, rel=0.4)


def test_a_noiseless_world_measures_its_value_and_strangers_are_refused():
    world = loglinear(3, 3, 0, noise=0.0)
    found = world.measure(Mixture.uniform(world.domains), 9)
    assert list(found.values()) == pytest.approx(world.value(np.full((1, 3), 1 / 3))[0].tolist())
    with pytest.raises(InputError, match="unknown domain"):
        world.measure(Mixture.of({"web": 1.0}))
    with pytest.raises(InputError):
        loglinear(1)
    with pytest.raises(InputError):
        loglinear(3, noise=-1.0)


@pytest.mark.parametrize("name", sorted(set(WORLDS) - {"loglinear", "ridge", "quadratic", "noise"}))
@pytest.mark.parametrize("d", [2, 17])
def test_real_like_worlds_are_steep_near_zero_and_vary_over_a_swarm(name, d):
    world = WORLDS[name](d, 3, 5, 0.1)
    assert WORLDS[name](d, 3, 6, 0.1).name != world.name
    W_nd = swarm(world, 40)
    value = world.value(W_nd)
    assert np.isfinite(value).all()
    assert (value.std(0) > 0.01).all()
    rest, own = np.append(0.0, np.full(d - 1, 1.0 / (d - 1))), np.eye(d)[0]
    none, little, much, more = (
        world.value((1.0 - w) * rest + w * own)[0, 0] * world.metrics[0].sign for w in (0.0, 0.02, 0.3, 0.32)
    )
    assert none - little > 0.0, "its own domain helps its metric"
    if name != "scores":
        assert none - little > 3.0 * abs(much - more), "most of all where there is none of it"


def test_power_is_convex_along_every_line():
    world = power(6, 4, 1)
    one, two = np.random.default_rng(0).dirichlet(np.full(6, 0.3), (2, 200))
    middle = world.value((one + two) / 2.0)
    assert (middle <= (world.value(one) + world.value(two)) / 2.0 + 1e-12).all()


def test_shares_are_counted_and_noisy_as_counting_is():
    world = scores(5, 3, 0, noise=0.3)
    assert {metric.better for metric in world.metrics} == {"higher"}
    W_nd = swarm(world, 300)
    true, measured = world.value(W_nd), world.observations(W_nd).Y_nm
    n_m = np.round(0.25 / world.noise_m**2)
    np.testing.assert_allclose(measured * n_m, np.round(measured * n_m), atol=1e-6)
    assert ((measured >= 0.0) & (measured <= 1.0)).all()
    np.testing.assert_allclose(world.sd(W_nd), np.sqrt(true * (1.0 - true) / n_m), rtol=0.05)
    assert np.std((measured - true - (measured - true).mean(0)) / world.sd(W_nd)) == pytest.approx(0.8, abs=0.1)


def test_uneven_noise_is_louder_where_it_says_so():
    world = WORLDS["heteroscedastic"](4, 2, 0, 0.2)
    quiet, loud = world.sd(np.full(4, 0.25))[0], world.sd(np.eye(4)[0])[0]
    np.testing.assert_allclose(loud / quiet, 4.0**0.75)
    even = np.random.default_rng(1).dirichlet(np.ones(4), 4000)
    np.testing.assert_allclose(np.sqrt((world.sd(even) ** 2).mean(0)), 0.2 * world.value(even).std(0), rtol=0.05)
    gap = [world.measure(Mixture.of({"d00": 1.0}), r)["bpb/domain/d00"] for r in range(300)]
    assert np.std(gap) == pytest.approx(loud[0], rel=0.15)
    assert with_loudness(world, lambda W_qd: np.full((len(W_qd), 2), 7.0)).sd(np.eye(4)).std(0).max() < 1e-12


def test_pure_noise_has_one_value_and_noise_of_its_own_size():
    world = pure_noise(3, 2, 1, noise=0.02)
    assert np.ptp(world.value(swarm(world, 30)), axis=0).max() == 0.0
    assert world.observations(swarm(world, 200)).Y_nm.std() > 0.0
    np.testing.assert_array_equal(world.noise_m, 0.02)


@pytest.mark.parametrize("d", [5, 8, 17, 30])
def test_a_swarm_has_zeros_and_peaks_as_real_ones_do(d):
    world = loglinear(d, 1, 3)
    W_nd = swarm(world, 128, seed=1)
    assert len({row.tobytes() for row in W_nd}) == 128
    np.testing.assert_allclose(W_nd.sum(1), 1.0)
    assert 0.15 < (W_nd == 0.0).mean() < 0.8
    assert 0.4 < W_nd.max(1).mean() < 0.8
    assert (W_nd > 0.0).any(0).all()
    np.testing.assert_array_equal(swarm(world, 40, seed=1), W_nd[:40])
    assert not np.array_equal(swarm(world, 128, seed=2), W_nd)
