"""The replay trainer: a recorded run's scores as an answer."""

from dataclasses import replace

import pytest

from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan, TrialSpec
from mixdesk.trainers.replay import Replay


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "w.csv").write_text("run,web,code\na,0.3,0.7\nb,1.0,0.0\n")
    (tmp_path / "y.csv").write_text("run,loss\nb,2.5\na,1.5\n")
    return {"mixtures": str(tmp_path / "w.csv"), "scores": str(tmp_path / "y.csv")}


def spec_of(weights):
    return TrialSpec(plan=RunPlan(schedule=Schedule.constant(Mixture.of(weights))))


def test_it_answers_what_was_recorded(paths, tmp_path):
    events = []
    trainer = registry.make("trainers", Plug(name="replay", options=tuple(sorted(paths.items()))))
    result = trainer.train(spec_of({"web": 0.3, "code": 0.7}), tmp_path, events.append)
    assert result.state == "done"
    assert [dict(point.metrics) for point in result.points] == [{"loss": 1.5}]
    assert events[0].point == result.points[0]
    trainer.close()


def test_a_mixture_that_nobody_ran_has_no_answer(paths, tmp_path):
    with pytest.raises(InputError, match="no run of this mixture"):
        Replay(**paths).train(spec_of({"web": 0.5, "code": 0.5}), tmp_path, lambda event: None)
    with pytest.raises(InputError, match="could not be read"):
        Replay(mixtures="nowhere.csv", scores=paths["scores"])


def test_a_table_knows_no_merges_and_no_children(paths, tmp_path):
    spec = replace(spec_of({"web": 1.0}), parents=(("feed", 1.0),))
    for asked in (spec, replace(spec, method="merge")):
        with pytest.raises(InputError, match="trainings from the start alone"):
            Replay(**paths).train(asked, tmp_path, lambda event: None)
