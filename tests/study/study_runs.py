"""A small study with its strategy and trainer, and a program that runs it and dies where it is told to.

    python study_runs.py FOLDER MOMENT [JOBS]

MOMENT: `never`; `ask` (killed once the first questions are recorded); `training` (in the middle of trial 6);
`commit` (after trial 6 wrote its result, before the record has it); `slow` (never, but trials take their time).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from mixdesk.core.errors import InputError, WorkerError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Proposal, Recommendation, TrialSpec
from mixdesk.core.protocols import LawFit
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.trial import Event, Point, Result, StudyView, Trial
from mixdesk.study import local
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import Study

DOMAINS = ("code", "prose", "web/high", "web/low")
METRICS = (Metric(name="bpb/code", domain="code"), Metric(name="accuracy", unit="share", better="higher"))
N_TRIALS = 14


def small_config(**changes: object) -> StudyConfig:
    config = StudyConfig(
        name="small",
        objective=Objective(terms=(("bpb/code", 1.0),)),
        domains=DOMAINS,
        natural=tuple((name, float(10 + i)) for i, name in enumerate(DOMAINS)),
        metrics=METRICS,
        rungs=(Rung(label="proxy", scale=Scale(n_tokens=1000)), Rung(label="target", scale=Scale(n_tokens=4000))),
        budget=Budget(n_trials=N_TRIALS),
        seed=3,
    )
    return replace(config, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Climb:
    """Rounds of four around the best mixture seen so far, so that what is asked depends on what was answered."""

    title: ClassVar[str] = "rounds around the best"
    reference: ClassVar[str] = ""
    eager: ClassVar[bool] = False

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        done = [trial for trial in view.at() if trial.final]
        centre = np.full(len(view.domains), 1.0 / len(view.domains))
        if done:
            best = min(done, key=lambda trial: trial.final["bpb/code"])
            centre = np.array(best.spec.mixture.over(view.domains))
        rng = np.random.default_rng([view.seed, len(view.at())])
        rows = rng.dirichlet(12.0 * centre + 0.2, size=4)
        return [
            Proposal(
                mixture=Mixture.of(dict(zip(view.domains, row.tolist(), strict=True)), normalise=True), rung="proxy"
            )
            for row in rows
        ][:n]

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        return Recommendation(mixture=Mixture.uniform(view.domains))


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed(Climb):
    """A list that depends on no answer, handed out two at a time."""

    eager: ClassVar[bool] = True

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        rows = np.random.default_rng(view.seed).dirichlet(np.ones(len(view.domains)), size=len(view.at()) + 2)
        return [
            Proposal(
                mixture=Mixture.of(dict(zip(view.domains, row.tolist(), strict=True)), normalise=True), rung="proxy"
            )
            for row in rows[len(view.at()) :]
        ][:n]


def score(spec: TrialSpec, n_tokens: int) -> dict[str, float]:
    """Metrics of a mixture after some tokens: a sum of exponentials plus noise of the replicate."""
    w = np.array(spec.mixture.over(DOMAINS))
    noise = np.random.default_rng(spec.replicate).normal(0.0, 0.01)
    loss = float(1.0 + np.exp(-3.0 * w[0]) + 0.2 * w[3] + 100.0 / n_tokens + noise)
    return {"bpb/code": loss, "accuracy": float(w[1] / loss)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Calculator:
    """Answers at once; breaks, diverges or refuses where it is told to, and counts its calls per trial."""

    title: ClassVar[str] = "a formula"
    reference: ClassVar[str] = ""

    seconds: float = 0.0
    break_first: tuple[str, ...] = ()
    break_always: tuple[str, ...] = ()
    diverge: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    calls: dict[str, int] = field(default_factory=dict)
    closed: list[float] = field(default_factory=list)

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        self.calls[spec.id] = self.calls.get(spec.id, 0) + 1
        if spec.id in self.refuse:
            raise InputError("no such thing", value=spec.id, bound="another", remedy="ask another")
        points = []
        for n_tokens in (250, 500, 1000):
            point = Point(n_tokens=n_tokens, metrics=tuple(score(spec, n_tokens).items()))
            report(Event(trial=spec.id, kind="point", time=time.time(), point=point))
            points.append(point)
            time.sleep(self.seconds / 3)
            self.after_point(spec, n_tokens)
            if spec.id in self.break_always or (spec.id in self.break_first and self.calls[spec.id] == 1):
                raise WorkerError("the worker is gone", value="status 1", bound="an answer", remedy="look at its log")
            if spec.id in self.diverge:
                return Result(state="diverged", points=tuple(points), message="loss is not finite")
        self.after_training(spec, out)
        return Result(state="done", points=tuple(points), domain_tokens=(("code", 1000.0),), flops=1e6)

    def after_point(self, spec: TrialSpec, n_tokens: int) -> None:
        """Where a child of this class may die."""

    def after_training(self, spec: TrialSpec, out: Path) -> None:
        """Where a child of this class may die."""

    def close(self) -> None:
        self.closed.append(time.monotonic())


@dataclass(frozen=True, kw_only=True, slots=True)
class Doomed(Calculator):
    """Kills its own process once: in the middle of its sixth trial, or when that has left its result."""

    folder: Path
    moment: str

    def is_fatal(self, moment: str) -> bool:
        flag = self.folder / "killed"
        if moment != self.moment or len(self.calls) < 6 or flag.exists():
            return False
        flag.touch()
        return True

    def after_point(self, spec: TrialSpec, n_tokens: int) -> None:
        if n_tokens == 500 and self.is_fatal("training"):
            os.kill(os.getpid(), signal.SIGKILL)

    def after_training(self, spec: TrialSpec, out: Path) -> None:
        if not self.is_fatal("commit"):
            return
        # Nobody can commit from here on; once the result lies in the trial's folder, the process dies.
        held = sqlite3.connect(self.folder / "study.db", isolation_level=None, check_same_thread=False)
        held.execute("BEGIN IMMEDIATE")
        threading.Thread(target=_die_when, args=(out / "result.json", held), daemon=True).start()


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor(Calculator):
    """Leaves its process's number in a folder, waits there for its peers, and dies of some trials whenever it gets one.

    Args:
        folder: where `pid-<number>` lie.
        n_peers: processes that have to come before any of them trains.
        deadly: ids of the trials that kill the process.
    """

    folder: Path
    n_peers: int = 1
    deadly: tuple[str, ...] = ()

    def after_point(self, spec: TrialSpec, n_tokens: int) -> None:
        (self.folder / f"pid-{os.getpid()}").touch()
        while len(list(self.folder.glob("pid-*"))) < self.n_peers:
            time.sleep(0.01)
        if spec.id in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def _die_when(path: Path, held: sqlite3.Connection) -> None:
    while not path.exists():
        time.sleep(0.005)
    assert held.in_transaction
    os.kill(os.getpid(), signal.SIGKILL)


def comparable(trial: Trial) -> Trial:
    """A trial without its clock."""
    return replace(trial, seconds=None)


def main(folder: Path, moment: str, jobs: int = 2) -> None:
    def die_once_asked(what: str, done: int, total: int) -> None:
        if moment == "ask" and total > 4 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    study = Study.create(folder, small_config())
    trainer = Doomed(folder=folder, moment=moment, seconds=0.15 if moment == "slow" else 0.0)
    try:
        local.run(study, Climb(), trainer, jobs=jobs, progress=die_once_asked)
    except KeyboardInterrupt:
        print("interrupted, trainer closed" if trainer.closed else "interrupted", flush=True)
        sys.exit(130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2)
