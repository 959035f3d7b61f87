"""ParEGO: half design, then rounds that cover the front of the objective's metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from search_worlds import law_of, names, trial, view_of

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Inputs, Observations
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints
from mixdesk.core.trial import StudyView
from mixdesk.search.parego import ParEGO

# The first two domains each help one metric and hurt the other; the third helps a metric that no objective has.
TRUTH = law_of([[-3.0, 1.0, 0.0], [1.0, -3.0, 0.0], [0.0, 0.0, -9.0]])
GOAL = {"m0": 1.0, "m1": 1.0}


@dataclass(frozen=True, kw_only=True)
class Known:
    """A law that is known before any run; it still wants three."""

    law: Any = TRUTH

    def fit(self, obs: Observations) -> Any:
        if len(obs.trials) < 3:
            raise NotEnoughEvidence("too few", value=len(obs.trials), bound="3", remedy="run more trials")
        return self.law


def finished(view: StudyView, n: int) -> StudyView:
    while asked := ParEGO(law=Known()).ask(view, n):
        W_qd = np.array([p.mixture.over(view.domains) for p in asked])
        Y_qm = TRUTH.predict(Inputs.of(view.domains, W_qd)).mean_qm
        new = [replace(trial(p.mixture, y, p.replicate), why=p.why) for p, y in zip(asked, Y_qm, strict=True)]
        view = replace(view, trials=view.trials + tuple(new))
    return view


@pytest.mark.parametrize("n_trials", [32, 37])
def test_asking_in_pieces_is_asking_round_by_round(n_trials: int) -> None:
    view = view_of(3, law=TRUTH, objective=GOAL, budget=Budget(n_trials=n_trials))
    whole, pieces = finished(view, 99), finished(view, 3)
    assert [t.spec for t in whole.trials] == [t.spec for t in pieces.trials]
    assert len({t.spec.id for t in whole.trials}) == len(whole.trials) == n_trials
    n_front = sum(t.why.startswith("along the front") for t in whole.trials)
    assert n_front == n_trials // 2


def test_the_rounds_lie_on_the_front_and_cover_it() -> None:
    view = finished(view_of(3, law=TRUTH, objective=GOAL, budget=Budget(n_trials=64)), 99)
    W = np.array([t.spec.mixture.over(view.domains) for t in view.trials[32:]])
    # The front is the edge between the first two domains: the third helps neither metric.
    assert np.median(W[:, 2]) < 0.06
    assert W[:, 0].min() < 0.2
    assert W[:, 0].max() > 0.8
    assert np.histogram(W[:, 0], bins=[0.0, 0.35, 0.65, 1.0])[0].min() >= 4


def test_doubt_about_the_law_spreads_the_trials() -> None:
    view = view_of(3, np.random.default_rng(0).dirichlet(np.ones(3), 20), law=TRUTH, objective=GOAL)
    sure, unsure = (
        np.array([p.mixture.weights for p in ParEGO(law=Known(law=replace(TRUTH, doubt=doubt))).ask(view, 8)])
        for doubt in (0.0, 3.0)
    )
    assert unsure[:, 2].mean() > sure[:, 2].mean() + 0.05


def test_a_pool_is_asked_once_and_too_few_answers_leave_it_to_the_design() -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(3), 20)
    pool = tuple(Mixture.of(dict(zip(names(3), row, strict=True)), normalise=True) for row in rows)
    done = finished(view_of(3, law=TRUTH, objective=GOAL, constraints=Constraints(pool=pool)), 7)
    first = [t.spec.mixture for t in done.trials if t.spec.replicate == 0]
    assert len(set(first)) == len(first)
    assert len(done.trials) == 20
    view = view_of(3, law=TRUTH, objective=GOAL, budget=Budget(n_trials=16))
    lost = tuple(trial(p.mixture, [np.nan], p.replicate, "failed") for p in ParEGO(law=Known()).ask(view, 99))
    more = ParEGO(law=Known()).ask(replace(view, trials=lost), 99)
    assert len(more) == 8
    assert not any(p.why.startswith("along") for p in more)


def test_recommends_as_exact_on_the_objective() -> None:
    view = view_of(3, np.vstack([np.eye(3), np.full(3, 1 / 3)]), law=TRUTH, objective=GOAL)
    found = ParEGO(law=Known()).recommend(view, TRUTH)
    assert found.why.startswith("minimum of the predicted objective")
    assert abs(found.mixture.weights[0] - found.mixture.weights[1]) < 0.05
