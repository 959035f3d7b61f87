"""Successive halving: sizes by budget, promotion by the rung below, answer at the highest rung with enough runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import names, random_law, view_of

from mixdesk.core.errors import InputError
from mixdesk.core.plan import complete
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.laws.exponential import Exponential
from mixdesk.search.design import Design
from mixdesk.search.halving import Halving

RUNGS = (
    Rung(label="short", scale=Scale(n_tokens=100), flops=1.0),
    Rung(label="middle", scale=Scale(n_tokens=200), flops=2.0),
    Rung(label="full", scale=Scale(n_tokens=400), flops=4.0),
    Rung(label="target", scale=Scale(n_tokens=1600), flops=16.0),
)
LAW = random_law(4, 2, seed=3)


def study(**more: object) -> StudyView:
    return view_of(4, law=LAW, natural=[0.4, 0.3, 0.2, 0.1], **{"rungs": RUNGS, "budget": Budget(n_trials=40), **more})


def answered(view: StudyView, proposals: list, offset: float = 0.0, state: str = "done") -> StudyView:
    """The view with the proposals answered; shorter rungs are worse by a constant, which must never matter."""
    trials = []
    for proposal in proposals:
        row = np.array([proposal.mixture.over(names(4))])
        worse = {"short": 2.0, "middle": 1.0}.get(proposal.rung, 0.0)
        values = LAW.mean(row)[0] + worse + offset
        spec = complete(proposal, view.rungs)
        points = (Point(n_tokens=1, metrics={f"m{j}": float(y) for j, y in enumerate(values)}),)
        trials.append(
            Trial(spec=spec, state=state, rung=proposal.rung, points=points, flops=view.rung(proposal.rung).flops)
        )
    return replace(view, trials=view.trials + tuple(trials))


def played(view: StudyView, strategy: Halving, n: int = 7) -> StudyView:
    while proposals := strategy.ask(view, n):
        assert len({proposal.rung for proposal in proposals}) == 1, "a round is of one rung"
        view = answered(view, proposals)
    return view


def test_sizes_fit_the_budget_in_trials_and_in_flops() -> None:
    assert Halving(law=Exponential()).sizes(study()) == [23, 11, 5]
    by_flops = Halving(law=Exponential()).sizes(study(budget=Budget(flops=60.0)))
    assert by_flops == [20, 10, 5]
    assert sum(n * c for n, c in zip(by_flops, (1, 2, 4), strict=True)) == 60
    assert Halving(law=Exponential(), eta=4.0).sizes(study()) == [31, 7, 1]
    assert Halving(law=Exponential()).sizes(study(budget=Budget(seconds=5.0))) == [15, 7, 3]
    with pytest.raises(InputError, match="eta"):
        Halving(law=Exponential(), eta=1.0)


def test_each_rung_is_the_better_part_of_the_one_below_and_natural() -> None:
    view = played(study(), Halving(law=Exponential()))
    assert len(view.trials) == 40
    by_rung = {rung.label: [t.spec.mixture for t in view.at(rung.label)] for rung in RUNGS}
    assert [len(by_rung[label]) for label in ("short", "middle", "full", "target")] == [23, 11, 6, 0]
    for below, above in (("short", "middle"), ("middle", "full")):
        order = sorted(set(by_rung[below]), key=lambda m: LAW.mean(np.array([m.over(names(4))])).sum())
        best = [m for m in order if m != view.natural]
        assert by_rung[above][0] == view.natural
        assert by_rung[above][1:] == best[: len(by_rung[above]) - 1]


def test_nothing_is_asked_while_a_rung_is_out_and_failures_leave_room() -> None:
    strategy, view = Halving(law=Exponential()), study()
    first = strategy.ask(view, 100)
    out = answered(view, first, state="running")
    assert strategy.ask(out, 100) == []
    failed = replace(
        out, trials=tuple(replace(t, state="failed" if i % 2 else "done") for i, t in enumerate(out.trials))
    )
    second = strategy.ask(failed, 100)
    done = {t.spec.mixture for t in failed.trials if t.state == "done"}
    assert second
    assert {p.mixture for p in second} <= done
    assert {p.rung for p in second} == {"middle"}


def test_one_rung_is_the_default_design() -> None:
    view = study(rungs=(RUNGS[2], RUNGS[3]), budget=Budget(n_trials=20))
    assert Halving(law=Exponential()).ask(view, 50) == Design().ask(view, 50)


def test_it_recommends_by_a_law_at_the_highest_rung_with_enough_runs() -> None:
    strategy = Halving(law=Exponential())
    view = played(study(), strategy)
    found = strategy.recommend(view, None)
    assert "rung `full`" in found.why
    true = lambda m: float(LAW.mean(np.array([m.over(names(4))])).mean())  # noqa: E731
    assert true(found.mixture) < true(view.natural)
    few = replace(view, trials=tuple(t for t in view.trials if t.rung != "full"))
    assert "rung `middle`" in strategy.recommend(few, None).why
    alone = replace(view, trials=view.at("full")[:3])
    best = strategy.recommend(alone, None)
    assert best.why == "best mixture measured; runs of rung `full`"
