"""Scales of rows and candidates."""

from __future__ import annotations

import numpy as np
from sized_worlds import Sized

from mixdesk.core.observations import Inputs
from mixdesk.laws.sizes import asked_sizes, nearest_size, sizes_of


def test_sizes_of_rows_and_candidates():
    obs = Sized(0).observations(2, sizes=(3e8, 7e7), tokens=(2e10, 1e10))
    size_s2, scale_n = sizes_of(obs)
    assert size_s2.tolist() == [[7e7, 1e10], [7e7, 2e10], [3e8, 1e10], [3e8, 2e10]]
    assert scale_n[:4].tolist() == [3, 2, 1, 0]
    W = np.full((3, 5), 0.2)
    given = {"n_params": np.array([np.nan, 7e7, 1e9])}
    asked = asked_sizes(Inputs.of(obs.domains, W, given), size_s2)
    assert asked.tolist() == [[3e8, 2e10], [7e7, 2e10], [1e9, 2e10]]
    nearest, is_seen = nearest_size(asked, size_s2)
    assert nearest.tolist() == [3, 1, 3]
    assert is_seen.tolist() == [True, True, False]
