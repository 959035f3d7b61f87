"""Text runs out: what epochs are worth, and what that does to a world."""

import numpy as np
import pytest

from mixdesk.testing.repeats import R_REPEATS, effective, with_repeats
from mixdesk.testing.worlds import power, scores, swarm


def test_the_first_pass_counts_in_full_and_repeats_less_and_less():
    assert effective(np.array([0.0, 0.4, 1.0])) == pytest.approx([0.0, 0.4, 1.0])
    assert effective(np.array(5.0)) == pytest.approx(1.0 + 15.4 * (1.0 - np.exp(-4.0 / 15.4)))
    assert effective(np.array(1e6)) == pytest.approx(1.0 + R_REPEATS)
    steps = np.diff(effective(np.linspace(0.0, 100.0, 1001)))
    assert (steps > 0.0).all()
    assert (np.diff(steps) <= 1e-12).all()
    assert effective(np.array(1.001)) - 1.0 == pytest.approx(0.001, rel=1e-3), "a repeat is at first as good as new"


def test_a_run_without_repeats_is_the_world_itself():
    world = power(5, 2, 0, 0.2)
    W_nd = swarm(world, 50)
    assert with_repeats(world, 1000, 1000).value(W_nd) == pytest.approx(world.value(W_nd))
    half = with_repeats(world, 1000, 2000)
    assert half.value(W_nd) == pytest.approx(world.law(W_nd / 2.0))


def test_in_a_long_run_a_scarce_domain_is_worth_no_more():
    world = power(5, 1, 0, 0.2)
    scarce = int(world.natural_d.argmin())
    long = with_repeats(world, 10**10, 10**10)
    rest = np.full(5, 0.25)
    rest[scarce] = 0.0
    some, more = (world_w * np.eye(5)[scarce] + (1.0 - world_w) * rest for world_w in (0.4, 0.6))
    gain, without = ((w.value(some) - w.value(some + 1e-4 * np.eye(5)[scarce]))[0, 0] for w in (long, world))
    assert gain < 1e-6 * without
    assert long.value(more)[0, 0] > long.value(some)[0, 0]


def test_noise_keeps_its_size_relative_to_the_spread():
    world = scores(5, 2, 1, 0.2)
    long = with_repeats(world, 10**9, 10**9)
    even = np.random.default_rng(3).dirichlet(np.ones(5), 4000)
    ratio = long.value(even).std(0) / world.value(even).std(0)
    np.testing.assert_allclose(long.noise_m / world.noise_m, ratio, rtol=0.05)
    assert long.name != with_repeats(world, 10**8, 10**9).name, "another run has other noise"
