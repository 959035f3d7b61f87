"""The runner of a Ray cluster: one actor per slot, each with a trainer of its own.

To the loop of `local.run` the cluster is one more trainer: a thread per slot waits here, an actor trains there. So
rounds, retries, budgets, Ctrl-C and resuming are those of `local.py`, and this process alone writes the record. Curve
points come through Ray as they are measured. An actor that dies is a worker that broke: its trial goes to another one,
once, and a new actor takes its place.

Every node must have mixdesk with the extras that the trainer needs, and must see under one path the folder of the
study, into which trainers write, and the corpus's, from which they read. The record itself may lie on a network file
system: only this process opens it.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import ray
from ray.exceptions import RayError, RayTaskError

from mixdesk.core import checks
from mixdesk.core.errors import InputError, MixdeskError, WorkerError
from mixdesk.core.plan import TrialSpec
from mixdesk.core.protocols import Map, Progress, Strategy, Trainer
from mixdesk.core.trial import Event, Result
from mixdesk.study import local
from mixdesk.study.study import Study

# Seconds in which the head of a cluster takes a connection.
CONNECT_SECONDS = 10.0


def run(
    study: Study,
    strategy: Strategy,
    make: Callable[[], Trainer],
    *,
    address: str | None = None,
    jobs: int | None = None,
    n_trials: int | None = None,
    progress: Progress | None = None,
) -> local.RunSummary:
    """`local.run` with the trainers on a Ray cluster; what is not said here is as there.

    Args:
        study: to go on with.
        strategy: who asks, in this process.
        make: makes a trainer; it is pickled and called once in every actor.
        address: of the cluster; "auto": the one that this machine is part of. Default: the one that the program has
            joined, else that of the environment's RAY_ADDRESS, else that of this machine, else one is started here.
        jobs: actors, of one CPU each; default: the CPUs of the cluster. More than that wait until the cluster grows.
        n_trials: stop after this many trials, those left over from an earlier run included.
        progress: called with ("trials", done, total) of this run.

    Raises:
        InputError: no cluster answers, an actor cannot start, or a node does not see the study's folder.
    """
    if jobs is not None:
        checks.count("jobs", jobs, 1)
    with _joined(address):
        n_slots = jobs or max(int(ray.cluster_resources().get("CPU", 0)), 1)
        fleet = _Fleet(study.folder.resolve(), make, n_slots)
        try:
            return local.run(study, strategy, fleet, jobs=n_slots, n_trials=n_trials, progress=progress)
        finally:
            fleet.close()


@contextmanager
def ray_map(address: str | None = None) -> Iterator[Map]:
    """A `map` whose calls run as tasks on a cluster, results in the order of the items: for the files of a corpus.

    A task whose worker dies is run again by Ray, so a function must give the same when it is called twice. At most two
    tasks per CPU are out at once, however many items there are.

    Raises:
        InputError: no cluster answers.
    """
    with _joined(address):
        n_out = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)

        def run(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            task = ray.remote(num_cpus=1, max_retries=3)(function)
            waiting: deque[Any] = deque()
            for item in items:
                waiting.append(task.remote(item))
                if len(waiting) >= n_out:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())

        yield run


def _result(reference: Any) -> Any:
    """What a task gave; an error of ours as it was raised there."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, MixdeskError) else error from None


@contextmanager
def _joined(address: str | None) -> Iterator[None]:
    """Be part of a cluster; a connection that the program has already is used and left as it is.

    Raises:
        InputError: no cluster answers there.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    place = address or os.environ.get("RAY_ADDRESS", "auto")
    try:
        if "://" in place:
            raise ConnectionError("an address of Ray's client, which this runner does not speak to")
        host, colon, port = place.rpartition(":")
        if colon:  # Ray itself would try for a quarter of an hour
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"no Ray cluster could be joined at `{place}`",
            value=_first_line(error),
            bound="`auto` on a node of a running cluster, or HOST:PORT of its head",
            remedy="start one with `ray start --head`, set RAY_AUTH_MODE=token where it asks for a token, or leave out "
            "the address to use this machine alone",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


class _Slot:
    """An actor: one trainer in a process of its own, somewhere in the cluster. Raises nothing that is expected."""

    def __init__(self, study: Path, folder: Path, make: Callable[[], Trainer]) -> None:
        self._study, self._folder, self._make = study, folder, make

    def start(self) -> MixdeskError | None:
        """Make the trainer, in the driver's working directory where there is such a one here; the refusal, if any."""
        if not self._study.is_dir():
            return InputError(
                f"the node `{os.uname().nodename}` of the cluster does not see the study",
                value=f"no folder {self._study}",
                bound="a folder that every node sees under one path",
                remedy="keep the study (and its corpus) on a file system that all nodes mount",
            )
        if self._folder.is_dir():
            os.chdir(self._folder)
        try:
            self._trainer = self._make()
        except MixdeskError as error:
            return error
        return None

    def wake(self) -> None:
        """An answer says that the process lives."""

    def train(self, spec: TrialSpec, out: Path) -> Iterator[Event | Result | MixdeskError]:
        """Events as they happen; last the result or the error."""
        told: queue.SimpleQueue[Event | Result | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._train, args=(spec, out, told), daemon=True).start()
        while isinstance(said := told.get(), Event):
            yield said
        if not isinstance(said, Result | MixdeskError):
            raise said
        yield said

    def _train(self, spec: TrialSpec, out: Path, told: queue.SimpleQueue[Event | Result | BaseException]) -> None:
        start = time.monotonic()
        try:
            result = self._trainer.train(spec, out, told.put)
            told.put(result if result.seconds is not None else replace(result, seconds=time.monotonic() - start))
        except BaseException as error:
            told.put(error)

    def close(self) -> None:
        """Give back what the trainer holds, in the middle of a trial too."""
        self._trainer.close()


class _Fleet:
    """The actors as one trainer: `train` takes the first that is idle."""

    title: ClassVar[str] = "trainers on a Ray cluster"
    reference: ClassVar[str] = ""

    def __init__(self, study: Path, make: Callable[[], Trainer], n_slots: int) -> None:
        # Room for a second call: `close` has to reach a trainer that is training.
        self._actor: Any = ray.remote(_Slot).options(num_cpus=1, max_concurrency=2)
        self._arguments = (study, Path.cwd(), make)
        self._n_slots = n_slots
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._slots: list[Any] = []
        self._ready: list[Any] = []
        self._is_closed = False
        for _ in range(n_slots):
            self._add()

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Train on the first actor that is idle.

        Raises:
            InputError: an actor could not start.
            WorkerError: the actor died; there is a new one.
        """
        slot = self._take()
        try:
            answer = _follow(slot, spec, out.resolve(), report)
        except RayTaskError:  # the trainer's own mistake, with its traceback
            raise
        except RayError as error:
            self._add(instead_of=slot)
            raise WorkerError(
                f"the actor of trial {spec.id} is lost",
                value=_first_line(error),
                bound="a result",
                remedy="look for the node or process that ended: memory, or a node that was taken away",
            ) from None
        self._idle.put(slot)
        if isinstance(answer, MixdeskError):
            raise answer
        return answer

    def close(self) -> None:
        """Close the trainers, those in the middle of a trial too, and end their actors."""
        with self._lock:
            self._is_closed = True
            slots, self._slots = self._slots, []
            ready, self._ready = self._ready, []
        if ready:
            ray.wait([slot.close.remote() for slot in ready], num_returns=len(ready), timeout=local.GRACE)
        for slot in slots:
            ray.kill(slot)
        for _ in range(self._n_slots):
            self._idle.put(WorkerError("the run was ended", value="no actor", bound="a run", remedy="run it again"))

    def _take(self) -> Any:
        """The first idle actor that is alive: one that died while it was idle is no trial's fault."""
        while True:
            slot = self._idle.get()
            if isinstance(slot, MixdeskError):
                raise slot
            try:
                ray.get(slot.wake.remote())
                return slot
            except RayError:
                self._add(instead_of=slot)

    def _add(self, instead_of: Any = None) -> None:
        """Start an actor, where the fleet is not closed; it is idle once it has its trainer."""
        with self._lock:
            if self._is_closed:
                return
            if instead_of is not None:
                self._slots.remove(instead_of)
                self._ready.remove(instead_of)
                ray.kill(instead_of)
            slot = self._actor.remote(*self._arguments)
            self._slots.append(slot)
        slot.start.remote().future().add_done_callback(partial(self._arrive, slot))

    def _arrive(self, slot: Any, started: Future[MixdeskError | None]) -> None:
        """Put an actor among the idle ones; in its place the error, where it could not start."""
        error = started.exception()
        if error is not None:
            self._idle.put(
                InputError(
                    "an actor could not start on the cluster",
                    value=_last_line(error),
                    bound="the same mixdesk, Python and Ray on every node",
                    remedy="install mixdesk with the extra `cluster` on every node",
                )
            )
        elif (refusal := started.result()) is not None:
            self._idle.put(refusal)
        else:
            with self._lock:
                if not self._is_closed:
                    self._ready.append(slot)
            self._idle.put(slot)


def _follow(slot: Any, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result | MixdeskError:
    """Report an actor's events; its answer."""
    for reference in slot.train.remote(spec, out):
        said = ray.get(reference)
        if not isinstance(said, Event):
            return said  # type: ignore[no-any-return]
        report(said)
    raise AssertionError("an actor ends with an answer")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2] or type(error).__name__
