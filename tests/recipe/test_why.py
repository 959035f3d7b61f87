"""What a weight rests on: steps along its line, what stops them, and trials whose absence would change them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from recipe_worlds import MEAN, answered, made, studied

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats, Inputs, Prediction
from mixdesk.core.plan import External, Proposal
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import Recipe
from mixdesk.core.region import Region
from mixdesk.core.space import Constraints, Rule
from mixdesk.core.trial import StudyView
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.trees import Trees
from mixdesk.recipe.why import Line, Step, Why, Witness, explain, shared
from mixdesk.testing.worlds import loglinear

WORLD = loglinear(4, 2, seed=1, noise=0.1)
LAW = Exponential(n_draws=50)


@pytest.fixture(scope="module")
def view() -> StudyView:
    return studied(WORLD, 40)


@pytest.fixture(scope="module")
def recipe(view: StudyView) -> Recipe:
    return made(view, law=LAW)


def asked(view: StudyView, recipe: Recipe, domain: str, law: object = LAW) -> Why:
    """Of the exponential law; `law` is the one that is refitted, if it can be cheaply."""
    return explain(view, law, LAW.fit(view.observations()), recipe, domain, name="exponential")


@pytest.fixture(scope="module")
def why(view: StudyView, recipe: Recipe) -> Why:
    heaviest = max(recipe.mixture.as_dict().items(), key=lambda item: item[1])[0]
    return asked(view, recipe, heaviest)


def line_of(view: StudyView, w_d: Floats, *members: int, **constraints: object) -> Line:
    bounded = dataclasses.replace(view, constraints=Constraints(**constraints))
    in_d = np.isin(np.arange(len(w_d)), members)
    return Line.of(bounded, w_d, in_d)


def test_shares_are_in_proportion_within_bounds() -> None:
    base, lower = np.array([0.1, 0.2, 0.3]), np.zeros(3)
    assert shared(0.3, base, lower, np.ones(3)) == pytest.approx([0.05, 0.1, 0.15])
    assert shared(0.9, base, lower, np.array([1.0, 1.0, 0.3])) == pytest.approx([0.2, 0.4, 0.3])
    assert shared(0.9, base, lower, np.full(3, 0.25)) is None
    assert shared(0.1, base, np.array([0.0, 0.15, 0.0]), np.ones(3)) is None
    assert shared(0.5, np.array([0.0, 1.0]), np.zeros(2), np.full(2, 0.4)) is None


def test_all_else_stays_in_proportion(view: StudyView) -> None:
    w_d = np.array([0.4, 0.3, 0.2, 0.1])
    line = line_of(view, w_d, 0)
    assert line.at(0.7) == pytest.approx([0.7, 0.15, 0.1, 0.05])
    assert line_of(view, w_d, 0, 1).at(0.35) == pytest.approx([0.2, 0.15, 0.65 * 2 / 3, 0.65 / 3])
    assert line.elsewhere(np.array([[0.7, 0.15, 0.1, 0.05], [0.4, 0.2, 0.3, 0.1]])) == pytest.approx([0.0, 0.1])


@pytest.mark.parametrize(
    ("constraints", "weight", "held"),
    [
        ({"upper": (("d00", 0.6),)}, 0.6, "d00 ≤ 0.6"),
        ({"upper": (("d01", 0.3), ("d02", 0.25))}, 1.0, ""),
        ({"lower": (("d01", 0.2), ("d02", 0.15), ("d03", 0.1))}, 0.55, "d01 ≥ 0.2, d02 ≥ 0.15, d03 ≥ 0.1"),
        ({"rules": (Rule(name="rest", terms=(("d00", 1.0), ("d01", -1.0)), most=0.25),)}, 0.5, "rest ≤ 0.25"),
    ],
)
def test_a_step_ends_where_a_constraint_does(
    view: StudyView, constraints: dict[str, object], weight: float, held: str
) -> None:
    line = line_of(view, np.array([0.4, 0.3, 0.2, 0.1]), 0, **constraints)
    end_d, why = line.reach(1.0)
    assert end_d[0] == pytest.approx(weight, abs=1e-6)
    assert end_d.sum() == pytest.approx(1.0)
    assert why == held


def test_steps_out_of_the_region_are_marked(view: StudyView, recipe: Recipe) -> None:
    region = Region.of(view.observations().W_nd)
    found = [asked(view, recipe, name, Trees()) for name in view.domains]
    steps = [(why.domains[0], step) for why in found for step in why.steps]
    assert steps
    for name, step in steps:
        w_d = np.array(recipe.mixture.over(view.domains))
        d = view.domains.index(name)
        w_d = np.where(np.arange(4) == d, step.weight, w_d * (1.0 - step.weight) / (1.0 - w_d[d]))
        assert step.leverage == pytest.approx(float(region.leverage(w_d)[0]) / region.limit, rel=1e-6)
    far = dataclasses.replace(steps[0][1], leverage=1.3)
    told = dataclasses.replace(found[0], steps=(far,), less=far.name)
    assert "outside the region of the runs (1.30 of the farthest trial's leverage)" in " ".join(told.sentences)


def test_steps_have_the_sign_of_the_truth(view: StudyView, recipe: Recipe, why: Why) -> None:
    d = view.domains.index(why.domains[0])
    w_d = np.array(recipe.mixture.over(view.domains))
    at = lambda u: np.where(np.arange(4) == d, u, w_d * (1.0 - u) / (1.0 - w_d[d]))  # noqa: E731
    true = lambda u: float(MEAN.value(WORLD.value(at(u)), WORLD.metrics)[0])  # noqa: E731
    told = [step for step in why.steps if step.is_told]
    assert len(told) >= 2
    for step in told:
        assert np.sign(step.difference) == np.sign(true(step.weight) - true(why.weight))
        assert abs(step.difference - (true(step.weight) - true(why.weight))) < 2.0 * (step.high - step.low)
    assert [step.asked for step in why.steps] == sorted(step.asked for step in why.steps)


def test_a_witness_is_what_a_refit_without_it_says(view: StudyView, recipe: Recipe, why: Why) -> None:
    first, obs = why.witnesses[0], view.observations()
    seen = np.flatnonzero(obs.group_n != obs.group_n[obs.trials.index(first.trial)])
    again = explain(view, Trees(), LAW.fit(obs.take(seen)), recipe, why.asked, name="x")
    for without, key in ((first.without_less, "half"), (first.without_more, "double")):
        now, then = why.step(key).difference, again.step(key).difference
        assert without - now == pytest.approx(then - now, rel=0.1)
        assert abs(then - now) > 1e-4
    size = [
        max(abs(one.without_less - why.step("half").difference), abs(one.without_more - why.step("double").difference))
        for one in why.witnesses
    ]
    assert size == sorted(size, reverse=True)


def test_witnesses_bracket_the_weight_and_average_repeats(view: StudyView, why: Why) -> None:
    obs = view.observations()
    value_n = MEAN.value(obs.Y_nm, obs.metrics)
    assert {np.sign(one.weight - why.weight) for one in why.witnesses} == {-1.0, 1.0}
    for one in why.witnesses:
        rows = obs.group_n == obs.group_n[obs.trials.index(one.trial)]
        assert one.n_runs == rows.sum()
        assert one.measured == pytest.approx(value_n[rows].mean())


def test_a_dear_law_leaves_open_what_is_without_a_trial(view: StudyView, recipe: Recipe) -> None:
    found = asked(view, recipe, "d00", Trees())
    assert all(one.without_less is None for one in found.witnesses)
    away = [one.elsewhere for one in found.witnesses]
    assert away == sorted(away)
    assert len(found.sentences) == 3


@dataclasses.dataclass(frozen=True)
class Larger:
    """A fit by which every metric is lower by 1 in the longer runs."""

    fit: LawFit

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        said = self.fit.predict(inputs, draws, level=level, sense=sense)
        return dataclasses.replace(said, mean_qm=said.mean_qm - (inputs.covariates["n_tokens"][:, None] > 2e6))


def test_trials_are_set_beside_the_law_at_their_own_size(view: StudyView, recipe: Recipe) -> None:
    corners = [Mixture.of({"d00": u, "d01": 1.0 - u}) for u in (0.2, 0.4, 0.6, 0.8)]
    larger = answered(view, WORLD, [Proposal(mixture=mixture, rung="target") for mixture in corners])
    found = explain(larger, Trees(), Larger(LAW.fit(view.observations())), recipe, "d00", name="x")
    plain = asked(view, recipe, "d00", Trees())
    assert [one.difference for one in found.witnesses] == pytest.approx([one.difference for one in plain.witnesses])
    assert (found.rung, plain.rung) == ("target", "proxy")
    assert "run at `proxy`" in found.notes[0]


def test_imported_runs_keep_their_names(view: StudyView, recipe: Recipe) -> None:
    trials = tuple(
        dataclasses.replace(t, spec=dataclasses.replace(t.spec, external=External(source="s", run=f"r{i}")))
        for i, t in enumerate(view.trials)
    )
    found = asked(dataclasses.replace(view, trials=trials), recipe, "d00", Trees())
    assert all(trials[int(one.run[1:])].id == one.trial for one in found.witnesses)


def test_a_pattern_moves_the_sum(view: StudyView, recipe: Recipe) -> None:
    found = asked(view, recipe, "d0[01]", Trees())
    assert found.domains == ("d00", "d01")
    assert found.weight == pytest.approx(sum(recipe.mixture.over(found.domains)))
    assert found.step("uniform").asked == 0.5


def test_only_constraints_on_this_weight_hold_it(view: StudyView, recipe: Recipe) -> None:
    held = dataclasses.replace(view, constraints=Constraints(upper=(("d00", 0.3), ("d01", 0.3))))
    given = dataclasses.replace(recipe, binding=("d00 ≤ 0.3", "d01 ≤ 0.3", "region of the runs"))
    found = asked(held, given, "d00", Trees())
    assert found.binding == ("d00 ≤ 0.3", "region of the runs")
    assert found.sentences[0] == "Held by: d00 ≤ 0.3, region of the runs."


@pytest.mark.parametrize(("name", "message"), [("d1", r"no domain `d1`.*did you mean `d01`"), ("d*", "every domain")])
def test_what_is_no_domain_is_refused(view: StudyView, recipe: Recipe, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        asked(view, recipe, name)


def test_the_words() -> None:
    half = Step(name="half", asked=0.2, weight=0.2, leverage=0.5, difference=0.02, low=0.01, high=0.03)
    more = Step(
        name="double", asked=0.8, weight=0.6, leverage=1.0, difference=0.01, low=-0.01, high=0.03, held="a ≤ 0.6"
    )
    one = Witness(
        trial="x", run="r1", n_runs=1, weight=0.1, elsewhere=0.0, measured=1.0, difference=0.1,
        says="less of it: worse", without_less=-0.001, without_more=0.02,
    )  # fmt: skip
    found = Why(
        asked="a", domains=("a",), weight=0.4, unit="", law="x", rung="p", steps=(half, more), less="half",
        more="double", witnesses=(one,),
    )  # fmt: skip
    assert found.sentences == (
        "No constraint holds this weight.",
        "Half of it would be worse: +0.0200 (+0.0100 to +0.0300, 90 %).",
        "That hangs on one trial: without `r1` it would be −0.0010.",
        "Twice as much is out of reach (a ≤ 0.6): 0.600 might be better or worse: +0.0100 (−0.0100 to +0.0300, 90 %). "
        "The interval holds 0: the trials do not say which.",
    )
    stuck = dataclasses.replace(more, weight=0.4)
    assert dataclasses.replace(found, steps=(stuck,), less="").sentences[1:] == (
        "It cannot go lower.",
        "It cannot go higher: a ≤ 0.6.",
    )
