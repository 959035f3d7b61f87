"""Objectives by pattern and direction; comparisons and verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.files import read_toml
from mixdesk.core.objective import Comparison, Guard, Objective, Verdict
from mixdesk.core.observations import Metric

METRICS = (
    Metric(name="bpb/domain/code"),
    Metric(name="bpb/domain/web"),
    Metric(name="bpb/set/manual"),
    Metric(name="accuracy", unit="share", better="higher"),
)
Y = np.array([[1.0, 3.0, 2.0, 0.5], [2.0, 2.0, 4.0, 0.75]])


def test_one_metric_is_its_own_value():
    objective = Objective(terms={"bpb/set/manual": 2.0})
    assert objective.value(Y, METRICS).tolist() == [2.0, 4.0]
    assert objective.title == "bpb/set/manual"


def test_a_pattern_gives_each_metric_it_matches_its_weight():
    objective = Objective(terms={"bpb/domain/*": 1.0})
    assert objective.weights(METRICS).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert objective.value(Y, METRICS).tolist() == [2.0, 2.0]
    assert objective.title == "mean of bpb/domain/*"


def test_a_name_counts_before_it_is_read_as_a_pattern():
    odd = (Metric(name="a[b]"), Metric(name="ab"))
    assert Objective(terms={"a[b]": 1.0}).weights(odd).tolist() == [1.0, 0.0]


def test_weights_are_relative():
    objective = Objective(terms={"bpb/domain/code": 3.0, "bpb/domain/web": 1.0})
    assert objective.value(Y, METRICS).tolist() == [1.5, 2.0]


def test_what_is_better_higher_enters_negated():
    assert Objective(terms={"accuracy": 1.0}).value(Y, METRICS).tolist() == [-0.5, -0.75]


def test_worst_is_the_largest_value():
    assert Objective(terms={"bpb/*": 1.0}, reduce="worst").value(Y, METRICS).tolist() == [3.0, 4.0]


def test_leading_axes_pass_through():
    draws = np.stack([Y, Y + 1.0])
    assert Objective(terms={"bpb/set/manual": 1.0}).value(draws, METRICS).tolist() == [[2.0, 4.0], [3.0, 5.0]]


def test_only_metrics_that_are_used_must_be_measured():
    holes = Y.copy()
    holes[0, 1] = math.nan
    assert Objective(terms={"bpb/set/manual": 1.0}).value(holes, METRICS).tolist() == [2.0, 4.0]
    found = Objective(terms={"bpb/domain/*": 1.0}).value(holes, METRICS)
    assert math.isnan(found[0])
    assert found[1] == 2.0


def test_terms_that_mean_nothing_are_refused():
    with pytest.raises(InputError) as caught:
        Objective(terms={"bpb/set/manuel": 1.0}).weights(METRICS)
    assert caught.value.remedy == "did you mean `bpb/set/manual`?"
    with pytest.raises(InputError, match="no term"):
        Objective(terms={"x": 0.0})
    with pytest.raises(InputError, match="out of range"):
        Objective(terms={"x": -1.0})
    with pytest.raises(InputError, match="unknown reduce"):
        Objective(terms={"x": 1.0}, reduce="median")


def test_what_could_have_been_seen_is_half_the_interval():
    comparison = Comparison(
        plan="p",
        rival="natural",
        metric="objective",
        difference=-0.25,
        low=-0.5,
        high=0.0,
        level=0.95,
        n_pairs=5,
        basis="trained",
        rung="target",
        verdict="no different",
    )
    assert comparison.detectable == 0.25


def test_only_too_weak_exits_with_three():
    codes = {
        name: Verdict(
            name=name, state="predicted", headline="h", reason="r", remedy="m", recommended="recipe"
        ).exit_code
        for name in ("better", "no different", "worse", "too weak")
    }
    assert codes == {"better": 0, "no different": 0, "worse": 0, "too weak": 3}


def test_a_guard_is_read_from_a_line():
    assert Guard.parse("bpb/domain/*<=natural+0.01", METRICS) == Guard(
        metric="bpb/domain/*", than="natural", slack=0.01
    )
    assert Guard.parse("bpb/set/manual <= 1.2", METRICS) == Guard(metric="bpb/set/manual", at_most=1.2)
    assert Guard.parse("accuracy >= best-seen - 0.02", METRICS) == Guard(
        metric="accuracy", than="best seen", slack=0.02
    )
    assert Guard.parse("accuracy≥0.5", METRICS) == Guard(metric="accuracy", at_least=0.5)
    assert Guard.parse("bpb/set/manual<=uniform", METRICS).slack == 0.0


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("bpb/set/manual", "is no guard"),
        ("bpb/set/manual<=", "is no guard"),
        ("bpb/set/manual<=natural+x", "is no guard"),
        ("bpb/set/manual<=3+4", "is no guard"),
        ("bpb/set/manuel<=1", "unknown metric"),
        ("bpb/set/manual>=1", "points the wrong way"),
        ("accuracy<=natural", "points the wrong way"),
        ("*<=1", "points the wrong way"),
        ("bpb/set/manual<=naturl+1", "unknown rival"),
        ("bpb/set/manual<=natural-0.1", "asks for more than the rival has"),
        ("accuracy>=natural+0.1", "asks for more than the rival has"),
        ("bpb/set/manual<=nan", "out of range"),
    ],
)
def test_what_is_no_guard_is_refused_with_its_reason(text, wrong):
    with pytest.raises(InputError, match=wrong):
        Guard.parse(text, METRICS)


def test_a_guard_has_one_bound_on_the_side_that_is_watched():
    for more in ({}, {"at_most": 1.0, "than": "natural"}, {"at_most": 1.0, "slack": 0.1}):
        with pytest.raises(InputError, match="no single bound"):
            Guard(metric="x", **more)
    with pytest.raises(InputError, match="side that is not watched"):
        Guard(metric="*", at_most=1.0).over(METRICS)
    assert Guard(metric="bpb/domain/*", at_most=1.0).over(METRICS) == [0, 1]


def test_a_guard_follows_the_direction_of_its_metric():
    lower, higher = METRICS[0], METRICS[3]
    assert Guard(metric="x", than="natural", slack=0.1).limit(lower, 2.0) == pytest.approx(2.1)
    assert Guard(metric="x", than="natural", slack=0.1).limit(higher, 0.5) == pytest.approx(-0.4)
    assert Guard(metric="x", at_least=0.6).limit(higher) == -0.6
    assert Guard(metric="x", than="natural", slack=0.1).words(higher) == "accuracy ≥ natural − 0.1"
    assert Guard(metric="x", at_least=0.6).words(higher) == "accuracy ≥ 0.6"
    assert Guard(metric="x", than="uniform").words(lower) == "bpb/domain/code ≤ uniform"


def test_guards_are_read_from_toml(tmp_path):
    path = tmp_path / "objective.toml"
    path.write_text(
        '[terms]\n"bpb/set/manual" = 1.0\n[[guards]]\nmetric = "accuracy"\nthan = "natural"\nslack = 0.01\n'
    )
    assert read_toml(path, Objective).guards == (Guard(metric="accuracy", than="natural", slack=0.01),)
