"""Where the law knows least about a mixture: the axis that no trial moved comes first."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from recipe_worlds import answered, empty_view

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Inputs, Prediction
from mixdesk.core.plan import Proposal
from mixdesk.core.space import Constraints
from mixdesk.core.trial import StudyView
from mixdesk.laws.exponential import Exponential
from mixdesk.recipe.doubts import doubts
from mixdesk.testing.worlds import loglinear

WORLD = loglinear(4, 2, seed=1, noise=0.05)


def explored(still: int) -> StudyView:
    """Runs that move every weight but one, which stays near a twentieth."""
    view, rng = empty_view(WORLD, 40), np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(3), size=40) * 0.95
    W = np.insert(rows, still, 0.05 + 0.002 * rng.standard_normal(40), axis=1)
    W /= W.sum(axis=1, keepdims=True)
    mixtures = [Mixture.of(dict(zip(view.domains, w.tolist(), strict=True)), normalise=True) for w in W]
    return answered(view, WORLD, [Proposal(mixture=one, rung="proxy", replicate=i) for i, one in enumerate(mixtures)])


@pytest.mark.parametrize("still", [0, 2])
def test_the_weight_that_no_trial_moved_is_the_largest_doubt(still: int) -> None:
    view = explored(still)
    fit = Exponential(n_draws=50).fit(view.observations("proxy"))
    found = doubts(view, fit, Mixture.of(dict(zip(view.domains, [0.25] * 4, strict=True))))
    first = found[0]
    assert first.domain == view.domains[still]
    assert first.spread > 1.5 * found[-1].spread
    assert first.leverage > 1.0
    assert first.low <= first.difference <= first.high
    assert first.trial.as_dict()[first.domain] == pytest.approx(first.to)
    assert [one.spread for one in found] == sorted((one.spread for one in found), reverse=True)


def test_a_domain_that_is_held_is_left_out() -> None:
    view = explored(0)
    held = view.domains[1]
    view = dataclasses.replace(view, constraints=Constraints(lower=((held, 0.25),), upper=((held, 0.25),)))
    fit = Exponential(n_draws=50).fit(view.observations("proxy"))
    found = doubts(view, fit, Mixture.of(dict(zip(view.domains, [0.25] * 4, strict=True))))
    assert {one.domain for one in found} == set(view.domains) - {held}


def test_strange_domains_and_laws_without_draws_are_refused() -> None:
    view = explored(0)
    fit = Exponential(n_draws=50).fit(view.observations("proxy"))
    with pytest.raises(InputError, match="elsewhere"):
        doubts(view, fit, Mixture.of({"elsewhere": 1.0}))

    class Silent:
        domains, metrics = fit.domains, fit.metrics

        def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
            return dataclasses.replace(fit.predict(inputs, level=level, sense=sense), draws_kqm=None)

    with pytest.raises(NotEnoughEvidence, match="how sure"):
        doubts(view, Silent(), Mixture.uniform(view.domains))  # type: ignore[arg-type]
