"""Answers from a synthetic world: studies that take no training, with a known optimum and known noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Event, Point, Result
from mixdesk.testing.worlds import WORLDS, World

# Fractions of the run at which it is measured; the curve falls by fraction^−½ − 1, about as losses do.
FRACTIONS = (0.25, 0.5, 1.0)
# Tokens of a run whose plan does not say.
N_TOKENS = 1_000_000
# A merge is worse than a run of its mixture by this share of the value, times 1 − Σ w²: nothing at a domain alone, most
# where all are mixed, smooth between. It costs this share of a run's FLOPs.
BIAS, EVALUATION = 0.05, 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthetic:
    """A world's answers: three points, the last what the world measures for (mixture, replicate).

    A trial that goes on from another is answered by its own mixture, a merge by one point: the true value of its
    mixture, made worse by `BIAS`, without noise.

    Args:
        world: loglinear, ridge or quadratic.
        d: domains, named d00, d01, …
        m: metrics, named bpb/domain/d00, …
        seed: chooses the world's coefficients and its noise.
        noise: sd of a run relative to the sd over mixtures.
        seconds: how long a trial pretends to work.
    """

    title: ClassVar[str] = "synthetic world with known law, optimum and noise"
    reference: ClassVar[str] = ""

    world: str = "loglinear"
    d: int = 8
    m: int = 3
    seed: int = 0
    noise: float = 0.1
    seconds: float = 0.0
    known: World = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.one_of("world", self.world, WORLDS)
        put(
            self,
            seed=checks.count("seed", self.seed),
            seconds=checks.finite("seconds", self.seconds, 0.0),
            known=WORLDS[self.world](self.d, self.m, self.seed, self.noise),
        )

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Measure the spec's mixture (token average of its stages).

        Raises:
            InputError: the mixture names a domain that the world does not have.
        """
        start = time.perf_counter()
        n_tokens = spec.plan.scale.n_tokens or N_TOKENS
        is_merge = spec.method == "merge"
        final = self.merged(spec.mixture) if is_merge else self.known.measure(spec.mixture, spec.replicate)
        points = []
        for fraction in FRACTIONS[-1:] if is_merge else FRACTIONS:
            time.sleep(self.seconds / len(FRACTIONS))
            rest = fraction**-0.5 - 1.0
            metrics = tuple((name, value + rest) for name, value in final.items())
            points.append(Point(n_tokens=max(round(fraction * n_tokens), 1), metrics=metrics))
            report(Event(trial=spec.id, kind="point", time=time.time(), point=points[-1]))
        n_params, share = spec.plan.scale.n_params, EVALUATION if is_merge else 1.0
        seen = {} if is_merge else spec.mixture.as_dict()
        return Result(
            state="done",
            points=tuple(points),
            domain_tokens=tuple((name, weight * n_tokens) for name, weight in seen.items()),
            flops=share * 6.0 * n_params * n_tokens if n_params else None,
            seconds=time.perf_counter() - start,
        )

    def merged(self, mixture: Mixture) -> dict[str, float]:
        """What a merge of this mixture measures."""
        weights = np.array([mixture.over(self.known.domains)])
        bias = BIAS * (1.0 - float((weights**2).sum()))
        values = zip(self.known.metrics, self.known.value(weights)[0], strict=True)
        return {metric.name: float(value) * (1.0 + metric.sign * bias) for metric, value in values}

    def close(self) -> None:
        """Nothing is held."""
