"""Recorded runs as a world: two tables, mixtures and scores, joined by the run's id in their first column."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import InputError
from mixdesk.core.files import read_text
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats, Metric, Observations

# Farther than this from every recorded mixture (Σ |difference|), a question has no answer in the table.
NEAREST = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """Runs that were made elsewhere: `runs` their ids (n,), `W_nd` weights, `Y_nm` scores, NaN = not measured."""

    runs: tuple[str, ...]
    domains: tuple[str, ...]
    metrics: tuple[Metric, ...]
    W_nd: Floats
    Y_nm: Floats

    def observations(self) -> Observations:
        """All runs as a law sees them, of replicate 0."""
        return Observations.of(self.domains, self.W_nd, self.Y_nm, self.metrics, trials=self.runs, source="table")

    def measure(self, mixture: Mixture, replicate: int = 0) -> dict[str, float]:
        """The scores of the recorded run of this mixture; of several, `replicate` takes its turn among them.

        Raises:
            InputError: no recorded mixture is within 1e-3 of it, summed over domains.
        """
        distance_n = np.abs(self.W_nd - np.array(mixture.over(self.domains))).sum(1)
        near = np.flatnonzero(distance_n <= min(float(distance_n.min()) + 1e-9, NEAREST))
        if not len(near):
            raise InputError(
                "the table holds no run of this mixture",
                value=f"{distance_n.min():.3g} away from the nearest, {self.runs[int(distance_n.argmin())]}",
                bound=f"a recorded mixture within {NEAREST:g} (sum of differences)",
                remedy="ask only mixtures of the table",
            )
        row_m = self.Y_nm[near[replicate % len(near)]]
        return {metric.name: float(y) for metric, y in zip(self.metrics, row_m, strict=True) if np.isfinite(y)}


def read_table(mixtures: Path, scores: Path, *, unit: str = "nats per token") -> Table:
    """Two CSV files as a table: rows joined by the id in the first column, weights divided by their sum.

    Raises:
        InputError: a file cannot be read, an id is missing on one side or there twice, a cell is no number.
    """
    domains, weights = _read(mixtures)
    names, values = _read(scores)
    if set(weights) != set(values):
        stray = sorted(set(weights) ^ set(values))[0]
        raise InputError(
            f"run `{stray}` is not in both tables",
            value=stray,
            bound="the same ids in the first column of both files",
            remedy="remove it or add its row",
        )
    runs = tuple(weights)
    W_nd = np.array([weights[run] for run in runs])
    if not np.isfinite(W_nd).all() or (W_nd < 0.0).any() or (W_nd.sum(1) <= 0.0).any():
        raise InputError(
            f"`{mixtures}` holds a row that is no mixture",
            value=runs[int((~np.isfinite(W_nd) | (W_nd < 0.0)).any(1).argmax())],
            bound="weights ≥ 0 with a positive sum",
            remedy="correct the row",
        )
    return Table(
        runs=runs,
        domains=domains,
        metrics=tuple(Metric(name=name, unit=unit) for name in names),
        W_nd=W_nd / W_nd.sum(1, keepdims=True),
        Y_nm=np.array([values[run] for run in runs]),
    )


def _read(path: Path) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Column names and id → numbers; an empty cell is NaN."""
    lines = [line for line in csv.reader(read_text(path).splitlines()) if line]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise InputError(
            f"`{path}` holds no table",
            value=f"{len(lines)} lines",
            bound="a header, an id column and a number per cell",
            remedy="check the file",
        )
    header, rows = checks.unique(f"columns of {path.name}", lines[0][1:]), {}
    checks.unique(f"ids of {path.name}", (line[0] for line in lines[1:]))
    for number, line in enumerate(lines[1:], start=2):
        try:
            rows[line[0]] = [float(cell) if cell else float("nan") for cell in line[1:]]
        except ValueError as error:
            raise InputError(
                f"{path}, row {number}: {error}", value=line[0], bound="numbers", remedy="correct the row"
            ) from None
        if len(rows[line[0]]) != len(header):
            raise InputError(
                f"{path}, row {number} has the wrong length",
                value=len(line),
                bound=f"{len(header) + 1} cells",
                remedy="correct the row",
            )
    return header, rows
