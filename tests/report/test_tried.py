"""Residuals, coverage at every level, what was tried, and what no other beats, against numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from desk_worlds import confirmed, imported, one_metric, study, twenty_five

from mixdesk.report import figures, tried
from mixdesk.report.figures import FitPoint


def test_residuals_are_measured_minus_predicted_in_the_order_asked() -> None:
    view, answers = confirmed()
    found = tried.residuals(view, answers[0])
    assert [one.order for one in found] == sorted(one.order for one in found)
    rows = {row.trial: row for row in answers[0].rows if row.metric == "objective"}
    assert len(found) == len(rows)
    for one in found:
        assert view.trials[one.order - 1].id == one.trial
        assert one.rest == pytest.approx(rows[one.trial].measured - rows[one.trial].mean)


def test_normal_errors_hold_at_every_level_and_too_narrow_ones_do_not() -> None:
    errors = np.random.default_rng(0).normal(0.0, 1.0, 2000)
    points = tuple(
        FitPoint(trial=str(i), measured=float(e), mean=0.0, low=-1.645, high=1.645) for i, e in enumerate(errors)
    )
    found = tried.held(points)
    assert [one.level for one in found] == list(tried.LEVELS)
    assert sum(one.least <= one.inside <= one.most for one in found) >= 17
    narrow = tried.held(tuple(replace(point, low=-0.8, high=0.8) for point in points))
    assert all(one.inside < one.least for one in narrow[3:])
    # The level that the law gave is the one that the first screen counts.
    at = next(one for one in found if one.level == 0.9)
    counted = figures.coverage(points)
    assert counted is not None
    assert at.inside == pytest.approx(counted.n_inside / counted.n, abs=1e-3)
    assert (at.least * 2000, at.most * 2000) == pytest.approx((counted.least, counted.most))


def test_without_intervals_there_is_no_coverage() -> None:
    point = FitPoint(trial="a", measured=0.0, mean=0.0, low=float("nan"), high=float("nan"))
    assert tried.held((point, point)) == ()


def test_what_was_tried_is_whole_and_the_best_first() -> None:
    view, answers = twenty_five()
    bands = figures.shown_bands(view, figures.lead_of(view, answers[0].recipe).mixture)
    found = tried.tried(view, answers[0].recipe, bands)
    assert len(found) == sum(bool(trial.final) for trial in view.at())
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert all(sum(one.shares) == pytest.approx(1.0) for one in found)


def test_of_many_trials_the_best_and_an_even_sample_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "MOST_LINES", 20)
    monkeypatch.setattr(tried, "BEST_LINES", 6)
    view, answers = confirmed()
    bands = figures.shown_bands(view, figures.lead_of(view, None).mixture)
    found = tried.tried(view, answers[0].recipe, bands)
    every = sorted(figures.measured(view, view.objective, trial.final) for trial in view.at())
    assert len({one.trial for one in found}) == 20
    assert [one.value for one in found[:6]] == every[:6]
    assert found[-1].value == every[-1]


def test_metrics_against_each_other_start_with_those_that_count() -> None:
    view, answers = confirmed()
    found = tried.tradeoff(view, answers[1].recipe)
    assert found is not None
    assert found.metrics[found.at[0]] == "bpb/set/text"
    assert found.named == ("recipe", "best seen", "natural", "uniform")
    assert found.values[0] == tuple(view.at()[0].final[name] for name in found.metrics)
    assert tried.tradeoff(*one_metric_of()) is None
    assert tried.tradeoff(study(n=0, n_planned=4, block=False)[0], None) is None


def one_metric_of() -> tuple[figures.StudyView, figures.Recipe]:
    view, answers = one_metric()
    return view, answers[0].recipe


def test_the_steps_pass_through_what_no_other_beats() -> None:
    x, y = [1.0, 2.0, 3.0, 2.5, 4.0], [5.0, 3.0, 1.0, 4.0, 1.0]
    assert tried.undominated(x, y, (1.0, 1.0)) == ([1.0, 2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 3.0, 3.0, 1.0])
    # Better higher on both: the same points mirrored.
    mirrored = tried.undominated([-v for v in x], [-v for v in y], (-1.0, -1.0))
    assert mirrored == ([-1.0, -2.0, -2.0, -3.0, -3.0], [-5.0, -5.0, -3.0, -3.0, -1.0])


def test_imported_accuracies_keep_their_sign() -> None:
    view, answers = imported()
    found = tried.tradeoff(view, answers[0].recipe)
    assert found is not None
    assert found.signs == (-1.0, -1.0)
