"""Laws that are linear in their coefficients: features of the mixture, a ridge, and everything in closed form.

    y_m(w) = Σ_p θ_mp φ_p(w) + o_mr,   least Σ (y − ŷ)² + λ n Σ_p (θ_mp ÷ unit_p)²

with φ the blocks of features that a law names, unit_p what makes the features of a block vary by about one over the
runs, λ the ridge, n the number of runs and o_mr what all mixtures of replicate r share. The level of a metric is never
shrunk: under an endless ridge it is a constant. One singular value decomposition serves all metrics that are measured
on the same rows. Errors at mixtures left out need no further fit: with H the hat matrix they are (I − H)_gg⁻¹ e_g on
the rows g of a mixture. The ridge goes by them and by the marginal likelihood: the first alone falls now and then for
next to no ridge where features are about as many as runs, the second alone for a form that is not the truth's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.observations import Floats, Ints, Observations
from mixdesk.laws.formula import FormulaFit
from mixdesk.laws.rows import Units, calibrated_noise, level_draws, offset_columns, ordered

# Weight at which log(1 + w ÷ this) turns from a line into a logarithm.
LOG_WEIGHT = 0.01
# Below this weight the slope of a root is held.
LEAST_WEIGHT = 1e-6
# Ridges to choose from, the strongest first: a tie goes to the simpler fit. Errors and draws of a fit with a weaker one
# are those of the last, which is a ridge only where the rows leave coefficients open.
RIDGES = np.logspace(3.0, -12.0, 31)
# Singular values below this part of the largest are rounding; the diagonal of I − H is no smaller than the other.
ROUNDING, LEAST_REST = 1e-11, 1e-14
# Squares of numbers of size one that are rounding, per run.
TINY = 1e-14
# Fewer mixtures than this (d + 2 where d is small) leave nothing to choose a ridge by.
LEAST_MIXTURES = 8

# Coordinates of a weight: value and slope.
_COORDINATES: Mapping[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "weight": (lambda w: w, np.ones_like),
    "root": (np.sqrt, lambda w: 0.5 / np.sqrt(np.maximum(w, LEAST_WEIGHT))),
    "log": (lambda w: np.log1p(w / LOG_WEIGHT), lambda w: 1.0 / (LOG_WEIGHT + w)),
}
# Blocks of features: the coordinate, and whether its products over pairs of domains are meant.
_BLOCKS: Mapping[str, tuple[str, bool]] = {
    "weight": ("weight", False),
    "root": ("root", False),
    "log": ("log", False),
    "pairs": ("weight", True),
    "root pairs": ("root", True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """f(w; θ) = Σ_p θ_p φ_p(w), φ the `blocks` in turn.

    "weight" w_i, "root" √w_i and "log" log(1 + w_i ÷ 0.01) of every domain; "pairs" w_i w_j and "root pairs" √(w_i w_j)
    of every i < j, in the order (0, 1), (0, 2) … (1, 2) … The first block is "weight": it carries the level, since
    weights sum to one.
    """

    form: ClassVar[str] = "features"
    covariates: ClassVar[tuple[str, ...]] = ()

    blocks: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.blocks:
            checks.one_of("block of features", name, _BLOCKS)
        checks.one_of("first block of features", self.blocks[0] if self.blocks else "", ("weight",))

    def n_coefficients(self, n_domains: int) -> int:
        """Length of θ."""
        return sum(self.sizes(n_domains))

    def sizes(self, n_domains: int) -> list[int]:
        """Length of each block."""
        return [n_domains * (n_domains - 1) // 2 if _BLOCKS[name][1] else n_domains for name in self.blocks]

    def matrix(self, W_qd: Floats) -> Floats:
        """The features φ of each row, (q, p)."""
        first, second = np.triu_indices(W_qd.shape[1], 1)
        parts = []
        for name in self.blocks:
            coordinate, is_pairs = _BLOCKS[name]
            x_qd = _COORDINATES[coordinate][0](W_qd)
            parts.append(x_qd[:, first] * x_qd[:, second] if is_pairs else x_qd)
        return np.hstack(parts)

    def values(self, X_qd: Floats, theta_xp: Floats) -> Floats:
        """The value f of each row under each set of coefficients, (x, q)."""
        values: Floats = theta_xp @ self.matrix(X_qd).T
        return values

    def jacobian(self, X_nd: Floats, theta_bp: Floats) -> Floats:
        """Slope of f in the coefficients, (b, n, p): the features, whatever the coefficients."""
        matrix = self.matrix(X_nd)
        return np.broadcast_to(matrix, (len(theta_bp), *matrix.shape))

    def slope(self, X_qd: Floats, theta_mp: Floats) -> Floats:
        """Slope of f in the weights, (q, m, d); that of a root is held below a weight of 1e-6."""
        d = X_qd.shape[1]
        slope_qmd = np.zeros((len(X_qd), len(theta_mp), d))
        parts = np.split(theta_mp, np.cumsum(self.sizes(d))[:-1], axis=1)
        for name, part_mp in zip(self.blocks, parts, strict=True):
            coordinate, is_pairs = _BLOCKS[name]
            value, slope = _COORDINATES[coordinate]
            along = np.swapaxes(value(X_qd) @ pair_matrix(part_mp, d), 0, 1) if is_pairs else part_mp
            slope_qmd += slope(X_qd)[:, None, :] * along
        return slope_qmd

    def turned(self, columns: Sequence[int]) -> Ints:
        """Where each feature of domains in the order `columns` stands among the features in the present order."""
        d, start, where = len(columns), 0, []
        order = np.array(columns, dtype=np.int64)
        first, second = np.triu_indices(d, 1)
        place_dd = np.zeros((d, d), dtype=np.int64)
        place_dd[first, second] = place_dd[second, first] = np.arange(len(first))
        for name, size in zip(self.blocks, self.sizes(d), strict=True):
            where.append(start + (place_dd[order[first], order[second]] if _BLOCKS[name][1] else order))
            start += size
        return np.concatenate(where)


def pair_matrix(theta_xp: Floats, d: int) -> Floats:
    """Coefficients of a block of pairs as symmetric matrices with a diagonal of 0, (x, d, d)."""
    first, second = np.triu_indices(d, 1)
    B_xdd = np.zeros((len(theta_xp), d, d))
    B_xdd[:, first, second] = B_xdd[:, second, first] = theta_xp
    return B_xdd


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureLaw:
    """How coefficients of `features` are found.

    `name` for messages; `priors` rival units of the blocks, each a number per block; `ridge`, None for the best of
    `RIDGES`; `n_draws` draws of the coefficients.
    """

    name: str
    features: Features
    priors: tuple[tuple[float, ...], ...]
    ridge: float | None
    n_draws: int

    def fit(self, obs: Observations) -> FormulaFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: a metric has a value at fewer than 8 mixtures (d + 2 where that is less).
        """
        return _Solution.of(self, obs).without(())

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[FormulaFit, list[FormulaFit]]:
        """The fit to all rows, and one per part to the rows of the other groups, with the ridges of the first.

        Raises:
            NotEnoughEvidence: as `fit`, of all rows or of those that a part leaves.
        """
        solution = _Solution.of(self, obs)
        return solution.without(()), [solution.without(part) for part in parts]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Solution:
    """All metrics solved: fits to all rows or some of them are read off it.

    `domains` in the order of the fits; `obs` and `units` of the rows; `error_nm` of rows left out with the rest of
    their mixture and `sd_nm` the sd claimed there, both 0 where not measured; `solved` one per metric.
    """

    law: FeatureLaw
    domains: tuple[str, ...]
    obs: Observations
    units: Units
    error_nm: Floats
    sd_nm: Floats
    solved: tuple[_Solved, ...]

    @classmethod
    def of(cls, law: FeatureLaw, obs: Observations) -> _Solution:
        """Prior, ridge and coefficients of every metric."""
        domains = obs.domains
        # Parts name groups by the numbers that came; `ordered` counts them anew.
        obs = _ordered(law, replace(obs, covariates={"group": obs.group_n.astype(np.float64)}))
        units = Units.of(obs)
        n, m = obs.Y_nm.shape
        error_nm, sd_nm, solved = np.zeros((n, m)), np.zeros((n, m)), {}
        for problem in _problems(law, obs, units):
            choices, error_nm[problem.cells], sd_nm[problem.cells] = problem.choose(law.ridge)
            for j, y_n, choice in zip(problem.metrics, problem.Y_nm.T, choices, strict=True):
                solved[int(j)] = problem.solve(y_n, choice, law.n_draws)
        return cls(
            law=law,
            domains=domains,
            obs=obs,
            units=units,
            error_nm=error_nm * units.sign_m * units.scale_m,
            sd_nm=sd_nm * units.scale_m,
            solved=tuple(solved[j] for j in range(m)),
        )

    def without(self, part: Iterable[int]) -> FormulaFit:
        """The fit to the rows of the other groups, its noise from their errors.

        Raises:
            NotEnoughEvidence: too few mixtures are left.
        """
        is_out_n = np.isin(self.obs.covariates["group"], np.array(list(part), dtype=np.float64))
        kept = np.flatnonzero(~is_out_n)
        obs = self.obs.take(kept)
        _ordered(self.law, obs)
        theta_mkp = np.array([one.coefficients(is_out_n) for one in self.solved])
        theta_mkp = theta_mkp[:, :, self.law.features.turned([self.obs.domains.index(name) for name in self.domains])]
        return FormulaFit(
            formula=self.law.features,
            domains=self.domains,
            metrics=tuple(metric.name for metric in obs.metrics),
            sign_m=self.units.sign_m,
            shift_m=self.units.shift_m,
            scale_m=self.units.scale_m,
            theta_mp=theta_mkp[:, 0],
            draw_shift_km=self.units.shift_m + level_draws(obs, self.law.n_draws),
            draw_kmp=np.swapaxes(theta_mkp[:, 1:], 0, 1),
            noise_mm=calibrated_noise(obs, self.error_nm[kept], self.sd_nm[kept]),
        )


def _ordered(law: FeatureLaw, obs: Observations) -> Observations:
    return ordered(obs, min(len(obs.domains) + 2, LEAST_MIXTURES), law.name)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which of the law's priors a metric takes, and which ridge."""

    prior: int
    ridge: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Solved:
    """A metric's targets and what solves them, for its mean (k = 0) and every draw.

    `start_kp` draws of the prior, from which the coefficients are pulled to fit `target_kn`: values with a draw of
    their noise, less those of the start; `gain_pn` coefficients per target; `hat_nx` with H = hat hatᵀ.
    """

    problem: _Problem
    start_kp: Floats
    target_kn: Floats
    gain_pn: Floats
    hat_nx: Floats

    def coefficients(self, is_out_n: NDArray[np.bool_]) -> Floats:
        """Coefficients (k, p) fitted without some rows of the record.

        Rows P that are left out follow the fit to the others, as rows would whose targets are smaller by
        (I − H)_PP⁻¹ e_P.
        """
        problem, target_kn = self.problem, self.target_kn
        out = np.flatnonzero(is_out_n[problem.rows])
        if len(out):
            hat_xo = self.hat_nx[out].T
            residual_ko = target_kn[:, out] - (target_kn @ self.hat_nx) @ hat_xo
            rest_oo = (1.0 + LEAST_REST) * np.eye(len(out)) - hat_xo.T @ hat_xo
            target_kn = target_kn.copy()
            target_kn[:, out] -= np.linalg.solve(rest_oo, residual_ko.T).T
        moved_kp = target_kn @ self.gain_pn.T
        theta_kp = self.start_kp + moved_kp
        # Moving a number from the level to every weight's coefficient changes nothing: the mean of these is the level.
        own_kd = theta_kp[:, : problem.n_domains]
        own_kd -= own_kd.mean(axis=1, keepdims=True)
        level_k = target_kn @ problem.level_n + (self.start_kp - theta_kp) @ (problem.Phi_np.T @ problem.level_n)
        own_kd += level_k[:, None]
        return theta_kp


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Decomposed:
    """U diag(S) Vᵀ = the features ÷ `unit_p`, less level and offsets, over rows and then the offsets' own ridge."""

    U_nr: Floats
    S_r: Floats
    V_pr: Floats
    unit_p: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _LeftOut:
    """What a fit with each ridge g says of mixtures left out.

    `residual_gnm`; `rest_gn` the diagonal of I − H; `error_gnm` residuals as if a row's mixture had been left out;
    `spread_gn` the variance of that error ÷ the variance of a run; `deviance_gm` −2 log of the marginal likelihood.
    """

    residual_gnm: Floats
    rest_gn: Floats
    error_gnm: Floats
    spread_gn: Floats
    deviance_gm: Floats

    @property
    def noise_gnm(self) -> Floats:
        """Residuals ÷ √(1 − leverage), as large as the noise of the runs."""
        noise: Floats = self.residual_gnm / np.sqrt(self.rest_gn)[:, :, None]
        return noise

    @property
    def sd_gnm(self) -> Floats:
        """The sd claimed of the prediction of a row left out."""
        sd_g1m = np.sqrt((self.noise_gnm**2).mean(axis=1, keepdims=True))
        sd: Floats = sd_g1m * np.sqrt(np.maximum(self.spread_gn - 1.0, 0.0))[:, :, None]
        return sd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Problem:
    """Metrics with values on the same rows and the same ridge on offsets, their features decomposed once per prior.

    `rows` in the record, `Phi_np` their features, `Y_nm` their values, `group_n` their mixtures of the record's
    `n_groups`; `Q_nl` an orthonormal basis of level and offsets; the level is `level_n` · (values − features' share).
    """

    metrics: Ints
    rows: Ints
    Phi_np: Floats
    Y_nm: Floats
    group_n: Ints
    n_groups: int
    n_domains: int
    Q_nl: Floats
    level_n: Floats
    rivals: tuple[_Decomposed, ...]

    @property
    def cells(self) -> tuple[Ints, Ints]:
        """Where its values stand in a table of rows and metrics."""
        return self.rows[:, None], self.metrics[None, :]

    def choose(self, ridge: float | None) -> tuple[list[_Choice], Floats, Floats]:
        """The best prior and ridge of each metric, and errors and sds left out (n, m).

        Best is the least sum of two deviances, n log Σ error² left out and −2 log of the marginal likelihood. Those of
        a mixture are what the best choice says that leaves its own error out of account, since the error of the best of
        many fits is too small.
        """
        ridges = RIDGES if ridge is None else np.array([ridge])
        left = [self.left_out(one, ridges, self.Y_nm) for one in self.rivals]
        error_cnm, sd_cnm = np.concatenate([x.error_gnm for x in left]), np.concatenate([x.sd_gnm for x in left])
        deviance_cm = np.concatenate([x.deviance_gm for x in left])
        order = np.argsort(self.group_n, kind="stable")
        _, first_x, member_n = np.unique(self.group_n[order], return_index=True, return_inverse=True)
        own_cxm = np.add.reduceat(error_cnm[:, order] ** 2, first_x, axis=1)
        total_cm, n = own_cxm.sum(axis=1), len(self.rows)
        others_cxm = np.maximum(total_cm[:, None] - own_cxm, 0.0)
        best_xm = (n * np.log(others_cxm + n * TINY**2) + deviance_cm[:, None]).argmin(axis=0)
        best_nm = best_xm[member_n[np.argsort(order)]][None]
        error_nm, sd_nm = (np.take_along_axis(each, best_nm, axis=0)[0] for each in (error_cnm, sd_cnm))
        best_m = (n * np.log(total_cm + n * TINY**2) + deviance_cm).argmin(axis=0).tolist()
        return [_Choice(best // len(ridges), float(ridges[best % len(ridges)])) for best in best_m], error_nm, sd_nm

    def left_out(self, one: _Decomposed, ridges: Floats, Y_nm: Floats) -> _LeftOut:
        """Errors of metrics under each ridge, in closed form."""
        n = len(self.rows)
        U_nr, Q_nl, penalty_g1 = one.U_nr[:n], self.Q_nl[:n], n * np.maximum(ridges, RIDGES[-1])[:, None]
        lost_gr = penalty_g1 / (one.S_r**2 + penalty_g1)
        along_rm = U_nr.T @ Y_nm
        beyond_nm = Y_nm - Q_nl @ (Q_nl.T @ Y_nm) - U_nr @ along_rm
        residual_gnm = beyond_nm + U_nr @ (lost_gr[:, :, None] * along_rm)
        bare_n = np.maximum(1.0 - (Q_nl**2).sum(1) - (U_nr**2).sum(1), 0.0)
        rest_gn = np.maximum(bare_n + lost_gr @ (U_nr**2).T, LEAST_REST)
        error_gnm, spread_gn = residual_gnm / rest_gn[:, :, None], 1.0 / rest_gn
        for rows_xs in _repeated(self.group_n):
            U_xsr, Q_xsl, eye_ss = U_nr[rows_xs], Q_nl[rows_xs], np.eye(rows_xs.shape[1])
            bare_xss = eye_ss - Q_xsl @ np.swapaxes(Q_xsl, 1, 2) - U_xsr @ np.swapaxes(U_xsr, 1, 2)
            for g, lost_r in enumerate(lost_gr):
                block_xss = bare_xss + (U_xsr * lost_r) @ np.swapaxes(U_xsr, 1, 2)
                inverse_xss = np.linalg.inv(block_xss + LEAST_REST * eye_ss)
                error_gnm[g, rows_xs] = inverse_xss @ residual_gnm[g, rows_xs]
                spread_gn[g, rows_xs] = np.einsum("xss->xs", inverse_xss)
        square_gm = np.maximum(np.einsum("gnm,nm->gm", residual_gnm, Y_nm), n * TINY)
        return _LeftOut(
            residual_gnm=residual_gnm,
            rest_gn=rest_gn,
            error_gnm=error_gnm,
            spread_gn=spread_gn,
            deviance_gm=(n - 1) * np.log(square_gm) - np.log(lost_gr).sum(axis=1, keepdims=True),
        )

    def solve(self, y_n: Floats, choice: _Choice, n_draws: int) -> _Solved:
        """One metric solved, with draws of its posterior.

        The noise of a draw is one normal number per mixture, shared by its rows and by all metrics, times the rows' own
        residual ÷ √(1 − leverage). Its start is a draw of the prior that the ridge stands for, so that it says how much
        the rows leave open.
        """
        one, n = self.rivals[choice.prior], len(self.rows)
        noise_n = self.left_out(one, np.array([choice.ridge]), y_n[:, None]).noise_gnm[0, :, 0]
        sd = np.sqrt(np.mean(noise_n**2) / (n * max(choice.ridge, RIDGES[-1])))
        rng = np.random.default_rng(0)
        normal_kx = rng.standard_normal((n_draws, self.n_groups))
        start_kp = np.zeros((n_draws + 1, len(one.unit_p)))
        start_kp[1:] = rng.standard_normal((n_draws, len(one.unit_p))) * sd * one.unit_p
        target_kn = y_n - start_kp @ self.Phi_np.T
        target_kn[1:] += normal_kx[:, self.group_n] * noise_n
        S2_r, U_nr = one.S_r**2, one.U_nr[:n]
        return _Solved(
            problem=self,
            start_kp=start_kp,
            target_kn=target_kn,
            gain_pn=one.unit_p[:, None] * one.V_pr @ (one.S_r / (S2_r + choice.ridge * n) * U_nr).T,
            hat_nx=np.hstack([self.Q_nl[:n], np.sqrt(S2_r / (S2_r + choice.ridge * n)) * U_nr]),
        )


def _problems(law: FeatureLaw, obs: Observations, units: Units) -> Iterator[_Problem]:
    """Metrics that are measured on the same rows and have the same ridge on offsets, together."""
    Y_nm = units.numbers(obs).T
    offsets_nr, ratio_m = offset_columns(obs, units.scale_m)
    ratio_m = ratio_m if offsets_nr.shape[1] else np.ones_like(ratio_m)
    keys = [(ratio, *is_there) for ratio, is_there in zip(ratio_m.tolist(), np.isfinite(Y_nm).T.tolist(), strict=True)]
    for key in dict.fromkeys(keys):
        metrics = np.array([j for j, each in enumerate(keys) if each == key])
        rows = np.flatnonzero(key[1:])
        n, n_offsets = len(rows), offsets_nr.shape[1]
        level = np.zeros((n + n_offsets, 1 + n_offsets))
        level[:n, 0], level[:n, 1:] = 1.0, offsets_nr[rows]
        level[n:, 1:] = np.sqrt(key[0]) * np.eye(n_offsets)
        Q_nl, R_ll = np.linalg.qr(level)
        Phi_np = law.features.matrix(obs.W_nd[rows])
        rest_np = np.vstack([Phi_np, np.zeros((n_offsets, Phi_np.shape[1]))])
        rest_np -= Q_nl @ (Q_nl.T @ rest_np)
        yield _Problem(
            metrics=metrics,
            rows=rows,
            Phi_np=Phi_np,
            Y_nm=Y_nm[np.ix_(rows, metrics)],
            group_n=obs.group_n[rows],
            n_groups=obs.n_groups,
            n_domains=len(obs.domains),
            Q_nl=Q_nl,
            level_n=Q_nl[:n] @ np.linalg.inv(R_ll)[0],
            rivals=tuple(_decompose(rest_np, n, law.features.sizes(len(obs.domains)), prior) for prior in law.priors),
        )


def _decompose(rest_np: Floats, n: int, sizes: Sequence[int], prior: tuple[float, ...]) -> _Decomposed:
    """The features of n runs in units of each block's sd ÷ its prior."""
    ends = np.cumsum(sizes)
    spread_b = [np.sqrt((part**2).sum() / (n * max(part.shape[1], 1))) for part in np.split(rest_np, ends[:-1], axis=1)]
    unit_p = np.repeat([own / sd if sd > 0.0 else own for own, sd in zip(prior, spread_b, strict=True)], sizes)
    U_nr, S_r, V_rp = np.linalg.svd(rest_np * unit_p, full_matrices=False)
    kept = S_r > ROUNDING * max(float(S_r.max(initial=0.0)), LEAST_REST)
    return _Decomposed(U_nr=U_nr[:, kept], S_r=S_r[kept], V_pr=V_rp[kept].T, unit_p=unit_p)


def _repeated(group_n: Ints) -> Iterator[Ints]:
    """Rows of the mixtures that have as many, (x, s), for each number of rows s > 1."""
    order = np.argsort(group_n, kind="stable")
    _, first_x, n_x = np.unique(group_n[order], return_index=True, return_counts=True)
    for s in np.unique(n_x[n_x > 1]):
        yield order[first_x[n_x == s][:, None] + np.arange(s)]
