"""What is wanted, and how two mixtures compare: objectives, guards, comparisons, verdicts, scores of laws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Metric

# A rival's name on the desk, in the order it is shown. Natural is there only where token counts are known.
BEST_SEEN, NATURAL, UNIFORM = "best seen", "natural", "uniform"
RIVALS = (BEST_SEEN, NATURAL, UNIFORM)
# Terms that a title lists by name at most.
N_LISTED = 4

# METRIC <= BOUND or METRIC >= BOUND, the way a guard is written in a line.
_GUARD = re.compile(r"(?P<metric>.+?)\s*(?P<sign><=|>=|≤|≥)\s*(?P<bound>.+)")
_RIVAL = re.compile(r"(?P<than>[A-Za-z _-]*[A-Za-z])\s*(?:(?P<plus>[+-])\s*(?P<slack>\S+))?")


@core_type
class Guard:
    """A limit on a metric that the recipe has to keep.

    `metric` a name or a pattern: each metric it matches is guarded. Either `than` names a rival, and the metric may be
    worse than the rival's by `slack` ≥ 0 at most, in its unit and its own direction; or there is an absolute bound:
    `at_most` for metrics that are better lower, `at_least` for those that are better higher.

    >>> Guard.parse("loss<=natural+0.01", [Metric(name="loss")])
    Guard(metric='loss', than='natural', slack=0.01, at_most=None, at_least=None)
    """

    EXAMPLE: ClassVar[str] = '{ metric = "bpb/domain/code", than = "natural", slack = 0.01 }'

    metric: str
    than: str | None = None
    slack: float = 0.0
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        put(self, metric=checks.label("metric", self.metric), slack=checks.finite("slack", self.slack, 0.0))
        if self.than is not None:
            checks.one_of("rival", self.than, RIVALS)
        for name in ("at_most", "at_least"):
            value = getattr(self, name)
            put(self, **{name: None if value is None else checks.finite(name, value)})
        given = [name for name in ("than", "at_most", "at_least") if getattr(self, name) is not None]
        if len(given) != 1 or (self.slack and self.than is None):
            raise InputError(
                f"the guard on `{self.metric}` has no single bound",
                value=" and ".join([*given, *(["slack"] if self.slack else [])]) or "none",
                bound="than (with slack), at_most or at_least",
                remedy="give one of the three",
            )

    @classmethod
    def parse(cls, text: str, metrics: Sequence[Metric]) -> Guard:
        """The guard in a line: `METRIC<=natural+0.01`, `METRIC<=1.2`; `>=` where higher is better.

        Raises:
            InputError: not such a line, an unknown metric or rival, or the sign of the other direction.
        """
        found = _GUARD.fullmatch(text.strip())
        if found is None:
            raise _unreadable(text, text)
        name, bound = found["metric"], found["bound"].strip()
        is_upper = found["sign"] in ("<=", "≤")
        for metric in matching(name, metrics, "a guard"):
            if (metrics[metric].better == "lower") != is_upper:
                raise InputError(
                    f"the guard `{text}` points the wrong way",
                    value=found["sign"],
                    bound=f"`{'>=' if is_upper else '<='}`, as `{metrics[metric].name}` is better when "
                    f"{metrics[metric].better}",
                    remedy="turn the sign",
                )
        try:
            number = float(bound)
        except ValueError:
            return cls._relative(text, name, bound, is_upper)
        return cls(metric=name, at_most=number) if is_upper else cls(metric=name, at_least=number)

    @classmethod
    def _relative(cls, text: str, name: str, bound: str, is_upper: bool) -> Guard:
        found = _RIVAL.fullmatch(bound)
        if found is None:
            raise _unreadable(text, bound)
        try:
            slack = float(found["slack"] or 0.0)
        except ValueError:
            raise _unreadable(text, found["slack"]) from None
        if slack and (found["plus"] == "+") != is_upper:
            raise InputError(
                f"the guard `{text}` asks for more than the rival has",
                value=f"{found['plus']}{found['slack']}",
                bound=f"a slack, written {'+' if is_upper else '-'}NUMBER",
                remedy="turn the sign, or give an absolute bound",
            )
        return cls(metric=name, than=re.sub(r"[ _-]+", " ", found["than"].lower()), slack=slack)

    def over(self, metrics: Sequence[Metric]) -> list[int]:
        """Places of the metrics it guards.

        Raises:
            InputError: it matches none, or has a bound for the other direction.
        """
        hits = matching(self.metric, metrics, "a guard")
        other = {"lower": "at_least", "higher": "at_most"}
        for metric in (metrics[j] for j in hits):
            if getattr(self, other[metric.better]) is not None:
                right = "at_most" if metric.better == "lower" else "at_least"
                raise InputError(
                    f"the guard on `{metric.name}` bounds the side that is not watched",
                    value=other[metric.better],
                    bound=f"`{right}`, as it is better when {metric.better}",
                    remedy=f"write {right}",
                )
        return hits

    def limit(self, metric: Metric, rival: float | None = None) -> float:
        """The bound on sign × value of one metric; `rival` is the value of the mixture that `than` names."""
        if self.than is not None:
            assert rival is not None
            return metric.sign * rival + self.slack
        bound = self.at_most if self.at_most is not None else self.at_least
        assert bound is not None
        return metric.sign * bound

    def words(self, metric: Metric) -> str:
        """The guard on one metric as a line."""
        sign = "≤" if metric.better == "lower" else "≥"
        if self.than is None:
            return f"{metric.name} {sign} {metric.sign * self.limit(metric):g}"
        slack = f" {'+' if metric.better == 'lower' else '−'} {self.slack:g}" if self.slack else ""
        return f"{metric.name} {sign} {self.than}{slack}"


@core_type
class Objective:
    """A weighted mean (or the worst) of metrics, always minimised; the value keeps the metrics' unit.

    `terms` metric → weight ≥ 0. A key may be a pattern (`bpb/domain/*`): each metric it matches gets the weight.
    A metric that is better higher enters negated. `guards` limit metrics, whether they are terms or not.

    >>> Objective(terms={"bpb/set/manual": 1.0}).title
    'bpb/set/manual'
    """

    EXAMPLE: ClassVar[str] = '{ terms = { "bpb/domain/*" = 1.0 } }'

    terms: Pairs
    reduce: str = "mean"
    guards: tuple[Guard, ...] = ()

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
        listed = ", ".join(names) if len(names) <= N_LISTED else f"{len(names)} metrics, {names[0]} to {names[-1]}"
        return f"{self.reduce} of {listed}"

    def weights(self, metrics: Sequence[Metric]) -> Floats:
        """Weight of each metric, (m,).

        Raises:
            InputError: a term matches no metric.
        """
        weights = np.zeros(len(metrics))
        for pattern, weight in self.terms:
            hits = matching(pattern, metrics, "the objective")
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


def matching(pattern: str, metrics: Sequence[Metric], who: str) -> list[int]:
    """Places of the metric of that name, else of all metrics that the pattern matches.

    Raises:
        InputError: there is none; `who` says who named it.
    """
    hits = [j for j, metric in enumerate(metrics) if metric.name == pattern]
    hits = hits or [j for j, metric in enumerate(metrics) if fnmatchcase(metric.name, pattern)]
    if not hits:
        names = [metric.name for metric in metrics]
        raise InputError(
            f"{who} names an unknown metric `{pattern}`",
            value=pattern,
            bound="one of " + (", ".join(names) or "no metric at all"),
            remedy=checks.nearest(pattern, names),
        )
    return hits


def _unreadable(text: str, part: str) -> InputError:
    return InputError(
        f"`{text}` is no guard",
        value=part,
        bound="METRIC<=RIVAL+SLACK or METRIC<=NUMBER, the rival one of " + ", ".join(RIVALS),
        remedy="write it so, with >= where higher is better",
    )


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
    """The answer in words, computed once in `recipe/judge.py`; every room prints it and none derives it again.

    `name` better / no different / worse / too weak; `state` confirmed / contradicted / predicted / running /
    no evidence; `headline` one sentence; `reason`; `remedy` what would settle it, or what to do next; `recommended`
    recipe or the rival to train on instead, always within the study's limits; none where nothing known is.
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

    `measure`: rmse, spearman (with spearman:low, spearman:high), kendall, regret, regret@1, regret@5, coverage, width,
    seconds; for the objective behind and behind:low (see `laws/score.py`).
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
