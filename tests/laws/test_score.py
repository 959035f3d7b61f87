"""Scores of laws: splits by mixture, known values by hand, the permutation control."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from law_worlds import design

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Objective, OutOfFold
from mixdesk.core.observations import Metric, Observations
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.score import MEAN as MEAN_OF_METRICS
from mixdesk.laws.score import Judged, _behind, evidence, is_judged, league, out_of_fold, ranking, scores
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
    assert found["objective", "regret@1"] == pytest.approx(1.0 / 1.5)
    assert found["objective", "regret@5"] == 0.0
    assert found["objective", "kendall"] == pytest.approx(4 / 6)
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


def test_a_league_adds_seconds_and_who_is_behind_to_the_scores():
    world = loglinear(8, 2, 0, 0.1)
    obs = world.observations(design(world, 9, np.random.default_rng(0)))
    rows = out_of_fold(Trees(n_rounds=20), obs, MEAN)
    own = scores("trees", rows, metrics=obs.metrics)
    found = league({"trees": Judged(rows=rows, scores=own, seconds=2.0)})
    assert set(own) < set(found)
    assert [row.value for row in found if row.measure == "seconds"] == [2.0]
    assert ranking(found) == (("trees",),)


def test_a_metric_that_does_not_vary_is_in_no_mean():
    metrics = [Metric(name=name) for name in "abc"]
    rows = [row for name in "ac" for row in rows_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], metric=name)]
    found = table(scores("law", [*rows, *rows_of([1.0] * 3, [1.0] * 3, metric="b")], metrics=metrics))
    assert found["b", "spearman"] == 0.0
    assert found[MEAN_OF_METRICS, "spearman"] == 1.0
    assert found[MEAN_OF_METRICS, "width"] == found["a", "width"]


def test_too_few_mixtures_to_hold_one_out():
    world = loglinear(8, 2, 0, 0.1)
    obs = world.observations(design(world, 12, np.random.default_rng(0)))
    law = Trees(n_rounds=5, n_members=2)
    with pytest.raises(NotEnoughEvidence, match="those it has not seen"):
        out_of_fold(law, obs.take(np.arange(8)), MEAN)
    with pytest.raises(NotEnoughEvidence, match="to fit `bpb/domain/d00`"):
        out_of_fold(law, obs.take(np.arange(5)), MEAN)
    # Two parts would leave six mixtures, of eight that the law needs: four parts leave nine.
    rows = out_of_fold(law, obs, MEAN, folds=2)
    assert len({row.trial for row in rows}) == 12


def test_scores_of_metrics_have_a_mean_where_it_says_something():
    metrics = [Metric(name="a", unit="%", better="higher"), Metric(name="b", unit="nats")]
    rows = [
        *rows_of([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], metric="a"),
        *rows_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], metric="b", half=0.5),
    ]
    found = table(scores("law", rows, metrics=metrics))
    assert found[MEAN_OF_METRICS, "spearman"] == 0.0
    assert found[MEAN_OF_METRICS, "regret@1"] == 1.0
    assert (MEAN_OF_METRICS, "rmse") not in found
    same = table(scores("law", rows, metrics=[replace(metrics[0], unit="nats"), metrics[1]]))
    assert same[MEAN_OF_METRICS, "rmse"] == pytest.approx(np.sqrt(8 / 3) / 2)


@pytest.mark.parametrize("n", [4, 12, 64, 512])
def test_the_rank_interval_of_noise_holds_zero_and_that_of_order_does_not_hold_one(n):
    rng = np.random.default_rng(n)
    low = [
        table(scores("law", rows_of(rng.normal(size=n), rng.normal(size=n))))["objective", "spearman:low"]
        for _ in range(200)
    ]
    assert np.mean(np.array(low) > 0.0) <= 0.025
    found = table(scores("law", rows_of(list(range(n)), list(range(n)))))
    assert found["objective", "spearman"] == pytest.approx(1.0)
    assert found["objective", "spearman:low"] < 1.0 == found["objective", "spearman:high"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A law that says the mean of the runs of the largest scale it sees, and remembers whose mixtures it saw."""

    title: ClassVar[str] = "mean"
    reference: ClassVar[str] = ""
    spans_scales: ClassVar[bool] = True

    seen: list[frozenset[int]] = field(default_factory=list)

    def fit(self, obs):
        self.seen.append(frozenset(obs.group_n.tolist()))
        return Trees(n_rounds=5, n_members=2).fit(obs)


def test_a_law_over_scales_answers_for_the_largest_and_never_sees_the_mixture():
    world = loglinear(4, 2, 0, 0.1)
    W_nd = design(world, 30, np.random.default_rng(0))
    obs = world.observations(np.vstack([W_nd, W_nd[:12]]))
    obs = replace(obs, covariates={"n_params": np.repeat([1e6, 6e7], [30, 12]), "n_tokens": np.full(42, 1e9)})
    law = Mean()
    rows = out_of_fold(law, obs, MEAN)
    assert {row.trial for row in rows} == {f"row{i}" for i in range(30, 42)}
    held = [frozenset(obs.group_n.tolist()) - seen for seen in law.seen[:-1]]
    assert law.seen[-1] == frozenset(obs.group_n.tolist())
    assert set().union(*held) == {row.group for row in rows}
    # Three mixtures are too few to speak of a scale; a size that is not known is the smallest.
    few = replace(obs.take(np.arange(33)), covariates={"n_tokens": np.append(np.full(30, np.nan), [1e9] * 3)})
    assert is_judged(law, few).tolist() == [True] * 30 + [False] * 3
    assert is_judged(Trees(), obs).all()


@dataclass(frozen=True, kw_only=True, slots=True)
class AtOnce:
    """Trees that make all their fits in one call."""

    title: ClassVar[str] = "at once"
    reference: ClassVar[str] = ""

    def cross_fit(self, obs, parts):
        law = Trees(n_rounds=20)
        return law.fit(obs), [law.fit(obs.take(np.flatnonzero(~np.isin(obs.group_n, part)))) for part in parts]


def test_a_law_that_cross_fits_gives_the_same_as_one_that_does_not():
    world = loglinear(4, 2, 0, 0.1)
    obs = world.observations(design(world, 20, np.random.default_rng(0)))
    (one, ours), (other, theirs) = (evidence(law, obs, MEAN) for law in (Trees(n_rounds=20), AtOnce()))
    assert ours == theirs
    assert one.to_dict() == other.to_dict()


def test_the_order_of_rows_and_columns_changes_no_score():
    world = loglinear(4, 2, 0, 0.1)
    rng = np.random.default_rng(0)
    W_nd = design(world, 24, rng)
    obs = world.observations(W_nd)
    rows, columns = rng.permutation(24), rng.permutation(4)
    turned = Observations.of(
        [obs.domains[j] for j in columns],
        W_nd[rows][:, columns],
        obs.Y_nm[rows],
        obs.metrics,
        trials=[obs.trials[i] for i in rows],
    )
    one, two = (
        {(row.trial, row.metric): row.mean for row in out_of_fold(Exponential(n_draws=10), each, MEAN)}
        for each in (obs, turned)
    )
    assert one.keys() == two.keys()
    assert max(abs(one[key] - two[key]) for key in one) < 1e-6


def test_the_winner_is_the_better_law_and_a_tie_goes_to_the_better_order():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60)
    good, same, bad = (truth + rng.normal(size=60) * sd for sd in (0.1, 0.1, 1.0))
    league = []
    judged = {}
    for name, mean in (("bad", bad), ("good", good), ("same", same)):
        rows = rows_of(truth, mean)
        league += scores(name, rows)
        judged[name] = rows
    (order,) = ranking([*league, *_behind(judged)])
    assert order[2] == "bad"
    found = {(row.law, row.measure): row.value for row in _behind(judged)}
    best = min(("good", "same"), key=lambda law: found[law, "behind"])
    assert found[best, "behind"] == found[best, "behind:low"] == 0.0
    assert found["bad", "behind"] > found["bad", "behind:low"] > 0.0
    rank = {row.law: row.value for row in league if row.measure == "spearman"}
    assert order[0] == max(("good", "same"), key=rank.get)
