"""Where there is evidence: how far a mixture lies from the mixtures that were tried, as leverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixdesk.core.observations import Floats

# Of the mean variance: gives a length to directions that no trial explored, and to Σw = 1, where variance is zero.
RIDGE = 1e-3
# Share of the limit from which a mixture counts as lying on the rim.
RIM = 0.99


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region:
    """The ellipsoid around the mixtures tried that just holds the farthest of them.

    Leverage h(w) = (w − μ)ᵀ S⁻¹ (w − μ), with mean μ `centre_d` and covariance S of the *distinct* mixtures (S plus a
    small ridge; its inverse is `inverse_dd`). `limit` is the largest leverage of a mixture tried, `inner` the 90th
    percentile. The ellipsoid is convex, so an average of mixtures inside lies inside.
    """

    centre_d: Floats
    inverse_dd: Floats
    limit: float
    inner: float

    @classmethod
    def of(cls, W_nd: Floats) -> Region:
        """The region of the rows of `W_nd` (n, d), n ≥ 1; repeats of a row count once."""
        rows = np.unique(np.round(np.atleast_2d(W_nd), 12), axis=0)
        centre = rows.mean(axis=0)
        offset = rows - centre
        covariance = offset.T @ offset / max(len(rows) - 1, 1)
        ridge = RIDGE * float(np.trace(covariance)) / rows.shape[1] + 1e-12
        inverse = np.linalg.inv(covariance + ridge * np.eye(rows.shape[1]))
        leverage = (offset @ inverse * offset).sum(axis=1)
        return cls(
            centre_d=centre,
            inverse_dd=inverse,
            limit=float(leverage.max()),
            inner=float(np.quantile(leverage, 0.9)),
        )

    def leverage(self, W_qd: Floats) -> Floats:
        """Leverage of each row, (q,)."""
        offset = np.atleast_2d(W_qd) - self.centre_d
        found: Floats = (offset @ self.inverse_dd * offset).sum(axis=1)
        return found

    def gradient(self, w_d: Floats) -> Floats:
        """Gradient of the leverage at one mixture, (d,)."""
        slope: Floats = 2.0 * self.inverse_dd @ (w_d - self.centre_d)
        return slope

    def pull(self, W_qd: Floats, towards_d: Floats) -> Floats:
        """Each row outside moved straight towards a mixture inside until it lies just inside, (q, d)."""
        step = np.atleast_2d(W_qd) - towards_d
        offset = towards_d - self.centre_d
        a = (step @ self.inverse_dd * step).sum(axis=1)
        b = step @ self.inverse_dd @ offset
        c = float(offset @ self.inverse_dd @ offset) - self.limit * (1.0 - 1e-9)
        share = (np.sqrt(np.maximum(b * b - a * c, 0.0)) - b) / np.maximum(a, 1e-300)
        moved: Floats = towards_d + np.clip(share, 0.0, 1.0)[:, None] * step
        return moved
