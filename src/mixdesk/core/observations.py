"""What a law sees and says: metrics, noise, observations, inputs and predictions.

Axis letters: n trials, q candidates, k draws, d domains, m metrics, s stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type, put
from mixdesk.core.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@core_type
class Metric:
    """A measured number: `unit`, which direction is `better`, and the `domain` it measures where there is one.

    All that mixdesk measures is in bits per byte, lower is better; imported metrics keep what the user declares.
    """

    EXAMPLE: ClassVar[str] = '{ name = "loss" }'

    name: str
    unit: str = "bits per byte"
    better: str = "lower"
    domain: str | None = None

    def __post_init__(self) -> None:
        put(
            self,
            name=checks.label("metric", self.name),
            better=checks.one_of("better", self.better, ("lower", "higher")),
        )

    @property
    def sign(self) -> float:
        """+1 where lower is better, −1 where higher is: sign × value is minimised."""
        return 1.0 if self.better == "lower" else -1.0


@core_type
class Noise:
    """Spread of one metric over repeats of a mixture, from the crossed block, in the metric's unit.

    `within` sd of a run after what all mixtures of its replicate share is taken out (it governs comparisons);
    `between` sd of that shared part (added for one new run); `n_mixtures` × `n_replicates` runs; `spread` sd over the
    study's mixtures, so that spread ÷ within says how much there is to find.
    """

    metric: str
    within: float
    between: float
    n_mixtures: int
    n_replicates: int
    spread: float

    @property
    def ratio(self) -> float:
        """Spread over mixtures ÷ noise; infinite for a noiseless world."""
        return self.spread / self.within if self.within > 0.0 else float("inf")


def _shape(name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(
            f"`{name}` has the wrong shape", value=array.shape, bound=str(shape), remedy="pass matching arrays"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Observations:
    """Trials with answers, as arrays with names: the only thing a law is fitted on.

    Fields: `trials` ids (n,); `domains` (d,); `W_nsd` weights per stage, `until_ns` stage ends; `Y_nm` measured
    values, NaN = not measured; `metrics` (m,); `group_n` mixture number: every split goes by it; `replicate_n`;
    `source_n` train / merge / an import's label; `covariates` name → (n,); `unique_tokens_d` or None.

    Raises:
        InputError: shapes that do not agree.
    """

    trials: tuple[str, ...]
    domains: tuple[str, ...]
    W_nsd: Floats
    until_ns: Floats
    Y_nm: Floats
    metrics: tuple[Metric, ...]
    group_n: Ints
    replicate_n: Ints
    source_n: tuple[str, ...]
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    unique_tokens_d: Floats | None = None

    def __post_init__(self) -> None:
        n, s, d = len(self.trials), self.until_ns.shape[-1], len(self.domains)
        _shape("W_nsd", self.W_nsd, (n, s, d))
        _shape("until_ns", self.until_ns, (n, s))
        _shape("Y_nm", self.Y_nm, (n, len(self.metrics)))
        _shape("group_n", self.group_n, (n,))
        _shape("replicate_n", self.replicate_n, (n,))
        for name, column in self.covariates.items():
            _shape(name, column, (n,))

    @classmethod
    def of(
        cls,
        domains: Sequence[str],
        W_nd: Floats,
        Y_nm: Floats,
        metrics: Sequence[Metric],
        *,
        replicate_n: Ints | None = None,
        trials: Sequence[str] | None = None,
        source: str = "train",
        covariates: Mapping[str, Floats] | None = None,
    ) -> Observations:
        """Observations of constant mixtures from plain arrays; equal rows of `W_nd` form one group."""
        n = len(W_nd)
        _, group_n = np.unique(np.round(W_nd, 12), axis=0, return_inverse=True)
        return cls(
            trials=tuple(trials) if trials is not None else tuple(f"row{i}" for i in range(n)),
            domains=tuple(domains),
            W_nsd=np.ascontiguousarray(W_nd, dtype=np.float64)[:, None, :],
            until_ns=np.ones((n, 1)),
            Y_nm=np.ascontiguousarray(Y_nm, dtype=np.float64),
            metrics=tuple(metrics),
            group_n=group_n.reshape(-1).astype(np.int64),
            replicate_n=np.zeros(n, dtype=np.int64) if replicate_n is None else replicate_n,
            source_n=(source,) * n,
            covariates=covariates or {},
        )

    @property
    def W_nd(self) -> Floats:
        """Token average of each row's stages, (n, d)."""
        return token_average(self.W_nsd, self.until_ns)

    @property
    def n_groups(self) -> int:
        """Number of distinct mixtures."""
        return len(np.unique(self.group_n))

    def inputs(self) -> Inputs:
        """The rows as candidates: what is known of them before training."""
        return Inputs(domains=self.domains, W_qsd=self.W_nsd, until_qs=self.until_ns, covariates=self.covariates)

    def take(self, rows: Ints) -> Observations:
        """The given rows, in that order; group numbers stay."""
        return replace(
            self,
            trials=tuple(self.trials[i] for i in rows),
            W_nsd=self.W_nsd[rows],
            until_ns=self.until_ns[rows],
            Y_nm=self.Y_nm[rows],
            group_n=self.group_n[rows],
            replicate_n=self.replicate_n[rows],
            source_n=tuple(self.source_n[i] for i in rows),
            covariates={name: column[rows] for name, column in self.covariates.items()},
        )

    def noise(self) -> tuple[Noise, ...]:
        """Noise per metric from the mixtures that share the same ≥ 2 replicates; none where there are < 2 of them.

        Rows without the metric are passed over. Of several such blocks the one with most degrees of freedom counts.

        Two-way layout y = mixture + replicate + rest: `within`² is the mean square of the rest with
        (mixtures − 1)(replicates − 1) degrees of freedom, `between`² the variance of the replicate means less
        `within`² ÷ mixtures.
        """
        out = []
        for j, metric in enumerate(self.metrics):
            known = np.isfinite(self.Y_nm[:, j])
            rows_of, columns = _crossed(self.group_n[known], self.replicate_n[known])
            if len(rows_of) < 2 or len(columns) < 2:
                continue
            cells = [
                [np.flatnonzero(known & (self.group_n == g) & (self.replicate_n == r))[0] for r in columns]
                for g in rows_of
            ]
            Y_gr = self.Y_nm[np.array(cells), j]
            rest = Y_gr - Y_gr.mean(0) - Y_gr.mean(1, keepdims=True) + Y_gr.mean()
            within2 = float((rest**2).sum() / ((len(rows_of) - 1) * (len(columns) - 1)))
            between2 = max(float(Y_gr.mean(0).var(ddof=1)) - within2 / len(rows_of), 0.0)
            means = [self.Y_nm[known & (self.group_n == g), j].mean() for g in np.unique(self.group_n[known])]
            out.append(
                Noise(
                    metric=metric.name,
                    within=within2**0.5,
                    between=between2**0.5,
                    n_mixtures=len(rows_of),
                    n_replicates=len(columns),
                    spread=float(np.std(means, ddof=1)),
                )
            )
        return tuple(out)


def _crossed(group_n: Ints, replicate_n: Ints) -> tuple[list[int], list[int]]:
    """Mixtures and replicates of the block of repeats with most degrees of freedom; empty without rows."""
    have = {int(g): frozenset(replicate_n[group_n == g].tolist()) for g in np.unique(group_n)}
    blocks = [([g for g, found in have.items() if block <= found], sorted(block)) for block in set(have.values())]
    return max(blocks, key=lambda b: ((len(b[0]) - 1) * (len(b[1]) - 1), len(b[1]), b[0], b[1]), default=([], []))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inputs:
    """Candidates to predict: the columns of Observations that are known before training, for q rows."""

    domains: tuple[str, ...]
    W_qsd: Floats
    until_qs: Floats
    covariates: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        q, s = self.until_qs.shape
        _shape("W_qsd", self.W_qsd, (q, s, len(self.domains)))
        for name, column in self.covariates.items():
            _shape(name, column, (q,))

    @classmethod
    def of(cls, domains: Sequence[str], W_qd: Floats, covariates: Mapping[str, Floats] | None = None) -> Inputs:
        """Constant mixtures, (q, d), with `covariates` name → (q,) such as `n_params` and `n_tokens`."""
        W_qd = np.atleast_2d(np.asarray(W_qd, dtype=np.float64))
        return cls(
            domains=tuple(domains),
            W_qsd=W_qd[:, None, :],
            until_qs=np.ones((len(W_qd), 1)),
            covariates=covariates or {},
        )

    @property
    def W_qd(self) -> Floats:
        """Token average of each row's stages, (q, d)."""
        return token_average(self.W_qsd, self.until_qs)

    def over(self, domains: Sequence[str]) -> Floats:
        """`W_qd` with its columns in the order of `domains`.

        Raises:
            InputError: the two do not name the same domains.
        """
        if set(domains) != set(self.domains):
            stray = sorted(set(domains) ^ set(self.domains))[0]
            raise InputError(
                f"domain `{stray}` is not on both sides",
                value=stray,
                bound="the domains of the fit: " + ", ".join(domains),
                remedy="give the mixture over the fitted domains",
            )
        place = {name: i for i, name in enumerate(self.domains)}
        return self.W_qd[:, [place[name] for name in domains]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """What a law says of q candidates, in each metric's unit.

    `mean_qm`; `low_qm`, `high_qm` the `level` interval (NaN where the law cannot say); `sense` of the interval:
    "mean" over seeds, or "run" for one new run; `draws_kqm` joint over q and m: differences, objectives and guards
    are computed from these and nowhere else.
    """

    metrics: tuple[str, ...]
    mean_qm: Floats
    low_qm: Floats
    high_qm: Floats
    level: float = 0.9
    sense: str = "mean"
    draws_kqm: Floats | None = None

    def __post_init__(self) -> None:
        shape = (self.mean_qm.shape[0], len(self.metrics))
        for name in ("mean_qm", "low_qm", "high_qm"):
            _shape(name, getattr(self, name), shape)
        if self.draws_kqm is not None:
            _shape("draws_kqm", self.draws_kqm, (len(self.draws_kqm), *shape))


def token_average(W_nsd: Floats, until_ns: Floats) -> Floats:
    """Mean weights over a run: stage weights times stage lengths, (n, d)."""
    length_ns = np.diff(until_ns, axis=1, prepend=0.0)
    average: Floats = np.einsum("nsd,ns->nd", W_nsd, length_ns)
    return average
