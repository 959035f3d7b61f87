"""What is wanted, and how two mixtures compare: objectives, comparisons, verdicts, scores of laws."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Metric


@core_type
class Objective:
    """A weighted mean (or the worst) of metrics, always minimised; the value keeps the metrics' unit.

    `terms` metric → weight ≥ 0. A key may be a pattern (`bpb/domain/*`): each metric it matches gets the weight.
    A metric that is better higher enters negated.

    >>> Objective(terms={"bpb/set/manual": 1.0}).title
    'bpb/set/manual'
    """

    terms: Pairs
    reduce: str = "mean"

    def __post_init__(self) -> None:
        terms = checks.pairs("terms", self.terms)
        for name, weight in terms:
            checks.finite(f"terms[{name}]", weight, 0.0)
        if not any(weight > 0.0 for _, weight in terms):
            raise InputError("the objective has no term", value=terms, bound="a weight > 0", remedy="name a metric")
        put(self, terms=terms, reduce=checks.one_of("reduce", self.reduce, ("mean", "worst")))

    @property
    def title(self) -> str:
        """The objective in words."""
        names = [name for name, weight in self.terms if weight > 0.0]
        if len(names) == 1 and "*" not in names[0]:
            return names[0]
        return f"{self.reduce} of " + ", ".join(names)

    def weights(self, metrics: Sequence[Metric]) -> Floats:
        """Weight of each metric, (m,).

        Raises:
            InputError: a term matches no metric.
        """
        weights = np.zeros(len(metrics))
        for pattern, weight in self.terms:
            hits = [j for j, metric in enumerate(metrics) if metric.name == pattern]
            hits = hits or [j for j, metric in enumerate(metrics) if fnmatchcase(metric.name, pattern)]
            if not hits:
                names = [metric.name for metric in metrics]
                raise InputError(
                    f"the objective names an unknown metric `{pattern}`",
                    value=pattern,
                    bound="one of " + (", ".join(names) or "no metric at all"),
                    remedy=checks.nearest(pattern, names),
                )
            weights[hits] = weight
        return weights

    def value(self, Y_qm: Floats, metrics: Sequence[Metric]) -> Floats:
        """Objective of each row; leading axes pass through: (…, m) → (…). NaN where a needed metric is missing."""
        weights = self.weights(metrics)
        used = [j for j in range(len(metrics)) if weights[j] > 0.0]
        signed = np.asarray(Y_qm)[..., used] * np.array([metrics[j].sign for j in used])
        if self.reduce == "worst":
            worst: Floats = signed.max(axis=-1)
            return worst
        mean: Floats = (signed * weights[used]).sum(axis=-1) / weights.sum()
        return mean


@core_type
class Comparison:
    """A mixture against a rival: the only thing that recipe, confirmation, desk and card print.

    `difference` = mixture − rival in the metric's unit (negative: the mixture is better), `low`, `high` its `level`
    interval; `n_pairs` replicates (trained) or draws (predicted); `basis` predicted or trained; `rung` where it holds;
    `verdict` better / no different / worse.
    """

    plan: str
    rival: str
    metric: str
    difference: float
    low: float
    high: float
    level: float
    n_pairs: int
    basis: str
    rung: str
    verdict: str

    def __post_init__(self) -> None:
        checks.one_of("basis", self.basis, ("predicted", "trained"))
        checks.one_of("verdict", self.verdict, ("better", "no different", "worse"))
        for name in ("difference", "low", "high", "level"):
            put(self, **{name: checks.finite(name, getattr(self, name))})

    @property
    def detectable(self) -> float:
        """The smallest gain that could have been seen: half the width of the interval."""
        return (self.high - self.low) / 2.0


@core_type
class Verdict:
    """The answer in words, computed once in `recipe/compose.py`; every room prints it and none derives it again.

    `name` better / no different / worse / too weak; `state` confirmed / contradicted / predicted / running /
    no evidence; `headline` one sentence; `reason`; `remedy` what would settle it, or what to do next; `recommended`
    recipe or the rival to train on instead.
    """

    name: str
    state: str
    headline: str
    reason: str
    remedy: str
    recommended: str

    def __post_init__(self) -> None:
        checks.one_of("verdict", self.name, ("better", "no different", "worse", "too weak"))
        checks.one_of("state", self.state, ("confirmed", "contradicted", "predicted", "running", "no evidence"))

    @property
    def exit_code(self) -> int:
        """3 where the evidence is too weak for an answer, else 0."""
        return 3 if self.name == "too weak" else 0


@core_type
class LeagueRow:
    """One score of one law on `n` mixtures.

    `measure`: rmse, spearman (with spearman:low, spearman:high), regret (with regret:spread), coverage, width, seconds.
    """

    law: str
    metric: str
    measure: str
    value: float
    n: int


@core_type
class OutOfFold:
    """A prediction of a trial by a law that had not seen its mixture; `low`, `high` for one new run, 90 %.

    Rows of one `group` are repeats of one mixture; None: the row stands alone.
    """

    trial: str
    metric: str
    measured: float
    mean: float
    low: float
    high: float
    group: int | None = None
