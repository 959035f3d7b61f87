"""The numbers behind each panel, against the world they come from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from desk_worlds import VARIANTS, answer, confirmed, hostile, imported, running, study, too_weak, twenty_five

from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.recipe import BEST_SEEN
from mixdesk.core.region import Region
from mixdesk.report import figures
from mixdesk.report.checks import checks
from mixdesk.report.colours import HUES, contrast, palette


def test_gain_is_the_trained_comparison_where_there_is_one() -> None:
    view, answers = confirmed()
    found = figures.headline(view, answers[0].recipe)
    assert found is not None
    assert (found.rival, found.basis, found.rung) == ("natural", "trained", "target")
    assert found in answers[0].recipe.comparisons


def test_no_different_opens_with_the_rival_it_recommends() -> None:
    view, answers = confirmed()
    found = figures.headline(view, answers[1].recipe)
    assert found is not None
    assert found.rival == "uniform"


def test_paired_differences_average_to_the_comparison() -> None:
    view, answers = confirmed()
    found = figures.paired(view, answers[0].recipe)
    assert [pair.rival for pair in found] == ["best seen", "natural", "uniform"]
    for pair in found:
        values = [difference for _, difference in pair.differences]
        assert [replicate for replicate, _ in pair.differences] == [1000, 1001, 1002, 1003, 1004]
        assert np.mean(values) == pytest.approx(pair.trained.difference, abs=1e-12)
        assert pair.predicted is not None


def test_a_refused_recipe_is_not_among_the_strips() -> None:
    view, answers = too_weak()
    rows = figures.strips(view, answers[0].recipe)
    assert [row.name for row in rows] == ["natural", "best seen", "uniform"]
    assert rows[0].is_lead


def test_strips_hold_each_mixture_whole() -> None:
    for make in VARIANTS.values():
        view, answers = make()
        recipe = answers[0].recipe if answers else None
        bands = figures.shown_bands(view, figures.lead_of(view, recipe).mixture)
        assert sorted(i for band in bands for i in band.members) == list(range(len(view.domains)))
        for row in figures.strips(view, recipe):
            assert math.fsum(band.share(row.weights) for band in bands) == pytest.approx(1.0, abs=1e-9)


def test_more_than_24_domains_show_their_families() -> None:
    view, answers = twenty_five()
    bands = figures.shown_bands(view, answers[0].recipe.mixture)
    assert sorted(band.name for band in bands) == ["code", "forum", "law", "science", "web"]
    assert all(len(band.members) == 5 for band in bands)


def test_domain_rows_agree_with_the_recipe() -> None:
    view, answers = confirmed()
    recipe = answers[0].recipe
    rows = figures.domain_rows(view, recipe)
    assert [row.weight for row in rows] == sorted((row.weight for row in rows), reverse=True)
    assert {row.domain: row.epochs for row in rows} == dict(recipe.epochs)
    assert math.fsum(row.n_tokens or 0.0 for row in rows) == pytest.approx(4_000_000)


def test_imported_tables_have_neither_tokens_nor_epochs() -> None:
    view, answers = imported()
    rows = figures.domain_rows(view, answers[0].recipe)
    assert {row.n_tokens for row in rows} == {row.epochs for row in rows} == {None}
    assert figures.reference(view).name == "uniform"
    assert figures.curves(view, answers[0].recipe) == ()


def test_metrics_better_higher_enter_the_objective_negated() -> None:
    view, _ = imported()
    trial = view.trials[0]
    mean = sum(trial.final.values()) / 2
    assert figures.measured(view, view.objective, trial.final) == pytest.approx(-mean)


def test_objective_noise_needs_a_block_and_matches_the_single_metric() -> None:
    metric = Metric(name="bpb/set/manual")
    view, _ = study(metrics=(metric,))
    found = figures.objective_noise(view, view.objective)
    assert found is not None
    assert found.within == pytest.approx(view.noise()[0].within)
    view, _ = study(block=False)
    assert figures.objective_noise(view, view.objective) is None


def test_coverage_counts_and_allows_what_chance_allows() -> None:
    points = tuple(
        figures.FitPoint(trial=str(i), measured=0.0 if i else 5.0, mean=0.0, low=-1.0, high=1.0) for i in range(40)
    )
    found = figures.coverage(points)
    assert found is not None
    assert (found.n_inside, found.n) == (39, 40)
    # Binomial(40, 0.9): 2.5 % and 97.5 % points.
    assert (found.least, found.most) == (32, 39)
    nothing = tuple(figures.FitPoint(trial="a", measured=0.0, mean=0.0, low=math.nan, high=math.nan) for _ in range(3))
    assert figures.coverage(nothing) is None


def test_league_is_sorted_by_regret() -> None:
    _, answers = confirmed()
    found = figures.league(answers[0])
    assert [score.law for score in found] == ["exponential", "trees"]
    assert found[0].low == 0.93
    worse = [
        replace(row, value=0.3) if (row.law, row.measure) == ("exponential", "regret@1") else row
        for row in answers[0].scores
    ]
    found = figures.league(replace(answers[0], scores=tuple(worse)))
    assert [(score.law, score.regret1) for score in found] == [("trees", 0.0064), ("exponential", 0.3)]
    rest = tuple(row for row in worse if row.measure != "regret@1")
    assert [score.law for score in figures.league(replace(answers[0], scores=rest))] == ["exponential", "trees"]


def test_curves_are_named_at_later_rungs_only() -> None:
    view, answers = confirmed()
    found = figures.curves(view, answers[0].recipe)
    assert {curve.name for curve in found if curve.rung == "proxy"} == {""}
    assert sum(curve.name == "recipe" for curve in found) == 5
    last = view.at("target")[0]
    curve = next(curve for curve in found if curve.trial == last.id)
    assert curve.values[-1] == pytest.approx(figures.measured(view, view.objective, last.final))


def test_region_is_the_one_of_core() -> None:
    view, _ = confirmed()
    found, wanted = figures.region(view), Region.of(view.observations().W_nd)
    assert found is not None
    np.testing.assert_allclose(found.inverse_dd, wanted.inverse_dd, rtol=1e-6)
    assert found.limit == pytest.approx(wanted.limit)
    assert figures.region(VARIANTS["not_started"]()[0]) is None


def test_before_a_recipe_the_best_seen_is_the_lowest_mean() -> None:
    view, _ = running()
    best = figures.rivals(view, None)[0]
    assert best.name == BEST_SEEN
    values = {t.spec.mixture: figures.measured(view, view.objective, t.final) for t in view.trials if t.final}
    assert values[best.mixture] == min(values.values())


TITLES = {
    "confirmed": ["good", "good", "good", "good", "good", "good"],
    "no_different": ["bad", "warn", "good", "good", "good", "good"],
    "predicted": ["good", "wait", "good", "good", "good", "warn"],
    "imported": ["wait", "wait", "good", "good", "wait", "wait"],
}


@pytest.mark.parametrize("name", sorted(TITLES))
def test_checks_tick_only_what_is_measured(name: str) -> None:
    view, answers = VARIANTS[name]()
    found = checks(view, answers[0])
    assert [one.mark for one in found] == TITLES[name]
    assert all(any(c.isdigit() for c in one.detail) for one in found if one.mark == "good")


def test_a_law_that_does_not_rank_is_a_cross() -> None:
    view, answers = too_weak()
    found = checks(view, answers[0])
    assert found[2].mark == "bad"
    assert "0.11" in found[2].detail


def test_a_passed_limit_is_a_cross() -> None:
    view, world = study()
    view, one = answer(view, world, "predicted")
    from dataclasses import replace

    from mixdesk.core.space import Constraints

    tight = replace(view, constraints=Constraints(upper={"reference/wiki": 0.01}))
    assert checks(tight, one)[4].mark == "bad"


def test_colours_are_readable_and_families_apart() -> None:
    for make in (confirmed, hostile, twenty_five):
        view, _ = make()
        found = palette(view, figures.reference(view).mixture)
        assert len(found) == len(view.domains)
        for colour in found:
            assert contrast(colour.light, colour.light_text) >= 4.2
            assert contrast(colour.dark, colour.dark_text) >= 4.2
    assert all(contrast(hue, "#FFFFFF") >= 3.0 for hue in HUES)


def test_a_usual_family_keeps_its_hue() -> None:
    view, _ = study()
    found = dict(zip(view.domains, palette(view, Mixture.uniform(view.domains)), strict=True))
    assert found["books/public"].light == HUES[3]


def test_the_unit_is_named_or_mixed() -> None:
    metrics = (Metric(name="a"), Metric(name="b", unit="accuracy", better="higher"))
    view, _ = study(metrics=metrics)
    assert figures.unit_of(view, view.objective) == "mixed units"
    assert figures.unit_of(view, Objective(terms={"b": 1.0})) == "accuracy"
