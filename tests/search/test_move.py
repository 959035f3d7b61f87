"""The smallest step: near today, gaining what is asked, by hand and against many candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import corners, law_of, names, random_law, view_of

from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Inputs
from mixdesk.search.move import smallest_step


def test_two_domains_by_hand() -> None:
    law = law_of([[-2.0, 0.0]])
    today = Mixture.of(dict(zip(names(2), (0.3, 0.7), strict=True)))
    step = smallest_step(view_of(2, corners(2), law=law), law, today, 0.1)
    r = -np.log(np.exp(-0.6) - 0.1) / 2.0
    assert step.mixture.weights[0] == pytest.approx(r, abs=1e-5)
    assert step.kl == pytest.approx(r * np.log(r / 0.3) + (1 - r) * np.log((1 - r) / 0.7), abs=1e-6)
    assert step.largest == pytest.approx(np.exp(-0.6) - np.exp(-2.0), abs=1e-4)
    assert step.doubt == ""


@pytest.mark.parametrize("reduce", ["mean", "worst"])
@pytest.mark.parametrize("seed", range(3))
def test_no_mixture_that_gains_as_much_is_nearer(seed: int, reduce: str) -> None:
    law = random_law(4, 3, seed)
    view = view_of(4, corners(4), law=law, reduce=reduce)
    today = Mixture.uniform(names(4))
    step = smallest_step(view, law, today, 0.03)
    pool = np.random.default_rng(seed).dirichlet(4.0 * np.ones(4), size=100_000)
    value = view.objective.value(law.predict(Inputs.of(names(4), pool)).mean_qm, view.metrics)
    before = view.objective.value(law.predict(Inputs.of(names(4), np.full((1, 4), 0.25))).mean_qm, view.metrics)[0]
    enough = pool[value <= before - 0.03]
    nats = (enough * np.log(enough / 0.25)).sum(axis=1)
    assert step.gain == pytest.approx(0.03, abs=1e-4)
    assert step.kl <= nats.min() + 1e-4
    assert step.doubt == ""


def test_a_larger_gain_is_farther_and_too_large_a_gain_is_refused_with_the_largest() -> None:
    law = random_law(4, 3, 1)
    view = view_of(4, corners(4), law=law)
    today = Mixture.uniform(names(4))
    first = smallest_step(view, law, today, 0.01)
    assert first.kl < smallest_step(view, law, today, 0.05).kl
    with pytest.raises(Infeasible, match="no allowed mixture gains 9") as caught:
        smallest_step(view, law, today, 9.0)
    assert f"{first.largest:.4g}" in str(caught.value)
    most = float(str(caught.value).split("ask for ")[1].split()[0])
    assert first.largest * 0.99 < most <= first.largest
    with pytest.raises(InputError, match="gain"):
        smallest_step(view, law, today, 0.0)


def test_a_guard_bends_the_step_and_a_domain_may_enter() -> None:
    law = law_of([[-2.0, -1.0, 0.0], [0.0, -2.0, -2.0]])
    view = view_of(3, corners(3), law=law, objective={"m0": 1.0})
    today = Mixture.of(dict(zip(names(3), (0.2, 0.0, 0.8), strict=True)))
    free = smallest_step(view, law, today, 0.1)
    guards = (Guard(metric="m1", at_most=2.0 + float(np.exp(-2.0 * 0.8))),)
    held = smallest_step(replace(view, objective=Objective(terms={"m0": 1.0}, guards=guards)), law, today, 0.1)
    assert held.mixture.weights[0] <= 0.2 + 1e-3 < free.mixture.weights[0]
    assert held.mixture.weights[1] > 0.1
    assert held.kl > free.kl
    assert held.binding == (guards[0].words(view.metrics[1]),)
