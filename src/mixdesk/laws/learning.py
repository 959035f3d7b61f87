"""Would more trials help? A law's error against the number of mixtures it was fitted on, and the sentence about it.

Each draw holds a quarter of the mixtures out and fits the law on nested subsets of the rest, always tested on the same
mixtures, so that only the number of mixtures differs. To the error a curve with a floor is fitted:

    error(k) = error(n) · (φ + (1 − φ) (k / n)^(−c))

with φ the share of today's error that no further trial removes (noise, or what the law cannot say) and c how fast the
rest falls. No single (φ, c) is believed: every one on a grid is weighted by how well it fits the draws, and what more
trials would bring is said with the interval over all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Observations
from mixdesk.core.protocols import Law, Progress
from mixdesk.laws.score import OBJECTIVE, is_judged, judged_groups, out_of_fold, predicted, scores, spearman

# Parts of all mixtures that the subsets hold; the rest of 1 is held out.
SHARES = (0.25, 0.5, 0.75)
# With fewer mixtures no part of them says anything.
LEAST_MIXTURES = 8
# Draws: as many as make this many mixtures, within these bounds. Small studies are noisy, large ones slow.
DRAWN, LEAST_DRAWS, MOST_DRAWS = 320, 2, 6
# The grid of (φ, c), every pair as likely before the data, and of the lasting share 1: nothing helps.
FLOORS, RATES = np.linspace(0.0, 1.0, 41), np.array([0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0])
# The spread of log error that is believed before any is seen, as so many measured errors would tell it.
PRIOR_COUNT = 2.0
# Quantiles of the interval; the share of the error that is worth more trials, and the share that would be missed.
TAILS, WORTH, LARGE = (0.05, 0.95), 0.03, 0.10


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Fits to `n` mixtures: rmse of the objective and Spearman on mixtures held out, means over `n_draws`."""

    n: int
    error: float
    spearman: float
    n_draws: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A learning curve of the law called `law` on `n` mixtures, and what `n_more` of them would bring.

    `points` were measured, the last on three quarters of the mixtures; `now` is the out-of-fold error, `then` what it
    would become, `low` to `high` its 90 % interval; None where too few points were there to say.
    """

    law: str
    n: int
    n_more: int
    points: tuple[CurvePoint, ...]
    now: float
    then: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def answer(self) -> str:
        """Yes (a gain of 3 % or more is sure), no (one of 10 % is ruled out) or "cannot tell"."""
        if self.high is not None and self.high <= self.now * (1.0 - WORTH):
            return "yes"
        if self.low is not None and self.low >= self.now * (1.0 - LARGE):
            return "no"
        return "cannot tell"

    @property
    def sentence(self) -> str:
        """The answer for a user."""
        what = f"{self.n_more} more trials"
        if self.then is None or self.low is None or self.high is None:
            return (
                f"Whether {what} would help cannot be told: {self.n} mixtures are too few to fit {self.law} on parts."
            )
        change, least, most = (
            f"{100.0 * (value / self.now - 1.0):+.0f} %".replace("-", "−") for value in (self.then, self.high, self.low)
        )
        from_to = f"from {self.now:.3g} to about {self.then:.3g}"
        if self.answer == "yes":
            return f"{what} would lower the out-of-fold error {from_to} ({change}; 90 %: {least} to {most})."
        if self.answer == "no":
            return f"{what} would hardly help: the out-of-fold error would go {from_to} ({change}, at best {most})."
        return f"Whether {what} would help cannot be told: perhaps {from_to} ({change}; 90 %: {least} to {most})."


def learning_curve(
    law: Law,
    obs: Observations,
    objective: Objective,
    *,
    name: str,
    now: float | None = None,
    n_more: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curve:
    """How a law's error on the objective fell with the number of mixtures, and how it would go on.

    Args:
        law: the law; it is fitted six to eighteen times, on three quarters of the mixtures at most.
        obs: the runs.
        objective: what the error is of.
        name: the law's name, for the sentence.
        now: rmse of the objective out of fold where it is known already; default: measured.
        n_more: trials in question.
        seed: of the draws.
        progress: told after each fit.

    Raises:
        NotEnoughEvidence: too few mixtures to test the law at all.
    """
    if now is None:
        rows = [row for row in out_of_fold(law, obs, objective, seed=seed) if row.metric == OBJECTIVE]
        now = next(row.value for row in scores(name, rows) if row.measure == "rmse")
    groups, is_judged_n = judged_groups(law, obs), is_judged(law, obs)
    n = len(groups)
    checks.count("n_more", n_more, 1)
    if n < LEAST_MIXTURES:
        return Curve(law=name, n=n, n_more=n_more, points=(), now=now)
    n_draws = min(max(DRAWN // max(n, 1), LEAST_DRAWS), MOST_DRAWS)
    sizes = [int(share * n) for share in SHARES]
    error_rk, rank_rk = np.full((n_draws, len(sizes)), np.nan), np.full((n_draws, len(sizes)), np.nan)
    rng = np.random.default_rng(seed)
    for r in range(n_draws):
        order = rng.permutation(groups)
        held = np.flatnonzero(is_judged_n & np.isin(obs.group_n, order[sizes[-1] :]))
        for k, size in enumerate(sizes):
            seen = np.flatnonzero(~np.isin(obs.group_n, order[size:]))
            found = _tested(law, obs.take(seen), obs.take(held), objective)
            if found is not None:
                error_rk[r, k], rank_rk[r, k] = found
            if progress is not None:
                progress("learning curve", r * len(sizes) + k + 1, error_rk.size)
    points = tuple(
        CurvePoint(
            n=size,
            error=float(np.nanmean(error_rk[:, k])),
            spearman=float(np.nanmean(rank_rk[:, k])),
            n_draws=int(np.isfinite(error_rk[:, k]).sum()),
        )
        for k, size in enumerate(sizes)
        if np.isfinite(error_rk[:, k]).any()
    )
    ratio = _ratio(error_rk, np.array(sizes) / n, 1.0 + n_more / n, n - sizes[-1])
    then, low, high = (None, None, None) if ratio is None else (now * one for one in ratio)
    return Curve(law=name, n=n, n_more=n_more, points=points, now=now, then=then, low=low, high=high)


def _tested(law: Law, seen: Observations, held: Observations, objective: Objective) -> tuple[float, float] | None:
    """Rmse and Spearman of the objective on runs held out; None where the law cannot be fitted, or none is measured."""
    try:
        fit = law.fit(seen)
    except NotEnoughEvidence:
        return None
    said = predicted(fit, held, objective, np.arange(len(held.trials)))
    rows = [row for found in said.values() for row in found if row.metric == OBJECTIVE]
    if len(rows) < 2:
        return None
    measured, mean = (np.array([getattr(row, side) for row in rows]) for side in ("measured", "mean"))
    return float(np.sqrt(((measured - mean) ** 2).mean())), spearman(measured, mean)


def _ratio(error_rk: Floats, share_k: Floats, more: float, n_held: int) -> tuple[float, float, float] | None:
    """Error at `more` times the mixtures ÷ error now: mean and interval over the curves of the grid; None: unknown.

    A draw's own level (its held-out mixtures are easy or hard) is taken out of the log errors. What is left has a
    standard deviation of about 1 / √(2 · n_held) by chance alone: that is believed beforehand.
    """
    log_rk = np.where(error_rk > 0.0, np.log(np.maximum(error_rk, 1e-300)), np.nan)
    log_rk = log_rk[:, np.isfinite(log_rk).all(0)]
    share_k = share_k[np.isfinite(np.where(error_rk > 0.0, error_rk, np.nan)).all(0)]
    if len(share_k) < 2:
        return None
    floor_g, rate_g = (axis.ravel() for axis in np.meshgrid(FLOORS, RATES))
    curve_gk = floor_g[:, None] + (1.0 - floor_g[:, None]) * share_k ** -rate_g[:, None]
    model_gk = np.log(curve_gk)
    model_gk -= model_gk.mean(1, keepdims=True)
    away_rk = log_rk - log_rk.mean(1, keepdims=True)
    square_g = ((away_rk - model_gk[:, None, :]) ** 2).sum((1, 2))
    count = away_rk.shape[0] * (away_rk.shape[1] - 1)
    log_weight_g = -0.5 * (count + PRIOR_COUNT) * np.log(square_g + PRIOR_COUNT / (2.0 * max(n_held, 1)))
    weight_g = np.exp(log_weight_g - log_weight_g.max())
    weight_g /= weight_g.sum()
    ratio_g = floor_g + (1.0 - floor_g) * more**-rate_g
    order = np.argsort(ratio_g)
    upto = np.cumsum(weight_g[order])
    low, high = (float(ratio_g[order][min(int(np.searchsorted(upto, tail)), len(order) - 1)]) for tail in TAILS)
    mean = math.fsum((weight_g * ratio_g).tolist())
    return mean, low, high
