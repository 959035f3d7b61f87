"""Two sizes of a world: the ranks asked for, spreads that differ, arrays as a law over sizes wants them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from mixdesk.testing.scales import LARGE, RANK, SMALL, SPREADS, two_scales
from mixdesk.testing.worlds import WORLDS, power, swarm


@pytest.mark.parametrize("name", sorted(set(WORLDS) - {"noise"}))
def test_each_metric_keeps_its_ranks_and_changes_its_spread(name):
    world = WORLDS[name](8, 4, 0, 0.1)
    both = two_scales(world, seed=1)
    W_nd = swarm(world, 400, seed=9)
    small, large = both.small.value(W_nd), both.large.value(W_nd)
    for j in range(4):
        assert spearmanr(small[:, j], large[:, j])[0] == pytest.approx(RANK, abs=0.03)
    assert sorted(both.spread_m) == pytest.approx(np.geomspace(*SPREADS, 4))
    assert (large > 0.0).all()
    if world.is_share:
        assert (large < 1.0).all()
        np.testing.assert_array_equal(both.large.noise_m, world.noise_m)
    else:
        np.testing.assert_allclose(large.std(0) / small.std(0) / both.spread_m, 1.0, atol=0.35)
        np.testing.assert_allclose(both.large.noise_m / large.std(0), world.noise_m / small.std(0), rtol=0.35)


def test_the_order_of_the_mean_changes_more_than_that_of_its_parts():
    world = power(5, 4, 1)
    W_nd = swarm(world, 400)
    small, large = (each.value(W_nd).mean(1) for each in (two_scales(world, 1).small, two_scales(world, 1).large))
    assert spearmanr(small, large)[0] < 0.9


def test_runs_of_both_sizes_stand_in_one_table():
    world = power(5, 2, 0, noise=0.0)
    both = two_scales(world, 3, rank=0.8)
    W_nd = swarm(world, 30)
    obs = both.observations(W_nd, W_nd[:4])
    assert obs.covariates["n_params"].tolist() == [SMALL[0]] * 30 + [LARGE[0]] * 4
    assert obs.covariates["n_tokens"].tolist() == [SMALL[1]] * 30 + [LARGE[1]] * 4
    assert obs.group_n[:4].tolist() == obs.group_n[30:].tolist()
    np.testing.assert_allclose(obs.Y_nm[30:], both.large.value(W_nd[:4]))
    again = two_scales(world, 3, rank=0.8)
    np.testing.assert_array_equal(again.large.value(W_nd), both.large.value(W_nd))
    W_nd = swarm(world, 400, seed=5)
    assert spearmanr(world.value(W_nd)[:, 0], both.large.value(W_nd)[:, 0])[0] == pytest.approx(0.8, abs=0.06)
