"""Hull, region, outside: known places, and that hull lies in the region."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.region import Region
from mixdesk.laws.place import N_HULL, places


def test_known_places():
    rng = np.random.default_rng(0)
    W_nd = np.vstack([rng.dirichlet(np.ones(4) * 8.0, 40)])
    inside = W_nd[:5].mean(0)
    assert places(W_nd, np.vstack([inside, W_nd[0], np.eye(4)])) == ("hull", "hull", *["outside"] * 4)
    region = Region.of(W_nd)
    towards = np.eye(4)[0] - region.centre_d
    rim = region.pull(region.centre_d + towards, region.centre_d)
    assert places(W_nd, rim) == ("region",)
    assert places(np.round(W_nd, 6), inside[None]) == ("hull",)


def test_of_many_candidates_the_hull_is_not_asked():
    W_nd = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    assert set(places(W_nd, np.tile(W_nd[:1], (N_HULL + 1, 1)))) == {"region"}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 30), d=st.integers(2, 6))
def test_averages_of_runs_are_in_the_hull(seed, n, d):
    rng = np.random.default_rng(seed)
    W_nd = rng.dirichlet(np.ones(d), n)
    assert set(places(W_nd, rng.dirichlet(np.ones(n), 8) @ W_nd)) == {"hull"}
