"""Merging: parts, merges that make their mixture, trainings in the merges' order, and how far the orders agree."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from search_worlds import view_of

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.protocols import Strategy
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import StudyView, Trial
from mixdesk.laws.exponential import Exponential
from mixdesk.search.ladder import asking_space, ranked
from mixdesk.search.merge import Merge, agreement, merges_of
from mixdesk.trainers.synthetic import Synthetic

TWO = (Rung(label="part"), Rung(label="full", scale=Scale(n_tokens=9)), Rung(label="target", scale=Scale(n_tokens=99)))
ONE = TWO[1:]
TRAINER = Synthetic(d=4, m=4, seed=2, noise=0.05)


def study(**more: object) -> StudyView:

    settings = {"rungs": TWO, "budget": Budget(n_trials=30), "natural": None, **more}
    view = view_of(4, **{**settings, "metrics": TRAINER.known.metrics, "objective": {"bpb/*": 1.0}})
    return replace(view, domains=TRAINER.known.domains, natural=Mixture.natural(TRAINER.known.corpus))


def answered(view: StudyView, proposals: list[Proposal], state: str = "done") -> StudyView:
    trials = []
    for proposal in proposals:
        spec = complete(proposal, view.rungs)
        points = TRAINER.train(spec, None, lambda event: None).points if state == "done" else ()
        trials.append(Trial(spec=spec, state=state, rung=proposal.rung, why=proposal.why, points=points))
    return replace(view, trials=view.trials + tuple(trials))


def played(view: StudyView, strategy: Strategy, n: int = 5) -> StudyView:
    while proposals := strategy.ask(view, n):
        view = answered(view, proposals)
    return view


def test_base_then_parts_then_merges_then_trainings() -> None:
    view = played(study(), Merge(law=Exponential()))
    base, rest = view.trials[0], view.trials[1:]
    assert (base.rung, base.spec.mixture) == ("part", view.natural)
    parts, merges, trained = rest[:4], rest[4:16], rest[16:]
    assert {trial.rung for trial in (*parts, *merges)} == {"part"}
    assert {trial.rung for trial in trained} == {"full"}
    assert len(trained) == 13
    assert [max(part.spec.mixture.weights) for part in parts] == [1.0] * 4
    assert [trial.spec.parents for trial in parts] == [((base.id, 1.0),)] * 4
    assert [(trial.spec.method, trial.spec.parents) for trial in trained] == [("train", ())] * 13
    made = {part.id: np.array(part.spec.mixture.over(view.domains)) for part in parts}
    for trial in merges:
        assert trial.spec.method == "merge"
        assert sum(dict(trial.spec.parents).values()) == pytest.approx(1.0)
        average = sum(share * made[name] for name, share in trial.spec.parents)
        assert np.abs(average - trial.spec.mixture.over(view.domains)).max() < 1e-9
    order = list(ranked(view, merges))
    assert trained[0].spec.mixture == view.natural
    assert [trial.spec.mixture for trial in trained[1:12]] == [each for each in order if each != view.natural][:11]


def test_with_one_rung_parts_start_from_nothing_and_options_name_rungs() -> None:
    first = Merge(law=Exponential()).ask(study(rungs=ONE), 99)
    assert [proposal.parents for proposal in first] == [()] * 4
    named = Merge(law=Exponential(), rung="part", part_rung="full").ask(study(), 99)
    assert [proposal.rung for proposal in named] == ["full"]
    with pytest.raises(InputError, match="unknown rung"):
        Merge(law=Exponential(), rung="moon").ask(study(), 1)


def test_it_goes_on_without_the_children_of_what_failed() -> None:
    strategy, view = Merge(law=Exponential()), study()
    no_base = answered(view, strategy.ask(view, 1), state="diverged")
    assert [proposal.parents for proposal in strategy.ask(no_base, 99)] == [()] * 4
    view = answered(view, strategy.ask(view, 1))
    parts = strategy.ask(view, 99)
    lost = answered(answered(view, parts[:1], state="failed"), parts[1:])
    failed = lost.trials[1].id
    merges = strategy.ask(lost, 99)
    assert {proposal.method for proposal in merges} == {"merge"}
    assert all(failed not in dict(proposal.parents) for proposal in merges)
    assert all(proposal.mixture.as_dict()["d00"] == 0.0 for proposal in merges)
    none = answered(view, parts, state="failed")
    rest = strategy.ask(none, 99)
    assert {proposal.method for proposal in rest} == {"train"}
    assert len(rest) == 25


def test_merges_stay_inside_the_constraints() -> None:
    view = study(constraints=Constraints(lower={"d000": 0.1}, upper={"d001": 0.3}))
    limits = Constraints(lower={"d00": 0.1}, upper={"d01": 0.3})
    view = played(replace(view, constraints=limits), Merge(law=Exponential()))
    space = asking_space(view)
    rows = np.array([trial.spec.mixture.over(view.domains) for trial in view.trials])
    assert space.contains(rows).all()
    moved = [trial for trial in view.trials if trial.why.startswith("nearest mixture")]
    assert moved, "the parts cannot make every allowed mixture"


def test_a_mixture_is_merged_from_the_parts_that_make_it() -> None:
    space = asking_space(study(rungs=ONE))
    parts = {"p": Mixture.of({"d00": 1.0}), "q": Mixture.of({"d01": 0.5, "d02": 0.5})}
    half = Mixture.of({"d00": 0.5, "d01": 0.25, "d02": 0.25, "d03": 0.0})
    [found] = merges_of(space, [half, half, Mixture.of({"d00": 1.0})], parts, "part")
    assert found.mixture == half
    assert dict(found.parents) == pytest.approx({"p": 0.5, "q": 0.5})
    assert merges_of(space, [half], {"p": parts["p"]}, "part") == []


def test_agreement_is_the_rank_correlation_of_what_has_both() -> None:
    view = played(study(), Merge(law=Exponential()))
    found = agreement(view)
    merged = ranked(view, [trial for trial in view.trials if trial.spec.method == "merge"])
    trained = ranked(view, [trial for trial in view.trials if trial.rung == "full"])
    both = [mixture for mixture in merged if mixture in trained]
    assert found.n == len(both) >= 11
    assert found.rank == pytest.approx(spearmanr([merged[m] for m in both], [trained[m] for m in both]).statistic)
    assert found.rank > 0.7
    assert agreement(view, "part").n == 1
    early = replace(view, trials=view.trials[:16])
    assert math.isnan(agreement(early).rank)
    assert agreement(early).n == 0


def test_the_answer_comes_from_trainings_alone() -> None:
    strategy = Merge(law=Exponential())
    view = played(study(), strategy)
    found = strategy.recommend(view, None)
    assert f"merges order {agreement(view).n} trained mixtures" in found.why
    free = tuple(
        replace(t, points=tuple(replace(p, metrics=[(n, -9.0) for n, _ in p.metrics]) for p in t.points))
        if t.spec.method == "merge"
        else t
        for t in view.trials
    )
    assert strategy.recommend(replace(view, trials=free), None).mixture == found.mixture
    few = strategy.recommend(replace(view, trials=view.trials[:5] + view.trials[-3:]), None)
    assert few.why == "best mixture measured; merges were not judged"
