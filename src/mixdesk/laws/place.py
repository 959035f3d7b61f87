"""Where a candidate lies among the mixtures that were tried: between them, near them, or outside.

A law interpolates inside the hull of its runs; beyond the region around them its form alone speaks.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from mixdesk.core.observations import Floats
from mixdesk.core.region import Region

# A convex combination of runs may miss a candidate by this much: files hold weights to six digits.
TOLERANCE = 1e-5
# Candidates for which the hull is computed (about half a second per thousand at 512 runs); above, the region alone.
N_HULL = 5_000
# Candidates in a block of the leverage.
N_BLOCK = 50_000


def places(W_nd: Floats, W_qd: Floats) -> tuple[str, ...]:
    """Place of each candidate (q, d) among the runs' mixtures (n, d): hull, region or outside.

    hull: a convex combination of runs. region: within the ellipsoid that just holds the runs (`core/region.py`), which
    holds their hull. outside: neither. Of more than 5,000 candidates none is said to be in the hull.
    """
    runs = np.unique(W_nd, axis=0)
    region = Region.of(runs)
    blocks = np.array_split(W_qd, max(1, -(-len(W_qd) // N_BLOCK)))
    leverage = np.concatenate([region.leverage(block) for block in blocks])
    found = np.where(leverage <= region.limit * (1.0 + TOLERANCE), "region", "outside").astype(object)
    if len(W_qd) <= N_HULL:
        is_boxed = ((W_qd >= runs.min(0) - TOLERANCE) & (W_qd <= runs.max(0) + TOLERANCE)).all(1)
        for i in np.flatnonzero(is_boxed):
            if nnls(runs.T, W_qd[i])[1] <= TOLERANCE:
                found[i] = "hull"
    return tuple(found.tolist())
