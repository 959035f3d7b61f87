"""Laws in closed form and views of studies, for the tests of the search room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Metric, Prediction
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SumOfExponentials:
    """y_m = sign_m (c_m + exp(t_m · w)); draws move t by `doubt`."""

    domains: tuple[str, ...]
    c_m: Floats
    t_md: Floats
    sign_m: Floats
    doubt: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"m{j}" for j in range(len(self.c_m)))

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        W_qd = inputs.over(self.domains)
        mean = self.sign_m * (self.c_m + np.exp(W_qd @ self.t_md.T))
        drawn = None
        if draws:
            noise = np.random.default_rng(0).normal(scale=self.doubt, size=(draws, *self.t_md.shape))
            drawn = self.sign_m * (self.c_m + np.exp(np.einsum("qd,kmd->kqm", W_qd, self.t_md + noise)))
        return Prediction(metrics=self.names, mean_qm=mean, low_qm=mean, high_qm=mean, draws_kqm=drawn)

    def browser(self) -> dict[str, Any]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


class Differentiable(SumOfExponentials):
    """The same with its quick mean and its gradient."""

    __slots__ = ()

    def mean(self, W_qd: Floats) -> Floats:
        return self.sign_m * (self.c_m + np.exp(W_qd @ self.t_md.T))

    def gradient(self, W_qd: Floats) -> Floats:
        return (self.sign_m * np.exp(W_qd @ self.t_md.T))[:, :, None] * self.t_md


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Quadratic:
    """One metric, |w − w*|²."""

    domains: tuple[str, ...]
    star_d: Floats

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        mean = ((inputs.over(self.domains) - self.star_d) ** 2).sum(1, keepdims=True)
        return Prediction(metrics=("m0",), mean_qm=mean, low_qm=mean, high_qm=mean)

    def browser(self) -> dict[str, Any]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


def law_of(t_md: Sequence[Sequence[float]] | Floats, **more: Any) -> Differentiable:
    """A differentiable law over d domains named a, b, …; c = 2, lower is better."""
    t = np.asarray(t_md, dtype=np.float64)
    ones = np.ones(len(t))
    return Differentiable(**{"domains": names(t.shape[1]), "c_m": 2.0 * ones, "t_md": t, "sign_m": ones, **more})


def names(d: int) -> tuple[str, ...]:
    return tuple(f"d{i:03d}" for i in range(d))


def random_law(d: int, m: int, seed: int = 0, **more: Any) -> Differentiable:
    """The log-linear world: own domain t in −U(1, 5), the others in U(−0.3, 0.5)."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-0.3, 0.5, size=(m, d))
    t[np.arange(m), np.arange(m) % d] = -rng.uniform(1.0, 5.0, size=m)
    return law_of(t, **more)


def view_of(
    d: int,
    W_nd: Floats | Sequence[Sequence[float]] = (),
    Y_nm: Floats | None = None,
    *,
    law: Any = None,
    objective: Mapping[str, float] | None = None,
    reduce: str = "mean",
    natural: Sequence[float] | None = None,
    **more: Any,
) -> StudyView:
    """A study over d domains whose first rung holds the rows `W_nd` as finished trials with values `Y_nm`."""
    domains = names(d)
    W = np.asarray(W_nd, dtype=np.float64).reshape(-1, d)
    if Y_nm is None:
        Y_nm = law.predict(Inputs.of(domains, W)).mean_qm if law is not None and len(W) else np.zeros((len(W), 1))
    m = Y_nm.shape[1] if law is None else len(law.predict(Inputs.of(domains, np.full(d, 1 / d))).metrics)
    ones = np.ones(m)
    metrics = tuple(
        Metric(name=f"m{j}", better="lower" if law is None or getattr(law, "sign_m", ones)[j] > 0 else "higher")
        for j in range(m)
    )
    trials = tuple(
        trial(Mixture.of(dict(zip(domains, w, strict=True)), normalise=True), y) for w, y in zip(W, Y_nm, strict=True)
    )
    settings: dict[str, Any] = {
        "name": "study",
        "domains": domains,
        "objective": Objective(terms=objective or {"m*": 1.0}, reduce=reduce),
        "constraints": Constraints(),
        "rungs": (Rung(label="proxy"), Rung(label="target", scale=Scale(n_tokens=1_000_000))),
        "metrics": metrics,
        "trials": trials,
        "natural": None if natural is None else Mixture.of(dict(zip(domains, natural, strict=True)), normalise=True),
        "budget": Budget(n_trials=38),
    }
    return StudyView(**{**settings, **more})


def trial(mixture: Mixture, values: Sequence[float] | Floats, replicate: int = 0, state: str = "done") -> Trial:
    """A trial of the first rung; values that are NaN were not measured."""
    metrics = {f"m{j}": float(y) for j, y in enumerate(values) if np.isfinite(y)}
    return Trial(
        spec=TrialSpec(plan=RunPlan(schedule=Schedule.constant(mixture)), replicate=replicate),
        state=state,
        rung="proxy",
        points=(Point(n_tokens=1, metrics=tuple(metrics.items())),),
    )


def corners(d: int) -> Floats:
    """Every vertex and the centre: a region that holds the whole simplex."""
    return np.vstack([np.eye(d), np.full(d, 1.0 / d)])
