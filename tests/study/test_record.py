"""The record: what is appended is what is read, prefixes are prefixes, and no foreign file is touched."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_runs import DOMAINS, score

from mixdesk.core.errors import InputError, RecordError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.trial import Event, Lease, Point, Result
from mixdesk.study.record import SCHEMA, Record, add_up, is_on_network, replay, trials_sha256

NOTES = [("config", {"name": "x"}), ("note", "a sentence")]
SPECS = [
    TrialSpec(plan=RunPlan(schedule=Schedule.constant(Mixture.uniform(DOMAINS))), replicate=replicate)
    for replicate in range(4)
]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.builds(
    Point, n_tokens=st.integers(0, 2**40), metrics=st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS).map(dict)
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in any order that can happen: a trial is asked before anything else is said of it."""
    events: list[Event] = []
    known: list[TrialSpec] = []
    for clock in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["asked", "started", "point", "done", "failed", "lease"])) if known else "asked"
        spec = draw(st.sampled_from(SPECS if kind == "asked" else known))
        known.append(spec)
        point, result, lease = None, None, None
        if kind == "point":
            point = draw(POINTS)
        if kind == "done":
            state = draw(st.sampled_from(["done", "diverged", "failed"]))
            result = Result(state=state, points=tuple(draw(st.lists(POINTS, max_size=2))), seconds=draw(NUMBERS))
        if kind == "lease":
            lease = Lease(trial=spec.id, holder="me", until=1.0)
        events.append(
            Event(
                trial=spec.id,
                kind=kind,
                time=float(clock),
                spec=spec if kind == "asked" else None,
                point=point,
                result=result,
                lease=lease,
                message="broken" if kind == "failed" else "",
            )
        )
    return events


@settings(deadline=None, max_examples=40)
@given(events=histories(), cut=st.integers(0, 25))
def test_replaying_a_prefix_of_the_events_is_a_prefix_of_the_state(events: list[Event], cut: int) -> None:
    before, whole = replay(events[:cut]), replay(events)
    assert [trial.id for trial in before] == [trial.id for trial in whole][: len(before)]
    for early, late in zip(before, whole, strict=False):
        if early.state == "diverged":
            assert early == late
        if early.state == "done":  # what was told stands; what was missing at the last point may be added
            assert early.final.items() <= late.final.items()
            assert replace(early, points=early.points[:-1]) == replace(
                late, points=late.points[: len(early.points)][:-1]
            )
    assert tuple(add_up(events[cut:], add_up(events[:cut], {})).values()) == whole


@settings(deadline=None, max_examples=25)
@given(events=histories(), cut=st.integers(0, 25))
def test_what_is_appended_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], cut: int
) -> None:
    path = tmp_path_factory.mktemp("record") / "study.db"
    record = Record.create(path, NOTES, events[:cut])
    record.append(events[cut:])
    record.close()
    again = Record.open(path)
    assert again.events() == tuple(events)
    assert again.events(after=cut) == tuple(events[cut:])
    assert again.notes("note") == ["a sentence"]
    assert again.sha256() == trials_sha256(replay(events))
    again.close()


def test_clocks_retries_and_messages_leave_no_trace_in_the_hash() -> None:
    spec = SPECS[0]
    points = tuple(Point(n_tokens=n, metrics=tuple(score(spec, n).items())) for n in (10, 20))
    asked = Event(trial=spec.id, kind="asked", time=1.0, spec=spec)
    done = Event(trial=spec.id, kind="done", time=9.0, result=Result(state="done", points=points, seconds=5.0))
    plain = [asked, Event(trial=spec.id, kind="started", time=2.0), done]
    bumpy = [
        replace(asked, time=100.0),
        Event(trial=spec.id, kind="started", time=101.0),
        Event(trial=spec.id, kind="point", time=102.0, point=points[0]),
        Event(trial=spec.id, kind="started", time=200.0),
        replace(done, result=Result(state="done", points=points, seconds=77.0)),
    ]
    assert trials_sha256(replay(plain)) == trials_sha256(replay(bumpy))
    other = replace(done, result=Result(state="done", points=points[:1], seconds=5.0))
    assert trials_sha256(replay([asked, other])) != trials_sha256(replay(plain))


def test_appending_after_a_moment_that_has_passed_adds_nothing(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "study.db", NOTES)
    asked = Event(trial=SPECS[0].id, kind="asked", time=1.0, spec=SPECS[0])
    assert not record.append([asked], after=1)
    assert record.append([asked], after=0)
    assert not record.append([asked], after=0)
    assert record.append([replace(asked, time=2.0)], after=1)
    assert [event.time for event in record.events()] == [1.0, 2.0]
    record.close()


def test_states_follow_the_events() -> None:
    spec = SPECS[0]
    point = Point(n_tokens=1, metrics=(("a", 1.0),))

    def event(kind: str, **fields: object) -> Event:
        return Event(trial=spec.id, kind=kind, time=0.0, **fields)

    events = [event("asked", spec=spec, why="first", rung="proxy"), event("started"), event("point", point=point)]
    assert [replay(events[:n])[0].state for n in (1, 2, 3)] == ["waiting", "running", "running"]
    assert replay(events)[0].points == (point,)
    assert replay([*events, event("started")])[0].points == ()
    failed = replay([*events, event("failed", message="gone")])[0]
    assert (failed.state, failed.message, failed.why, failed.rung) == ("failed", "gone", "first", "proxy")
    answer = event("done", result=Result(state="done", points=(point, point), flops=2.0))
    told = replay([*events, event("failed", message="gone"), answer])[0]
    assert (told.state, told.points, told.flops, told.message) == ("done", (point, point), 2.0, "")
    assert replay([*events, answer, event("started"), event("failed"), event("asked", spec=spec)])[0] == told


def test_an_event_of_an_unknown_trial_is_an_error() -> None:
    with pytest.raises(RecordError, match="never asked"):
        replay([Event(trial="abc", kind="started", time=0.0)])


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "study.db", NOTES)
    good = Event(trial=SPECS[0].id, kind="asked", time=0.0, spec=SPECS[0])

    def batch():  # type: ignore[no-untyped-def]
        yield good
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record.append(batch())
    assert record.events() == ()
    record.append([good])
    assert record.events() == (good,)
    record.close()


def test_rows_are_never_updated_or_deleted(tmp_path: Path) -> None:
    Record.create(tmp_path / "study.db", NOTES, [Event(trial="a", kind="asked", time=0.0, spec=SPECS[0])]).close()
    connection = sqlite3.connect(tmp_path / "study.db")
    for statement in ("UPDATE events SET time = 5", "DELETE FROM events", "DELETE FROM notes"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    connection.close()


def _text(path: Path) -> None:
    path.write_text("weights,scores\n" * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (seq INTEGER)")
    connection.close()


def _newer(path: Path) -> None:
    Record.create(path, NOTES).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()


def _cut(path: Path) -> None:
    events = [Event(trial=spec.id, kind="asked", time=0.0, spec=spec, why="x" * 3000) for spec in SPECS]
    Record.create(path, NOTES, events).close()
    path.write_bytes(path.read_bytes()[:-5000])


def _overwritten(path: Path) -> None:
    events = [Event(trial=spec.id, kind="asked", time=0.0, spec=spec, why="x" * 3000) for spec in SPECS]
    Record.create(path, NOTES, events).close()
    raw = bytearray(path.read_bytes())
    raw[4096 : 4096 + 2000] = b"\xff" * 2000
    path.write_bytes(raw)


@pytest.mark.parametrize("make", [_text, _foreign, _newer, _cut, _overwritten, Path.touch])
def test_a_file_that_is_no_sound_record_is_refused_and_left_alone(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "study.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(RecordError) as caught:
        Record.open(path)
    assert all((caught.value.wrong, caught.value.bound, caught.value.remedy))
    assert path.read_bytes() == before


def test_no_record_is_made_over_another_file(tmp_path: Path) -> None:
    for make in (_text, _foreign, _newer):
        path = tmp_path / make.__name__
        make(path)
        before = path.read_bytes()
        with pytest.raises(RecordError):
            Record.create(path, NOTES)
        assert path.read_bytes() == before


def test_a_record_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    Record.create(tmp_path / "study.db", NOTES).close()
    assert Record.open(tmp_path / "study.db").notes("config") == [{"name": "x"}]


def test_a_record_that_could_not_be_made_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Record.create(tmp_path / "study.db", [("config", float("nan"))])
    assert list(tmp_path.iterdir()) == []


def test_missing_rows_and_broken_payloads_are_damage(tmp_path: Path) -> None:
    for i, statement in enumerate(
        ("DELETE FROM events WHERE seq = 2", "UPDATE events SET payload = '{' WHERE seq = 2")
    ):
        path = tmp_path / f"{i}.db"
        Record.create(path, NOTES, [Event(trial=s.id, kind="asked", time=0.0, spec=s) for s in SPECS]).close()
        connection = sqlite3.connect(path, isolation_level=None)
        for trigger in ("events_keep_rows", "events_keep_all"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)
        connection.close()
        record = Record.open(path)
        with pytest.raises(RecordError, match="damaged"):
            record.events()
        record.close()


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        Record.create(tmp_path / "file" / "study.db", NOTES)


def test_network_file_systems_are_recognised(tmp_path: Path) -> None:
    here = str(tmp_path.resolve())
    table = f"/dev/vda / ext4 rw 0 0\nserver:/home {here} nfs4 rw 0 0\n"
    assert is_on_network(tmp_path / "study.db", table)
    assert not is_on_network(tmp_path / "study.db", table + f"/dev/vdb {here}/study.db ext4 rw 0 0\n")
    assert not is_on_network(tmp_path / "study.db", f"/dev/vda / ext4 rw 0 0\nserver:/home {here}x nfs4 rw 0 0\n")
    assert not is_on_network(tmp_path / "study.db", "")
