"""The built-in engine in processes of its own: one thread each, kept alive from trial to trial.

A call of `train` takes an idle worker or starts one, so there are as many workers as threads that call. Workers end
with `close()`, and by themselves when this process ends in whatever way: their stdin is then closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

from mixdesk.core import checks, registry
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError, WorkerError
from mixdesk.core.files import from_data, to_data
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Event, Point, Result
from mixdesk.trainers import contract

Worker = subprocess.Popen[bytes]


@dataclass(slots=True)
class Pool:
    """Worker processes: `idle` ones wait for a request, `alive` are all that were started and not ended."""

    idle: list[Worker] = field(default_factory=list)
    alive: set[Worker] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, kw_only=True, slots=True)
class Builtin:
    """The built-in engine on a built corpus.

    Args:
        corpus: folder of the corpus.
        timeout: seconds one trial may take, the start of its process included.
        checkpoint_every: steps between checkpoints, from which a retried trial goes on; 0 = none.
        keep: leave each trial's final model in its folder, for trials that start from it or average it.
    """

    title: ClassVar[str] = "the built-in engine: small transformers on a built corpus"
    reference: ClassVar[str] = ""

    corpus: str
    timeout: float = 3600.0
    checkpoint_every: int = 0
    keep: bool = False
    _pool: Pool = field(default_factory=Pool, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put(
            self,
            timeout=checks.finite("timeout", self.timeout, 0.0, open_low=True),
            checkpoint_every=checks.count("checkpoint_every", self.checkpoint_every),
        )

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Train one trial in a worker; curve points are reported as they come.

        Raises:
            MissingExtra: torch or safetensors is not installed.
            InputError: the engine cannot train this spec on this corpus.
            WorkerError: the worker crashed or ran out of time; its process is gone, the next call has a fresh one.
        """
        registry.require("torch", "safetensors")
        out = out.resolve()
        out.mkdir(parents=True, exist_ok=True)
        request = {"spec": to_data(spec), "out": str(out), "checkpoint_every": self.checkpoint_every, "keep": self.keep}
        worker = self._take(out / "log")
        late = threading.Event()
        timer = threading.Timer(self.timeout, _expire, (worker, late))
        timer.start()
        try:
            answer = self._serve(worker, request, spec, report)
        except BaseException:  # from `report`, or Ctrl-C: the worker is in the middle of a trial
            self._end(worker)
            raise
        finally:
            timer.cancel()
        if answer is None:
            code = self._end(worker)
            raise WorkerError(
                f"the worker of trial {spec.id} " + ("ran out of time" if late.is_set() else "ended before its answer"),
                value=f"exit status {code}; its log ends: {contract.log_tail(out / 'log')}",
                bound=f"a result within {self.timeout:g} seconds",
                remedy=f"read {out / 'log'}; raise timeout where the trial is simply long",
            )
        with self._pool.lock:
            if worker in self._pool.alive:
                self._pool.idle.append(worker)
        if isinstance(answer, InputError):
            raise answer
        return answer

    def close(self) -> None:
        """End all workers, those in the middle of a trial too."""
        with self._pool.lock:
            workers = list(self._pool.alive)
            self._pool.idle.clear()
        for worker in workers:
            self._end(worker)

    def _serve(
        self, worker: Worker, request: dict[str, Any], spec: TrialSpec, report: Callable[[Event], None]
    ) -> Result | InputError | None:
        """Send one request and read its events: the result, the refusal, or None when the worker ended first."""
        stdin, stdout = _pipes(worker)
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return None
        while (event := _next_event(stdout)) is not None:
            if event["event"] == "result":
                return contract.parse_result(event["result"], spec)
            if event["event"] == "refused":
                return InputError(event["wrong"], value=event["value"], bound=event["bound"], remedy=event["remedy"])
            point = from_data(Point, event["point"])
            report(Event(trial=spec.id, kind="point", time=time.time(), point=point))
        return None

    def _take(self, log: Path) -> Worker:
        with self._pool.lock:
            while self._pool.idle:
                worker = self._pool.idle.pop()
                if worker.poll() is None:
                    return worker
                self._pool.alive.discard(worker)
        command = [sys.executable, "-m", "mixdesk.engine.worker", "--corpus", str(Path(self.corpus).resolve())]
        with log.open("ab") as handle:
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=handle,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C reaches this process alone, which then ends its workers
            )
        with self._pool.lock:
            self._pool.alive.add(worker)
        return worker

    def _end(self, worker: Worker) -> int:
        """Kill a worker and give back its pipes; its exit status."""
        with self._pool.lock:
            self._pool.alive.discard(worker)
        worker.kill()
        code = worker.wait()
        for pipe in _pipes(worker):
            with suppress(BrokenPipeError):  # a request that a dead worker never read is flushed once more
                pipe.close()
        return code


def _pipes(worker: Worker) -> tuple[IO[bytes], IO[bytes]]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    return worker.stdin, worker.stdout


def _expire(worker: Worker, late: threading.Event) -> None:
    late.set()
    worker.kill()


def _next_event(stdout: IO[bytes]) -> dict[str, Any] | None:
    """The next line as an event; None at the end, which may come in the middle of a line or of a `close()`."""
    try:
        event: dict[str, Any] = json.loads(stdout.readline())
    except ValueError:
        return None
    return event
