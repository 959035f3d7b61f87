"""Answers from a recorded table: somebody's runs, played again without training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Event, Point, Result
from mixdesk.testing.tables import Table, read_table

# Tokens of a run whose plan does not say: a point needs a number, and a table has none.
N_TOKENS = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """The recorded scores of a mixture that is in the table (Σ |difference| ≤ 1e-3), as one point.

    Args:
        mixtures: CSV of run id and weight per domain.
        scores: CSV of run id and value per metric.
    """

    title: ClassVar[str] = "recorded table, answered by look-up"
    reference: ClassVar[str] = ""

    mixtures: str
    scores: str
    table: Table = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put(self, table=read_table(Path(self.mixtures), Path(self.scores)))

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Look the spec's mixture up.

        Raises:
            InputError: the table holds no run of it, or the spec goes on from other trials or averages them.
        """
        if spec.parents or spec.method != "train":
            raise InputError(
                "a recorded table answers trainings from the start alone",
                value=f"method {spec.method} with {len(spec.parents)} parents",
                bound="method train without parents",
                remedy="use a strategy without merges and anneals, or another trainer",
            )
        metrics = self.table.measure(spec.mixture, spec.replicate)
        point = Point(n_tokens=spec.plan.scale.n_tokens or N_TOKENS, metrics=tuple(metrics.items()))
        report(Event(trial=spec.id, kind="point", time=time.time(), point=point))
        return Result(state="done", points=(point,))

    def close(self) -> None:
        """Nothing is held."""
