from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pico_trials import spec_of

from mixdesk.core.files import to_data


def request(out: Path, **settings: object) -> str:
    return json.dumps({"spec": to_data(spec_of(**settings)), "out": str(out)}) + "\n"


@pytest.fixture
def worker(pico_corpus: Path, tmp_path: Path):
    with (tmp_path / "start.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mixdesk.engine.worker", "--corpus", str(pico_corpus)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    with process:
        yield process
        process.kill()


def test_a_worker_serves_trial_after_trial_and_refuses_in_between(worker: subprocess.Popen, tmp_path: Path) -> None:
    def answers(line: str) -> list[dict]:
        worker.stdin.write(line)
        worker.stdin.flush()
        events = [json.loads(worker.stdout.readline())]
        while events[-1]["event"] == "point":
            events.append(json.loads(worker.stdout.readline()))
        return events

    first = answers(request(tmp_path / "a"))
    assert [event["event"] for event in first] == ["point", "point", "result"]
    assert first[-1]["result"]["points"][0] == first[0]["point"]
    parent = spec_of()
    spec = replace(parent, method="merge", parents=((parent.id, 1.0),))
    line = json.dumps({"spec": to_data(spec), "out": str(tmp_path / "m")}) + "\n"
    [refused] = answers(line)
    assert "no final model" in refused["wrong"]
    kept = answers(json.dumps({"spec": to_data(parent), "out": str(tmp_path / parent.id), "keep": True}) + "\n")
    [merged] = answers(line)
    assert merged["result"]["points"] == kept[-1]["result"]["points"][-1:]
    [refused] = answers(request(tmp_path / "b", n_steps=1))
    assert refused["event"] == "refused"
    assert "too short" in refused["wrong"]
    assert {"value", "bound", "remedy"} < set(refused)
    again = answers(request(tmp_path / "c"))
    assert again[-1]["result"]["points"] == first[-1]["result"]["points"]
    assert (tmp_path / "a" / "log").read_text() == ""


def test_a_worker_whose_stdin_ends_stops_in_the_middle_of_a_trial(worker: subprocess.Popen, tmp_path: Path) -> None:
    worker.stdin.write(request(tmp_path / "long", n_steps=100_000))
    worker.stdin.flush()
    wait_for(tmp_path / "long" / "log")
    assert worker.poll() is None
    worker.stdin.close()
    assert worker.wait(5) == 0
    assert worker.stdout.read() == ""


def test_an_unforeseen_error_ends_the_process_with_its_traceback_in_the_log(
    worker: subprocess.Popen, tmp_path: Path
) -> None:
    worker.stdin.write(json.dumps({"spec": to_data(spec_of()), "out": str(tmp_path / "x"), "keep": False}) + "\n")
    worker.stdin.write(json.dumps({"out": str(tmp_path / "y")}) + "\n")
    worker.stdin.flush()
    assert worker.wait(60) == 1
    assert "KeyError: 'spec'" in (tmp_path / "y" / "log").read_text()


def test_what_libraries_print_goes_to_the_log(pico_corpus: Path, tmp_path: Path) -> None:
    noise = """
        import builtins, os
        plain = builtins.__import__
        def noisy(name, *rest, **named):
            if name.startswith("torch"):
                os.write(1, b"noise\\n")
            return plain(name, *rest, **named)
        builtins.__import__ = noisy
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(noise))
    with (tmp_path / "start.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mixdesk.engine.worker", "--corpus", str(pico_corpus)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
    with process:
        process.stdin.write(request(tmp_path).encode())
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["event"] for _ in range(3)] == ["point", "point", "result"]
        process.kill()
    assert "noise" in (tmp_path / "start.log").read_text()


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.02)
