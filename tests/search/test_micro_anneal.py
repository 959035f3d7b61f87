"""Micro-anneals: a base, a control that is always there, singles, blends of what beat the control, and a soup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import names, view_of

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.search.micro_anneal import MicroAnneal

RUNGS = (
    Rung(label="base", scale=Scale(n_tokens=900)),
    Rung(label="anneal", scale=Scale(n_tokens=100)),
    Rung(label="target", scale=Scale(n_tokens=4000)),
)
NATURAL = (0.4, 0.3, 0.2, 0.1)
# d000 helps, d001 helps more, the others hurt.
SLOPE = np.array([-1.0, -2.0, 1.0, 2.0])


def study(**more: object) -> StudyView:
    settings = {"rungs": RUNGS, "natural": NATURAL, "budget": Budget(n_trials=20), "Y_nm": np.zeros((0, 1)), **more}
    return view_of(4, **settings)


def answered(view: StudyView, proposals: list[Proposal], states: tuple[str, ...] = ("done",)) -> StudyView:
    """Values fall by anneal; a soup is better than its members by 0.01, later replicates worse by 0.001 each."""
    trials = []
    for i, proposal in enumerate(proposals):
        value = 3.0 + float(SLOPE @ proposal.mixture.over(names(4))) + 0.001 * proposal.replicate
        value -= 0.5 * bool(proposal.parents) + 0.01 * (proposal.method == "merge")
        state = states[i % len(states)]
        points = (Point(n_tokens=1, metrics={"m0": value}),) if state == "done" else ()
        spec = complete(proposal, view.rungs)
        trials.append(Trial(spec=spec, state=state, rung=proposal.rung, why=proposal.why, points=points))
    return replace(view, trials=view.trials + tuple(trials))


def played(view: StudyView, n: int = 6, states: tuple[str, ...] = ("done",)) -> StudyView:
    while proposals := MicroAnneal().ask(view, n):
        view = answered(view, proposals, states)
    return view


def test_every_anneal_starts_from_the_base_and_the_control_comes_first() -> None:
    view = played(study())
    base, rest = view.trials[0], view.trials[1:]
    assert len(view.trials) == 20
    assert (base.rung, base.spec.mixture, base.spec.parents) == ("base", view.natural, ())
    assert {trial.rung for trial in rest} == {"anneal"}
    assert all(trial.spec.parents == ((base.id, 1.0),) for trial in rest[:-1])
    assert rest[0].spec.mixture == view.natural
    assert rest[0].why == "control: the general mixture alone"
    for d, trial in enumerate(rest[1:5]):
        half = 0.5 * np.array(NATURAL) + 0.5 * np.eye(4)[d]
        assert trial.spec.mixture.over(names(4)) == pytest.approx(half)


def test_blends_hold_general_and_winners_only() -> None:
    view = played(study())
    blends = view.trials[6:17]
    for trial in blends:
        weights = np.array(trial.spec.mixture.over(names(4)))
        general = weights[3] / 0.1
        assert weights[2] == pytest.approx(0.2 * general), "the losers have their share of the general mixture"
        assert 0.1 <= general <= 0.9
    assert blends[0].why == "50% `d001`, `d000`"
    assert len({trial.spec.mixture for trial in view.trials[1:17]}) == 16


def test_the_end_is_two_more_orders_of_the_best_and_their_soup() -> None:
    view = played(study())
    one, two, soup = view.trials[-3:]
    best = min(view.trials[1:17], key=lambda trial: trial.final["m0"])
    assert [(t.spec.mixture, t.spec.replicate) for t in (one, two)] == [(best.spec.mixture, 1), (best.spec.mixture, 2)]
    assert soup.spec.method == "merge"
    assert dict(soup.spec.parents) == pytest.approx({t.id: 1 / 3 for t in (best, one, two)})
    found = MicroAnneal().recommend(view, None)
    assert found.mixture == best.spec.mixture
    control = view.trials[1].final["m0"]
    gain = control - (best.final["m0"] + 0.001)
    assert found.before is not None
    assert (found.before.mixture, found.before.until) == (view.natural, pytest.approx(0.9)), "100 of 1000 tokens"
    assert f"best anneal: {gain:.4g} better than the control" in found.why
    assert found.why.endswith("keep it")
    worse = replace(soup, points=(Point(n_tokens=1, metrics={"m0": 9.0}),))
    assert MicroAnneal().recommend(replace(view, trials=(*view.trials[:-1], worse)), None).why.endswith("drop it")


def test_a_base_that_diverged_is_tried_again_and_then_given_up() -> None:
    view = study()
    for replicate in range(3):
        [proposal] = MicroAnneal().ask(view, 9)
        assert (proposal.rung, proposal.replicate) == ("base", replicate)
        view = answered(view, [proposal], states=("diverged",))
    assert MicroAnneal().ask(view, 9) == []
    with pytest.raises(NotEnoughEvidence, match="no allowed anneal"):
        MicroAnneal().recommend(view, None)


def test_failures_leave_their_room_to_blends() -> None:
    view = answered(study(), MicroAnneal().ask(study(), 1))
    view = played(view, states=("done", "failed", "done"))
    assert len(view.trials) == 20
    lost = {trial.id for trial in view.trials if trial.state == "failed"}
    assert lost
    assert all(not lost & set(dict(trial.spec.parents)) for trial in view.trials)


def test_where_nothing_beats_the_control_it_says_so() -> None:
    view = answered(study(natural=(0.0, 1.0, 0.0, 0.0)), MicroAnneal().ask(study(natural=(0.0, 1.0, 0.0, 0.0)), 1))
    found = MicroAnneal().recommend(played(view), None)
    assert found.mixture == view.natural
    assert found.why.startswith("no anneal was better than the control")


def test_answers_stay_inside_the_constraints_of_the_target() -> None:
    limits = Constraints(upper={"d001": 0.4})
    view = played(study(constraints=limits))
    assert max(trial.spec.mixture.as_dict()["d001"] for trial in view.trials) <= 0.4 + 1e-9
    later = replace(view, constraints=Constraints(upper={"d001": 0.3}))
    found = MicroAnneal().recommend(later, None)
    assert found.mixture.as_dict()["d001"] <= 0.3 + 1e-9


def test_of_tokens_that_are_unknown_the_last_stage_has_a_tenth() -> None:
    rungs = tuple(replace(rung, scale=Scale()) for rung in RUNGS)
    found = MicroAnneal().recommend(played(study(rungs=rungs)), None)
    assert found.before is not None
    assert found.before.until == 0.9


def test_flops_alone_bound_the_number_of_blends() -> None:
    view = played(study(budget=Budget(flops=1e9)))
    assert len(view.trials) == 1 + 5 + 4 + 2 + 1
    assert Mixture.of(dict(zip(names(4), NATURAL, strict=True))) == view.natural
