"""Any outside program as a trainer: it reads `spec.json` and writes `result.json` (see `contract.py`).

The program runs in the trial's folder, in a process group of its own that is ended whole on a time-out or Ctrl-C. What
it prints goes to `log` in that folder.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError, WorkerError
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Event, Result
from mixdesk.trainers import contract


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """An outside program.

    Args:
        command: program and arguments, as a list or as one line of shell words (no shell is run). `{spec}`, `{result}`
            and `{out}` are replaced by the absolute paths of spec.json, result.json and the trial's folder; without any
            of the three, the first two are appended. An argument that names an existing file is made absolute, for the
            program runs in the trial's folder.
        timeout: seconds one trial may take.
    """

    title: ClassVar[str] = "any outside program: spec.json in, result.json out"
    reference: ClassVar[str] = ""

    command: tuple[str, ...] | str
    timeout: float = 3600.0
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = tuple(shlex.split(self.command)) if isinstance(self.command, str) else tuple(self.command)
        if not words or not all(isinstance(word, str) for word in words):
            raise InputError(
                "`command` is empty", value=self.command, bound="a program and its arguments", remedy="name a program"
            )
        put(self, command=words, timeout=checks.finite("timeout", self.timeout, 0.0, open_low=True))

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Run the program once and read its result; nothing is reported on the way.

        Raises:
            InputError: the program does not exist or may not be run.
            WorkerError: it ended with an error, ran out of time, or broke the contract.
        """
        out = out.resolve()
        paths = {"{spec}": str(contract.write_spec(spec, out)), "{result}": str(out / "result.json"), "{out}": str(out)}
        (out / "result.json").unlink(missing_ok=True)
        code = self._run(self._words(paths), out)
        if code != 0:
            ended = f"no end after {self.timeout:g} seconds" if code is None else f"exit status {code}"
            raise WorkerError(
                f"the program of trial {spec.id} " + ("ran out of time" if code is None else "failed"),
                value=f"{ended}; its log ends: {contract.log_tail(out / 'log')}",
                bound="exit status 0 within the time-out",
                remedy=f"read {out / 'log'}, correct the program" + (" or raise timeout" if code is None else ""),
            )
        return contract.read_result(out / "result.json", spec)

    def close(self) -> None:
        """End the programs that run."""
        for process in list(self._running):
            _end(process)

    def _words(self, paths: dict[str, str]) -> list[str]:
        words = [str(Path(word).absolute()) if Path(word).is_file() else word for word in self.command]
        if not any(mark in word for word in words for mark in paths):
            words += [paths["{spec}"], paths["{result}"]]
        for mark, path in paths.items():
            words = [word.replace(mark, path) for word in words]
        return words

    def _run(self, words: list[str], out: Path) -> int | None:
        """Exit status, or None when the time was up."""
        with (out / "log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    words, cwd=out, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise InputError(
                    f"`{words[0]}` could not be started",
                    value=error.strerror or str(error),
                    bound="a program on the path, or an absolute path",
                    remedy="correct `command`",
                ) from None
            self._running.add(process)
            try:
                return process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                self._running.discard(process)
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs, with its children."""
    if process.poll() is None:
        with suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
