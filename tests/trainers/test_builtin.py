from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError, MissingExtra, WorkerError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan, TrialSpec
from mixdesk.core.registry import make
from mixdesk.core.scale import Hyper, ModelSpec, Scale
from mixdesk.core.trial import Event
from mixdesk.trainers.builtin import Builtin

LONG = 100_000  # steps nobody waits for


def spec_of(n_steps: int = 60, replicate: int = 0) -> TrialSpec:
    plan = RunPlan(
        schedule=Schedule.constant(Mixture.of({"asyncio": 0.5, "email": 0.3, "json": 0.2})),
        scale=Scale(n_tokens=128 * n_steps),
        model=ModelSpec(n_layers=1, d_model=32, n_heads=2, vocab_size=512, seq_len=32),
        hyper=Hyper(batch_tokens=128),
    )
    return TrialSpec(plan=plan, replicate=replicate)


def ignore(event: Event) -> None:
    """For trials whose curve is not looked at."""


@pytest.fixture(scope="module")
def trainer(pico_corpus: Path) -> Iterator[Builtin]:
    made = make("trainers", Plug(name="builtin"), corpus=str(pico_corpus))
    yield made
    made.close()


def test_a_trial_is_answered_and_its_curve_reported(trainer: Builtin, tmp_path: Path) -> None:
    events: list[Event] = []
    result = trainer.train(spec_of(), tmp_path, events.append)
    assert result.state == "done"
    assert [(event.kind, event.trial) for event in events] == [("point", spec_of().id)] * 2
    assert tuple(event.point for event in events) == result.points[:-1]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_one_process_answers_many_trials_and_threads_have_their_own(trainer: Builtin, tmp_path: Path) -> None:
    trainer.train(spec_of(), tmp_path / "0", ignore)
    [only] = trainer._pool.alive
    trainer.train(spec_of(replicate=1), tmp_path / "1", ignore)
    assert trainer._pool.alive == {only}
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda r: trainer.train(spec_of(100, r), tmp_path / f"t{r}", ignore), (2, 3)))
    assert results[0].points != results[1].points
    workers = set(trainer._pool.alive)
    assert len(workers) == 2
    trainer.close()
    assert all(worker.poll() is not None for worker in workers)
    assert trainer._pool.alive == set()


def test_what_the_engine_refuses_is_an_input_error_and_the_worker_stays(trainer: Builtin, tmp_path: Path) -> None:
    trainer.train(spec_of(), tmp_path / "a", ignore)
    alive = set(trainer._pool.alive)
    with pytest.raises(InputError, match="too short to be measured"):
        trainer.train(spec_of(n_steps=1), tmp_path / "b", ignore)
    assert trainer.train(spec_of(replicate=1), tmp_path / "c", ignore).state == "done"
    assert trainer._pool.alive == alive


def test_a_missing_corpus_is_an_input_error(tmp_path: Path) -> None:
    trainer = Builtin(corpus=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="holds no corpus"):
        trainer.train(spec_of(), tmp_path, ignore)
    trainer.close()


def test_a_trial_that_takes_too_long_is_killed(pico_corpus: Path, tmp_path: Path) -> None:
    trainer = Builtin(corpus=str(pico_corpus), timeout=1.0)
    with pytest.raises(WorkerError, match="ran out of time"):
        trainer.train(spec_of(LONG), tmp_path / "long", ignore)
    assert trainer._pool.alive == set()


def test_a_killed_worker_is_an_error_with_its_log_and_the_next_call_works(trainer: Builtin, tmp_path: Path) -> None:
    trainer.train(spec_of(), tmp_path / "a", ignore)
    [worker] = trainer._pool.idle
    killer = threading.Timer(0.3, lambda: os.kill(worker.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(WorkerError, match=r"ended before its answer.*status -9.*an empty log"):
        trainer.train(spec_of(LONG), tmp_path / "b", ignore)
    killer.join()
    assert trainer.train(spec_of(replicate=2), tmp_path / "c", ignore).state == "done"


def test_a_crash_shows_the_end_of_the_log(pico_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "torch.py").write_text("raise RuntimeError('this torch is broken')")
    with pytest.raises(WorkerError, match="this torch is broken"):
        Builtin(corpus=str(pico_corpus)).train(spec_of(), tmp_path / "a", ignore)


def test_a_failing_report_does_not_leave_a_worker_in_mid_trial(trainer: Builtin, tmp_path: Path) -> None:
    def full(event: Event) -> None:
        raise InputError("the disk is full", value=0, bound="room", remedy="free some")

    with pytest.raises(InputError, match="disk is full"):
        trainer.train(spec_of(400), tmp_path, full)
    assert trainer._pool.alive == set()


def test_closing_ends_a_trial_in_another_thread(trainer: Builtin, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(trainer.train, spec_of(LONG), tmp_path, ignore)
        wait_until(lambda: bool(trainer._pool.alive) and not trainer._pool.idle)
        trainer.close()
        with pytest.raises(WorkerError, match="ended before its answer"):
            call.result(30)


def test_a_killed_parent_leaves_no_orphan(pico_corpus: Path, tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_builtin import Builtin, LONG, ignore, spec_of
        Builtin(corpus={str(pico_corpus)!r}).train(spec_of(LONG), Path({str(tmp_path)!r}), ignore)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    marker = str(pico_corpus).encode()
    wait_until(lambda: bool(workers_of(marker)) and (tmp_path / "log").exists())
    [pid] = workers_of(marker)
    parent.kill()
    parent.wait()
    wait_until(lambda: pid not in workers_of(marker))
    assert pid not in workers_of(marker)


def test_without_torch_the_extra_is_named_before_any_process_starts(
    trainer: Builtin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    with pytest.raises(MissingExtra, match=r"mixdesk\[train\]"):
        trainer.train(spec_of(), tmp_path, ignore)
    assert list(tmp_path.iterdir()) == []


def workers_of(marker: bytes) -> list[int]:
    """Process ids of engine workers on a corpus (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mixdesk.engine.worker" in words and marker in words:
            found.append(int(folder.name))
    return found


def wait_until(ready: object, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
