from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError, WorkerError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan, TrialSpec
from mixdesk.core.registry import make
from mixdesk.core.scale import Scale
from mixdesk.core.trial import Event, Point
from mixdesk.trainers.command import Command

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_anything.py"
DOMAINS = ("asyncio", "email", "json")


def spec_of(weights: tuple[float, float, float] = (0.5, 0.3, 0.2), replicate: int = 0) -> TrialSpec:
    mixture = Mixture.of(dict(zip(DOMAINS, weights, strict=True)))
    return TrialSpec(
        plan=RunPlan(schedule=Schedule.constant(mixture), scale=Scale(n_tokens=60_000)), replicate=replicate
    )


def ignore(event: Event) -> None:
    """Outside programs report nothing on the way."""


def program(tmp_path: Path, body: str) -> Command:
    """A trainer that runs `body` with `spec` and `result` (paths) at hand."""
    path = tmp_path / "program.py"
    path.write_text(f"import json, sys, time\nspec, result = sys.argv[1:]\n{body}\n")
    return Command(command=(sys.executable, str(path)), timeout=20.0)


def writes(text: str) -> str:
    return f"open(result, 'w').write({text!r})"


def test_the_example_trains_something_real(tmp_path: Path) -> None:
    trainer = make("trainers", Plug(name="command", options=(("command", [sys.executable, str(EXAMPLE)]),)))
    bpb = {}
    for name, weights in {"json": (0.0, 0.0, 1.0), "email": (0.0, 1.0, 0.0)}.items():
        result = trainer.train(spec_of(weights), tmp_path / name, ignore)
        assert result.state == "done"
        assert result.points[-1].n_tokens == 60_000
        bpb[name] = dict(result.points[-1].metrics)
        assert all(2.0 < value < 8.0 for value in bpb[name].values())
    assert bpb["email"]["bpb/domain/email"] < bpb["json"]["bpb/domain/email"] - 0.1
    assert trainer.train(spec_of(), tmp_path / "a", ignore) == trainer.train(spec_of(), tmp_path / "b", ignore)
    assert "mixdesk" not in EXAMPLE.read_text().replace("knows nothing of mixdesk", "")


def test_the_program_is_told_the_question(tmp_path: Path) -> None:
    trainer = program(tmp_path, "print('hello'); " + writes('{"metrics": {"m": 1.5}}'))
    result = trainer.train(spec_of(replicate=4), tmp_path / "out", ignore)
    told = json.loads((tmp_path / "out" / "spec.json").read_text())
    assert told["id"] == spec_of(replicate=4).id
    assert told["mixture"] == {"asyncio": 0.5, "email": 0.3, "json": 0.2}
    assert (told["n_tokens"], told["replicate"], told["schema"]) == (60_000, 4, 1)
    assert told["spec"]["plan"]["schedule"]["stages"][0]["mixture"]["weights"] == [0.5, 0.3, 0.2]
    assert result.points == (Point(n_tokens=60_000, metrics=(("m", 1.5),)),)
    assert "hello" in (tmp_path / "out" / "log").read_text()


def test_places_in_the_command_are_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import json, pathlib, sys; a, b, c = sys.argv[1:]; "
        "pathlib.Path(b[4:]).write_text(json.dumps({'metrics': {'m': 1}, 'message': f'{a} {c} {pathlib.Path.cwd()}'}))"
    )
    monkeypatch.chdir(tmp_path)
    Path("run.py").write_text(script)
    trainer = Command(command=f"{sys.executable} run.py {{out}} --r={{result}} {{spec}}")
    result = trainer.train(spec_of(), Path("out"), ignore)
    out = tmp_path.resolve() / "out"
    assert result.message == f"{out} {out / 'spec.json'} {out}"


def test_a_long_result_keeps_its_curve_and_costs(tmp_path: Path) -> None:
    answer = {
        "schema": 1,
        "state": "done",
        "points": [{"n_tokens": 10, "metrics": {"m": 2.0}}, {"n_tokens": 20, "metrics": {"m": 1.0}}],
        "domain_tokens": {"json": 20},
        "flops": 1e9,
        "seconds": 2,
    }
    result = program(tmp_path, writes(json.dumps(answer))).train(spec_of(), tmp_path / "out", ignore)
    assert [dict(point.metrics)["m"] for point in result.points] == [2.0, 1.0]
    assert (result.domain_tokens, result.flops, result.seconds) == ((("json", 20.0),), 1e9, 2.0)


def test_diverged_is_an_answer(tmp_path: Path) -> None:
    body = writes('{"state": "diverged", "message": "loss 1e9"}')
    assert program(tmp_path, body).train(spec_of(), tmp_path / "out", ignore).state == "diverged"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('no GPU here'); sys.exit(3)", "exit status 3; its log ends: no GPU here"),
        ("raise SystemExit('out of memory')", "out of memory"),
        ("pass", "left no readable result"),
        (writes("{"), "not JSON"),
        (writes("[1]"), "not an object"),
        (writes('{"metrics": {"m": NaN}}'), "the number NaN"),
        (writes('{"metrics": {"m": 1e999}}'), "out of range"),
        (writes('{"metrics": {"m": "1.5"}}'), "`m` is not a number"),
        (writes('{"metrics": {"m": true}}'), "`m` is not a number"),
        (writes('{"metrics": {}}'), "nothing was measured"),
        (writes('{"metrics": {"m": 1}, "points": []}'), "both `metrics` and `points`"),
        (writes('{"metrics": [1]}'), "breaks the contract"),
        (writes('{"state": "done"}'), "nothing was measured"),
        (writes('{"state": "fine", "metrics": {"m": 1}}'), "unknown state `fine`"),
        (writes('{"metric": {"m": 1}}'), "unknown key `metric`"),
        (
            writes('{"points": [{"n_tokens": 2, "metrics": {"m": 1}}, {"n_tokens": 1, "metrics": {"m": 1}}]}'),
            "does not grow",
        ),
    ],
)
def test_what_breaks_the_contract_is_a_worker_error(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(WorkerError) as caught:
        program(tmp_path, body).train(spec_of(), tmp_path / "out", ignore)
    assert message in str(caught.value)


def test_an_old_result_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    program(tmp_path, writes('{"metrics": {"m": 1}}')).train(spec_of(), tmp_path / "out", ignore)
    with pytest.raises(WorkerError, match="left no readable result"):
        program(tmp_path, "pass").train(spec_of(), tmp_path / "out", ignore)


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    sign = tmp_path / "child"
    child = f"import time; time.sleep(1.5); open({str(sign)!r}, 'w')"
    body = f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    trainer = Command(command=program(tmp_path, body).command, timeout=1.0)
    started = time.monotonic()
    with pytest.raises(WorkerError, match="no end after 1 seconds"):
        trainer.train(spec_of(), tmp_path / "out", ignore)
    assert time.monotonic() - started < 10
    time.sleep(1.0)
    assert not sign.exists()


def test_close_ends_the_programs_that_run(tmp_path: Path) -> None:
    sign = tmp_path / "out" / "pid"
    trainer = program(tmp_path, f"import os; open({str(sign)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(15)")
    with ThreadPoolExecutor() as pool:
        training = pool.submit(trainer.train, spec_of(), tmp_path / "out", ignore)
        while not (sign.exists() and sign.read_text().endswith("\n")):
            assert not training.done()
            time.sleep(0.01)
        trainer.close()
        with pytest.raises(WorkerError, match="exit status -9"):
            training.result()
    with pytest.raises(ProcessLookupError):
        os.kill(int(sign.read_text()), 0)


def test_programs_that_cannot_run_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be started"):
        Command(command="/no/such/program").train(spec_of(), tmp_path, ignore)
    with pytest.raises(InputError, match="`command` is empty"):
        Command(command="")
    with pytest.raises(InputError, match="`timeout`"):
        Command(command="true", timeout=0.0)
