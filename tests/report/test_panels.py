"""The figures as specifications: every number they were given, under the trial it belongs to."""

from __future__ import annotations

import math

import pytest
from desk_worlds import confirmed, study

from mixdesk.report import figures, panels, tried


def test_residuals_stand_under_their_trials_and_stems_reach_zero() -> None:
    view, answers = confirmed()
    found = tried.residuals(view, answers[0])
    spec = panels.residuals(found, "bits per byte")
    dots = next(trace for trace in spec["data"] if trace["meta"] == "trial")
    stems = next(trace for trace in spec["data"] if trace["meta"] == "band")
    assert dots["customdata"] == [one.trial for one in found]
    assert dots["y"] == pytest.approx([one.rest for one in found], rel=1e-6)
    assert stems["y"][:3] == [0.0, dots["y"][0], None]


def test_coverage_has_its_band_of_chance() -> None:
    _, answers = confirmed()
    points = figures.fit_points(answers[0])
    found = tried.held(points)
    spec = panels.held(found, len(points))
    least, most, _, line = spec["data"]
    assert most["fill"] == "tonexty"
    assert line["y"] == pytest.approx([100 * one.inside for one in found])
    assert all(a <= b for a, b in zip(least["y"], most["y"], strict=True))


def test_parallel_lines_are_one_trace_with_gaps_beside_the_best() -> None:
    view, answers = confirmed()
    bands = figures.shown_bands(view, figures.lead_of(view, answers[0].recipe).mixture)
    found = tried.tried(view, answers[0].recipe, bands)
    spec = panels.parallel(found, tuple(band.label for band in bands), "bits per byte")
    rest, best = spec["data"]
    assert best["customdata"][:9] == [found[0].trial] * 9
    assert best["y"][:8] == pytest.approx([math.sqrt(w) for w in found[0].shares], rel=1e-6)
    assert (best["y"][8], best["y"][9]) == (1.0, None)
    assert len(rest["y"]) == 10 * (len(found) - tried.N_BEST)


def test_a_triangle_has_three_corners() -> None:
    view, _ = study(("code", "text", "web"), n=12, block=False)
    bands = figures.shown_bands(view, figures.reference(view).mixture)
    found = tried.tried(view, None, bands)
    labels = tuple(band.label for band in bands)
    spec = panels.ternary(found, (labels[0], labels[1], labels[2]), "bits per byte")
    assert [trace["type"] for trace in spec["data"]] == ["scatterternary"] * 2
    best = spec["data"][1]
    for a, b, c in zip(best["a"], best["b"], best["c"], strict=True):
        assert a + b + c == pytest.approx(100.0)


def test_one_metric_against_another_names_the_mixtures() -> None:
    view, answers = confirmed()
    found = tried.tradeoff(view, answers[0].recipe)
    assert found is not None
    spec = panels.tradeoff(found)
    assert [trace.get("name") for trace in spec["data"][2:]] == ["recipe", "best seen", "natural", "uniform"]
    dots, steps = spec["data"][:2]
    one, two = found.at
    assert dots["x"] == pytest.approx([row[one] for row in found.values], rel=1e-6)
    xs, ys = tried.undominated(dots["x"], dots["y"], (found.signs[one], found.signs[two]))
    assert (steps["x"], steps["y"]) == (pytest.approx(xs), pytest.approx(ys))


def test_names_are_text_to_plotly() -> None:
    found = tuple(tried.Tried(trial=str(k), shares=(0.25 * k, 1 - 0.25 * k), value=float(k)) for k in range(4))
    spec = panels.parallel(found, ("a\"b'c", "<b> & c"), "")
    assert spec["layout"]["xaxis"]["ticktext"][:2] == ["a\"b'c", "&lt;b&gt; &amp; c"]
