"""Scores of laws: splits by mixture, known values by hand, the permutation control."""

from dataclasses import replace

import numpy as np
import pytest
from law_worlds import design

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Objective, OutOfFold
from mixdesk.core.observations import Metric
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.score import compare, out_of_fold, scores
from mixdesk.laws.trees import Trees
from mixdesk.testing.worlds import loglinear

MEAN = Objective(terms={"bpb/*": 1.0})


def rows_of(measured, mean, *, metric="objective", group=None, half=1.0):
    return [
        OutOfFold(
            trial=f"t{i}",
            metric=metric,
            measured=y,
            mean=f,
            low=f - half,
            high=f + half,
            group=group[i] if group else None,
        )
        for i, (y, f) in enumerate(zip(measured, mean, strict=True))
    ]


def table(found):
    return {(row.metric, row.measure): row.value for row in found}


def permuted(obs, seed):
    return replace(obs, Y_nm=obs.Y_nm[np.random.default_rng(seed).permutation(len(obs.trials))])


def test_scores_by_hand():
    found = table(scores("law", rows_of([1.0, 2.0, 3.0, 4.0], [2.0, 1.5, 3.0, 9.0])))
    assert found["objective", "rmse"] == pytest.approx(np.sqrt((1 + 0.25 + 0 + 25) / 4))
    assert found["objective", "spearman"] == pytest.approx(0.8)
    assert found["objective", "regret"] == 1.0
    assert found["objective", "regret:spread"] == pytest.approx(1.0 / 1.5)
    assert found["objective", "coverage"] == 0.75
    assert found["objective", "width"] == pytest.approx(2.0 / np.std([1.0, 2.0, 3.0, 4.0]))
    assert found["objective", "spearman:low"] <= 0.8 <= found["objective", "spearman:high"]


def test_repeats_are_one_point():
    rows = rows_of([1.0, 3.0, 5.0, 4.0], [1.0, 1.0, 2.0, 3.0], group=[0, 0, 1, 2])
    found = scores("law", rows)
    assert {row.n for row in found} == {3}
    # Mixtures (2, 1), (5, 2), (4, 3): ranks 1 3 2 against 1 2 3.
    assert table(found)["objective", "spearman"] == pytest.approx(0.5)


def test_a_constant_law_has_no_rank_and_direction_matters_for_regret():
    assert table(scores("law", rows_of([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])))["objective", "spearman"] == 0.0
    rows = rows_of([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], metric="accuracy")
    assert ("accuracy", "regret") not in table(scores("law", rows))
    found = table(scores("law", rows, metrics=[Metric(name="accuracy", unit="%", better="higher")]))
    assert found["accuracy", "regret"] == 2.0


def test_a_law_without_intervals_is_scored_without_them():
    rows = [replace(row, low=float("nan"), high=float("nan")) for row in rows_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])]
    assert {row.measure for row in scores("law", rows)}.isdisjoint({"coverage", "width"})


def test_every_run_is_predicted_once_and_repeats_alike():
    world = loglinear(4, 2, 0, 0.1)
    W_nd = design(world, 20, np.random.default_rng(0))
    obs = world.observations(np.vstack([W_nd, W_nd[:3], W_nd[:3]]), np.repeat([0, 1, 2], [20, 3, 3]))
    obs = replace(obs, Y_nm=np.where(np.arange(26)[:, None] == [[4, 99]], np.nan, obs.Y_nm))
    rows = out_of_fold(Exponential(), obs, MEAN)
    for name, n in ((obs.metrics[0].name, 25), (obs.metrics[1].name, 26), ("objective", 25)):
        mine = [row for row in rows if row.metric == name]
        assert len(mine) == len({row.trial for row in mine}) == n
        by_trial = {row.trial: row for row in mine}
        assert by_trial["row0"].mean == by_trial["row20"].mean == by_trial["row23"].mean
        assert by_trial["row0"].measured != by_trial["row20"].measured
    objective = {row.trial: row.measured for row in rows if row.metric == "objective"}
    assert objective["row7"] == pytest.approx(obs.Y_nm[7].mean())


def test_a_mixture_is_predicted_without_its_own_runs():
    world = loglinear(4, 1, 1, 0.0)
    obs = world.observations(design(world, 24, np.random.default_rng(1)))
    wild = replace(obs, Y_nm=obs.Y_nm + 50.0 * (np.arange(24) == 5)[:, None])
    one, two = (
        {row.trial: row for row in out_of_fold(Trees(n_rounds=20), each, MEAN) if row.metric == "objective"}
        for each in (obs, wild)
    )
    assert two["row5"].mean == pytest.approx(one["row5"].mean, abs=1e-9)
    assert two["row5"].measured > one["row5"].measured + 40.0


def test_a_law_that_predicts_is_told_from_one_that_does_not():
    world = loglinear(8, 3, 0, 0.1)
    obs = world.observations(design(world, 33, np.random.default_rng(0)))
    found = table(scores("law", out_of_fold(Exponential(), obs, MEAN), metrics=obs.metrics))
    assert found["objective", "spearman:low"] > 0.5
    assert 0.75 <= found["objective", "coverage"] <= 1.0
    for seed in range(2):
        found = table(scores("law", out_of_fold(Exponential(), permuted(obs, seed), MEAN, folds=5)))
        assert found["objective", "spearman:low"] <= 0.0


@pytest.mark.slow
@pytest.mark.parametrize("law", [Exponential(), Trees(n_members=4)], ids=["exponential", "trees"])
def test_control_permuted_scores_have_no_rank(law):
    world = loglinear(8, 3, 0, 0.1)
    obs = world.observations(design(world, 33, np.random.default_rng(0)))
    low = [
        table(scores("law", out_of_fold(law, permuted(obs, seed), MEAN)))["objective", "spearman:low"]
        for seed in range(20)
    ]
    assert np.sum(np.array(low) > 0.0) <= 1


def test_compare_puts_laws_side_by_side_and_says_who_was_left_out():
    world = loglinear(8, 2, 0, 0.1)
    obs = world.observations(design(world, 10, np.random.default_rng(0)))
    laws = {"exponential": Exponential(), "trees": Trees(n_rounds=20)}
    league, skipped = compare(laws, obs, MEAN)
    assert {row.law for row in league} == {"trees"}
    assert "at least 10 mixtures" in skipped["exponential"]
    assert [row.value > 0.0 for row in league if row.measure == "seconds"] == [True]


def test_too_few_mixtures_to_hold_one_out():
    world = loglinear(8, 2, 0, 0.1)
    obs = world.observations(design(world, 10, np.random.default_rng(0)))
    with pytest.raises(NotEnoughEvidence):
        out_of_fold(Exponential(), obs, MEAN)
