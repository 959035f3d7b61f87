"""Recipes and verdicts, on worlds whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from recipe_worlds import MEAN, answered, made, shuffled, studied
from scipy.stats import ttest_rel

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Comparison, LeagueRow, Objective
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.recipe import BEST_SEEN, NATURAL, RIVALS, UNIFORM, Recipe
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import StudyView
from mixdesk.recipe.card import freeze
from mixdesk.recipe.card import told as card_told
from mixdesk.recipe.compose import is_in_hull
from mixdesk.recipe.confirm import confirmed, fresh_proposals
from mixdesk.recipe.judge import judge
from mixdesk.testing.worlds import World, loglinear

WORLD = loglinear(4, 2, seed=1, noise=0.1)


@pytest.fixture(scope="module")
def view() -> StudyView:
    return studied(WORLD, 40)


@pytest.fixture(scope="module")
def recipe(view: StudyView) -> Recipe:
    return made(view)


def true_value(world: World, mixture: Mixture) -> float:
    return float(MEAN.value(world.value(np.array([mixture.over(world.domains)])), world.metrics)[0])


def test_of_20_permutations_at_least_19_are_too_weak() -> None:
    view = studied(loglinear(8, 3, seed=1, noise=0.1), 38)
    assert made(view).verdict.name == "better"
    verdicts = [made(shuffled(view, seed)).verdict.name for seed in range(20)]
    assert verdicts.count("too weak") >= 19


def test_a_rival_that_breaks_a_limit_is_called_a_yardstick(view: StudyView) -> None:
    limited = dataclasses.replace(view, constraints=Constraints(upper={view.domains[0]: 0.1}))
    (line,) = (one for one in made(limited).warnings if one.startswith("Uniform"))
    assert line == f"Uniform breaks `{view.domains[0]} ≤ 0.1`: a yardstick, no mixture to train on."
    assert not any("yardstick" in one for one in made(view).warnings)


def test_regret_on_worlds_with_known_optimum() -> None:
    regrets = []
    for seed in range(20):
        world = loglinear(8, 3, seed, noise=0.1)
        view = studied(world, 64, seed)
        space = Space.build(view.constraints, view.domains, view.corpus, view.rungs[-1].scale)
        _, best = world.optimum(MEAN, space)
        found = true_value(world, made(view).mixture)
        regrets.append((found - best) / (true_value(world, Mixture.uniform(world.domains)) - best))
    assert np.median(regrets) <= 0.05


def test_a_recipe_has_its_rivals_its_place_and_its_evidence(recipe: Recipe, view: StudyView) -> None:
    assert [rival.name for rival in recipe.rivals] == [BEST_SEEN, NATURAL, UNIFORM]
    assert {c.metric for c in recipe.comparisons} == {"objective", *(metric.name for metric in WORLD.metrics)}
    assert {c.basis for c in recipe.comparisons} == {"predicted"}
    assert recipe.region in ("inside", "edge")
    assert dict(recipe.epochs) == dict(recipe.mixture.epochs(WORLD.corpus, view.rungs[-1].scale))
    assert recipe.provenance.noise
    assert recipe.provenance.n_trials == 40


def test_expected_values_stand_at_the_scale_that_has_trials(recipe: Recipe) -> None:
    assert {e.rung for e in recipe.expected} == {"proxy"}
    told = {e.metric: e for e in recipe.expected}["objective"]
    assert told.low <= told.mean <= told.high


def test_predicted_differences_bracket_the_truth(recipe: Recipe) -> None:
    mine = true_value(WORLD, recipe.mixture)
    for rival in recipe.rivals:
        c = recipe.against(rival.name)
        assert c is not None
        truth = mine - true_value(WORLD, rival.mixture)
        assert c.low - 0.02 <= truth <= c.high + 0.02


def test_a_confirmation_pairs_replicates_that_no_proxy_used(recipe: Recipe, view: StudyView) -> None:
    asked = fresh_proposals(recipe, view)
    assert len(asked) == 5 * 4
    assert {p.rung for p in asked} == {"target"}
    assert not {p.replicate for p in asked} & {trial.spec.replicate for trial in view.trials}
    judged = confirmed(recipe, answered(view, WORLD, asked))
    c = judged.against(NATURAL)
    assert c is not None
    assert (c.basis, c.n_pairs, c.rung) == ("trained", 5, "target")
    value = {
        (p.why, p.replicate): MEAN.value(
            np.array([[WORLD.measure(p.mixture, p.replicate)[m.name] for m in WORLD.metrics]]), WORLD.metrics
        )[0]
        for p in asked
    }
    replicates = sorted({p.replicate for p in asked})
    mine = [value["confirm: recipe", r] for r in replicates]
    theirs = [value["confirm: natural", r] for r in replicates]
    interval = ttest_rel(mine, theirs).confidence_interval(0.95)
    assert (c.low, c.high) == pytest.approx((interval.low, interval.high))
    assert (judged.verdict.name, judged.verdict.state) == ("better", "confirmed")
    assert "5 fresh pairs" in judged.verdict.headline
    assert {e.rung for e in judged.expected} == {"proxy", "target"}


def test_confirming_twice_gives_the_same_recipe(recipe: Recipe, view: StudyView) -> None:
    told = answered(view, WORLD, fresh_proposals(recipe, view))
    once = confirmed(recipe, told)
    assert confirmed(once, told) == once


def test_three_replicates_are_called_indicative(recipe: Recipe, view: StudyView) -> None:
    judged = confirmed(recipe, answered(view, WORLD, fresh_proposals(recipe, view, 3)))
    assert "indicative" in judged.verdict.reason


def test_too_little_confirmation_is_a_typed_error(recipe: Recipe, view: StudyView) -> None:
    with pytest.raises(InputError, match="too few replicates"):
        fresh_proposals(recipe, view, 1)
    with pytest.raises(NotEnoughEvidence, match="too few pairs"):
        confirmed(recipe, view)
    without_scale = dataclasses.replace(view, rungs=(dataclasses.replace(view.rungs[0], scale=Scale()),))
    with pytest.raises(InputError, match="cannot be confirmed"):
        fresh_proposals(recipe, without_scale)


def told(recipe: Recipe, basis: str, **differences: tuple[float, float]) -> Recipe:
    """The recipe with its comparisons of the objective replaced: rival (spaces as _) → (low, high)."""
    found = [
        Comparison(
            plan="p", rival=rival.replace("_", " "), metric="objective", difference=(low + high) / 2,
            low=low, high=high,
            level=0.95, n_pairs=5, basis=basis, rung="target",
            verdict="no different" if low <= 0 <= high else "better" if high < 0 else "worse",
        )
        for rival, (low, high) in differences.items()
    ]  # fmt: skip
    return dataclasses.replace(recipe, comparisons=tuple(found))


GAIN, SAME, LOSS = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3)


@pytest.mark.parametrize(
    ("basis", "best_seen", "natural", "uniform", "name", "recommended"),
    [
        ("predicted", GAIN, GAIN, GAIN, "better", "recipe"),
        ("trained", SAME, GAIN, GAIN, "better", "recipe"),
        ("predicted", LOSS, GAIN, GAIN, "better", "recipe"),
        ("trained", LOSS, GAIN, GAIN, "worse", BEST_SEEN),
        ("trained", SAME, SAME, GAIN, "no different", NATURAL),
        ("trained", SAME, GAIN, SAME, "no different", UNIFORM),
        ("predicted", GAIN, LOSS, GAIN, "worse", NATURAL),
        ("trained", GAIN, SAME, LOSS, "worse", UNIFORM),
    ],
)
def test_verdicts(
    recipe: Recipe,
    basis: str,
    best_seen: tuple[float, float],
    natural: tuple[float, float],
    uniform: tuple[float, float],
    name: str,
    recommended: str,
) -> None:
    verdict = judge(told(recipe, basis, best_seen=best_seen, natural=natural, uniform=uniform))
    assert (verdict.name, verdict.recommended, verdict.exit_code) == (name, recommended, 0)
    assert verdict.state == ("confirmed" if basis == "trained" else "predicted")


LIMIT = "web ≤ 4 epochs"


@pytest.mark.parametrize(
    ("basis", "differences", "outside", "name", "recommended", "said"),
    [
        ("predicted", (GAIN, GAIN, SAME), {UNIFORM}, "better", "recipe", "This mixture should beat natural."),
        ("predicted", (GAIN, GAIN, LOSS), {UNIFORM}, "better", "recipe", "This mixture should beat natural."),
        ("predicted", (GAIN, SAME, LOSS), {UNIFORM}, "no different", NATURAL, "Stay with natural."),
        ("trained", (GAIN, LOSS, (0.2, 0.4)), {UNIFORM}, "worse", NATURAL, "natural is better."),
        ("trained", (LOSS, GAIN, GAIN), {BEST_SEEN}, "better", "recipe", "It beat natural and uniform"),
        ("trained", (LOSS, LOSS, GAIN), {NATURAL, UNIFORM}, "worse", BEST_SEEN, "best seen is better"),
        ("predicted", (SAME, GAIN, GAIN), {NATURAL, UNIFORM}, "better", "recipe", "beat natural and uniform."),
        (
            "predicted",
            (SAME, SAME, GAIN),
            {NATURAL, UNIFORM},
            "no different",
            "recipe",
            "natural, which breaks a limit",
        ),
        ("trained", (SAME, SAME, LOSS), set(RIVALS), "worse", "recipe", "Uniform is better, which breaks a limit. Tra"),
    ],
)
def test_a_recommendation_keeps_the_limits(
    recipe: Recipe,
    basis: str,
    differences: tuple[tuple[float, float], ...],
    outside: set[str],
    name: str,
    recommended: str,
    said: str,
) -> None:
    rivals = tuple(dataclasses.replace(r, broken=(LIMIT,) if r.name in outside else ()) for r in recipe.rivals)
    limited = dataclasses.replace(recipe, rivals=rivals)
    verdict = judge(told(limited, basis, **dict(zip(("best_seen", NATURAL, UNIFORM), differences, strict=True))))
    assert (verdict.name, verdict.recommended) == (name, recommended)
    assert said in verdict.headline
    if outside & {rival for rival, (low, _) in zip(RIVALS, differences, strict=True) if low > 0.0}:
        assert f"breaks `{LIMIT}`" in verdict.reason


def test_too_weak_names_no_mixture_outside_the_limits(recipe: Recipe) -> None:
    few = dataclasses.replace(recipe, provenance=dataclasses.replace(recipe.provenance, n_mixtures=5))
    for outside, recommended in (({NATURAL}, UNIFORM), (set(RIVALS), "none")):
        rivals = tuple(dataclasses.replace(r, broken=(LIMIT,) if r.name in outside else ()) for r in few.rivals)
        verdict = judge(dataclasses.replace(few, rivals=rivals))
        assert (verdict.name, verdict.recommended) == ("too weak", recommended)


def test_what_is_recommended_is_allowed_however_tight_the_limits() -> None:
    world = loglinear(4, 2, seed=1, noise=0.05)
    view = studied(world, 40)
    for most in (0.9, 0.6, 0.4, 0.3):
        limited = dataclasses.replace(view, constraints=Constraints(upper={view.domains[0]: most, "*": max(most, 0.5)}))
        found = made(limited)
        space = Space.build(limited.constraints, view.domains, view.corpus, view.rungs[-1].scale)
        mixtures = {"recipe": found.mixture} | {rival.name: rival.mixture for rival in found.rivals}
        assert space.broken(mixtures[found.verdict.recommended], 1e-6) == ()


def test_no_different_prints_the_smallest_gain_that_could_have_been_seen(recipe: Recipe) -> None:
    verdict = judge(told(recipe, "trained", best_seen=SAME, natural=(-0.02, 0.04), uniform=GAIN))
    assert "smallest gain that could have been seen is 0.0300" in verdict.reason


def test_a_trained_reversal_is_a_contradiction(recipe: Recipe) -> None:
    both = told(recipe, "predicted", natural=GAIN, uniform=GAIN).comparisons
    both += told(recipe, "trained", natural=LOSS, uniform=GAIN).comparisons
    verdict = judge(dataclasses.replace(recipe, comparisons=both))
    assert (verdict.name, verdict.state, verdict.recommended) == ("worse", "contradicted", NATURAL)


def test_a_better_best_seen_is_recommended_in_words(recipe: Recipe) -> None:
    verdict = judge(told(recipe, "trained", best_seen=LOSS, natural=GAIN, uniform=GAIN))
    assert verdict.headline == "Train on the best mixture seen. It beat this recipe, and both beat natural and uniform."


def test_too_weak_comes_first(recipe: Recipe) -> None:
    good = told(recipe, "predicted", best_seen=GAIN, natural=GAIN, uniform=GAIN)
    rank = tuple(
        LeagueRow(law="x", metric="objective", measure=measure, value=value, n=40)
        for measure, value in (("spearman", 0.2), ("spearman:low", -0.1))
    )
    weak = dataclasses.replace(good, provenance=dataclasses.replace(good.provenance, scores=rank))
    few = dataclasses.replace(good, provenance=dataclasses.replace(good.provenance, n_mixtures=5))
    away = dataclasses.replace(good, region="outside")
    mute = dataclasses.replace(good, comparisons=())
    cases = ((weak, "than chance"), (few, "needs at least 6"), (away, "outside the region"), (mute, "no intervals"))
    for case, word in cases:
        verdict = judge(case)
        assert (verdict.name, verdict.exit_code, verdict.recommended) == ("too weak", 3, NATURAL)
        assert word in verdict.reason
        assert verdict.remedy
    trained = told(away, "trained", best_seen=GAIN, natural=GAIN, uniform=GAIN)
    assert judge(trained).name == "better"


def test_the_objective_may_be_better_higher() -> None:
    world = loglinear(4, 2, seed=1, noise=0.05)
    view = studied(world, 40)
    flipped = tuple(dataclasses.replace(metric, better="higher") for metric in view.metrics)
    trials = tuple(
        dataclasses.replace(
            trial,
            points=tuple(
                dataclasses.replace(p, metrics=tuple((name, -value) for name, value in p.metrics)) for p in trial.points
            ),
        )
        for trial in view.trials
    )
    there, back = made(view), made(dataclasses.replace(view, metrics=flipped, trials=trials))
    assert back.mixture.weights == pytest.approx(there.mixture.weights, abs=2e-3)
    assert back.verdict.name == there.verdict.name == "better"
    mirrored = {(c.rival, c.metric): c for c in back.comparisons}
    for c in there.comparisons:
        sign = 1.0 if c.metric == "objective" else -1.0
        assert mirrored[c.rival, c.metric].difference == pytest.approx(sign * c.difference, abs=5e-3)


def test_warnings_name_what_limits_the_recipe(view: StudyView) -> None:
    thin = studied(loglinear(8, 3, seed=1, noise=0.1), 22)
    found = " ".join(made(thin).warnings)
    assert "few for 8 domains" in found
    alone = dataclasses.replace(view, trials=tuple(t for t in view.trials if t.spec.replicate == 0), natural=None)
    found = " ".join(made(alone).warnings)
    assert "Noise was not measured" in found
    assert "natural mixture is unknown" in found


def test_runs_at_the_target_that_the_law_does_not_use_are_a_warning(view: StudyView) -> None:
    world = loglinear(4, 2, seed=1, noise=0.05)
    few = [Proposal(mixture=trial.spec.mixture, rung="target", replicate=0) for trial in view.trials[::6]]
    more = answered(view, world, few)
    n = more.n_mixtures(more.rungs[-1])
    assert n >= 4
    said = [line for line in made(more).warnings if "`target`" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{n} mixtures were run at `target` too, which the law")
    assert not any("`target`" in line for line in made(view).warnings)


def test_an_objective_nobody_measured_is_a_typed_error(view: StudyView) -> None:
    with pytest.raises(InputError, match="unknown metric"):
        made(dataclasses.replace(view, objective=Objective(terms=(("bpb/set/x", 1.0),))))


def test_the_hull_is_exact() -> None:
    corners = np.eye(3)
    assert is_in_hull(np.array([0.2, 0.3, 0.5]), corners)
    inner = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])
    assert is_in_hull(np.array([0.4, 0.4, 0.2]), inner)
    assert not is_in_hull(np.array([0.61, 0.2, 0.19]), inner)


BASE = Stage(mixture=Mixture.natural(WORLD.corpus), until=0.75)


def test_a_recipe_in_two_stages_says_what_is_known_of_it(view: StudyView, recipe: Recipe) -> None:
    two = made(view, before=BASE)
    last = recipe.mixture
    assert two.plan.schedule == Schedule.ending(last, BASE)
    average = {name: 0.75 * BASE.mixture.as_dict()[name] + 0.25 * w for name, w in last.as_dict().items()}
    assert two.mixture.as_dict() == pytest.approx(average)
    run, unique = view.rungs[-1].scale.n_tokens, {one.name: one.n_tokens for one in WORLD.corpus.domains}
    assert dict(two.epochs) == pytest.approx({name: w * run / unique[name] for name, w in average.items()})
    c = two.against(NATURAL)
    assert c is not None
    truth = true_value(WORLD, two.mixture) - true_value(WORLD, BASE.mixture)
    assert c.low - 0.02 <= truth <= c.high + 0.02, "the claim is about the token average"
    assert "the last 25%" in two.warnings[0]
    assert "order of the stages" in two.warnings[1]
    assert not any("stages" in warning for warning in recipe.warnings)


def test_rivals_of_two_stages_are_trained_in_two_stages(view: StudyView, recipe: Recipe) -> None:
    two = made(view, before=BASE)
    asked = fresh_proposals(two, view)
    specs = {p.why: complete(p, view.rungs) for p in asked}
    assert specs["confirm: recipe"].plan.schedule == two.plan.schedule
    assert specs["confirm: natural"].plan.schedule == two.plan.schedule.throughout(BASE.mixture)
    assert specs["confirm: natural"].mixture.as_dict() == pytest.approx(BASE.mixture.as_dict())
    told = answered(view, WORLD, asked)
    c = confirmed(two, told).against(NATURAL)
    assert c is not None
    assert (c.basis, c.n_pairs) == ("trained", 5)
    assert "this schedule" in judge(confirmed(two, told)).headline
    with pytest.raises(NotEnoughEvidence, match="too few pairs"):
        confirmed(recipe, told)
    frozen = freeze(two, told, "2026-01-01")
    assert set(card_told(frozen, told)[0]) == {"recipe", *(rival.name for rival in two.rivals)}
    assert len(card_told(frozen, told)[0]["recipe"][WORLD.metrics[0].name]) == 5


def test_a_law_of_anneals_speaks_of_the_last_stage(view: StudyView) -> None:
    annealed = [
        dataclasses.replace(t, spec=dataclasses.replace(t.spec, parents=(("feedfeedfeed", 1.0),))) for t in view.trials
    ]
    there = dataclasses.replace(view, trials=tuple(annealed))
    one, two = made(there), made(there, before=BASE)
    difference = [recipe.against(NATURAL) for recipe in (one, two)]
    assert difference[0] is not None
    assert difference[1] is not None
    assert difference[0].difference == difference[1].difference
    assert "they say little" in one.warnings[0]
    assert "between anneals from one base" in two.warnings[1]
