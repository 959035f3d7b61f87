"""The record of a study: what was asked and what happened, as an append-only SQLite file.

Two tables, both only ever appended to (triggers refuse anything else): `events` (seq, trial, kind, time, payload) and
`notes` (seq, kind, time, payload), where payloads are canonical JSON. The state of a trial is what its events add up
to (`replay`). Schema number: `PRAGMA user_version`.

Each append is one short transaction, handed to the system before it returns: `kill -9` loses and damages nothing. A
power cut damages nothing either, but may take back the last moments: their trials are then trained again. The journal
is a write-ahead log; on network file systems, which have no shared memory between machines, it is a rollback journal.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixdesk.core.errors import InputError, MixdeskError, RecordError
from mixdesk.core.files import canonical, fingerprint, from_data, to_data
from mixdesk.core.trial import Event, Result, Trial

SCHEMA = 1
# "mxdk": marks the file as ours, among all the SQLite files there are.
APPLICATION_ID = 0x6D78646B
# States that end a trial for good.
ANSWERED = ("done", "diverged")
# States of a trial that waits for its answer.
OPEN = ("waiting", "running")
# Seconds a writer waits for another one; a transaction takes milliseconds.
BUSY_SECONDS = 30.0
# File systems without shared memory between machines, where a write-ahead log is not safe.
NETWORK = frozenset({"nfs", "nfs4", "lustre", "cifs", "smb3", "9p", "ceph", "gpfs", "beegfs", "afs", "fuse.sshfs"})

_TABLES = tuple(
    statement
    for table, head in (("events", "trial TEXT NOT NULL, "), ("notes", ""))
    for statement in (
        f"CREATE TABLE {table} (seq INTEGER PRIMARY KEY, {head}kind TEXT NOT NULL, time REAL NOT NULL, "
        "payload TEXT NOT NULL)",
        f"CREATE TRIGGER {table}_keep_rows BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'append only'); END",
        f"CREATE TRIGGER {table}_keep_all BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'append only'); END",
    )
)


class Record:
    """A handle on a record file, usable from any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: Path, notes: Sequence[tuple[str, Any]], events: Iterable[Event] = ()) -> Record:
        """Make the file with its first notes and events, all in one transaction; what fails leaves no file behind.

        Raises:
            RecordError: there is a record already.
            InputError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"the folder `{path.parent}` could not be made",
                value=error.strerror or str(error),
                bound="a writable folder",
                remedy="choose another folder",
            ) from None
        record = cls(path, _connect(path, "rwc"))
        is_ours = False
        try:
            with _translated(path), record._transaction():
                if record._pragma("application_id") or record._query("SELECT 1 FROM sqlite_master LIMIT 1"):
                    raise RecordError(
                        f"`{path}` exists already",
                        value="a file with content",
                        bound="no record in this folder",
                        remedy="choose another folder, or go on with the study that is there",
                    )
                is_ours = True
                for statement in _TABLES:
                    record._connection.execute(statement)
                record._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                record._connection.execute(f"PRAGMA user_version = {SCHEMA}")
                record._insert(notes=notes, events=events)
            with _translated(path):
                if not is_on_network(path):
                    record._connection.execute("PRAGMA journal_mode = WAL")
                record._set_synchronous()
        except BaseException:
            record.close()
            for end in ("", "-wal", "-shm", "-journal") if is_ours else ():
                path.with_name(path.name + end).unlink(missing_ok=True)
            raise
        return record

    @classmethod
    def open(cls, path: Path) -> Record:
        """Open a record that exists; nothing is changed.

        Raises:
            RecordError: no such file, not a record, of a newer schema, or damaged.
        """
        if not path.is_file():
            raise RecordError(
                f"there is no study in `{path.parent}`",
                value=f"no {path.name}",
                bound="a folder with a record",
                remedy="check the path, or make a study: `mixdesk study new`",
            )
        record = cls(path, _connect(path, "rw"))
        try:
            with _translated(path):
                record._check()
                record._set_synchronous()
        except BaseException:
            record.close()
            raise
        return record

    def append(
        self, events: Iterable[Event] = (), notes: Iterable[tuple[str, Any]] = (), *, after: int | None = None
    ) -> bool:
        """Add events and notes (kind, JSON data), all in one transaction.

        Args:
            events: what happened.
            notes: what the record says of itself.
            after: add only if there are so many events by now; else nothing is added and False comes back.

        Raises:
            RecordError: the file is locked by another writer for long, full, or damaged.
        """
        with _translated(self.path), self._transaction():
            if after is not None and self._query("SELECT MAX(seq) FROM events") != [(after or None,)]:
                return False
            self._insert(notes=notes, events=events)
            return True

    def events(self, after: int = 0) -> tuple[Event, ...]:
        """All events in the order they happened, the first `after` left out.

        Raises:
            RecordError: the file is damaged.
        """
        with _translated(self.path):
            rows = self._query("SELECT seq, trial, kind, time, payload FROM events WHERE seq > ? ORDER BY seq", after)
        if [row[0] for row in rows] != list(range(after + 1, after + 1 + len(rows))):
            raise _damaged(self.path, "events are missing from the sequence")
        return tuple(
            self._event({"trial": trial, "kind": kind, "time": at, **self._json(payload)}, f"event {seq}")
            for seq, trial, kind, at, payload in rows
        )

    def notes(self, kind: str) -> list[Any]:
        """Payloads of the notes of one kind, oldest first."""
        with _translated(self.path):
            rows = self._query("SELECT payload FROM notes WHERE kind = ? ORDER BY seq", kind)
        return [self._json(payload) for (payload,) in rows]

    def sha256(self) -> str:
        """`trials_sha256` of what the events add up to."""
        return trials_sha256(replay(self.events()))

    def close(self) -> None:
        """Give back the file."""
        with self._lock:
            self._connection.close()

    def _insert(self, notes: Iterable[tuple[str, Any]], events: Iterable[Event]) -> None:
        now = time.time()
        self._connection.executemany(
            "INSERT INTO notes (kind, time, payload) VALUES (?, ?, ?)",
            [
                (kind, now, json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False))
                for kind, data in notes
            ],
        )
        self._connection.executemany(
            "INSERT INTO events (trial, kind, time, payload) VALUES (?, ?, ?, ?)",
            [(event.trial, event.kind, event.time, _payload(event)) for event in events],
        )

    def _check(self) -> None:
        if self._pragma("application_id") != APPLICATION_ID:
            raise RecordError(
                f"`{self.path}` is not the record of a study",
                value="another kind of SQLite file, or an empty one",
                bound="a file that mixdesk made",
                remedy="check the path; a study that was killed while it was made can simply be made again",
            )
        version = self._pragma("user_version")
        if version > SCHEMA:
            raise RecordError(
                f"`{self.path}` was written by a newer mixdesk",
                value=f"schema {version}",
                bound=f"schema ≤ {SCHEMA}",
                remedy="install the newer version",
            )
        found = self._query("PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise _damaged(self.path, str(found[0][0]))

    def _set_synchronous(self) -> None:
        """With a write-ahead log, waiting for the disk at each checkpoint is enough to keep the file sound."""
        is_wal = self._query("PRAGMA journal_mode") == [("wal",)]
        self._connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_wal else 'FULL'}")

    def _pragma(self, name: str) -> int:
        return int(self._query(f"PRAGMA {name}")[0][0])

    def _query(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise _damaged(self.path, f"a payload is not JSON: {error.msg}") from None

    def _event(self, data: Any, where: str) -> Event:
        try:
            return from_data(Event, data, where)
        except MixdeskError as error:
            raise _damaged(self.path, str(error)) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def is_made(path: Path) -> bool:
    """Whether a file with content is there; the empty one of a study that was killed while it was made is none."""
    return path.exists() and path.stat().st_size > 0


def replay(events: Iterable[Event]) -> tuple[Trial, ...]:
    """The trials that some events add up to, in the order asked.

    `asked` makes a trial wait, `started` starts it (again) without points, `point` adds one, `done` answers, `failed`
    ends it without answer. The first answer stands: what comes after done or diverged is ignored, but for metrics that
    a later `done` brings and the last point does not have yet.

    Raises:
        RecordError: an event of a trial that was never asked.
    """
    return tuple(add_up(events, {}).values())


def add_up(events: Iterable[Event], before: Mapping[str, Trial]) -> dict[str, Trial]:
    """Trial id → trial after some more events: `replay` in steps."""
    state = dict(before)
    for event in events:
        if event.kind == "asked" and event.spec is not None:
            state.setdefault(event.trial, Trial(spec=event.spec, rung=event.rung, why=event.why))
        elif event.trial not in state:
            raise RecordError(
                f"the record speaks of trial `{event.trial}`, which was never asked",
                value=f"an event `{event.kind}`",
                bound="an event `asked` before it",
                remedy="restore the record from a copy",
            )
        elif state[event.trial].state not in ANSWERED:
            state[event.trial] = _after(state[event.trial], event)
        elif event.result is not None:
            state[event.trial] = completed(state[event.trial], event.result)
    return state


def completed(trial: Trial, result: Result) -> Trial:
    """A done trial whose last point also has the metrics that it lacks and a later result's last point has."""
    if trial.state != "done" or result.state != "done" or not result.points:
        return trial
    have = dict(trial.points[-1].metrics) if trial.points else {}
    more = {name: value for name, value in result.points[-1].metrics if name not in have}
    if not more:
        return trial
    last = trial.points[-1] if trial.points else result.points[-1]
    return replace(trial, points=(*trial.points[:-1], replace(last, metrics=tuple((have | more).items()))))


def _after(trial: Trial, event: Event) -> Trial:
    if event.kind == "started":
        return replace(trial, state="running", points=(), message="")
    if event.kind == "point" and event.point is not None:
        return replace(trial, points=(*trial.points, event.point))
    if event.kind == "failed":
        return replace(trial, state="failed", message=event.message)
    if event.kind == "done" and event.result is not None:
        result = event.result
        return replace(
            trial,
            state=result.state,
            points=result.points,
            domain_tokens=result.domain_tokens,
            flops=result.flops,
            seconds=result.seconds,
            message=result.message,
        )
    return trial


def trials_sha256(trials: Iterable[Trial]) -> str:
    """Hex sha256 of trials in the order asked, without `seconds` and `message`.

    Clocks, retries and the order in which workers finished leave no trace: two studies that asked and measured the
    same have the same hash.
    """
    return fingerprint(*(canonical(replace(trial, seconds=None, message="")) for trial in trials))


def is_on_network(path: Path, mounts: str | None = None) -> bool:
    """Whether a path lies on a network file system, by the kernel's table of mounts (no table: not)."""
    if mounts is None:
        table = Path("/proc/self/mounts")
        mounts = table.read_text(encoding="utf-8", errors="replace") if table.exists() else ""
    above = {str(folder) for folder in (path.resolve(), *path.resolve().parents)}
    found = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    held = [(mount.replace("\\040", " "), kind) for mount, kind in found]
    held = [(mount, kind) for mount, kind in held if mount in above]
    return bool(held) and max(held, key=lambda pair: len(pair[0]))[1] in NETWORK


def _payload(event: Event) -> str:
    data = to_data(event, lean=True)
    return _dumps({key: value for key, value in data.items() if key not in ("trial", "kind", "time")})


def _dumps(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    with _translated(path):
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as a RecordError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RecordError(
            f"the record `{path}` could not be read or written",
            value=str(error),
            bound="a file that this process may use, on a disk with room",
            remedy="free some space, lift the limit or end the program that holds it; what was recorded is kept",
        ) from None
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, why: str) -> RecordError:
    return RecordError(
        f"the record `{path}` is damaged", value=why, bound="an intact SQLite file", remedy="restore it from a copy"
    )
