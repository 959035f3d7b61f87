"""Gated law: one law when one suffices, otherwise a few with an explainable gate (MixER).

An environment is a group of trials with equal covariates (model size, tokens, …), its context their standardised
logs. Contexts are clustered by k-means; each cluster gets its expert by the optimal assignment of the clusters' median
errors; a linear gate is fitted to the assignment by least squares, and environments are routed by it:

    gate(c) = [c, 1] V,   V = argmin |[C, 1] V − T|²,   T_ek = 1 where expert k has the cluster of environment e

until nothing changes. The number of experts, 1 to 3, is chosen by the cross-validated log score; one expert wins ties.
A candidate whose two best gates differ by less than 0.1 gets both experts, each with its probability. All of this is
done with the quick exponential law; `law` is then fitted to the runs of each expert.

Reference: mixer (gate update). What we do differently: contexts are measured, not learned; k-means++ with eight
restarts in place of a start near zero that leaves clusters empty; optimal in place of greedy assignment; experts are
whole laws, refitted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.core.protocols import Law, LawFit
from mixdesk.laws.average import Average
from mixdesk.laws.exponential import Exponential

# Restarts and iterations of k-means, and rounds of gate and experts.
N_RESTARTS, N_ITERATIONS, N_ROUNDS = 8, 50, 5
# Gates closer than this are in doubt.
DOUBT = 0.1
# Mixtures per coefficient (d + 2) that an expert needs.
N_PER_COEFFICIENT = 3
# Folds of the log score, and the standard errors by which more experts must be better.
N_FOLDS, N_ERRORS = 5, 2.0
# Draws behind an interval, and the least variance in units of a metric's.
N_DRAWS, LEAST_VARIANCE = 200, 1e-12
# The law that tells regimes apart: regimes differ by more than forms do, and dozens of fits must be quick.
SCOUT: Law = Exponential(n_draws=50)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gated:
    """Settings of the gated law: `law` of each expert, and `n_experts` at most."""

    title: ClassVar[str] = "one law per regime behind a least-squares gate (MixER)"
    reference: ClassVar[str] = "mixer"
    spans_scales: ClassVar[bool] = True

    law: Law = field(default_factory=Average)
    n_experts: int = 3

    def __post_init__(self) -> None:
        put(self, n_experts=checks.count("n_experts", self.n_experts, 1))

    def fit(self, obs: Observations) -> GatedFit:
        """Fit one to `n_experts` experts and keep as many as the evidence asks for.

        Raises:
            NotEnoughEvidence: too few trials for a single expert.
        """
        names = tuple(name for name in sorted(obs.covariates) if np.isfinite(obs.covariates[name]).all())
        gate = _Contexts.of(names, obs)
        scouts = self._scouts(obs, gate, min(self.n_experts, len(gate.context_ec)))
        if scouts is not None:
            expert_n = np.argmax(gate.design_ec @ scouts.gate_ck, axis=1)[gate.environment_n]
            with suppress(NotEnoughEvidence):
                rows = [np.flatnonzero(expert_n == j) for j in range(len(scouts.experts))]
                return replace(scouts, experts=tuple(self.law.fit(obs.take(each)) for each in rows))
        one = self._experts(obs, gate, 1, self.law)
        assert one is not None, "one expert is a law of its own"
        return one

    def restore(self, data: dict[str, Any]) -> GatedFit:
        """The fit that `GatedFit.to_dict` wrote.

        Raises:
            InputError: a key is missing or a value is no number.
        """
        try:
            gate = data["gate"]
            return GatedFit(
                domains=tuple(data["domains"]),
                metrics=tuple(data["metrics"]),
                experts=tuple(self.law.restore(one) for one in data["experts"]),
                covariates=tuple(gate["covariates"]),
                **{
                    name: np.array(gate[key], dtype=np.float64)
                    for name, key in (
                        ("is_log_c", "is_log"),
                        ("centre_c", "centre"),
                        ("width_c", "width"),
                        ("default_c", "default"),
                        ("gate_ck", "weights"),
                    )
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "this is not a fit of the gated law",
                value=repr(error),
                bound="what its `to_dict` wrote, with the same law of the experts",
                remedy="fit the law again",
            ) from None

    def _scouts(self, obs: Observations, gate: _Contexts, n_most: int) -> GatedFit | None:
        """The experts that the evidence asks for, of the quick law; None where one suffices."""
        try:
            rivals = [self._experts(obs, gate, k, SCOUT) for k in range(2, n_most + 1)]
            best, best_n = None, self._scores(obs, gate, 1) if any(rivals) else np.full(len(obs.trials), -np.inf)
        except NotEnoughEvidence:
            return None
        _, group_n = np.unique(obs.group_n, return_inverse=True)
        for k, rival in enumerate(rivals, start=2):
            score_n = self._scores(obs, gate, k) if rival is not None else np.full(len(obs.trials), -np.inf)
            if not (np.isfinite(score_n).all() and np.isfinite(best_n).all()):
                continue
            gain_g = np.bincount(group_n.reshape(-1), score_n - best_n)
            if gain_g.sum() > N_ERRORS * gain_g.std() * np.sqrt(len(gain_g)):
                best, best_n = rival, score_n
        return best

    def _experts(self, obs: Observations, gate: _Contexts, k: int, law: Law) -> GatedFit | None:
        """The fit with k experts; None where one of them would have too few mixtures."""
        cluster_e = _k_means(gate.context_ec, k)
        expert_e, n_least = cluster_e, N_PER_COEFFICIENT * (len(obs.domains) + 2)
        for _ in range(N_ROUNDS):
            rows = [np.flatnonzero(expert_e[gate.environment_n] == j) for j in range(k)]
            if k > 1 and min(len(np.unique(obs.group_n[each])) for each in rows) < n_least:
                return None
            try:
                experts = [law.fit(obs.take(each)) for each in rows]
            except NotEnoughEvidence:
                if k == 1:
                    raise
                return None
            error_ek = _errors(obs, gate.environment_n, experts)
            median_jk = np.array([np.median(error_ek[cluster_e == j], axis=0) for j in range(k)])
            _, expert_j = linear_sum_assignment(median_jk)
            T_ek = np.eye(k)[expert_j[cluster_e]]
            gate_ck = np.linalg.lstsq(gate.design_ec, T_ek, rcond=None)[0]
            routed_e = np.argmax(gate.design_ec @ gate_ck, axis=1)
            if (routed_e == expert_e).all() or k == 1:
                break
            expert_e = routed_e
        return GatedFit(
            domains=obs.domains,
            metrics=tuple(metric.name for metric in obs.metrics),
            experts=tuple(experts),
            covariates=gate.names,
            is_log_c=gate.is_log_c,
            centre_c=gate.centre_c,
            width_c=gate.width_c,
            default_c=gate.default_c,
            gate_ck=gate_ck,
        )

    def _scores(self, obs: Observations, gate: _Contexts, k: int) -> Floats:
        """Cross-validated log score of each run with k experts, (n,): mean over metrics, by mixture."""
        groups, group_n = np.unique(obs.group_n, return_inverse=True)
        part_n = np.random.default_rng(0).permutation(len(groups))[group_n.reshape(-1)] % N_FOLDS
        score_n = np.full(len(obs.trials), -np.inf)
        for part in range(N_FOLDS):
            out, rest = np.flatnonzero(part_n == part), np.flatnonzero(part_n != part)
            try:
                fit = self._experts(obs.take(rest), gate.take(rest), k, SCOUT)
            except NotEnoughEvidence:
                fit = None
            if fit is None or not len(out):
                continue
            held = obs.take(out)
            inputs = held.inputs()
            found = fit.predict(inputs, N_DRAWS, sense="run")
            assert found.draws_kqm is not None, "draws come when they are asked for"
            variance_qm = found.draws_kqm.var(axis=0) + LEAST_VARIANCE * np.nanvar(obs.Y_nm, axis=0) + 1e-300
            error_qm = held.Y_nm - found.mean_qm
            score_qm = np.where(
                np.isfinite(error_qm), -0.5 * np.log(variance_qm) - 0.5 * error_qm**2 / variance_qm, 0.0
            )
            score_n[out] = score_qm.sum(axis=1) / np.maximum(np.isfinite(error_qm).sum(axis=1), 1)
        return score_n


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GatedFit:
    """Experts and the gate that chooses among them.

    Context of a candidate: its covariates (logs where `is_log_c`), less `centre_c`, ÷ `width_c`; one that is not given
    has the value `default_c` of the largest environment; `gate_ck` (c + 1, k) the gate's weights, the constant last.
    """

    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    experts: tuple[LawFit, ...]
    covariates: tuple[str, ...]
    is_log_c: Floats
    centre_c: Floats
    width_c: Floats
    default_c: Floats
    gate_ck: Floats

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates by the expert of their context; by two where the gate is in doubt.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        if len(self.experts) == 1:
            return self.experts[0].predict(inputs, draws, level=level, sense=sense)
        share_qk = self.shares(inputs)
        is_wanted = level > 0.0 or draws > 0
        each = [one.predict(inputs, N_DRAWS if is_wanted else 0, level=level, sense=sense) for one in self.experts]
        mean_qm = np.einsum("qk,kqm->qm", share_qk, np.array([one.mean_qm for one in each]))
        low_qm = high_qm = mean_qm
        draws_xqm = None
        if is_wanted:
            even_x = (np.random.default_rng(3).permutation(N_DRAWS) + 0.5) / N_DRAWS
            chosen_xq = (even_x[:, None, None] > np.cumsum(share_qk, axis=1)[:, :-1]).sum(axis=2)
            many_kxqm = np.array([one.draws_kqm for one in each])
            draws_xqm = np.take_along_axis(many_kxqm, chosen_xq[None, :, :, None], axis=0)[0]
            low_qm, high_qm = np.quantile(draws_xqm, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
            # Where the gate is sure the interval is the expert's own, which it may not take from its draws.
            for share_q, one in zip(share_qk.T, each, strict=True):
                sure = np.flatnonzero(share_q == 1.0)
                low_qm[sure], high_qm[sure] = one.low_qm[sure], one.high_qm[sure]
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=np.minimum(low_qm, mean_qm),
            high_qm=np.maximum(high_qm, mean_qm),
            level=level,
            sense=sense,
            draws_kqm=draws_xqm[np.arange(draws) % N_DRAWS] if draws and draws_xqm is not None else None,
        )

    def shares(self, inputs: Inputs) -> Floats:
        """Probability of each expert, (q, k): 1 for the best gate, or softmax over the two best where in doubt."""
        n_q = len(inputs.until_qs)
        given_cq = [inputs.covariates.get(name, np.full(n_q, np.nan)) for name in self.covariates]
        raw_qc = np.array(given_cq).reshape(len(self.covariates), n_q).T
        raw_qc = np.where(np.isfinite(raw_qc), raw_qc, self.default_c)
        context_qc = (_logged(raw_qc, self.is_log_c) - self.centre_c) / self.width_c
        gate_qk = np.column_stack([context_qc, np.ones(n_q)]) @ self.gate_ck
        if gate_qk.shape[1] == 1:
            return np.ones_like(gate_qk)
        second_q, best_q = np.sort(gate_qk, axis=1)[:, -2:].T
        kept_qk = gate_qk >= np.where(best_q - second_q < DOUBT, second_q, best_q)[:, None]
        weight_qk = kept_qk * np.exp(gate_qk - best_q[:, None])
        share_qk: Floats = weight_qk / weight_qk.sum(axis=1, keepdims=True)
        return share_qk

    def browser(self) -> dict[str, Any]:
        """The experts' data and the gate: scores = [(log or raw covariates − centre) ÷ width, 1] · weights.

        The best score's expert predicts; where the two best differ by less than `doubt`, both, by softmax.
        """
        return {
            "form": "gated",
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "experts": [one.browser() for one in self.experts],
            "gate": self._gate(),
            "doubt": DOUBT,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; floats read back bit for bit."""
        return {
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "experts": [one.to_dict() for one in self.experts],
            "gate": self._gate(),
        }

    def _gate(self) -> dict[str, Any]:
        return {
            "covariates": list(self.covariates),
            "is_log": self.is_log_c.tolist(),
            "centre": self.centre_c.tolist(),
            "width": self.width_c.tolist(),
            "default": self.default_c.tolist(),
            "weights": self.gate_ck.tolist(),
        }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Contexts:
    """Environments: standardised contexts `context_ec`, the environment of each row, and how a context is made."""

    names: tuple[str, ...]
    context_ec: Floats
    environment_n: Ints
    is_log_c: Floats
    centre_c: Floats
    width_c: Floats
    default_c: Floats

    @classmethod
    def of(cls, names: tuple[str, ...], obs: Observations) -> _Contexts:
        raw_nc = np.array([obs.covariates[name] for name in names]).reshape(len(names), len(obs.trials)).T
        raw_ec, environment_n = np.unique(raw_nc, axis=0, return_inverse=True)
        is_log_c = np.asarray((raw_ec > 0.0).all(axis=0), dtype=np.float64)
        value_ec = _logged(raw_ec, is_log_c)
        centre_c, width_c = value_ec.mean(axis=0), value_ec.std(axis=0)
        width_c = np.where(width_c > LEAST_VARIANCE, width_c, 1.0)
        context_ec = (value_ec - centre_c) / width_c
        # The largest environment: of the largest model, then of most tokens.
        order = [raw_ec[:, names.index(name)] for name in ("n_tokens", "n_params") if name in names]
        largest = int(np.lexsort(order)[-1]) if order else 0
        return cls(
            names=names,
            context_ec=context_ec,
            environment_n=environment_n.reshape(-1).astype(np.int64),
            is_log_c=is_log_c,
            centre_c=centre_c,
            width_c=width_c,
            default_c=raw_ec[largest],
        )

    @property
    def design_ec(self) -> Floats:
        """Contexts and a constant, which the gate's weights go with."""
        return np.column_stack([self.context_ec, np.ones(len(self.context_ec))])

    def take(self, rows: Ints) -> _Contexts:
        """The environments of some rows."""
        kept, environment_n = np.unique(self.environment_n[rows], return_inverse=True)
        return _Contexts(
            names=self.names,
            context_ec=self.context_ec[kept],
            environment_n=environment_n.reshape(-1).astype(np.int64),
            is_log_c=self.is_log_c,
            centre_c=self.centre_c,
            width_c=self.width_c,
            default_c=self.default_c,
        )


def _logged(raw_qc: Floats, is_log_c: Floats) -> Floats:
    return np.where(is_log_c > 0.0, np.log(np.where(raw_qc > 0.0, raw_qc, 1.0)), raw_qc)


def _errors(obs: Observations, environment_n: Ints, experts: list[LawFit]) -> Floats:
    """Mean squared error of each expert in each environment, in variances of the metrics, (e, k)."""
    inputs = obs.inputs()
    variance_m = np.nanvar(obs.Y_nm, axis=0)
    variance_m = np.where(variance_m > 0.0, variance_m, 1.0)
    n_e = np.bincount(environment_n)
    out = []
    for expert in experts:
        square_nm = (obs.Y_nm - expert.predict(inputs, level=0.0).mean_qm) ** 2 / variance_m
        out.append(np.bincount(environment_n, np.nan_to_num(square_nm).mean(axis=1)) / np.maximum(n_e, 1))
    return np.column_stack(out)


def _k_means(context_ec: Floats, k: int) -> Ints:
    """Cluster of each environment, 0 … k − 1, none empty: k-means++ with eight restarts, the tightest kept."""
    rng = np.random.default_rng(0)
    best_e, least = np.zeros(len(context_ec), dtype=np.int64), np.inf
    if k == 1:
        return best_e
    for _ in range(N_RESTARTS):
        centre_kc = context_ec[[int(rng.integers(len(context_ec)))]]
        while len(centre_kc) < k:
            away_e = _squares(context_ec, centre_kc).min(axis=1)
            chance_e = away_e / away_e.sum()
            centre_kc = np.vstack([centre_kc, context_ec[int(rng.choice(len(context_ec), p=chance_e))]])
        for _ in range(N_ITERATIONS):
            cluster_e = _squares(context_ec, centre_kc).argmin(axis=1)
            means = [
                context_ec[cluster_e == j].mean(axis=0) if (cluster_e == j).any() else centre_kc[j] for j in range(k)
            ]
            if np.array_equal(np.array(means), centre_kc):
                break
            centre_kc = np.array(means)
        away_ek = _squares(context_ec, centre_kc)
        if away_ek.min(axis=1).sum() < least and len(np.unique(away_ek.argmin(axis=1))) == k:
            least, best_e = away_ek.min(axis=1).sum(), away_ek.argmin(axis=1).astype(np.int64)
    return best_e


def _squares(A_ec: Floats, B_kc: Floats) -> Floats:
    squares: Floats = ((A_ec[:, None] - B_kc) ** 2).sum(axis=2)
    return squares
