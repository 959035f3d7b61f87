"""The page in a headless Chromium: numbers, faders, hostile names, widths, silence on the console and the network."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixdesk.core import registry
from mixdesk.core.observations import Observations
from mixdesk.core.plan import Plug
from mixdesk.core.trial import StudyView
from mixdesk.laws import gp
from mixdesk.laws.score import is_scale_aware
from mixdesk.report.desk import render

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from desk_worlds import VARIANTS, answer, study

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the page is not tested in a browser"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        one = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield one
        one.close()


class Desk:
    """One page in the browser, and all it said or asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(error.message))
        self.page.on("dialog", lambda dialog: (self.said.append("dialog " + dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.said.append(request.url) if request.url != path.as_uri() else None)
        self.page.goto(path.as_uri())

    def run(self, code: str, *arguments: Any) -> Any:
        return self.page.evaluate(f"(a) => {{ {code} }}", list(arguments))

    def scroll_through(self) -> None:
        self.run("for (const f of document.querySelectorAll('.fig')) f.scrollIntoView();")
        figures = self.page.locator(".fig")
        for i in range(figures.count()):
            figures.nth(i).scroll_into_view_if_needed()
            figures.nth(i).locator("svg").first.wait_for(timeout=10_000)


@pytest.fixture(scope="module")
def desks(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, opened = tmp_path_factory.mktemp("desks"), []

    def open_(name: str, **context: Any) -> Desk:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(render(*VARIANTS[name]()), encoding="utf-8")
        opened.append(Desk(browser, path, **context))
        return opened[-1]

    yield open_
    for desk in opened:
        desk.context.close()


def mixtures(d: int, n: int = 50) -> list[list[float]]:
    return np.random.default_rng(5).dirichlet(np.full(d, 0.7), n).tolist()


@pytest.mark.parametrize("name", ["confirmed", "imported", "hostile"])
def test_predictions_are_python_s(desks: Any, name: str) -> None:
    view, answers = VARIANTS[name]()
    law, objective, desk = answers[0].browser, answers[0].recipe.objective, desks(name)
    W = mixtures(len(view.domains))
    found = desk.run("return a[0].map(w => mixdesk.predict(w))", W)
    reference = view.natural.over(law["domains"]) if view.natural else [1 / len(view.domains)] * len(view.domains)
    order = [law["metrics"].index(metric.name) for metric in view.metrics]

    def values(theta: Any, w: Any) -> Any:
        theta = np.array(theta)
        return (theta[..., 0] + np.exp(np.minimum(theta[..., 1:] @ np.array(w), 30.0)))[..., order]

    for w, got in zip(W, found, strict=True):
        at = dict(zip(view.domains, w, strict=True))
        mine = [at[domain] for domain in law["domains"]]
        mean = values(law["theta"], mine)
        assert [got["metrics"][metric.name] for metric in view.metrics] == pytest.approx(mean.tolist(), abs=1e-6)
        centre = float(objective.value(mean, view.metrics))
        assert got["objective"] == pytest.approx(centre, abs=1e-6)
        base = float(objective.value(values(law["theta"], reference), view.metrics))
        assert got["difference"] == pytest.approx(centre - base, abs=1e-6)
        draws = objective.value(values(law["draws"]["theta"], mine), view.metrics)
        gaps = draws - objective.value(values(law["draws"]["theta"], reference), view.metrics)
        for low, high, drawn, middle in (
            ("low", "high", draws, centre),
            ("difference_low", "difference_high", gaps, centre - base),
        ):
            ends = np.quantile(drawn, [0.05, 0.95])
            assert got[low] == pytest.approx(min(ends[0], middle), abs=1e-6)
            assert got[high] == pytest.approx(max(ends[1], middle), abs=1e-6)


LAWS = {
    **{name: Plug(name=name) for name in registry.names("laws")},
    "exponential, two terms": Plug(name="exponential", options=(("n_terms", 2),)),
    "quadratic, no roots": Plug(name="quadratic", options=(("root", False),)),
}
# Laws over scales are tested at the size of the proxies and at that of the target.
CASES = [
    *((name, "proxy") for name in [*LAWS, "bimix, own domains"]),
    *((name, "target") for name in ("transfer", "fidelity_gp", "scale", "gated")),
]


def three_lengths(view: StudyView) -> Observations:
    """Positive metrics that depend on one domain each and on the length of the run: BiMix's own form."""
    obs = view.observations()
    tokens_n = np.resize([1e6, 8e6, 6.4e7], len(obs.W_nd))
    Y_nm = (obs.W_nd[:, :3] + 0.01) ** -0.1 * (1.0 + (tokens_n[:, None] / 1e6) ** -0.3)
    Y_nm += np.random.default_rng(0).normal(0.0, 0.003, Y_nm.shape)
    metrics = tuple(replace(m, domain=name) for m, name in zip(obs.metrics, obs.domains, strict=False))
    return replace(obs, Y_nm=Y_nm, metrics=metrics, covariates={"n_tokens": tokens_n})


@pytest.mark.parametrize(("name", "rung"), CASES)
def test_fitted_laws_are_evaluated_exactly(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rung: str
) -> None:
    view, world = study()
    view, one = answer(view, world, "confirmed" if rung == "target" else "predicted")
    plug = LAWS.get(name, Plug(name="bimix"))
    law = registry.make("laws", plug)
    fit = law.fit(three_lengths(view) if name not in LAWS else view.observations(every_scale=is_scale_aware(law)))
    told = [replace(c, rung=rung) if c.basis == "predicted" else c for c in one.recipe.comparisons]
    one = replace(one, recipe=replace(one.recipe, comparisons=tuple(told)))
    path = tmp_path / "desk.html"
    path.write_text(render(view, (replace(one, browser=fit.browser()),)), encoding="utf-8")
    desk = Desk(browser, path)
    W = mixtures(len(view.domains), 20)
    found = desk.run("return a[0].map(w => [mixdesk.predict(w).metrics, mixdesk.draws(w), mixdesk.spans(w)])", W)
    draws_kqm = np.array([draws for _, draws, _ in found], dtype=float).swapaxes(0, 1)
    monkeypatch.setattr(gp, "N_FEATURES", gp.N_BROWSER[1])
    at = next(each for each in view.rungs if each.label == rung)
    wanted = fit.predict(view.inputs(np.array(W), at), max(len(draws_kqm), 1))
    got = [[row[metric] for metric in wanted.metrics] for row, _, _ in found]
    np.testing.assert_allclose(got, wanted.mean_qm, atol=1e-6)
    if plug.name == "trees":
        # Members are sent, not draws: what comes of them is the interval.
        ends = np.array([span for _, _, span in found])
        np.testing.assert_allclose(ends[..., 0], wanted.low_qm, atol=1e-6)
        np.testing.assert_allclose(ends[..., 1], wanted.high_qm, atol=1e-6)
    elif not len(draws_kqm):
        # Transfer alone, of whichever base, sends no draws for other sizes than its base's.
        assert name in ("transfer", "fidelity_gp")
        assert rung == "target"
    else:
        assert wanted.draws_kqm is not None
        is_known_qm = np.isfinite(wanted.low_qm)
        np.testing.assert_allclose(draws_kqm, np.where(is_known_qm, wanted.draws_kqm, np.nan), rtol=1e-6, atol=1e-6)
    assert desk.said == []
    assert len(path.read_bytes()) < 8_000_000
    desk.context.close()


def test_leverage_is_core_s(desks: Any) -> None:
    from mixdesk.report import figures

    view, _ = VARIANTS["confirmed"]()
    where, W = figures.region(view), mixtures(len(view.domains))
    assert where is not None
    found = desks("confirmed").run("return a[0].map(w => mixdesk.leverage(w))", W)
    np.testing.assert_allclose(found, where.leverage(np.array(W)), rtol=1e-6)


def test_weights_sum_to_one_and_locked_ones_stand_still(desks: Any) -> None:
    desk, rng = desks("confirmed"), np.random.default_rng(1)
    start = desk.run("return mixdesk.weights()")
    moves = [[int(j), float(w)] for j, w in zip(rng.integers(0, 8, 300), rng.uniform(-0.1, 1.1, 300), strict=True)]
    worst = desk.run(
        """
        let off = 0;
        for (const [j, w] of a[0]) {
            mixdesk.move(j, w);
            off = Math.max(off, Math.abs(mixdesk.weights().reduce((x, y) => x + y, 0) - 1));
        }
        mixdesk.settle();
        return off;
        """,
        moves,
    )
    assert worst < 1e-9
    before = desk.run("mixdesk.preset('recipe'); mixdesk.lock(2); mixdesk.lock(5); return mixdesk.weights()")
    after = desk.run(
        "for (const [j, w] of a[0]) mixdesk.move(j, w); mixdesk.preset('uniform'); return mixdesk.weights()",
        moves,
    )
    assert [after[2], after[5]] == [before[2], before[5]]
    assert sum(after) == pytest.approx(1.0, abs=1e-9)
    assert min(after) >= 0.0
    desk.run("mixdesk.lock(2); mixdesk.lock(5); for (let i = 0; i < 20; i++) mixdesk.undo();")
    assert desk.run("return mixdesk.weights()") == start


def test_nothing_moves_when_all_others_are_locked(desks: Any) -> None:
    desk = desks("two_domains")
    before = desk.run("mixdesk.lock(1); return mixdesk.weights()")
    assert desk.run("mixdesk.move(0, .3); return mixdesk.weights()") == before
    assert "locked" in desk.page.locator(".master [aria-live]").text_content()


def test_keyboard_moves_a_fader_and_undo_takes_it_back(desks: Any) -> None:
    desk = desks("confirmed")
    start = desk.run("return mixdesk.weights()")
    knob = desk.page.get_by_role("slider", name="code/python")
    knob.focus()
    j = 2
    knob.press("ArrowUp")
    assert desk.run("return mixdesk.weights()")[j] == pytest.approx(start[j] + 0.005)
    knob.press("Shift+ArrowDown")
    assert desk.run("return mixdesk.weights()")[j] == pytest.approx(start[j] + 0.004)
    knob.press("Home")
    assert desk.run("return mixdesk.weights()")[j] == 0.0
    desk.page.wait_for_timeout(400)
    assert knob.get_attribute("aria-valuetext").startswith("0.0 percent")
    knob.press("l")
    assert knob.get_attribute("aria-valuetext").endswith("locked")
    knob.press("l")
    for _ in range(4):  # one step where the keys came within 350 ms, more on a slow machine
        knob.press("Control+z")
    assert desk.run("return mixdesk.weights()") == start


def test_a_drag_and_a_typed_number_move_the_mixture(desks: Any) -> None:
    desk = desks("confirmed")
    track = desk.page.locator(".fv").first
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    desk.page.mouse.move(box["x"] + 46, box["y"] + box["height"] * 0.5)
    desk.page.mouse.down()
    desk.page.mouse.move(box["x"] + 46, box["y"] + box["height"] * 0.3, steps=4)
    desk.page.mouse.up()
    first = desk.run("return mixdesk.weights()[7]")
    assert first == pytest.approx(0.49, abs=0.02)
    field = desk.page.get_by_role("textbox", name="web/general")
    field.fill("12,5")
    field.press("Enter")
    assert desk.run("return mixdesk.weights()[7]") == pytest.approx(0.125)


def test_what_is_copied_parses(desks: Any) -> None:
    from mixdesk.core.files import from_data
    from mixdesk.core.mixture import Mixture

    desk = desks("hostile")
    view, _ = VARIANTS["hostile"]()
    words = shlex.split(desk.run("return mixdesk.code()").replace("\\\n", ""))
    assert words[:4] == ["mixdesk", "law", "predict", "laws/exponential.json"]
    given = dict(word.rsplit("=", 1) for word in words[5::2])
    assert set(given) <= set(view.domains)
    assert sum(map(float, given.values())) == pytest.approx(1.0, abs=1e-7)
    assert desk.page.get_by_text("run it in the study's folder").is_visible()
    desk.page.get_by_role("button", name="JSON").click()
    mixture = from_data(Mixture, json.loads(desk.run("return mixdesk.code()")))
    assert set(mixture.domains) == set(given)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_silence_and_no_overflow_at_any_width(desks: Any, name: str) -> None:
    desk = desks(name)
    desk.scroll_through()
    for width in (360, 390, 768, 1180, 1440):
        desk.page.set_viewport_size({"width": width, "height": 900})
        desk.page.wait_for_timeout(60)
        assert desk.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0, width
    desk.page.locator("#theme").click()
    assert desk.run("return document.documentElement.dataset.theme") == "dark"
    assert desk.page.title().endswith(": mixdesk")
    assert desk.said == []


def test_figures_are_drawn_without_scrolling(desks: Any) -> None:
    desk = desks("confirmed")
    figures = desk.page.locator(".fig")
    assert figures.count() == 3
    for i in range(3):
        figures.nth(i).locator("svg").first.wait_for(timeout=10_000)
    assert desk.run("return scrollY") == 0


def test_without_scripts_the_answer_stands(desks: Any) -> None:
    desk = desks("confirmed", java_script_enabled=False)
    for part in ("h1", ".strip.big", "#checks", "#table", "#trials"):
        assert desk.page.locator(part).is_visible(), part
    assert "The faders need scripts" in desk.page.locator("#explore").inner_text()


def test_trials_sort_and_download(desks: Any) -> None:
    desk = desks("confirmed")
    view, _ = VARIANTS["confirmed"]()
    desk.page.locator("#raw th button", has_text="objective").click()
    shown = [
        float(x)
        for x in desk.run("return [...document.querySelectorAll('#raw tbody tr')].map(r => r.cells[4].dataset.n)")
    ]
    assert shown == sorted(shown)
    with desk.page.expect_download() as waiting:
        desk.page.locator("#csv").click()
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(view.trials) + 1
    assert lines[1].split(",")[0] == view.trials[0].id
