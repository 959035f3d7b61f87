"""The runner of a Ray cluster, on a real one of two processes: the same study as on one machine, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import study_runs
from study_runs import N_TRIALS, Calculator, Climb, Doomed, Visitor, comparable, small_config

from mixdesk.core import registry
from mixdesk.core.errors import InputError, RecordError
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget
from mixdesk.core.trial import Event, Trial
from mixdesk.study import local
from mixdesk.study.record import Record
from mixdesk.study.study import Study

ray = pytest.importorskip("ray")
cluster = pytest.importorskip("mixdesk.study.cluster")

# Driver of a study of its own on the cluster at an address: python -c DRIVER FOLDER ADDRESS SECONDS.
DRIVER = f"""
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {str(Path(study_runs.__file__).parent)!r})
from study_runs import Calculator, Climb, small_config
from mixdesk.study import cluster
from mixdesk.study.study import Study
study = Study.create(Path(sys.argv[1]), small_config())
try:
    cluster.run(study, Climb(), partial(Calculator, seconds=float(sys.argv[3])), address=sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two CPUs that this process has joined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(study_runs.__file__).parent), prepend=os.pathsep)
        joined = ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000, logging_level=40
        )
        yield joined.address_info["address"]
        ray.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], str]:
    """Trials and hash of the study on one machine."""
    study = Study.create(tmp_path_factory.mktemp("undisturbed"), small_config())
    local.run(study, Climb(), Calculator(), jobs=1)
    view = study.view()
    return [comparable(trial) for trial in view.trials], view.record_sha256


def events_of(folder: Path) -> list[Event]:
    return list(Record.open(folder / "study.db").events())


def assert_equal_to(undisturbed: tuple[list[Trial], str], folder: Path) -> None:
    """The same trials, each answered once."""
    view = Study.open(folder).view()
    assert [comparable(trial) for trial in view.trials] == undisturbed[0]
    assert view.record_sha256 == undisturbed[1]
    done = Counter(event.trial for event in events_of(folder) if event.kind == "done")
    assert done == {trial.id: 1 for trial in undisturbed[0]}


@pytest.mark.usefixtures("address")
def test_two_actors_answer_as_one_machine_does(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    (tmp_path / "pids").mkdir()
    make = partial(Visitor, folder=tmp_path / "pids", n_peers=2)
    study = Study.create(tmp_path / "study", small_config())
    summary = cluster.run(study, Climb(), make, progress=lambda *what: calls.append(what))
    assert (summary.n_done, summary.n_diverged, summary.n_failed) == (N_TRIALS, 0, 0)
    assert calls[-1] == ("trials", N_TRIALS, N_TRIALS)
    assert_equal_to(undisturbed, tmp_path / "study")
    pids = {int(path.name.removeprefix("pid-")) for path in (tmp_path / "pids").iterdir()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all(trial.seconds is not None for trial in study.view().trials)
    # Curve points come one by one, before the answer.
    assert [event.kind for event in events_of(tmp_path / "study")].count("point") == 3 * N_TRIALS


@pytest.mark.usefixtures("address")
def test_an_actor_that_is_killed_in_mid_trial_costs_no_trial(
    undisturbed: tuple[list[Trial], str], tmp_path: Path
) -> None:
    study = Study.create(tmp_path, small_config())
    summary = cluster.run(study, Climb(), partial(Doomed, folder=tmp_path, moment="training"))
    assert (tmp_path / "killed").exists()
    assert (summary.n_done, summary.n_failed) == (N_TRIALS, 0)
    assert_equal_to(undisturbed, tmp_path)
    started = Counter(event.trial for event in events_of(tmp_path) if event.kind == "started")
    assert sorted(started.values()) == [1] * (N_TRIALS - 1) + [2]


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_actors_that_die_between_rounds_cost_no_attempt(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    def kill_all(what: str, done: int, total: int) -> None:
        if done == total == 4:
            for path in tmp_path.glob("pid-*"):
                os.kill(int(path.name.removeprefix("pid-")), signal.SIGKILL)

    study = Study.create(tmp_path / "study", small_config())
    cluster.run(study, Climb(), partial(Visitor, folder=tmp_path, n_peers=2), progress=kill_all)
    assert_equal_to(undisturbed, tmp_path / "study")
    assert len(list(tmp_path.glob("pid-*"))) >= 3
    assert [event.kind for event in events_of(tmp_path / "study")].count("started") == N_TRIALS


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_trial_that_kills_two_actors_is_failed_and_the_run_goes_on(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", small_config(budget=Budget(n_trials=4)))
    specs = study.ask(Climb().ask(study.view(), 4))
    summary = cluster.run(study, Climb(), partial(Visitor, folder=tmp_path, deadly=(specs[0].id,)))
    assert (summary.n_done, summary.n_failed) == (3, 1)
    assert "the actor of trial" in study.trial(specs[0].id).message
    assert len(list(tmp_path.glob("pid-*"))) >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_refusal_reaches_the_user_and_the_next_run_goes_on(
    undisturbed: tuple[list[Trial], str], tmp_path: Path
) -> None:
    study = Study.create(tmp_path, small_config())
    with pytest.raises(InputError, match="no such thing") as caught:
        cluster.run(study, Climb(), partial(Calculator, refuse=(undisturbed[0][5].id,)))
    assert caught.value.remedy == "ask another"
    assert study.trial(undisturbed[0][5].id).state == "running"
    cluster.run(study, Climb(), Calculator)
    assert_equal_to(undisturbed, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_trainer_that_cannot_be_made_ends_the_run(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    with pytest.raises(InputError, match="has no option `sed`"):
        cluster.run(study, Climb(), partial(registry.make, "trainers", Plug(name="synthetic", options=(("sed", 1),))))
    with pytest.raises(InputError, match="an actor could not start"):
        cluster.run(study, Climb(), partial(int, "no number"))
    assert {trial.state for trial in study.view().trials} <= {"waiting", "running"}


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_mistake_of_the_trainer_keeps_its_traceback(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    with pytest.raises(TypeError, match="in after_point"):
        cluster.run(study, Climb(), partial(Visitor, folder=7), jobs=1)


def test_a_node_that_does_not_see_the_study_says_so(tmp_path: Path) -> None:
    refusal = cluster._Slot(tmp_path / "elsewhere", tmp_path, Calculator).start()
    assert isinstance(refusal, InputError)
    assert "does not see the study" in str(refusal)
    assert str(tmp_path / "elsewhere") in str(refusal)


def drive(folder: Path, address: str, seconds: float) -> subprocess.Popen[str]:
    """A driver in a process of its own, when it has begun to train its second round."""
    command = [sys.executable, "-c", DRIVER, str(folder), address, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (folder / "trials").exists() or len(list((folder / "trials").iterdir())) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_is_taken_up_by_the_next(
    address: str, undisturbed: tuple[list[Trial], str], tmp_path: Path, end: signal.Signals
) -> None:
    process = drive(tmp_path, address, 0.3)
    other = Study.open(tmp_path)
    with pytest.raises(RecordError, match="another run"):
        cluster.run(other, Climb(), Calculator)
    process.send_signal(end)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == ((130, "interrupted\n") if end == signal.SIGINT else (-end, ""))
    pending = {spec.id for spec in other.pending()}
    assert 0 < len(pending) <= 4
    n_before = len(events_of(tmp_path))
    cluster.run(other, Climb(), Calculator)
    assert_equal_to(undisturbed, tmp_path)
    # What was left over comes first, then the next question is asked.
    kinds = [event for event in events_of(tmp_path)[n_before:] if event.kind in ("asked", "done")]
    assert {event.trial for event in kinds[: len(pending)]} == pending
    assert {event.kind for event in kinds[: len(pending)]} == {"done"}


def dies_once(item: tuple[Path, int]) -> int:
    """Kills its worker the first time that a folder sees item 3."""
    folder, i = item
    marker = folder / "died"
    if i == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if i == 99:
        raise InputError("a file is broken", value=i, bound="a whole one", remedy="fetch it")
    return i * i


def test_a_map_keeps_the_order_outlives_a_killed_worker_and_raises_our_errors(address: str, tmp_path: Path) -> None:
    with cluster.ray_map(address) as run:
        assert list(run(dies_once, ((tmp_path, i) for i in range(12)))) == [i * i for i in range(12)]
        assert (tmp_path / "died").exists()
        with pytest.raises(InputError, match="a file is broken"):
            list(run(dies_once, [(tmp_path, 1), (tmp_path, 99)]))
