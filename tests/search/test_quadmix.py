"""QuaDMix's search: parameter sets inside the bounds, both kinds of knobs, and better with both than with either."""

from __future__ import annotations

import numpy as np
import pytest
from quality_studies import MEAN, Truth, answered, optimum, regret, view_on
from search_worlds import law_of, view_of

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Floats
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Space
from mixdesk.laws.gp import MixtureGP
from mixdesk.search.lens import Leaves
from mixdesk.search.quadmix import KNOBS, QuaDMix
from mixdesk.testing.qualities import qualities

WORLD = qualities(n_domains=3, n_bins=4, m=2, seed=3, noise=0.05)
LEAVES = Leaves.of(WORLD.domains, WORLD.natural_d)
DOMAIN_D = LEAVES.group_d


def rows_of(strategy: QuaDMix, n: int = 60, **more: object) -> Floats:
    asked = strategy.ask(view_on(WORLD, n, **more), 1000)
    return np.array([p.mixture.over(WORLD.domains) for p in asked if p.replicate == 0])


def marginals(W_qd: Floats) -> Floats:
    return W_qd @ np.eye(3)[DOMAIN_D]


def test_the_list_is_natural_uniform_parameter_sets_and_a_block_of_repeats() -> None:
    asked = QuaDMix().ask(view_on(WORLD), 1000)
    assert len(asked) == 60
    assert asked[0].mixture == Mixture.natural(WORLD.corpus)
    assert asked[1].mixture == Mixture.uniform(WORLD.domains)
    assert len({(p.mixture, p.replicate) for p in asked}) == 60
    repeats = [p for p in asked if p.replicate]
    assert [(p.mixture, p.replicate) for p in repeats] == [(asked[i].mixture, r) for r in (1, 2) for i in range(3)]
    assert repeats[0].why == "repeat 2 of natural mixture, to measure noise"
    assert not any(p.replicate for p in QuaDMix().ask(view_on(WORLD, 11), 1000))
    assert len(QuaDMix().ask(view_on(WORLD, budget=Budget(seconds=1.0)), 1000)) == 3 * 13 + 6


def test_asking_in_pieces_is_asking_at_once_and_ends_with_the_budget() -> None:
    view = view_on(WORLD)
    whole = QuaDMix().ask(view, 60)
    assert QuaDMix().ask(view, 7) == whole[:7]
    done = answered(QuaDMix(), view_on(WORLD), WORLD)
    assert [t.spec.mixture for t in done.trials] == [p.mixture for p in whole]
    assert QuaDMix().ask(done, 5) == []
    assert QuaDMix().ask(view_on(WORLD, seed=1), 60)[2:9] != whole[2:9]


@pytest.mark.parametrize("knobs", KNOBS)
def test_better_bins_are_sampled_no_less(knobs: str) -> None:
    rates = QuaDMix(knobs=knobs).drawn(LEAVES, 500, np.random.default_rng(0)) / WORLD.natural_d
    falls = np.diff(rates.reshape(500, 3, 4), axis=2)
    assert (falls <= 1e-12 * rates.reshape(500, 3, 4)[:, :, :-1]).all()
    assert (falls.min() < -1.0) == (knobs != "mixture")


def test_each_kind_of_knob_moves_what_it_is_for() -> None:
    quality, mixture = (rows_of(QuaDMix(knobs=knobs)) for knobs in ("quality", "mixture"))
    np.testing.assert_allclose(marginals(quality), np.tile(LEAVES.natural_g, (len(quality), 1)), atol=1e-9)
    inner = mixture / marginals(mixture)[:, DOMAIN_D]
    np.testing.assert_allclose(inner, np.tile(inner[0], (len(mixture), 1)), atol=1e-9)
    joint = rows_of(QuaDMix())
    assert marginals(joint).std(axis=0).min() > 0.05
    assert (joint / marginals(joint)[:, DOMAIN_D]).std(axis=0).min() > 0.05


def test_parameter_sets_do_not_depend_on_how_many_are_drawn() -> None:
    long, short = (QuaDMix().drawn(LEAVES, n, np.random.default_rng(4)) for n in (50, 5))
    np.testing.assert_array_equal(long[:5], short)


def test_without_bins_only_the_mixture_is_left() -> None:
    flat = Leaves.of(("a", "b", "c"), np.array([1.0, 2.0, 3.0]))
    joint, mixture = (QuaDMix(knobs=k).drawn(flat, 20, np.random.default_rng(0)) for k in ("joint", "mixture"))
    np.testing.assert_allclose(joint, mixture)
    with pytest.raises(InputError, match="no quality to tune"):
        QuaDMix(knobs="quality").ask(view_of(3), 1)
    with pytest.raises(InputError, match="bins of `web` are not in order"):
        QuaDMix().ask(view_of(3, domains=("web/q1", "web/q3", "code")), 1)
    with pytest.raises(InputError, match="unknown knobs `qualities`"):
        QuaDMix(knobs="qualities")


@pytest.mark.parametrize(
    "limits",
    [
        Constraints(upper={"*/q1": 0.15}, lower={"d00/*": 0.02}),
        Constraints(group_upper={"d01/*": 0.3}),
        Constraints(upper={"*": 0.09}),
    ],
)
def test_bounds_hold_for_trials_and_recommendation(limits: Constraints) -> None:
    view = answered(QuaDMix(), view_on(WORLD, constraints=limits), WORLD)
    asked = np.array([trial.spec.mixture.over(WORLD.domains) for trial in view.trials])
    space = Space.build(limits, WORLD.domains)
    assert len(asked) == 60
    assert space.contains(asked, 1e-8).all()
    assert len({(t.spec.mixture, t.spec.replicate) for t in view.trials}) == 60
    found = QuaDMix(n_candidates=2_000).recommend(view, Truth(world=WORLD))
    assert space.contains(np.array(found.mixture.over(WORLD.domains)), 1e-8)[0]


def test_a_pool_is_searched_as_it_is() -> None:
    rows = QuaDMix().drawn(LEAVES, 30, np.random.default_rng(9))
    pool = tuple(Mixture.of(dict(zip(WORLD.domains, row.tolist(), strict=True)), normalise=True) for row in rows)
    view = answered(QuaDMix(), view_on(WORLD, 12, constraints=Constraints(pool=pool)), WORLD)
    assert {trial.spec.mixture for trial in view.trials} <= set(pool)
    found = QuaDMix().recommend(view, Truth(world=WORLD))
    assert found.mixture in pool
    assert found.why == "best predicted of the pool"


def test_guards_are_kept() -> None:
    first = WORLD.metrics[0].name
    guarded = Objective(terms={WORLD.metrics[1].name: 1.0}, guards=(Guard(metric=first, than="natural"),))
    free = Objective(terms={WORLD.metrics[1].name: 1.0})
    natural = WORLD.value(WORLD.natural_d)[0, 0]
    values = []
    for objective in (free, guarded):
        view = answered(QuaDMix(), view_on(WORLD, objective=objective), WORLD)
        found = QuaDMix(n_candidates=4_000).recommend(view, Truth(world=WORLD))
        values.append(WORLD.value(np.array(found.mixture.over(WORLD.domains)))[0, 0])
    assert values[0] > natural + 0.01
    assert values[1] <= natural + 1e-3


def test_the_recommendation_is_the_mean_of_the_best() -> None:
    view = answered(QuaDMix(), view_on(WORLD), WORLD)
    found = QuaDMix().recommend(view, Truth(world=WORLD))
    assert found == QuaDMix().recommend(view, Truth(world=WORLD))
    assert found.why == "mean of the best 10 of 20,000 parameter sets"
    assert set(dict(found.spread)) == set(WORLD.domains)
    value = MEAN.value(WORLD.value(np.array(found.mixture.over(WORLD.domains))), WORLD.metrics)[0]
    tried = MEAN.value(view.observations().Y_nm, WORLD.metrics).min()
    assert value < tried


def test_with_the_true_law_both_knobs_come_nearest_to_the_optimum() -> None:
    best = optimum(WORLD)
    joint, quality, mixture = (regret(QuaDMix(knobs=knobs), WORLD, best) for knobs in KNOBS)
    assert 0.0 <= joint < 0.2 * min(quality, mixture)


@pytest.mark.slow
def test_both_knobs_beat_either_alone_with_a_fitted_law() -> None:
    regrets = []
    for seed in range(20):
        world = qualities(seed=seed)
        best = optimum(world)
        regrets.append([regret(QuaDMix(knobs=knobs), world, best, MixtureGP()) for knobs in KNOBS])
    joint, quality, mixture = np.median(regrets, axis=0)
    assert joint < 0.5 * min(quality, mixture)


def test_a_law_over_flat_domains_is_searched_as_well() -> None:
    law = law_of([[-4.0, 0.0, 0.0]])
    W = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    found = QuaDMix(n_candidates=4_000).recommend(view_of(3, W, law=law), law)
    assert found.mixture.as_dict()["d000"] > W[:, 0].max() - 0.1
