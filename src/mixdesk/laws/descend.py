"""Penalised least squares of a formula: all metrics, starts and folds at once, on one core.

    minimise over θ, o:   Σ_n (y_n − f(x_n; θ) − o_r(n))² + λ (θ − θ₀)ᵀ P (θ − θ₀) + ρ Σ o_r²

by Levenberg–Marquardt with the analytic Jacobian. λ is chosen per metric by cross-validation over mixtures, so that a
formula bends where the runs ask for it and is a constant where they are noise; the same folds say how far a left-out
run lies from its prediction. ρ comes from the crossed block. Draws are refits to a wild bootstrap over mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixdesk.core.observations import Floats, Ints, Observations
from mixdesk.laws.formula import Formula, FormulaFit, rows_of
from mixdesk.laws.rows import (
    Units,
    calibrated_noise,
    content_order,
    level_draws,
    offset_columns,
    one_thread,
    ordered,
)

# Parts of the mixtures by which λ is chosen; the path of λ ends where errors are this many times the
# least, so many times in a row.
N_FOLDS, N_WORSE = 8, 2
# Steps of each draw at most, and draws of a fit to a part of the rows.
N_DRAW_STEPS, N_PART_DRAWS = 4, 32
# Steps of the solver at most, and the relative gain at which a problem has settled: for the fit, and on the path.
N_STEPS, TOLERANCE = 100, 1e-10
N_ROUGH_STEPS, ROUGH = 12, 1e-4
# What keeps a division and a matrix inverse finite in numbers of size one, and the damping at which a step is nil.
TINY, MAX_DAMPING = 1e-14, 1e10
# A metric whose numbers are all below this does not vary.
FLAT = 1e-9
# Problems are solved together as long as their Jacobians hold fewer numbers than this.
N_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Method:
    """How a law is fitted: `formula`; `starts` of each metric (s, m, p); the pull towards `centre_p` by `pull_pp`.

    `ridges` λ are tried, the weakest last, until errors are `worse` times the least; `n_least` mixtures; `name` for
    messages; `n_draws`.
    """

    name: str
    formula: Formula
    n_least: int
    starts: Callable[[Problems], Floats]
    centre_p: Floats
    pull_pp: Floats
    ridges: tuple[float, ...]
    worse: float
    n_draws: int
    units: Callable[[Observations], Units] = Units.of


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Problems:
    """Least-squares problems (axis b) over the same rows.

    `X_nd` what the formula reads, `offsets_nr` replicate indicators, `Y_bn` targets, `weight_bn` root weights of rows
    (0 where there is no target), `ratio_b` ridge on offsets. Coefficients are θ (p), then offsets (r).
    """

    formula: Formula
    X_nd: Floats
    offsets_nr: Floats
    Y_bn: Floats
    weight_bn: Floats
    ratio_b: Floats
    group_n: Ints
    centre_p: Floats
    pull_pp: Floats

    @classmethod
    def of(cls, obs: Observations, units: Units, method: Method) -> Problems:
        """One problem per metric."""
        offsets_nr, ratio_m = offset_columns(obs, units.scale_m)
        Y_mn = units.numbers(obs)
        return cls(
            formula=method.formula,
            X_nd=rows_of(obs.W_nd, obs.covariates, method.formula.covariates),
            offsets_nr=offsets_nr,
            Y_bn=np.where(np.isfinite(Y_mn), Y_mn, 0.0),
            weight_bn=np.isfinite(Y_mn).astype(np.float64),
            ratio_b=ratio_m,
            group_n=obs.group_n,
            centre_p=method.centre_p,
            pull_pp=method.pull_pp,
        )

    def pick(self, rows_b: Ints) -> Problems:
        """Some of the problems, or some of them again."""
        return replace(self, Y_bn=self.Y_bn[rows_b], weight_bn=self.weight_bn[rows_b], ratio_b=self.ratio_b[rows_b])

    def times(self, k: int) -> Problems:
        """The problems k times over."""
        return self.pick(np.tile(np.arange(len(self.Y_bn)), k))

    @property
    def n_theta(self) -> int:
        """Length of θ without the offsets."""
        return len(self.centre_p)

    def fitted(self, theta_bp: Floats) -> Floats:
        """Fitted values with offsets, (b, n)."""
        p = self.n_theta
        fitted: Floats = self.formula.values(self.X_nd, theta_bp[:, :p]) + theta_bp[:, p:] @ self.offsets_nr.T
        return fitted

    def residual(self, theta_bp: Floats) -> Floats:
        """Weighted errors, (b, n)."""
        residual: Floats = self.weight_bn * (self.Y_bn - self.fitted(theta_bp))
        return residual

    def jacobian(self, theta_bp: Floats) -> Floats:
        """Weighted slopes of the fitted values, (b, n, p + r)."""
        p, (n, n_offsets) = self.n_theta, self.offsets_nr.shape
        J_bnp = np.empty((len(theta_bp), n, p + n_offsets))
        J_bnp[:, :, :p] = self.formula.jacobian(self.X_nd, theta_bp[:, :p])
        J_bnp[:, :, p:] = self.offsets_nr
        J_bnp *= self.weight_bn[:, :, None]
        return J_bnp

    def penalty(self, ridge_b: Floats, theta_bp: Floats) -> tuple[Floats, Floats]:
        """Value (b,) and half slope (b, p + r) of the penalties."""
        p = self.n_theta
        away_bp = theta_bp[:, :p] - self.centre_p
        slope_bp = np.hstack([ridge_b[:, None] * (away_bp @ self.pull_pp), self.ratio_b[:, None] * theta_bp[:, p:]])
        value_b = (away_bp * slope_bp[:, :p]).sum(1) + (theta_bp[:, p:] * slope_bp[:, p:]).sum(1)
        return value_b, slope_bp

    def model(self, ridge_b: Floats, theta_bp: Floats) -> tuple[Floats, Floats]:
        """Half the downhill slope (b, p + r) and half the Gauss–Newton curvature (b, p + r, p + r) of the cost."""
        p, J_bnp = self.n_theta, self.jacobian(theta_bp)
        _, pull_bp = self.penalty(ridge_b, theta_bp)
        H_bpp = np.swapaxes(J_bnp, 1, 2) @ J_bnp
        H_bpp[:, :p, :p] += ridge_b[:, None, None] * self.pull_pp
        _diagonal(H_bpp)[:, p:] += self.ratio_b[:, None]
        return (self.residual(theta_bp)[:, None, :] @ J_bnp)[:, 0] - pull_bp, H_bpp

    def cost(self, ridge_b: Floats, theta_bp: Floats) -> Floats:
        """What is minimised, (b,); infinite where it is no number."""
        cost_b = (self.residual(theta_bp) ** 2).sum(1) + self.penalty(ridge_b, theta_bp)[0]
        return np.where(np.isfinite(cost_b), cost_b, np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Best coefficients of each problem, its ridge λ, and the inverse of its curvature."""

    theta_bp: Floats
    ridge_b: Floats
    inverse_bpp: Floats

    @classmethod
    def at(cls, problems: Problems, theta_bp: Floats, ridge_b: Floats) -> Found:
        """(JᵀJ + penalty)⁻¹ at given coefficients."""
        _, H_bpp = problems.model(ridge_b, theta_bp)
        _diagonal(H_bpp)[:] += TINY * (1.0 + _diagonal(H_bpp))
        return cls(theta_bp, ridge_b, np.linalg.inv(H_bpp).astype(np.float64))


def fit_formula(obs: Observations, method: Method, parts: Sequence[Ints] = ()) -> tuple[FormulaFit, list[FormulaFit]]:
    """The fit to all rows, and one per part (group numbers of `obs`) to the rows of the other groups.

    The fits to parts start at the full fit and keep its units and λ.

    Raises:
        NotEnoughEvidence: a metric has a value at fewer than `method.n_least` mixtures.
    """
    rows, _ = content_order(obs)
    is_in_xn = [~np.isin(obs.group_n[rows], part) for part in parts]
    few = replace(method, n_draws=min(method.n_draws, N_PART_DRAWS))
    obs = ordered(obs, method.n_least, method.name)
    units = method.units(obs)
    # A metric that does not vary is predicted as it is, whatever the formula does with no evidence.
    is_flat_m = np.nanmax(np.abs(units.numbers(obs)), axis=1) < FLAT
    units = replace(units, scale_m=np.where(is_flat_m, TINY * units.scale_m, units.scale_m))
    problems = Problems.of(obs, units, method)
    folds = []
    with one_thread():
        found, error_mn = _fit_mean(problems, method)
        for is_in_n in is_in_xn:
            rest = replace(problems, weight_bn=problems.weight_bn * is_in_n)
            theta, _ = descend(rest, found.theta_bp, found.ridge_b, tolerance=ROUGH)
            seen = replace(obs, Y_nm=np.where(is_in_n[:, None], obs.Y_nm, np.nan))
            part = Found.at(rest, theta, found.ridge_b)
            folds.append(_assemble(seen, units, few, rest, part, error_mn * is_in_n))
        return _assemble(obs, units, method, problems, found, error_mn), folds


def descend(problems: Problems, start_bp: Floats, ridge_b: Floats, *, tolerance: float) -> tuple[Floats, Floats]:
    """Levenberg–Marquardt on all problems at once; coefficients (b, p + r) and cost (b,).

    Each problem has its own damping and leaves the batch when its cost has settled.
    """
    n_together = max(N_AT_ONCE // (len(problems.X_nd) * start_bp.shape[1]), 1)
    if len(start_bp) > n_together:
        parts = [np.arange(i, min(i + n_together, len(start_bp))) for i in range(0, len(start_bp), n_together)]
        done = [descend(problems.pick(part), start_bp[part], ridge_b[part], tolerance=tolerance) for part in parts]
        return np.concatenate([theta for theta, _ in done]), np.concatenate([cost for _, cost in done])
    theta, cost = start_bp.copy(), problems.cost(ridge_b, start_bp)
    damping, live, part = np.full(len(theta), 1e-2), np.arange(len(theta)), problems
    slope_bp, H_bpp = part.model(ridge_b, theta)
    for _ in range(N_STEPS if tolerance < ROUGH else N_ROUGH_STEPS):
        damped = H_bpp.copy()
        _diagonal(damped)[:] += _diagonal(H_bpp) * damping[live, None] + TINY
        tried = theta[live] + np.linalg.solve(damped, slope_bp[:, :, None])[:, :, 0]
        tried_cost = part.cost(ridge_b[live], tried)
        gain = cost[live] - tried_cost
        is_better = gain >= 0.0
        won = live[is_better]
        theta[won], cost[won] = tried[is_better], tried_cost[is_better]
        damping[live] *= np.where(is_better, 0.2, 5.0)
        is_settled = (is_better & (gain <= tolerance * tried_cost + TINY**2)) | (damping[live] > MAX_DAMPING)
        if is_settled.all():
            break
        is_moved = is_better & ~is_settled
        moved = live[is_moved]
        if len(moved):
            slope_bp[is_moved], H_bpp[is_moved] = problems.pick(moved).model(ridge_b[moved], theta[moved])
        if is_settled.any():
            live, slope_bp, H_bpp = live[~is_settled], slope_bp[~is_settled], H_bpp[~is_settled]
            part = problems.pick(live)
    return theta, cost


def _fit_mean(problems: Problems, method: Method) -> tuple[Found, Floats]:
    """The fit of each metric at the λ that cross-validation over mixtures chooses, and its left-out errors, (m, n).

    A path from the strongest pull to the weakest, every fit starting at the one before; a metric leaves it where its
    left-out errors have risen for good. Each λ has the likelihood of its left-out errors as its share, and the median
    of the shares is taken: it moves less from sample to sample than the best.
    """
    starts_smp = method.starts(problems)
    (s, m, p), r = starts_smp.shape, problems.offsets_nr.shape[1]
    part_n = np.random.default_rng(0).permutation(int(problems.group_n.max()) + 1)[problems.group_n] % N_FOLDS
    is_in_fn = part_n != np.arange(N_FOLDS)[:, None]
    folds = problems.times(N_FOLDS)
    folds = replace(folds, weight_bn=folds.weight_bn * np.repeat(is_in_fn, m, axis=0))
    theta_bp = np.hstack([starts_smp.reshape(s * m, p), np.zeros((s * m, r))])
    theta_bp, cost_b = descend(problems.times(s), theta_bp, np.full(s * m, method.ridges[0]), tolerance=ROUGH)
    theta_mp = theta_bp[np.argmin(cost_b.reshape(s, m), axis=0) * m + np.arange(m)]
    theta_fmp = np.tile(theta_mp, (N_FOLDS, 1, 1))
    k, live, n_worse_m = len(method.ridges), np.arange(m), np.zeros(m)
    path_kmp, error_kmn = np.tile(theta_mp, (k, 1, 1)), np.full((k, *problems.Y_bn.shape), np.inf)
    total_km = np.full((k, m), np.inf)
    for i, ridge in enumerate(method.ridges):
        some = folds.pick((np.arange(N_FOLDS)[:, None] * m + live).reshape(-1))
        ridge_b, start_bp = np.full(len(some.Y_bn), ridge), theta_fmp[:, live].reshape(len(some.Y_bn), -1)
        theta_mp[live], _ = descend(problems.pick(live), theta_mp[live], ridge_b[: len(live)], tolerance=ROUGH)
        theta_bp, _ = descend(some, start_bp, ridge_b, tolerance=ROUGH)
        theta_fmp[:, live] = theta_bp.reshape(N_FOLDS, len(live), -1)
        away_fmn = (some.Y_bn - some.fitted(theta_bp)).reshape(N_FOLDS, len(live), -1)
        error_mn = problems.weight_bn[live] * np.take_along_axis(away_fmn, part_n[None, None, :], axis=0)[0]
        path_kmp[i], error_kmn[i, live], total_km[i, live] = theta_mp, error_mn, (error_mn**2).sum(1)
        is_worse_m = total_km[i] > method.worse * total_km.min(0)
        n_worse_m = np.where(is_worse_m, n_worse_m + 1, 0)
        live = live[n_worse_m[live] < N_WORSE]
        if not len(live):
            break
    n_rows_m = (problems.weight_bn > 0.0).sum(1)
    share_km = (np.maximum(total_km, TINY) / np.maximum(total_km.min(0), TINY)) ** (-0.5 * n_rows_m)
    chosen_m = (share_km.cumsum(0) >= 0.5 * share_km.sum(0)).argmax(0)
    ridge_m, every_m = np.array(method.ridges)[chosen_m], np.arange(m)
    theta_mp, _ = descend(problems, path_kmp[chosen_m, every_m], ridge_m, tolerance=TOLERANCE)
    return Found.at(problems, theta_mp, ridge_m), error_kmn[chosen_m, every_m]


def _assemble(
    obs: Observations, units: Units, method: Method, problems: Problems, found: Found, error_mn: Floats
) -> FormulaFit:
    """The fit with its draws and the noise of one run, from its errors at mixtures that it had not seen."""
    p = problems.n_theta
    draw_kmp = _draws(problems, found, error_mn, method.n_draws)
    f_kmn = np.array([problems.fitted(draw_mp) for draw_mp in draw_kmp])
    to_metric_m = units.sign_m * units.scale_m
    return FormulaFit(
        formula=method.formula,
        domains=obs.domains,
        metrics=tuple(metric.name for metric in obs.metrics),
        sign_m=units.sign_m,
        shift_m=units.shift_m,
        scale_m=units.scale_m,
        theta_mp=found.theta_bp[:, :p],
        draw_shift_km=units.shift_m + level_draws(obs, method.n_draws),
        draw_kmp=draw_kmp[:, :, :p],
        noise_mm=calibrated_noise(obs, error_mn.T * to_metric_m, f_kmn.std(0).T * units.scale_m),
    )


def _draws(problems: Problems, found: Found, error_mn: Floats, n_draws: int) -> Floats:
    """Coefficients refitted to resampled errors, (k, m, p + r).

    A wild bootstrap: every mixture's errors, as if it had been left out, enter once more times one normal number that
    its repeats and all metrics share, which makes the draws joint. Steps keep the curvature of the best fit and are
    halved where they do not help, so that only values of the formula are needed.
    """
    (m, p), n_groups = found.theta_bp.shape, int(problems.group_n.max()) + 1
    normal_kn = np.random.default_rng(0).standard_normal((n_draws, n_groups))[:, problems.group_n]
    many = problems.times(n_draws)
    many = replace(many, Y_bn=many.Y_bn + (normal_kn[:, None, :] * error_mn).reshape(n_draws * m, -1))
    ridge_b = np.tile(found.ridge_b, n_draws)
    theta = np.tile(found.theta_bp, (n_draws, 1))
    cost, length = many.cost(ridge_b, theta), np.ones(len(theta))
    inverse_mpp = found.inverse_bpp
    J_mnp = problems.jacobian(found.theta_bp)
    for _ in range(N_DRAW_STEPS):
        _, pull_bp = many.penalty(ridge_b, theta)
        residual_kmn = many.residual(theta).reshape(n_draws, m, -1)
        slope_mkp = np.swapaxes(residual_kmn, 0, 1) @ J_mnp - np.swapaxes(pull_bp.reshape(n_draws, m, p), 0, 1)
        step = np.swapaxes(slope_mkp @ inverse_mpp, 0, 1).reshape(n_draws * m, p)
        tried = theta + length[:, None] * step
        tried_cost = many.cost(ridge_b, tried)
        is_better = tried_cost < cost
        theta[is_better], cost[is_better] = tried[is_better], tried_cost[is_better]
        length = np.where(is_better, np.minimum(2.0 * length, 1.0), 0.4 * length)
    return theta.reshape(n_draws, m, p)


def _diagonal(H_bpp: Floats) -> Floats:
    """A writable view of the diagonals, (b, p)."""
    view: Floats = np.einsum("bpp->bp", H_bpp)
    return view
