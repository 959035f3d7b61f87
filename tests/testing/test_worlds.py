"""Synthetic worlds: known values, known optimum, noise as promised."""

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.space import Constraints, Space
from mixdesk.testing.worlds import SHARED, WORLDS, loglinear

MEAN = Objective(terms={"bpb/*": 1.0})


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
