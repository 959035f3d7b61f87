"""Mixture GP: a Gaussian process over powers of the weights, on a bent scale of the metric.

    bend(y) = g(φ(w)) + noise,   g ~ GP(μ, v · Matérn-5/2(|u − u'|) + b u · u'),   u_j = (w_j^p − mean_j) ÷ sd_j ÷ ℓ_j
    bend(y) = a · ln(1 + y ÷ a),   y the metric with mean 0 and sd 1, smaller better

Loss falls steeply where a weight leaves zero, so the coordinates matter more than the kernel: p < 1 stretches that end.
A loss that falls towards a floor is straighter in its logarithm above the floor: `a` says where that floor lies (far
away: no bend). The linear term is the trend that a handful of runs shows before its local shape. Length scales ℓ,
variances v and b, noise, p and a are learned per metric at the maximum of the posterior.

Reference: admire (a Gaussian process over mixtures and sizes). What we do differently: one scale, our own coordinates
and bend with p and a learned; a linear term; priors that hold with fewer runs than domains; intervals stretched to what
leaving each mixture out says; draws are functions (pathwise conditioning of random features), equal wherever asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize
from scipy.stats import norm

from mixdesk.core import checks
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.laws.rows import Units, one_thread, ordered, stretch

# Fewer mixtures than this say nothing of a length scale.
LEAST_MIXTURES = 5
# Log-normal priors, mean and sd of the logarithm: length scales in sd of a coordinate (their mean grows with √d, as
# distances do), signal and noise variance in those of the bent metric, the power p, how far the floor lies below
# the best value seen, in ranges of the metric, and the variance of the linear term's slopes.
LENGTH, SIGNAL, NOISE, POWER, FLOOR, SLOPE = (
    (0.4, 1.0),
    (0.7, 1.0),
    (np.log(0.01), 1.5),
    (np.log(0.35), 0.5),
    (np.log(0.5), 1.5),
    (0.0, 1.5),
)
# The search starts at the prior's mean and goes this many of its sd at most.
REACH = 4.0
# Steps of L-BFGS at most, and the relative gain of the log posterior below which it has settled.
N_STEPS, SETTLED = 80, 1e-6
# Rows on which the hyper-parameters are learned at most, for a fit and for each of several fits without some mixtures:
# a step costs the cube of the rows, and this many settle them. The latter learn afresh: those of the full fit have
# seen what is left out, and found a rank correlation of .1 in pure noise.
N_LEARN, N_LEARN_AGAIN = 256, 128
# Rows that a process holds at most, a random part of more: its cost is their cube, and noise hides what they would add.
N_HELD = 1_024
# Added to the noise variance: keeps a Cholesky factor where repeats agree to the last bit.
JITTER = 1e-6
# Random features behind a draw, and the draws and features that the browser gets.
N_FEATURES, N_BROWSER = 256, (32, 128)
# Weights below this have the slope of this one: w^p is vertical at zero.
TAIL = 1e-6
# Stands in for a weight of zero in a logarithm that is multiplied by zero.
LEAST = 1e-300
# Candidates whose kernel is held at once (times rows).
N_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureGP:
    """The mixture GP; it has no settings."""

    title: ClassVar[str] = "Gaussian process over powers of the weights"
    reference: ClassVar[str] = "admire"

    def fit(self, obs: Observations) -> MixtureGPFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: fewer than 5 mixtures have a value of some metric.
        """
        return self.cross_fit(obs, [])[0]

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[MixtureGPFit, list[MixtureGPFit]]:
        """The fit, and one per part without its groups, whose hyper-parameters are learned on fewer rows."""
        rests = [obs.take(np.flatnonzero(~np.isin(obs.group_n, part))) for part in parts]
        with one_thread():
            return _fit(obs, N_LEARN), [_fit(rest, N_LEARN_AGAIN) for rest in rests]

    def restore(self, data: dict[str, Any]) -> MixtureGPFit:
        """The fit that `MixtureGPFit.to_dict` wrote."""
        return MixtureGPFit.from_dict(data)


@dataclass(frozen=True, slots=True, eq=False)
class _Metric:
    """One metric's process after its rows: `rows` measured, `middle_d` of the powers and `unit_d` = sd · length,
    variances `v` and `b`, `noise`, power `p`, bend `a`, mean `mu`, `U_nd` coordinates, `inverse_nn` of the covariance
    and `alpha_n` = inverse (z − mu).
    """

    rows: Ints
    middle_d: Floats
    unit_d: Floats
    v: float
    b: float
    noise: float
    p: float
    a: float
    mu: float
    U_nd: Floats
    inverse_nn: Floats
    alpha_n: Floats

    @classmethod
    def at(cls, W_nd: Floats, y_n: Floats, share_nn: Floats, theta_p: Floats) -> _Metric:
        """The process given hyper-parameters `theta_p` (lengths, v, noise, p, floor in logs)."""
        rows = np.flatnonzero(np.isfinite(y_n))
        d = W_nd.shape[1]
        v, noise, p, floor, b = np.exp(theta_p[d:])
        a = _floor(y_n[rows], floor)
        z_n = a * np.log1p(y_n[rows] / a)
        middle_d, sd_d = _powers(W_nd, p)
        unit_d = sd_d * np.exp(theta_p[:d])
        U_nd = (W_nd[rows] ** p - middle_d) / unit_d
        covariance = v * _matern(_distance2(U_nd, U_nd)) + b * U_nd @ U_nd.T + share_nn[np.ix_(rows, rows)]
        covariance[np.diag_indices(len(rows))] += noise + JITTER
        inverse_nn, _ = _inverse(covariance)
        weight_n = inverse_nn.sum(1)
        mu = float(weight_n @ z_n / weight_n.sum())
        return cls(rows, middle_d, unit_d, v, b, noise, p, a, mu, U_nd, inverse_nn, inverse_nn @ (z_n - mu))

    def coordinates(self, W_qd: Floats) -> Floats:
        """Coordinates u of each row, (q, d)."""
        u: Floats = (W_qd**self.p - self.middle_d) / self.unit_d
        return u

    @property
    def line_d(self) -> Floats:
        """Slopes of the mean's linear part in the coordinates, (d,)."""
        line: Floats = self.b * self.alpha_n @ self.U_nd
        return line

    def straight(self, z: Floats) -> Floats:
        """The metric, mean 0 and sd 1, of a value on the bent scale."""
        y: Floats = self.a * np.expm1(np.clip(z / self.a, -50.0, 20.0))
        return y

    def said(self, W_qd: Floats, with_sd: bool) -> tuple[Floats, Floats]:
        """Mean and sd of the process on the bent scale, (q,) each; sd is 0 unless asked for."""
        mean_q, sd_q = np.empty(len(W_qd)), np.zeros(len(W_qd))
        step = max(1, N_AT_ONCE // max(len(self.alpha_n), 1))
        for start in range(0, len(W_qd), step):
            part = slice(start, start + step)
            U_qd = self.coordinates(W_qd[part])
            k_qn = self.v * _matern(_distance2(U_qd, self.U_nd))
            mean_q[part] = self.mu + k_qn @ self.alpha_n + U_qd @ self.line_d
            if with_sd:
                k_qn += self.b * U_qd @ self.U_nd.T
                explained_q = np.einsum("qn,qn->q", k_qn @ self.inverse_nn, k_qn)
                prior_q = self.v + self.b * (U_qd**2).sum(1)
                sd_q[part] = np.sqrt(np.maximum(prior_q - explained_q, 1e-12))
        return mean_q, sd_q

    def left_out(self, group_n: Ints) -> tuple[Floats, Floats]:
        """Error on the bent scale and its sd for each row without its whole group, closed form, (rows,) each."""
        error, sd = self.alpha_n / np.diag(self.inverse_nn), 1.0 / np.sqrt(np.diag(self.inverse_nn))
        mine = group_n[self.rows]
        groups, count = np.unique(mine, return_counts=True)
        for group in groups[count > 1]:
            there = np.flatnonzero(mine == group)
            block = np.linalg.inv(self.inverse_nn[np.ix_(there, there)])
            error[there], sd[there] = block @ self.alpha_n[there], np.sqrt(np.diag(block))
        return error, sd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MixtureGPFit:
    """A process per metric, from the rows and hyper-parameters.

    `W_nd` the runs' weights, `Y_mn` their metrics in numbers of size one (NaN: not measured); `theta_mp` logs of
    lengths (d), variance, noise, power, floor and slope; `share_m` variance that all mixtures of a replicate share,
    `replicate_n`, `group_n`; `stretch_m` of the intervals; `correlation_mm` of errors over metrics.
    """

    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    sign_m: Floats
    shift_m: Floats
    scale_m: Floats
    W_nd: Floats
    Y_mn: Floats
    group_n: Ints
    replicate_n: Ints
    share_m: Floats
    theta_mp: Floats
    processes: tuple[_Metric, ...]
    stretch_m: Floats
    correlation_mm: Floats

    @classmethod
    def of(cls, **fields: Any) -> MixtureGPFit:
        """The fit of given hyper-parameters: everything that follows from them and the rows."""
        same_nn = (fields["replicate_n"][:, None] == fields["replicate_n"][None, :]).astype(np.float64)
        with one_thread():
            processes = tuple(
                _Metric.at(fields["W_nd"], y_n, share * same_nn, theta_p)
                for y_n, share, theta_p in zip(fields["Y_mn"], fields["share_m"], fields["theta_mp"], strict=True)
            )
        z_mn = np.full(fields["Y_mn"].shape, np.nan)
        for j, one in enumerate(processes):
            error, sd = one.left_out(fields["group_n"])
            z_mn[j, one.rows] = error / sd
        return cls(processes=processes, stretch_m=stretch(z_mn), correlation_mm=_correlation(z_mn), **fields)

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates; `mean_qm` is the median on the metric's own scale.

        Draws are functions of the mixture: draw k at one mixture goes with draw k at another, whenever it is asked.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        checks.one_of("sense", sense, ("mean", "run"))
        checks.finite("level", level, 0.0, 1.0)
        W_qd = inputs.over(self.domains)
        q, m = len(W_qd), len(self.metrics)
        mean_qm, low_qm, high_qm = np.empty((q, m)), np.empty((q, m)), np.empty((q, m))
        draws_kqm = self._functions(W_qd, draws, sense) if draws else None
        reach = float(norm.ppf((1.0 + min(level, 1.0 - 1e-9)) / 2.0))
        for j, one in enumerate(self.processes):
            z_q, sd_q = one.said(W_qd, with_sd=level > 0.0)
            if sense == "run":
                sd_q = np.sqrt(sd_q**2 + one.noise + self.share_m[j])
            half_q = reach * self.stretch_m[j] * sd_q
            ends = [self._unit(j, z) for z in (z_q, z_q - half_q, z_q + half_q)]
            mean_qm[:, j], low_qm[:, j], high_qm[:, j] = ends[0], np.minimum(*ends[1:]), np.maximum(*ends[1:])
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=low_qm,
            high_qm=high_qm,
            level=level,
            sense=sense,
            draws_kqm=draws_kqm,
        )

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d); below a weight of 1e-6 that of 1e-6."""
        W_qd = np.maximum(W_qd, TAIL)
        slope = np.empty((len(W_qd), len(self.metrics), W_qd.shape[1]))
        for j, one in enumerate(self.processes):
            U_qd = one.coordinates(W_qd)
            r_qn = np.sqrt(5.0 * _distance2(U_qd, one.U_nd))
            fall_qn = -(5.0 / 3.0) * one.v * (1.0 + r_qn) * np.exp(-r_qn) * one.alpha_n
            along_qd = fall_qn.sum(1)[:, None] * U_qd - fall_qn @ one.U_nd + one.line_d
            z_q = one.said(W_qd, with_sd=False)[0]
            rise_q = self.sign_m[j] * self.scale_m[j] * np.exp(np.clip(z_q / one.a, -50.0, 20.0))
            slope[:, j] = rise_q[:, None] * along_qd * (one.p * W_qd ** (one.p - 1.0) / one.unit_d)
        return slope

    def browser(self) -> dict[str, Any]:
        """Plain data that the page evaluates, domains in the order of `domains`.

        Per metric, with u = (w^p − middle) ÷ unit:
        z = mu + line · u + Σ_i alpha_i · v · M(|u − U_i|),
        value = sign · (shift + scale · a · (exp(clip(z ÷ a, −50, 20)) − 1)),
        M(r) = (1 + √5 r + 5 r² ÷ 3) exp(−√5 r), U_i from the rows `W` that `rows` names. Draw k replaces z by
        z + stretch · (lines_k · u + Σ_f c_kf √(2 v ÷ F) cos(ω_f · u + b_f) + Σ_i beta_ki · v · M(|u − U_i|)).
        """
        n_draws, n_features = N_BROWSER
        metrics, chance = [], self._chance(n_draws, n_features)
        for j, one in enumerate(self.processes):
            c_kf, beta_kn, line_kd = self._paths(j, *chance)
            metrics.append(
                {
                    "sign": self.sign_m[j],
                    "shift": self.shift_m[j],
                    "scale": self.scale_m[j],
                    "rows": one.rows.tolist(),
                    "middle": one.middle_d.tolist(),
                    "unit": one.unit_d.tolist(),
                    **{key: float(getattr(one, key)) for key in ("v", "p", "a", "mu")},
                    "alpha": one.alpha_n.tolist(),
                    "line": one.line_d.tolist(),
                    "stretch": self.stretch_m[j],
                    "c": _short(c_kf),
                    "beta": _short(beta_kn),
                    "lines": _short(line_kd),
                }
            )
        omega_fd, b_f = _features(n_features, len(self.domains))
        return {
            "form": "gp",
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "W": self.W_nd.tolist(),
            "omega": omega_fd.tolist(),
            "b": b_f.tolist(),
            "processes": metrics,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the rows and hyper-parameters, from which everything else follows."""
        return {
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "sign": self.sign_m.tolist(),
            "shift": self.shift_m.tolist(),
            "scale": self.scale_m.tolist(),
            "W": self.W_nd.tolist(),
            "Y": [[None if np.isnan(y) else y for y in row] for row in self.Y_mn.tolist()],
            "group": self.group_n.tolist(),
            "replicate": self.replicate_n.tolist(),
            "share": self.share_m.tolist(),
            "theta": self.theta_mp.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MixtureGPFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or an array has another shape than the names ask for.
        """
        keys = ("sign", "shift", "scale", "W", "Y", "share", "theta")
        try:
            domains, metrics = tuple(data["domains"]), tuple(data["metrics"])
            sign, shift, scale, W, Y, share, theta = (np.array(data[key], dtype=np.float64) for key in keys)
            group, replicate = (np.array(data[key], dtype=np.int64) for key in ("group", "replicate"))
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(repr(error)) from None
        m, d, n = len(metrics), len(domains), len(group)
        shapes = ((m,), (m,), (m,), (n, d), (m, n), (m,), (m, d + 5), (n,))
        found = tuple(array.shape for array in (sign, shift, scale, W, Y, share, theta, replicate))
        if found != shapes:
            raise _damaged(f"shapes {found}")
        return cls.of(
            domains=domains,
            metrics=metrics,
            sign_m=sign,
            shift_m=shift,
            scale_m=scale,
            W_nd=W,
            Y_mn=Y,
            group_n=group,
            replicate_n=replicate,
            share_m=share,
            theta_mp=theta,
        )

    def _unit(self, j: int, z: Floats) -> Floats:
        """Metric j in its unit from the bent scale."""
        value: Floats = self.sign_m[j] * (self.shift_m[j] + self.scale_m[j] * self.processes[j].straight(z))
        return value

    def _functions(self, W_qd: Floats, n_draws: int, sense: str) -> Floats:
        """Joint draws (k, q, m)."""
        omega_fd, b_f = _features(N_FEATURES, len(self.domains))
        out = np.empty((n_draws, len(W_qd), len(self.metrics)))
        noise_kqm = _normal(2, (*out.shape[:2], len(self.metrics)), self.correlation_mm) if sense == "run" else None
        chance = self._chance(n_draws, N_FEATURES)
        for j, one in enumerate(self.processes):
            c_kf, beta_kn, line_kd = self._paths(j, *chance)
            U_qd = one.coordinates(W_qd)
            away_kq = c_kf @ _basis(U_qd, omega_fd, b_f, one.v).T + line_kd @ U_qd.T
            away_kq += beta_kn @ (one.v * _matern(_distance2(U_qd, one.U_nd))).T
            if noise_kqm is not None:
                away_kq += np.sqrt(one.noise + self.share_m[j]) * noise_kqm[:, :, j]
            z_q = one.said(W_qd, with_sd=False)[0]
            out[:, :, j] = self._unit(j, z_q + self.stretch_m[j] * away_kq)
        return out

    def _chance(self, n_draws: int, n_features: int) -> tuple[Floats, Floats, Floats]:
        """Normal numbers behind draws: of features (k, f, m), of runs (k, n, m) and of slopes (k, d, m)."""
        n, d, m = len(self.W_nd), len(self.domains), len(self.metrics)
        shapes = ((n_draws, n_features, m), (n_draws, n, m), (n_draws, d, m))
        features, runs, slopes = (
            _normal(seed, shape, self.correlation_mm) for seed, shape in zip((0, 1, 3), shapes, strict=True)
        )
        return features, runs, slopes

    def _paths(self, j: int, c_kfm: Floats, noise_knm: Floats, slope_kdm: Floats) -> tuple[Floats, Floats, Floats]:
        """Coefficients of the draws of metric j: of features (k, f), of kernels at its rows (k, rows), and of the
        coordinates (k, d).

        A draw of the prior, c · features + slopes · u, is corrected by what the rows say of it with noise of its own.
        """
        one = self.processes[j]
        omega_fd, b_f = _features(c_kfm.shape[1], len(self.domains))
        c_kf, noise_kn, slope_kd = c_kfm[:, :, j], noise_knm[:, one.rows, j], np.sqrt(one.b) * slope_kdm[:, :, j]
        prior_kn = c_kf @ _basis(one.U_nd, omega_fd, b_f, one.v).T + slope_kd @ one.U_nd.T
        beta_kn = -(prior_kn + np.sqrt(one.noise) * noise_kn) @ one.inverse_nn
        return c_kf, beta_kn, slope_kd + one.b * beta_kn @ one.U_nd


def _damaged(found: str) -> InputError:
    return InputError(
        "this is not a fit of the gp law", value=found, bound="what its `to_dict` wrote", remedy="fit the law again"
    )


def _fit(obs: Observations, n_learn: int) -> MixtureGPFit:
    """Learn the hyper-parameters of each metric on at most `n_learn` rows, and take in `N_HELD` at most."""
    obs = ordered(obs, LEAST_MIXTURES, "gp")
    if len(obs.trials) > N_HELD:
        held = np.random.default_rng(1).permutation(len(obs.trials))[:N_HELD]
        obs = ordered(obs.take(np.sort(held)), LEAST_MIXTURES, "gp")
    units = Units.of(obs)
    Y_mn, W_nd, d = np.ascontiguousarray(units.numbers(obs)), np.ascontiguousarray(obs.W_nd), len(obs.domains)
    measured = {one.metric: one for one in obs.noise()}
    learn = np.sort(np.random.default_rng(0).permutation(len(W_nd))[:n_learn])
    theta_mp, share_m = np.empty((len(Y_mn), d + 5)), np.zeros(len(Y_mn))
    for j, metric in enumerate(obs.metrics):
        prior = _prior(d)
        if metric.name in measured:
            within, between = measured[metric.name].within, measured[metric.name].between
            share_m[j] = (between / units.scale_m[j]) ** 2
            prior[0][d + 1], prior[1][d + 1] = np.log((within / units.scale_m[j]) ** 2 + JITTER), 0.5
        rows = learn[np.isfinite(Y_mn[j, learn])]
        rows = rows if len(rows) >= LEAST_MIXTURES else np.flatnonzero(np.isfinite(Y_mn[j]))
        same_nn = obs.replicate_n[rows][:, None] == obs.replicate_n[rows]
        theta_mp[j] = _learn(W_nd[rows], Y_mn[j, rows], share_m[j] * same_nn, prior)
    return MixtureGPFit.of(
        domains=obs.domains,
        metrics=tuple(metric.name for metric in obs.metrics),
        sign_m=units.sign_m,
        shift_m=units.shift_m,
        scale_m=units.scale_m,
        W_nd=W_nd,
        Y_mn=Y_mn,
        group_n=obs.group_n,
        replicate_n=obs.replicate_n,
        share_m=share_m,
        theta_mp=theta_mp,
    )


def _prior(d: int) -> tuple[Floats, Floats]:
    """Mean and sd of the logs of the hyper-parameters, (d + 5,) each."""
    few = (SIGNAL, NOISE, POWER, FLOOR, SLOPE)
    mean = np.array([*[0.5 * np.log(d) + LENGTH[0]] * d, *(one[0] for one in few)])
    return mean, np.array([*[LENGTH[1]] * d, *(one[1] for one in few)])


def _learn(W_nd: Floats, y_n: Floats, share_nn: Floats, prior: tuple[Floats, Floats]) -> Floats:
    """Hyper-parameters at the maximum of the posterior, by L-BFGS with the analytic slope."""
    mean, sd = prior
    found = minimize(
        _cost,
        mean,
        args=(W_nd, y_n, share_nn, mean, sd),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(mean - REACH * sd, mean + REACH * sd, strict=True)),
        options={"maxiter": N_STEPS, "ftol": SETTLED},
    )
    theta: Floats = found.x
    return theta


def _cost(
    theta_p: Floats, W_nd: Floats, y_n: Floats, share_nn: Floats, mean_p: Floats, sd_p: Floats
) -> tuple[float, Floats]:
    """−log posterior of the hyper-parameters up to a constant, and its slope.

    −log p(y) = ½ (z − μ)ᵀ K⁻¹ (z − μ) + ½ log |K| + Σ log(1 + y ÷ a), the last term being the bend's Jacobian.
    """
    n, d = W_nd.shape
    v, noise, p, floor, b = np.exp(theta_p[d:])
    a = _floor(y_n, floor)
    log_n = np.log1p(y_n / a)
    z_n = a * log_n
    middle_d, sd_d = _powers(W_nd, p)
    unit_d = sd_d * np.exp(theta_p[:d])
    U_nd = (W_nd**p - middle_d) / unit_d
    r_nn = np.sqrt(5.0 * _distance2(U_nd, U_nd))
    decay_nn = np.exp(-r_nn)
    shape_nn = (1.0 + r_nn + r_nn**2 / 3.0) * decay_nn
    covariance = v * shape_nn + b * U_nd @ U_nd.T + share_nn
    covariance[np.diag_indices(n)] += noise + JITTER
    inverse_nn, log_det = _inverse(covariance)
    if not np.isfinite(log_det):
        return 1e10, np.zeros_like(theta_p)
    weight_n = inverse_nn.sum(1)
    rest_n = z_n - weight_n @ z_n / weight_n.sum()
    alpha_n = inverse_nn @ rest_n
    away = (theta_p - mean_p) / sd_p
    cost = 0.5 * rest_n @ alpha_n + 0.5 * log_det + log_n.sum() + 0.5 * away @ away
    # With M = α αᵀ − K⁻¹, the slope of the likelihood's cost in any θ is −½ Σ M ∘ ∂K/∂θ.
    M_nn = np.outer(alpha_n, alpha_n) - inverse_nn
    B_nn = v * (5.0 / 3.0) * (1.0 + r_nn) * decay_nn * M_nn
    along_nd = b * M_nn @ U_nd
    pull_nd = B_nn.sum(1)[:, None] * U_nd - B_nn @ U_nd - along_nd
    move_n = floor * float(np.ptp(y_n)) * (log_n - (y_n / a) / (1.0 + y_n / a))
    squeeze_n = -(y_n / a**2) / (1.0 + y_n / a) * floor * float(np.ptp(y_n))
    slope = np.concatenate(
        [
            -(pull_nd * U_nd).sum(0),
            [
                -0.5 * v * (M_nn * shape_nn).sum(),
                -0.5 * noise * np.trace(M_nn),
                (pull_nd * _power_slope(W_nd, p, U_nd, sd_d, unit_d)).sum(),
                alpha_n @ move_n + squeeze_n.sum(),
                -0.5 * (along_nd * U_nd).sum(),
            ],
        ]
    )
    return float(cost), slope + away / sd_p


def _floor(y_n: Floats, floor: float) -> float:
    """Bend `a` whose floor −a lies `floor` ranges below the least value; 1 for a metric that does not vary."""
    span = float(np.ptp(y_n))
    return float(floor * span - y_n.min()) if span > 0.0 else 1.0


def _powers(W_nd: Floats, p: float) -> tuple[Floats, Floats]:
    """Mean and sd of each w^p over the rows, (d,) each; sd 1 where a weight never changes."""
    power_nd = W_nd**p
    middle_d = power_nd.sum(0) / len(power_nd)
    sd_d = np.sqrt(((power_nd - middle_d) ** 2).sum(0) / len(power_nd))
    return middle_d, np.where(sd_d > 1e-9, sd_d, 1.0)


def _power_slope(W_nd: Floats, p: float, U_nd: Floats, sd_d: Floats, unit_d: Floats) -> Floats:
    """Slope of the coordinates u in log p, (n, d)."""
    slope_nd = p * W_nd**p * np.log(np.maximum(W_nd, LEAST))
    slope_nd = slope_nd - slope_nd.sum(0) / len(slope_nd)
    away_nd = U_nd * unit_d
    widening_d = (away_nd * slope_nd).sum(0) / len(slope_nd) / sd_d**2
    moved: Floats = (slope_nd - away_nd * widening_d) / unit_d
    return moved


def _distance2(A_nd: Floats, B_nd: Floats) -> Floats:
    """Squared distances, (n, n'); by one matrix product."""
    squared: Floats = (A_nd**2).sum(1)[:, None] + (B_nd**2).sum(1) - 2.0 * A_nd @ B_nd.T
    return np.maximum(squared, 0.0, out=squared)


def _matern(squared: Floats) -> Floats:
    """Matérn-5/2 correlation of squared distances."""
    r = np.sqrt(5.0 * squared)
    correlation: Floats = (1.0 + r + r * r / 3.0) * np.exp(-r)
    return correlation


def _inverse(covariance_nn: Floats) -> tuple[Floats, float]:
    """Inverse and log determinant by Cholesky; the determinant is NaN where there is no factor."""
    factor, failed = lapack.dpotrf(covariance_nn, lower=1)
    if failed:
        return np.full_like(covariance_nn, np.nan), float("nan")
    lower, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    return inverse, 2.0 * float(np.log(np.diag(factor)).sum())


def _features(n_features: int, d: int) -> tuple[Floats, Floats]:
    """Frequencies (f, d) of a Matérn-5/2 in unit length scales, which are Student's t with 5 degrees, and phases."""
    rng = np.random.default_rng(7)
    omega = rng.standard_normal((n_features, d)) / np.sqrt(rng.chisquare(5.0, (n_features, 1)) / 5.0)
    return omega, rng.uniform(0.0, 2.0 * np.pi, n_features)


def _basis(U_qd: Floats, omega_fd: Floats, b_f: Floats, v: float) -> Floats:
    """Random features whose inner products are the kernel on average, (q, f)."""
    basis: Floats = np.sqrt(2.0 * v / len(b_f)) * np.cos(U_qd @ omega_fd.T + b_f)
    return basis


def _normal(seed: int, shape: tuple[int, int, int], correlation_mm: Floats) -> Floats:
    """Normal numbers whose last axis has the given correlation."""
    values, vectors = np.linalg.eigh(correlation_mm)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    normal: Floats = np.random.default_rng(seed).standard_normal(shape) @ factor.T
    return normal


def _correlation(z_mn: Floats) -> Floats:
    """Correlation of left-out errors over metrics, shrunk towards none by one part in √n; 0 where runs share none."""
    filled = np.where(np.isfinite(z_mn), z_mn, 0.0)
    length = np.sqrt(np.maximum((filled**2).sum(1), 1e-300))
    shrink = 1.0 - 1.0 / np.sqrt(max(z_mn.shape[1], 2))
    correlation = shrink * (filled @ filled.T) / np.outer(length, length)
    np.fill_diagonal(correlation, 1.0)
    found: Floats = correlation
    return found


def _short(array: Floats) -> Any:
    """Seven decimals: a draw then keeps six on the bent scale, however large its coefficients are."""
    return np.round(array, 7).tolist()
