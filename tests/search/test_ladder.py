"""Rounds: what was asked is found again, answers are averaged, and nothing is asked beyond an open round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import corners, random_law, trial, view_of

from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Trial
from mixdesk.search.ladder import (
    asking_space,
    general_mixture,
    next_of,
    proxy_rungs,
    ranked,
    recommend_at,
    trial_of,
    values,
)

A, B = Mixture.of({"d000": 1.0}), Mixture.of({"d001": 1.0})


def asked(view, proposal: Proposal, state: str):
    done = Trial(spec=complete(proposal, view.rungs), state=state, rung=proposal.rung)
    return replace(view, trials=(*view.trials, done))


def test_the_target_is_no_proxy_unless_it_is_all_there_is() -> None:
    assert [rung.label for rung in proxy_rungs(view_of(2))] == ["proxy"]
    assert [rung.label for rung in proxy_rungs(view_of(2, rungs=(Rung(label="only"),)))] == ["only"]


def test_epoch_caps_do_not_hold_where_mixtures_are_asked() -> None:
    view = view_of(2, constraints=Constraints(max_epochs=1e-9, upper={"d000": 0.7}))
    assert asking_space(view).upper_d.tolist() == [0.7, 1.0]


def test_the_general_mixture_is_natural_or_the_nearest_that_is_allowed() -> None:
    view = view_of(2, natural=[0.8, 0.2])
    assert general_mixture(view, asking_space(view)) is view.natural
    capped = view_of(2, natural=[0.8, 0.2], constraints=Constraints(upper={"d000": 0.7}))
    assert general_mixture(capped, asking_space(capped)).weights == pytest.approx((0.7, 0.3))
    assert general_mixture(view_of(2), asking_space(view)) == Mixture.uniform(view.domains)


def test_a_round_waits_for_those_before() -> None:
    view = view_of(2)
    first, second = (
        [Proposal(mixture=A, rung="proxy")],
        [Proposal(mixture=B, rung="proxy", replicate=i) for i in (0, 1)],
    )
    assert next_of(view, iter([first, second]), 5) == first
    out = asked(view, first[0], "running")
    assert next_of(out, iter([first, second]), 5) == []
    for state in ("done", "failed", "diverged"):
        assert next_of(asked(view, first[0], state), iter([first, second]), 5) == second
    assert next_of(asked(view, first[0], "done"), iter([first, second]), 1) == second[:1]
    assert next_of(replace(view, budget=Budget(n_trials=1)), iter([second]), 5) == second[:1]


def test_a_trial_is_found_by_all_that_a_proposal_says() -> None:
    view = view_of(2)
    proposal = Proposal(mixture=A, rung="proxy", method="merge", parents={"feed": 1.0})
    found = asked(view, proposal, "done")
    assert trial_of(found, proposal) == found.trials[0]
    for other in (
        {"method": "train"},
        {"parents": {"f00d": 1.0}},
        {"rung": "target"},
        {"replicate": 1},
        {"mixture": B},
    ):
        assert trial_of(found, replace(proposal, **other)) is None


def test_repeats_are_averaged_and_half_measured_trials_left_out() -> None:
    trials = [trial(A, [1.0, 2.0]), trial(A, [1.0, 4.0], 1), trial(B, [1.0, 1.0]), trial(B, [0.0, np.nan], 1)]
    view = view_of(2, trials=tuple(trials), Y_nm=np.zeros((0, 2)))
    assert values(view, trials)[:3].tolist() == [1.5, 2.5, 1.0]
    assert ranked(view, trials) == {B: 1.0, A: 2.0}
    assert list(ranked(view, trials)) == [B, A]
    assert values(view, []).tolist() == []
    confirmed = [*trials, trial(B, [9.0, 9.0], 1000)]
    assert ranked(view, confirmed) == ranked(view, trials)


def test_a_recommendation_at_a_rung_looks_at_no_other() -> None:
    class Never:
        """A law that must not be fitted."""

    law = random_law(3, 2, seed=1)
    rungs = (Rung(label="proxy"), Rung(label="full", scale=Scale(n_tokens=9)), Rung(label="target"))
    view = view_of(3, corners(3), law=law, rungs=rungs)
    few = recommend_at(view, rungs[0], Never(), None)
    assert few.why == "best mixture measured"
    more = view_of(3, np.vstack([corners(3), [[0.5, 0.5, 0.0]]]), law=law, rungs=rungs)
    assert recommend_at(more, rungs[0], Never(), law).why.startswith("minimum of the predicted objective")
    worse = tuple(replace(one, rung="full", points=()) for one in view.trials)
    assert recommend_at(replace(more, trials=more.trials + worse), rungs[0], Never(), law) == recommend_at(
        more, rungs[0], Never(), law
    )
    with pytest.raises(Exception, match="no allowed mixture has been measured"):
        recommend_at(more, rungs[1], Never(), law)
