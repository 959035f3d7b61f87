"""Trials and the frozen view of a study."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import External, Proposal, RunPlan, TrialSpec
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import Event, Point, Result, StudyView, Trial


def trial(weights: dict[str, float], metrics: dict[str, float], *, state: str = "done", **extra: object) -> Trial:
    plan = RunPlan(schedule=Schedule.constant(Mixture.of(weights)), scale=Scale(n_tokens=100, n_params=7))
    rung = str(extra.pop("rung", "proxy"))
    spec = TrialSpec(plan=plan, **extra)
    points = (Point(n_tokens=50, metrics={"loss": 9.0}), Point(n_tokens=100, metrics=metrics))
    return Trial(spec=spec, state=state, rung=rung, points=points)


def view(*trials: Trial, corpus: Corpus | None = None) -> StudyView:
    return StudyView(
        name="s",
        domains=("a", "b"),
        objective=Objective(terms={"loss": 1.0}),
        constraints=Constraints(),
        rungs=(Rung(label="proxy"), Rung(label="target")),
        metrics=(Metric(name="loss"), Metric(name="other")),
        trials=trials,
        corpus=corpus,
    )


def test_observations_join_by_name_and_take_the_last_point():
    obs = view(
        trial({"b": 1.0}, {"loss": 2.0, "other": 3.0}),
        trial({"b": 0.75, "a": 0.25}, {"other": 5.0, "stray": 1.0}),
    ).observations()
    assert obs.W_nd.tolist() == [[0.0, 1.0], [0.25, 0.75]]
    assert obs.Y_nm[0].tolist() == [2.0, 3.0]
    assert math.isnan(obs.Y_nm[1, 0])
    assert obs.Y_nm[1, 1] == 5.0
    assert obs.covariates["n_tokens"].tolist() == [100.0, 100.0]
    assert obs.covariates["n_params"].tolist() == [7.0, 7.0]
    assert obs.unique_tokens_d is None


def test_only_finished_trials_of_the_rung_count():
    done = trial({"a": 1.0}, {"loss": 2.0})
    found = view(
        done,
        trial({"b": 1.0}, {"loss": 2.0}, state="diverged"),
        trial({"b": 1.0}, {"loss": 2.0}, state="running", replicate=1),
        trial({"b": 1.0}, {"loss": 2.0}, rung="target"),
    )
    assert found.observations().trials == (done.id,)
    assert found.observations("target").trials == (found.trials[3].id,)
    assert len(found.at()) == 3


def test_every_scale_has_all_points_of_all_rungs_with_groups_in_common():
    small = trial({"a": 1.0}, {"loss": 2.0})
    target = RunPlan(schedule=small.spec.plan.schedule, scale=Scale(n_params=70))
    big = Trial(
        spec=TrialSpec(plan=target),
        state="done",
        rung="target",
        points=(Point(n_tokens=0, metrics={"loss": 3.0}), Point(n_tokens=0, metrics={"loss": 1.0, "other": 4.0})),
    )
    sized = Trial(
        spec=TrialSpec(plan=RunPlan(schedule=Schedule.constant(Mixture.of({"b": 1.0})), scale=Scale(n_tokens=900))),
        state="done",
        rung="target",
        points=(Point(n_tokens=0, metrics=()), Point(n_tokens=0, metrics={"loss": 1.5})),
    )
    waiting = trial({"b": 1.0}, {"loss": 7.0}, state="running", rung="target")
    obs = view(small, big, sized, waiting).observations(every_scale=True)
    assert obs.trials == (small.id, small.id, big.id, big.id, sized.id)
    assert obs.Y_nm[:, 0].tolist() == [9.0, 2.0, 3.0, 1.0, 1.5]
    assert obs.group_n.tolist() == [0, 0, 0, 0, 1]
    assert [None if math.isnan(n) else n for n in obs.covariates["n_params"]] == [7, 7, 70, 70, None]
    assert [None if math.isnan(n) else n for n in obs.covariates["n_tokens"]] == [50, 100, None, None, 900]
    assert view(small, big).observations().trials == (small.id,)
    with pytest.raises(NotEnoughEvidence, match="0 of 1 done"):
        view(waiting).observations(every_scale=True)


def test_an_empty_rung_is_a_typed_error_and_has_no_noise():
    with pytest.raises(NotEnoughEvidence, match="0 of 0 done"):
        view().observations()
    assert view().noise() == ()


def test_replicates_of_a_mixture_share_a_group():
    obs = view(
        trial({"a": 1.0}, {"loss": 1.0}),
        trial({"a": 1.0}, {"loss": 2.0}, replicate=1),
        trial({"b": 1.0}, {"loss": 3.0}),
        trial({"b": 1.0}, {"loss": 4.5}, replicate=1),
    )
    found = obs.observations()
    assert found.group_n.tolist() == [0, 0, 1, 1]
    assert found.replicate_n.tolist() == [0, 1, 0, 1]
    assert [noise.metric for noise in obs.noise()] == ["loss"]


def test_merges_are_no_observations_and_children_are_no_repeats():
    start = trial({"a": 1.0}, {"loss": 2.0})
    child = trial({"a": 1.0}, {"loss": 1.5}, parents=((start.id, 1.0),))
    merged = trial({"b": 1.0}, {"loss": 0.5}, method="merge", parents=((start.id, 0.5), (child.id, 0.5)))
    found = view(start, child, merged)
    obs = found.observations()
    assert obs.trials == (start.id, child.id)
    assert obs.group_n.tolist() == [0, 1]
    assert found.n_mixtures(found.rungs[0]) == 1
    assert found.best_seen() == child
    assert found.observations(every_scale=True).trials == (start.id, start.id, child.id, child.id)
    with pytest.raises(NotEnoughEvidence):
        view(merged).observations()


def test_a_merge_costs_its_evaluation():
    rungs = (Rung(label="proxy", flops=100.0), Rung(label="target", flops=900.0))
    merged = trial({"b": 1.0}, {"loss": 0.5}, method="merge", parents=(("feed", 1.0),))
    found = replace(view(trial({"a": 1.0}, {"loss": 2.0}), merged), rungs=rungs, budget=Budget(flops=200.0))
    assert found.flops_left == pytest.approx(200.0 - 100.0 - 15.0)
    merge = Proposal(mixture=merged.spec.mixture, rung="proxy", method="merge")
    assert found.affordable([merge] * 9) == [merge] * 5
    assert found.affordable([replace(merge, method="train")]) == []


def test_stages_are_padded_and_their_average_kept():
    staged = Schedule(stages=(Stage(mixture=Mixture.of({"a": 1.0}), until=0.75), Stage(mixture=Mixture.of({"b": 1.0}))))
    long = Trial(
        spec=TrialSpec(plan=RunPlan(schedule=staged)),
        state="done",
        rung="proxy",
        points=(Point(n_tokens=1, metrics={"loss": 1.0}),),
    )
    obs = view(long, trial({"a": 0.5, "b": 0.5}, {"loss": 1.0})).observations()
    assert obs.W_nsd.shape == (2, 2, 2)
    assert obs.W_nd.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert obs.covariates == {}


def test_sources_and_unique_tokens_travel_along():
    corpus = Corpus(
        name="c",
        tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""),
        domains=(Domain(name="a", n_tokens=10), Domain(name="b", n_tokens=20)),
    )
    external = External(source="runs.csv", run="1")
    obs = view(
        trial({"a": 1.0}, {"loss": 1.0}, external=external), trial({"a": 1.0}, {"loss": 1.0}), corpus=corpus
    ).observations()
    assert obs.source_n == ("runs.csv", "train")
    assert obs.unique_tokens_d.tolist() == [10.0, 20.0]


def test_a_trial_has_final_metrics_only_when_done():
    assert trial({"a": 1.0}, {"loss": 2.0}).final == {"loss": 2.0}
    assert trial({"a": 1.0}, {"loss": 2.0}, state="diverged").final == {}
    assert trial({"a": 1.0}, {"loss": 2.0}).id == trial({"a": 1.0}, {"loss": 5.0}).id


def test_unknown_states_and_kinds_are_refused():
    with pytest.raises(InputError, match="unknown state `don`"):
        trial({"a": 1.0}, {}, state="don")
    with pytest.raises(InputError, match="unknown state `waiting`"):
        Result(state="waiting")
    with pytest.raises(InputError, match="unknown kind"):
        Event(trial="x", kind="begun", time=0.0)


def test_best_seen_averages_repeats_and_heeds_the_space():
    lucky = trial({"a": 0.5, "b": 0.5}, {"loss": 1.0})
    unlucky = trial({"a": 0.5, "b": 0.5}, {"loss": 3.0}, replicate=1)
    steady, far = trial({"a": 0.8, "b": 0.2}, {"loss": 1.9}), trial({"a": 0.0, "b": 1.0}, {"loss": 1.5})
    silent = trial({"a": 0.9, "b": 0.1}, {"other": 0.0})
    seen = view(lucky, unlucky, steady, far, silent)
    assert seen.best_seen() == far
    assert seen.best_seen(Space.build(Constraints(lower={"a": 0.1}), ("a", "b"))) == steady
    assert view(silent).best_seen() is None
    assert view().best_seen() is None
