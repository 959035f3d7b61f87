"""The runner of this machine: threads that each drive a trainer, one per core.

Order of things: what an earlier run left unanswered is trained first, then rounds of ask and train until the budget is
spent. A round is asked only when nothing is pending, so a study that was killed and resumed asks what an undisturbed
one asks, whatever the number of workers. A strategy that is `eager` is asked as soon as a worker is idle. What a person
asks meanwhile, and nobody holds, goes before what waits; where that is more than the budget, the last of what waits is
put off: it is not trained until the budget is raised.
"""

from __future__ import annotations

import fcntl
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mixdesk.core import checks
from mixdesk.core.errors import RecordError, WorkerError
from mixdesk.core.files import write_json
from mixdesk.core.machine import n_cores
from mixdesk.core.plan import TrialSpec, question
from mixdesk.core.protocols import Progress, Strategy, Trainer
from mixdesk.core.trial import Event, StudyView
from mixdesk.study.record import ANSWERED, OPEN
from mixdesk.study.study import Study

# Trials asked at once where no budget bounds their number.
ROUND = 64
# Seconds that trials in flight are given to end after an interruption, once their trainer is closed.
GRACE = 5.0
# Why a trial was asked that a person wanted to see on the live desk.
WISH = "asked on the desk"
# How a trial ends that the budget has no room for.
PUT_OFF = "put off"
# Places in the queue of the threads: (place, number within it, spec); None ends a thread.
FIRST, IN_TURN, LAST = 0, 1, 2
Todo = queue.PriorityQueue[tuple[int, int, TrialSpec | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What one run did: trials by how they ended, and its seconds on the clock."""

    n_done: int
    n_diverged: int
    n_failed: int
    seconds: float


def run(
    study: Study,
    strategy: Strategy,
    trainer: Trainer,
    *,
    jobs: int | None = None,
    n_trials: int | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Ask and train until the budget is spent, `n_trials` more are trained, or the strategy has nothing left to ask.

    The budget is spent by the trials of every rung but those of a confirmation; a diverged or failed trial counts.

    Args:
        study: to go on with.
        strategy: who asks.
        trainer: who answers. The caller closes it; an interruption or error closes it here first.
        jobs: threads; default: one per core.
        n_trials: stop after this many trials, those left over from an earlier run included.
        progress: called with ("trials", done, total) of this run.

    Raises:
        RecordError: another run works on this study.
        InputError: the trainer cannot train what was asked, or `n_trials` or `jobs` is no such count.
        KeyboardInterrupt: after Ctrl-C. The record is sound, and the next run goes on.
    """
    view, budget = study.view(), study.config.budget
    room = None
    if budget is not None and budget.n_trials is not None:
        room = max(budget.n_trials - sum(trial.state not in OPEN for trial in view.proxies), 0)
    crew = _Crew(study, trainer, jobs, progress, room)
    left = None if n_trials is None else checks.count("n_trials", n_trials)
    given: set[str] = set()

    def more(n_out: int) -> Sequence[TrialSpec]:
        """What to train next while so many are in training: what waits and nobody holds, else what is new."""
        nonlocal left
        if not crew.room:
            return ()
        free = [spec for spec in study.free() if not n_out or spec.id not in given]
        specs: Sequence[TrialSpec] = sorted(free, key=lambda spec: study.trial(spec.id).why != WISH)[:left]
        is_idle = not n_out or (strategy.eager and n_out < crew.n_threads)
        if not specs and is_idle and (strategy.eager or not study.pending()):
            view = study.view()
            n, known = _room(view, left, crew.n_threads), {trial.id for trial in view.trials}
            seen = [trial.id for trial in view.trials if trial.state in ANSWERED]
            asked = study.ask(view.affordable(strategy.ask(view, n)[:n]), seen) if n > 0 else ()
            specs = [spec for spec in asked if spec.id not in known]
        given.update(spec.id for spec in specs)
        left = None if left is None else left - len(specs)
        return specs

    with _alone(study.folder):
        crew.train(more)
    return crew.summary()


def run_specs(
    study: Study,
    trainer: Trainer,
    specs: Sequence[TrialSpec],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Train given specs that the study has asked; those with an answer are left out. Arguments and errors as `run`."""
    crew = _Crew(study, trainer, jobs, progress)
    with _alone(study.folder):
        waiting = {spec.id for spec in study.pending()}
        batches = iter([[spec for spec in specs if spec.id in waiting]])
        crew.train(lambda n_out: next(batches, []))
    return crew.summary()


class _Crew:
    """Threads that train lists of specs, and the count of how trials ended; `room` for so many more in the budget."""

    def __init__(
        self,
        study: Study,
        trainer: Trainer,
        jobs: int | None,
        progress: Progress | None,
        room: float | None = None,
    ) -> None:
        self.study, self.trainer, self.progress = study, trainer, progress
        self.room = math.inf if room is None else room
        self._lock = threading.Lock()
        self.n_threads = n_cores() if jobs is None else checks.count("jobs", jobs, 1)
        self.ended: Counter[str] = Counter()
        self.start = time.monotonic()

    def train(self, more: Callable[[int], Sequence[TrialSpec]]) -> None:
        """Train what `more` gives, which is asked at the start and after each end with the number that is out then.

        Returns when nothing is out and there is no more: each is done, diverged or failed.
        """
        todo: Todo = queue.PriorityQueue()
        ended: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()
        stop = threading.Event()
        threads: list[threading.Thread] = []
        n_out = n_given = 0
        try:
            while True:
                new = more(n_out)
                if new:
                    self._tell(self.ended.total() + n_out + len(new))
                for spec in new:
                    # While more is out than there are threads, what is new was asked by a person: it goes first.
                    todo.put((FIRST if n_out >= self.n_threads else IN_TURN, n_given, spec))
                    n_given += 1
                n_out += len(new)
                if not n_out:
                    return
                while len(threads) < min(self.n_threads, n_out):
                    name, work = f"trainer {len(threads)}", (todo, ended, stop)
                    threads.append(threading.Thread(target=self._work, args=work, name=name, daemon=True))
                    threads[-1].start()
                outcome = ended.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                n_out -= 1
                if outcome != PUT_OFF:
                    self.ended[outcome] += 1
                self._tell(self.ended.total() + n_out)
        except BaseException:
            stop.set()
            self.trainer.close()
            raise
        finally:
            for i in range(len(threads)):
                todo.put((LAST, i, None))
            until = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(until - time.monotonic(), 0.0))

    def summary(self) -> RunSummary:
        """What was done so far."""
        return RunSummary(
            n_done=self.ended["done"],
            n_diverged=self.ended["diverged"],
            n_failed=self.ended["failed"],
            seconds=time.monotonic() - self.start,
        )

    def _tell(self, total: int) -> None:
        if self.progress is not None:
            self.progress("trials", self.ended.total(), total)

    def _work(
        self,
        todo: Todo,
        ended: queue.SimpleQueue[str | BaseException],
        stop: threading.Event,
    ) -> None:
        """Train specs until there are no more; what goes wrong is handed to the main thread."""
        try:
            while (spec := todo.get()[2]) is not None and not stop.is_set():
                ended.put(self._train_one(spec, stop) if self._is_within() else PUT_OFF)
        except BaseException as error:
            ended.put(error)

    def _is_within(self) -> bool:
        """Whether the budget has room for one more trial, which is taken."""
        with self._lock:
            is_within = self.room > 0
            self.room -= is_within
            return is_within

    def _train_one(self, spec: TrialSpec, stop: threading.Event) -> str:
        """Train one spec, a second time where the worker broke; how it ended."""
        out = self.study.folder / "trials" / spec.id
        write_json(out / "spec.json", question(spec))
        for is_last in (False, True):
            self.study.append(Event(trial=spec.id, kind="started", time=time.time()))
            start = time.monotonic()
            try:
                result = self.trainer.train(spec, out, self.study.append)
            except WorkerError as error:
                if stop.is_set():
                    raise
                if is_last:
                    self.study.append(Event(trial=spec.id, kind="failed", time=time.time(), message=str(error)))
                    return "failed"
                continue
            if result.seconds is None:
                result = replace(result, seconds=time.monotonic() - start)
            write_json(out / "result.json", result)
            self.study.tell(spec.id, result)
            return result.state
        raise AssertionError("the loop above always returns")


def _room(view: StudyView, left: int | None, handful: int) -> int:
    """How many more trials may be asked: `left`, and what the budget bears.

    Where trials have no known price, a `handful` is asked as long as something is left.
    """
    limits = [n for n in (left, view.trials_left) if n is not None]
    if (flops := view.flops_left) is not None:
        prices = [rung.flops for rung in view.rungs if rung.flops]
        limits.append(int(flops * (1.0 + 1e-9) // min(prices)) if prices else handful * (flops > 0.0))
    if (budget := view.budget) is not None and budget.seconds is not None:
        limits.append(handful * (sum(trial.seconds or 0.0 for trial in view.proxies) < budget.seconds))
    return max(min(limits, default=ROUND), 0)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold `study.lock` of a study; the system lets go of it when this process ends, however it ends.

    Raises:
        RecordError: another run holds it.
    """
    with (folder / "study.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecordError(
                f"another run works on the study in `{folder}`",
                value="`study.lock` is held",
                bound="one run at a time",
                remedy="wait for it, or end it",
            ) from None
        yield
