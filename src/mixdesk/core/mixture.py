"""Mixtures over domains and the schedules they make. Only this module reads the slashes in domain names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import InputError
from mixdesk.core.scale import Scale

# Weights are fractions of one: a sum this far off is a mistake, not rounding in float64.
SUM_TOLERANCE = 1e-9


@core_type
class Mixture:
    """A point on the simplex: `weights` (d,) are fractions of **training tokens**, ≥ 0, summing to 1 ± 1e-9.

    Domains are kept sorted by name, so two mixtures that say the same are equal.

    >>> Mixture.of({"web": 0.75, "code": 0.25}).domains
    ('code', 'web')
    """

    domains: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        domains = checks.unique("domains", self.domains)
        weights = tuple(checks.finite(f"weight of `{n}`", w, 0.0) for n, w in zip(domains, self.weights, strict=False))
        if len(domains) != len(self.weights) or not domains:
            raise InputError(
                "domains and weights do not pair up",
                value=f"{len(domains)} domains, {len(self.weights)} weights",
                bound="as many weights as domains, at least one",
                remedy="give one weight per domain",
            )
        total = math.fsum(weights)
        if abs(total - 1.0) > SUM_TOLERANCE:
            raise InputError(
                "weights do not sum to one",
                value=total,
                bound="1 ± 1e-9",
                remedy="divide each weight by the sum, or use Mixture.of(..., normalise=True)",
            )
        order = sorted(range(len(domains)), key=domains.__getitem__)
        put(self, domains=tuple(domains[i] for i in order), weights=tuple(weights[i] for i in order))

    @classmethod
    def of(cls, weights: Mapping[str, float], *, normalise: bool = False) -> Mixture:
        """A mixture from a mapping domain → weight; `normalise` divides by the sum (any unit: tokens, per cent).

        Raises:
            InputError: a negative weight, or a sum that is not one (or not positive when normalising).
        """
        values = [checks.finite(f"weight of `{n}`", w, 0.0) for n, w in weights.items()]
        if normalise:
            total = checks.finite("sum of the weights", math.fsum(values), 0.0, open_low=True)
            values = [value / total for value in values]
        return cls(domains=tuple(weights), weights=tuple(values))

    @classmethod
    def natural(cls, corpus: Corpus) -> Mixture:
        """Weights proportional to the unique training tokens of each domain.

        Raises:
            InputError: a domain's tokens are unknown.
        """
        unknown = [domain.name for domain in corpus.domains if not domain.n_tokens]
        if unknown:
            raise InputError(
                "the natural mixture needs token counts",
                value=f"none for `{unknown[0]}`",
                bound="n_tokens > 0 per domain",
                remedy="build the corpus, or give token counts",
            )
        return cls.of({domain.name: float(domain.n_tokens or 0) for domain in corpus.domains}, normalise=True)

    @classmethod
    def uniform(cls, names: Iterable[str]) -> Mixture:
        """The same weight for every name."""
        return cls.of({name: 1.0 for name in names}, normalise=True)

    def as_dict(self) -> dict[str, float]:
        """Domain → weight."""
        return dict(zip(self.domains, self.weights, strict=True))

    def over(self, names: Iterable[str]) -> tuple[float, ...]:
        """Weights in the order of `names`; 0 for a name this mixture does not have.

        Raises:
            InputError: the mixture gives weight to a domain that is not among `names`.
        """
        wanted = tuple(names)
        mine = self.as_dict()
        unknown = mine.keys() - set(wanted)
        stray = [name for name, weight in mine.items() if weight > 0.0 and name in unknown] if unknown else []
        if stray:
            raise InputError(
                f"the mixture gives weight to an unknown domain `{stray[0]}`",
                value=stray[0],
                bound="one of " + ", ".join(wanted),
                remedy=checks.nearest(stray[0], wanted),
            )
        return tuple([mine.get(name, 0.0) for name in wanted])

    def epochs(self, corpus: Corpus, scale: Scale) -> Pairs:
        """How often each domain is passed: weight × run tokens ÷ unique tokens; domains without counts are left out."""
        if scale.n_tokens is None:
            return ()
        mine = self.as_dict()
        known = ((domain.name, domain.n_tokens) for domain in corpus.domains if domain.n_tokens)
        return tuple((name, mine.get(name, 0.0) * scale.n_tokens / n_tokens) for name, n_tokens in known)

    def kl(self, other: Mixture) -> float:
        """Relative entropy Σ w ln(w / v) to `other` in nats; infinite where `other` has no weight and this one has."""
        theirs = other.as_dict()
        total = 0.0
        for name, weight in zip(self.domains, self.weights, strict=True):
            if weight > 0.0:
                if theirs.get(name, 0.0) <= 0.0:
                    return math.inf
                total += weight * math.log(weight / theirs[name])
        return max(total, 0.0)

    def groups(self) -> Pairs:
        """Marginal weights of the first step of each slash path (`code/c` counts to `code`)."""
        sums: dict[str, float] = {}
        for name, weight in zip(self.domains, self.weights, strict=True):
            sums[group_of(name)] = sums.get(group_of(name), 0.0) + weight
        return checks.pairs("groups", sums)


def group_of(domain: str) -> str:
    """First step of a domain's slash path."""
    return domain.split("/", 1)[0]


def bin_of(domain: str) -> tuple[str, int]:
    """Domain and quality bin of a leaf: `web/q2` is the second best bin of `web`; bin 0 is a domain without bins.

    >>> bin_of("web/science/q1"), bin_of("web/science")
    (('web/science', 1), ('web/science', 0))
    """
    found = re.fullmatch(r"(.+)/q([1-9]\d*)", domain)
    return (domain, 0) if found is None else (found[1], int(found[2]))


def is_below(domain: str, whole: str) -> bool:
    """Whether a domain's slash path goes on from another's (`web/high` from `web`)."""
    return domain.startswith(f"{whole}/")


@core_type
class Stage:
    """Part of a run: `mixture`, and `until` which fraction of the run's tokens it holds, in (0, 1]."""

    mixture: Mixture
    until: float = 1.0
    objectives: Mixture | None = None

    def __post_init__(self) -> None:
        put(self, until=checks.finite("until", self.until, 0.0, 1.0, open_low=True))


@core_type
class Schedule:
    """Mixtures over one run: stages with strictly increasing `until`, the last 1.0."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1.0:
            raise InputError(
                "the stages of a schedule do not cover the run",
                value=ends,
                bound="strictly increasing `until`, the last 1.0",
                remedy="correct the stages",
            )

    @classmethod
    def constant(cls, mixture: Mixture) -> Schedule:
        """One stage from start to end."""
        return cls(stages=(Stage(mixture=mixture),))

    @classmethod
    def ending(cls, mixture: Mixture, before: Stage | None = None) -> Schedule:
        """The mixture to the end, after the stage `before` where there is one."""
        return cls.constant(mixture) if before is None else cls(stages=(before, Stage(mixture=mixture)))

    def throughout(self, mixture: Mixture) -> Schedule:
        """The same stages, each with this mixture."""
        return Schedule(stages=tuple(replace(stage, mixture=mixture) for stage in self.stages))

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain named in any stage, sorted."""
        return tuple(sorted({name for stage in self.stages for name in stage.mixture.domains}))

    @property
    def average(self) -> Mixture:
        """The token average of the stages: what the run sees over all."""
        if len(self.stages) == 1:
            return self.stages[0].mixture
        sums = dict.fromkeys(self.domains, 0.0)
        start = 0.0
        for stage in self.stages:
            for name, weight in stage.mixture.as_dict().items():
                sums[name] += weight * (stage.until - start)
            start = stage.until
        return Mixture.of(sums, normalise=True)
