"""The runner: budgets, failures, interruptions, and that a killed study ends as an undisturbed one."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import study_runs
from study_runs import DOMAINS, N_TRIALS, Calculator, Climb, Listed, comparable, small_config

from mixdesk.core.errors import InputError, RecordError
from mixdesk.core.files import from_data, read_data, read_json
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, TrialSpec
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.trial import Event, Lease, Result, Trial
from mixdesk.study.local import run, run_specs
from mixdesk.study.record import Record
from mixdesk.study.study import Study

PROGRAM = Path(study_runs.__file__)


def program(folder: Path, moment: str, jobs: int = 2) -> list[str]:
    return [sys.executable, str(PROGRAM), str(folder), moment, str(jobs)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], str]:
    """Trials and hash of a study that nothing interrupted."""
    study = Study.create(tmp_path_factory.mktemp("undisturbed"), small_config())
    run(study, Climb(), Calculator(), jobs=1)
    view = study.view()
    study.close()
    return [comparable(trial) for trial in view.trials], view.record_sha256


def assert_equal_to(undisturbed: tuple[list[Trial], str], folder: Path) -> None:
    study = Study.open(folder)
    view = study.view()
    assert [comparable(trial) for trial in view.trials] == undisturbed[0]
    assert view.record_sha256 == undisturbed[1]
    study.close()


def test_a_run_spends_the_budget_in_rounds_that_see_the_answers(undisturbed: tuple[list[Trial], str]) -> None:
    trials, _ = undisturbed
    assert len(trials) == N_TRIALS
    assert {trial.state for trial in trials} == {"done"}
    assert all([point.n_tokens for point in trial.points] == [250, 500, 1000] for trial in trials)
    best = [min(t.final["bpb/code"] for t in trials[:n]) for n in (4, N_TRIALS)]
    assert best[1] < best[0]


def test_the_number_of_workers_changes_nothing(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    summary = run(study, Climb(), Calculator(seconds=0.01), jobs=5)
    assert (summary.n_done, summary.n_diverged, summary.n_failed) == (N_TRIALS, 0, 0)
    assert_equal_to(undisturbed, tmp_path)


def test_asks_happen_at_barriers_and_say_what_they_saw(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    run(study, Climb(), Calculator(), jobs=3)
    answered: list[str] = []
    waiting, previous = 0, ""
    for event in Record.open(tmp_path / "study.db").events():
        if event.kind == "asked":
            assert waiting == 0 or previous == "asked"
            assert set(event.seen) == set(answered)
            waiting += 1
        if event.kind == "done":
            answered.append(event.trial)
            waiting -= 1
        previous = event.kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient(Calculator):
    """Its first trial ends only once three others are done, so that a worker is idle if nobody asks meanwhile."""

    done: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def after_training(self, spec: TrialSpec, out: Path) -> None:
        if next(iter(self.calls)) == spec.id:
            assert self.enough.wait(30.0), "nothing was asked while a trial was out"
        self.done.append(spec.id)
        if len(self.done) >= 3:
            self.enough.set()


def test_an_eager_strategy_is_asked_while_trials_are_out(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    trainer = Patient()
    assert run(study, Listed(), trainer, jobs=2).n_done == N_TRIALS
    assert set(trainer.calls.values()) == {1}
    assert [trial.id for trial in study.view().trials].index(trainer.done[3]) >= 0
    answered: set[str] = set()
    for event in Record.open(tmp_path / "study.db").events():
        if event.kind == "asked":
            assert set(event.seen) <= answered
        if event.kind == "done":
            answered.add(event.trial)


def test_an_eager_list_ends_the_same_whatever_the_workers_and_the_interruptions(tmp_path: Path) -> None:
    found = []
    for jobs, stops in ((1, ()), (4, ()), (3, (1, 3, 2))):
        study = Study.create(tmp_path / f"{jobs}", small_config())
        for n in stops:
            assert run(study, Listed(), Calculator(), jobs=jobs, n_trials=n).n_done == n
        run(study, Listed(), Calculator(), jobs=jobs)
        found.append(([comparable(trial) for trial in study.view().trials], study.view().record_sha256))
    assert len(found[0][0]) == N_TRIALS
    assert found[0] == found[1] == found[2]


def test_what_others_hold_is_left_to_them(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    ((held, _, _),) = study.hand_out(1, lambda view: Climb().ask(view, 1), seconds=3600.0)
    trainer = Calculator()
    # A strategy that learns from each round waits for the answer; a list goes on.
    assert run(study, Climb(), trainer).n_done == 0
    assert run(study, Listed(), trainer).n_done == N_TRIALS - 1
    assert held.id not in trainer.calls
    study.append(Event(trial=held.id, kind="lease", time=0.0, lease=Lease(trial=held.id, holder="", until=1.0)))
    assert run(study, Climb(), trainer).n_done == 1


def test_each_trial_leaves_its_question_and_answer(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    run(study, Climb(), Calculator(), n_trials=2)
    for trial in study.view().trials:
        data = read_data(tmp_path / "trials" / trial.id / "spec.json")
        assert from_data(TrialSpec, data["spec"]) == trial.spec
        assert (data["id"], data["mixture"], data["n_tokens"]) == (trial.id, trial.spec.mixture.as_dict(), 1000)
        result = read_json(tmp_path / "trials" / trial.id / "result.json", Result)
        assert (result.points, result.seconds) == (trial.points, trial.seconds)
        assert trial.seconds is not None


def test_n_trials_counts_what_is_left_over(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    for n, total in ((3, 3), (1, 4), (3, 7)):
        assert run(study, Climb(), Calculator(), n_trials=n).n_done == n
        assert sum(trial.state == "done" for trial in study.view().trials) == total
    study.ask(Climb().ask(study.view(), 4))
    assert run(study, Climb(), Calculator(), n_trials=2).n_done == 2
    assert len(study.pending()) == 2
    run(study, Climb(), Calculator())
    assert len(study.view().trials) == N_TRIALS
    assert run(study, Climb(), Calculator()).n_done == 0


@pytest.mark.parametrize(
    ("budget", "rung", "n"),
    [
        (Budget(n_trials=6, flops=1e9), Rung(label="proxy", flops=1e6), 6),
        (Budget(n_trials=60, flops=5e6), Rung(label="proxy", flops=1e6), 5),
        (Budget(flops=4.5e6), Rung(label="proxy", flops=1e6), 4),
        (Budget(flops=4.5e6), Rung(label="proxy"), 6),
        (Budget(n_trials=9, seconds=1e-9), Rung(label="proxy"), 2),
    ],
)
def test_the_first_budget_exhausted_ends_the_run(tmp_path: Path, budget: Budget, rung: Rung, n: int) -> None:
    rungs = (replace(rung, scale=Scale(n_tokens=1000)), Rung(label="target"))
    study = Study.create(tmp_path, small_config(budget=budget, rungs=rungs))
    run(study, Climb(), Calculator(), jobs=2)
    assert len(study.view().trials) == n


def test_diverged_trials_count_and_are_not_repeated(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config(budget=Budget(n_trials=4)))
    specs = study.ask(Climb().ask(study.view(), 4))
    trainer = Calculator(diverge=(specs[1].id,))
    summary = run(study, Climb(), trainer)
    assert (summary.n_done, summary.n_diverged) == (3, 1)
    assert trainer.calls[specs[1].id] == 1
    assert study.trial(specs[1].id).message == "loss is not finite"
    assert len(study.view().observations().trials) == 3


def test_a_worker_error_is_retried_once(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    ids = [trial.id for trial in undisturbed[0]]
    trainer = Calculator(break_first=(ids[2], ids[9]))
    run(study, Climb(), trainer, jobs=2)
    assert [trainer.calls[name] for name in (ids[1], ids[2], ids[9])] == [1, 2, 2]
    assert_equal_to(undisturbed, tmp_path)


def test_a_trial_that_fails_twice_is_failed_and_the_run_goes_on(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config(budget=Budget(n_trials=4)))
    specs = study.ask(Climb().ask(study.view(), 4))
    trainer = Calculator(break_always=(specs[0].id,))
    summary = run(study, Climb(), trainer)
    assert (summary.n_done, summary.n_failed) == (3, 1)
    assert trainer.calls[specs[0].id] == 2
    failed = study.trial(specs[0].id)
    assert (failed.state, failed.final) == ("failed", {})
    assert "the worker is gone" in failed.message
    assert run(study, Climb(), trainer).n_failed == 0


def test_a_refusal_stops_the_run_and_the_next_run_goes_on(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    trainer = Calculator(refuse=(undisturbed[0][5].id,))
    with pytest.raises(InputError, match="no such thing"):
        run(study, Climb(), trainer, jobs=2)
    assert trainer.closed
    assert trainer.calls[undisturbed[0][5].id] == 1
    assert study.trial(undisturbed[0][5].id).state == "running"
    run(study, Climb(), Calculator(), jobs=2)
    assert_equal_to(undisturbed, tmp_path)


def test_given_specs_are_trained_and_answered_ones_left_out(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    mixtures = [Mixture.uniform(DOMAINS), Mixture.uniform(DOMAINS[:2])]
    wanted = [Proposal(mixture=m, rung="target", replicate=1000 + r) for r in range(3) for m in mixtures]
    specs = study.ask(wanted)
    calls: list[tuple[str, int, int]] = []
    run_specs(study, Calculator(), specs[:2], jobs=1)
    trainer = Calculator()
    summary = run_specs(study, trainer, specs, jobs=2, progress=lambda *what: calls.append(what))
    assert summary.n_done == 4
    assert set(trainer.calls) == {spec.id for spec in specs[2:]}
    assert calls == [("trials", n, 4) for n in range(5)]
    assert study.ask(wanted) == []
    assert [trial.rung for trial in study.view().trials] == ["target"] * 6
    # Confirmation does not eat the budget of the proxies.
    assert run(study, Climb(), Calculator()).n_done == N_TRIALS


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    other = Study.open(tmp_path)
    thread = threading.Thread(target=run, args=(study, Climb(), Calculator(seconds=0.1)), kwargs={"n_trials": 2})
    thread.start()
    while not other.view().trials:
        time.sleep(0.005)
    with pytest.raises(RecordError, match="another run"):
        run(other, Climb(), Calculator())
    with pytest.raises(RecordError, match="another run"):
        run_specs(other, Calculator(), other.pending())
    thread.join()
    assert run(other, Climb(), Calculator(), n_trials=1).n_done == 1


@pytest.mark.parametrize("moment", ["ask", "training", "commit"])
def test_a_killed_study_ends_as_an_undisturbed_one(
    undisturbed: tuple[list[Trial], str], tmp_path: Path, moment: str
) -> None:
    killed = subprocess.run(program(tmp_path, moment), capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    study = Study.open(tmp_path)
    trials = study.view().trials
    states = {trial.state for trial in trials}
    if moment == "ask":
        assert [trial.state for trial in trials[4:]] == ["waiting"] * 4
    else:
        assert "running" in states
    if moment == "commit":
        unrecorded = [trial for trial in trials if trial.state == "running" and _has_result(tmp_path, trial)]
        assert unrecorded
    run(study, Climb(), Calculator(), jobs=2)
    study.close()
    assert_equal_to(undisturbed, tmp_path)


def _has_result(folder: Path, trial: Trial) -> bool:
    return (folder / "trials" / trial.id / "result.json").exists()


@pytest.mark.slow
def test_kills_at_twenty_random_moments(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    caught = 0
    for i in range(20):
        folder = tmp_path / f"study{i}"
        process = subprocess.Popen(program(folder, "slow"))
        while not (folder / "study.toml").exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 1.2))
        caught += process.poll() is None
        process.kill()
        process.wait()
        study = Study.open(folder)
        run(study, Climb(), Calculator(), jobs=2)
        study.close()
        assert_equal_to(undisturbed, folder)
    assert caught >= 15


@pytest.mark.slow
def test_one_study_killed_again_and_again(undisturbed: tuple[list[Trial], str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n_kills = 0
    while True:
        process = subprocess.Popen(program(tmp_path / "study", "slow"))
        try:
            process.wait(rng.uniform(0.35, 0.6) * (1.0 + n_kills / 10))  # on a slow machine it gets on all the same
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            n_kills += 1
    assert n_kills >= 1
    assert_equal_to(undisturbed, tmp_path / "study")


def test_ctrl_c_closes_the_trainer_and_the_next_run_goes_on(
    undisturbed: tuple[list[Trial], str], tmp_path: Path
) -> None:
    process = subprocess.Popen(program(tmp_path, "slow"), stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "trials").exists() or len(list((tmp_path / "trials").iterdir())) < 5:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == "interrupted, trainer closed\n"
    study = Study.open(tmp_path)
    assert 0 < sum(trial.state == "done" for trial in study.view().trials) < N_TRIALS
    run(study, Climb(), Calculator(), jobs=2)
    study.close()
    assert_equal_to(undisturbed, tmp_path)


def test_a_full_disk_ends_the_run_and_keeps_what_was_recorded(
    undisturbed: tuple[list[Trial], str], tmp_path: Path
) -> None:
    code = (
        f"import resource, sys; sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
        "import study_runs; from pathlib import Path\n"
        "from mixdesk.core.errors import MixdeskError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        f"try: study_runs.main(Path({str(tmp_path)!r}), 'never', 1)\n"
        "except MixdeskError as error: print(type(error).__name__, error.remedy)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout.startswith("RecordError"), said
    assert "free some space" in said.stdout
    study = Study.open(tmp_path)
    assert study.view().trials
    run(study, Climb(), Calculator(), jobs=2)
    study.close()
    assert_equal_to(undisturbed, tmp_path)


@pytest.mark.parametrize("strategy", [Climb(), Listed()])
def test_what_a_person_asks_meanwhile_goes_before_what_waits(tmp_path: Path, strategy: Climb) -> None:
    study = Study.create(tmp_path, small_config())
    wish = Mixture.of({"code": 0.125, "prose": 0.875})
    totals: list[int] = []
    is_seen = threading.Event()

    def progress(what: str, done: int, total: int) -> None:
        """The run knows of the wish once there is more to train than at its start."""
        totals.append(total)
        if total > totals[0]:
            is_seen.set()

    @dataclass(frozen=True)
    class Asks(Calculator):
        """Asks for a mixture, from outside, while the second trial is trained; the third ends when it is queued."""

        def train(self, spec: TrialSpec, out: Path, report: object) -> Result:
            if len(order) == 1:
                with Study.open(tmp_path) as other:
                    other.ask([Proposal(mixture=wish, rung="proxy", why="a wish")])
            order.append(spec.mixture)
            if len(order) == 3:
                assert is_seen.wait(60.0)
            return super().train(spec, out, report)

    order: list[Mixture] = []
    run(study, strategy, Asks(), jobs=1, progress=progress)
    # The thread may have taken the next one already when the wish is seen.
    assert order.index(wish) in (2, 3)
    assert len(set(order)) == len(order) == len(study.trials())
    study.close()
