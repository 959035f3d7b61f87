"""Guards in the search: kept by every strategy, verified, and named where no mixture keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from search_worlds import SumOfExponentials, corners, law_of, names, random_law, view_of

from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Floats, Inputs, Observations
from mixdesk.search.exact import Exact
from mixdesk.search.simulate import RegMix
from mixdesk.search.terrain import Terrain, learned


def guarded(law: Any, *guards: Guard, d: int = 2, **more: Any) -> Any:
    view = view_of(d, corners(d), law=law, objective={"m0": 1.0}, **more)
    return replace(view, objective=Objective(terms={"m0": 1.0}, reduce=view.objective.reduce, guards=guards))


def values(law: Any, mixture: Any) -> Floats:
    return np.array(law.predict(Inputs.of(law.domains, [mixture.weights])).mean_qm[0])


# m0 wants all of the first domain, m1 all of the second: m1 = 2 + exp(-2 (1 - r)).
RIVALS = law_of([[-2.0, 0.0], [0.0, -2.0]])


@pytest.mark.parametrize("strategy", [Exact(kl=0.0), RegMix(n_candidates=20_000)])
def test_the_optimum_moves_to_where_the_guard_binds(strategy: Any) -> None:
    bound = 2.0 + np.exp(-2.0 * 0.3)  # kept for r ≤ 0.7
    free = strategy.recommend(guarded(RIVALS), RIVALS)
    held = strategy.recommend(guarded(RIVALS, Guard(metric="m1", at_most=bound)), RIVALS)
    assert free.mixture.weights[0] > 0.97
    assert held.mixture.weights[0] == pytest.approx(0.7, abs=1e-3 if isinstance(strategy, Exact) else 0.02)
    assert values(RIVALS, held.mixture)[1] <= bound + 1e-4
    if isinstance(strategy, Exact):
        assert held.binding == (f"m1 ≤ {bound:g}",)
        assert "could not verify" not in held.why


def test_a_guard_against_a_rival_is_its_value_with_slack() -> None:
    view = guarded(RIVALS, Guard(metric="m1", than="uniform", slack=0.05))
    found = Exact(kl=0.0).recommend(view, RIVALS)
    uniform = values(RIVALS, view_of(2).natural or replace(found.mixture, weights=(0.5, 0.5)))
    assert values(RIVALS, found.mixture)[1] == pytest.approx(uniform[1] + 0.05, abs=1e-4)


def test_a_metric_that_is_better_higher_is_guarded_from_below() -> None:
    law = replace(RIVALS, sign_m=np.array([1.0, -1.0]))
    bound = -(2.0 + np.exp(-2.0 * 0.3))
    found = Exact(kl=0.0).recommend(guarded(law, Guard(metric="m1", at_least=bound)), law)
    assert found.mixture.weights[0] == pytest.approx(0.7, abs=1e-3)


def test_a_law_without_gradient_is_guarded_too() -> None:
    plain = SumOfExponentials(domains=RIVALS.domains, c_m=RIVALS.c_m, t_md=RIVALS.t_md, sign_m=RIVALS.sign_m)
    guard = Guard(metric="m1", at_most=2.5)
    one, other = (Exact(kl=0.0).recommend(guarded(law, guard), law) for law in (RIVALS, plain))
    assert one.mixture.weights == pytest.approx(other.mixture.weights, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reduce", ["mean", "worst"])
def test_no_kept_mixture_is_better(seed: int, reduce: str) -> None:
    law = random_law(4, 4, seed)
    view = view_of(4, corners(4), law=law, objective={"m0": 1.0, "m1": 1.0}, reduce=reduce)
    guards = (Guard(metric="m2", than="uniform", slack=0.02), Guard(metric="m3", than="uniform", slack=0.02))
    view = replace(view, objective=replace(view.objective, guards=guards))
    found = Exact(kl=0.0).recommend(view, law)
    terrain = Terrain.of(view, law)
    pool = np.random.default_rng(seed).dirichlet(np.ones(4), size=50_000)
    kept = pool[terrain.keeps(terrain.means(pool))]
    best = np.array([found.mixture.weights])
    assert len(kept)
    assert terrain.keeps(terrain.means(best))[0]
    assert terrain.value(best)[0] <= terrain.value(kept).min() + 1e-6
    assert "could not verify" not in found.why


def test_a_law_of_steps_keeps_its_guards() -> None:
    class Steps(SumOfExponentials):
        __slots__ = ()

        def predict(self, inputs: Inputs, draws: int = 0, **more: object) -> Any:
            rounded = np.round(inputs.over(self.domains) * 20.0) / 20.0
            return super().predict(Inputs.of(self.domains, rounded), draws)

    law = Steps(domains=RIVALS.domains, c_m=RIVALS.c_m, t_md=RIVALS.t_md, sign_m=RIVALS.sign_m)
    bound = 2.0 + float(np.exp(-2.0 * 0.3))
    found = Exact().recommend(guarded(law, Guard(metric="m1", at_most=bound)), law)
    assert values(law, found.mixture)[1] <= bound + 1e-3
    assert 0.5 < found.mixture.weights[0] < 0.75


@pytest.mark.parametrize("strategy", [Exact(), RegMix(n_candidates=2_000, top=20)])
def test_guards_that_clash_name_a_relaxation_that_is_enough(strategy: Any) -> None:
    guards = [Guard(metric="m0", at_most=2.3), Guard(metric="m1", at_most=2.3)]
    with pytest.raises(Infeasible, match=r"no allowed mixture keeps `m[01] ≤ 2.3`") as caught:
        strategy.recommend(guarded(RIVALS, *guards), RIVALS)
    assert caught.value.exit_code == 3
    missed = dict(part.replace("`", "").split(" ≤ 2.3 by ") for part in caught.value.remedy[7:].split(" and "))
    loose = [Guard(metric=g.metric, at_most=2.3 + float(missed.get(g.metric, 0.0))) for g in guards]
    assert strategy.recommend(guarded(RIVALS, *loose), RIVALS).mixture.weights


def test_a_guard_against_an_unknown_natural_mixture_is_refused() -> None:
    with pytest.raises(InputError, match="needs the natural mixture"):
        Exact().recommend(guarded(RIVALS, Guard(metric="m1", than="natural")), RIVALS)
    known = guarded(RIVALS, Guard(metric="m1", than="natural"), natural=(0.2, 0.8))
    assert Exact(kl=0.0).recommend(known, RIVALS).mixture.weights[0] == pytest.approx(0.2, abs=1e-3)


def test_domains_of_the_guarded_law_may_come_in_another_order() -> None:
    law = random_law(4, 4)
    order = [2, 0, 3, 1]
    turned = replace(law, domains=tuple(names(4)[i] for i in order), t_md=law.t_md[:, order])
    guard = Guard(metric="m2", than="uniform")
    one, other = (Exact().recommend(guarded(one_law, guard, d=4), one_law) for one_law in (law, turned))
    assert one.mixture.weights == pytest.approx(other.mixture.weights, abs=1e-5)


class Counts:
    """A law that keeps the rows it is fitted on."""

    def __init__(self, *, spans_scales: bool) -> None:
        self.spans_scales = spans_scales

    def fit(self, obs: Observations) -> Any:
        return len(obs.trials)


def test_a_law_learns_from_the_fullest_rung_or_from_every_scale() -> None:
    view = view_of(3, corners(3), law=random_law(3, 1))
    above = replace(view.trials[0], rung="target")
    view = replace(view, trials=(*view.trials, above))
    assert learned(view, Counts(spans_scales=False)) == 4  # type: ignore[arg-type]
    assert learned(view, Counts(spans_scales=True)) == 5  # type: ignore[arg-type]
