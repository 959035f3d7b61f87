"""The synthetic trainer: three points, the world's answer, nothing kept."""

from dataclasses import replace

import pytest

from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan, TrialSpec
from mixdesk.core.scale import Scale
from mixdesk.testing.worlds import loglinear
from mixdesk.trainers.synthetic import Synthetic


def spec_of(weights, replicate=0, **scale):
    return TrialSpec(
        plan=RunPlan(schedule=Schedule.constant(Mixture.of(weights)), scale=Scale(**scale)), replicate=replicate
    )


def test_it_answers_with_the_world_and_a_falling_curve(tmp_path):
    events = []
    spec = spec_of({"d00": 0.25, "d03": 0.75}, replicate=2, n_tokens=4000, n_params=10)
    result = Synthetic(d=4, m=2, seed=7).train(spec, tmp_path, events.append)
    assert result.state == "done"
    assert [point.n_tokens for point in result.points] == [1000, 2000, 4000]
    assert dict(result.points[-1].metrics) == loglinear(4, 2, 7, 0.1).measure(spec.mixture, 2)
    values = [point.metrics[0][1] for point in result.points]
    assert values == sorted(values, reverse=True)
    assert [event.point for event in events] == list(result.points)
    assert {event.trial for event in events} == {spec.id}
    assert dict(result.domain_tokens) == {"d00": 1000.0, "d03": 3000.0}
    assert result.flops == 6 * 10 * 4000
    assert list(tmp_path.iterdir()) == []


def test_a_merge_is_biased_without_noise_and_a_child_answers_its_own_mixture(tmp_path):
    trainer = Synthetic(d=3, m=2, seed=1)
    mixed, alone = {"d00": 0.5, "d01": 0.25, "d02": 0.25}, {"d01": 1.0}
    found = {}
    for weights in (mixed, alone):
        spec = spec_of(weights, n_tokens=1000, n_params=10)
        plain = trainer.train(spec, tmp_path, lambda event: None)
        child = trainer.train(replace(spec, parents=(("feed", 1.0),)), tmp_path, lambda event: None)
        assert child.points == plain.points
        merge = replace(spec, method="merge", parents=(("feed", 0.5), ("f00d", 0.5)))
        answer = trainer.train(merge, tmp_path, lambda event: None)
        assert [point.n_tokens for point in answer.points] == [1000]
        assert answer.flops == pytest.approx(0.15 * plain.flops)
        true = trainer.known.value([spec.mixture.over(("d00", "d01", "d02"))])[0]
        found[len(weights)] = [value / y for (_, value), y in zip(answer.points[0].metrics, true, strict=True)]
    assert found[1] == pytest.approx([1.0, 1.0])
    assert found[3] == pytest.approx([1.0 + 0.05 * 0.625] * 2)


def test_it_is_made_by_name_and_refuses_what_it_cannot_do(tmp_path):
    trainer = registry.make("trainers", Plug(name="synthetic", options=(("d", 3), ("world", "ridge"))))
    with pytest.raises(InputError, match="unknown domain"):
        trainer.train(spec_of({"web": 1.0}), tmp_path, lambda event: None)
    trainer.close()
    with pytest.raises(InputError, match="unknown world"):
        Synthetic(world="moon")
    with pytest.raises(InputError, match="seconds"):
        Synthetic(seconds=-1)


def test_it_takes_its_time(tmp_path):
    result = Synthetic(d=2, m=1, seconds=0.06).train(spec_of({"d00": 1.0}), tmp_path, lambda event: None)
    assert result.seconds is not None
    assert result.seconds >= 0.06
