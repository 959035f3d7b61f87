"""The page in a headless Chromium: numbers, faders, hostile names, widths, silence on the console and the network."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk_worlds import VARIANTS, many, study, three_domains

from mixdesk.core import registry
from mixdesk.core.observations import Observations
from mixdesk.core.plan import Plug
from mixdesk.core.trial import StudyView
from mixdesk.laws import gp
from mixdesk.laws.score import is_scale_aware
from mixdesk.report.console import page_law
from mixdesk.report.tried import undominated

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the page is not tested in a browser"),
]


def mixtures(d: int, n: int = 50) -> list[list[float]]:
    return np.random.default_rng(5).dirichlet(np.full(d, 0.7), n).tolist()


@pytest.mark.parametrize("name", ["confirmed", "imported", "hostile"])
def test_predictions_are_python_s(desks: Any, name: str) -> None:
    view, answers = VARIANTS[name]()
    law, objective, desk = answers[0].browser, answers[0].recipe.objective, desks(name, shared=True)
    W = mixtures(len(view.domains), 20)
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
# Laws whose fits take their time: fewer trials tell as much.
SMALL = {
    "average",
    "gp",
    "trees",
    "power_sum",
    "exponential, two terms",
    "fidelity_gp",
    "transfer",
    "gated",
    "additive",
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


def cost(case: tuple[str, str]) -> Any:
    """Laws over scales take seconds to fit: by default each is tested at the target alone."""
    is_again = case[1] == "proxy" and (case[0], "target") in CASES
    return pytest.param(*case, marks=pytest.mark.slow if is_again else ())


@pytest.mark.parametrize(("name", "rung"), [cost(case) for case in CASES])
def test_fitted_laws_are_evaluated_exactly(desks: Any, monkeypatch: pytest.MonkeyPatch, name: str, rung: str) -> None:
    view, _ = study(n=24) if name in SMALL else study()
    plug = LAWS.get(name, Plug(name="bimix"))
    law = registry.make("laws", plug)
    fit = law.fit(three_lengths(view) if name not in LAWS else view.observations(every_scale=is_scale_aware(law)))
    at = next(each for each in view.rungs if each.label == rung)
    W = mixtures(len(view.domains), 12)
    size = {"n_params": at.scale.n_params, "n_tokens": at.scale.n_tokens}
    means, draws, spans = desks("one_metric", shared=True).run(
        """
        const [law, size, domains, metrics, W] = a;
        const fit = mixlaws(law, {level: .9, z: 1.6448536269514722, ...size}, domains, metrics);
        const all = W.map(w => fit.evaluate(w));
        return [all.map(one => one.mean), all.map(one => one.draws),
                all.map(one => one.mean.map((v, m) => fit.interval(one.draws.map(row => row[m]), v)))];
        """,
        page_law(fit.browser()), size, list(view.domains), [m.name for m in view.metrics], W,
    )  # fmt: skip
    draws_kqm = np.array(draws, dtype=float).swapaxes(0, 1)
    monkeypatch.setattr(gp, "N_FEATURES", gp.N_BROWSER[1])
    wanted = fit.predict(view.inputs(np.array(W), at), max(len(draws_kqm), 1))
    order = [list(wanted.metrics).index(metric.name) for metric in view.metrics]
    np.testing.assert_allclose(means, wanted.mean_qm[:, order], atol=1e-6)
    if plug.name == "trees":
        # Members are sent, not draws: what comes of them is the interval.
        ends = np.array(spans)
        np.testing.assert_allclose(ends[..., 0], wanted.low_qm[:, order], atol=1e-6)
        np.testing.assert_allclose(ends[..., 1], wanted.high_qm[:, order], atol=1e-6)
    elif not len(draws_kqm):
        # Transfer alone, of whichever base, sends no draws for other sizes than its base's.
        assert name in ("transfer", "fidelity_gp")
        assert rung == "target"
    else:
        assert wanted.draws_kqm is not None
        is_known_qm = np.isfinite(wanted.low_qm)
        known = np.where(is_known_qm, wanted.draws_kqm, np.nan)[..., order]
        np.testing.assert_allclose(draws_kqm, known, rtol=1e-6, atol=1e-6)


def test_leverage_is_core_s(desks: Any) -> None:
    from mixdesk.report import figures

    view, _ = VARIANTS["confirmed"]()
    where, W = figures.region(view), mixtures(len(view.domains))
    assert where is not None
    found = desks("confirmed", shared=True).run("return a[0].map(w => mixdesk.leverage(w))", W)
    np.testing.assert_allclose(found, where.leverage(np.array(W)), rtol=1e-6)


def steps(d: int, n: int = 1000) -> list[list[Any]]:
    """A random series of moves, locks, presets, crossfades, undos and redos; most are moves, as under a hand."""
    rng = np.random.default_rng(1)
    kinds = rng.choice(["move", "lock", "preset", "fade", "undo", "redo"], n, p=[0.72, 0.1, 0.04, 0.04, 0.05, 0.05])
    presets, out = ("recipe", "best seen", "natural", "uniform", "natural^0.7"), []
    for kind in kinds:
        asked = {"preset": presets[rng.integers(5)], "fade": float(rng.uniform(0, 1.3))}
        out.append([str(kind), asked.get(str(kind), int(rng.integers(d))), float(rng.uniform(-0.1, 1.1))])
    return out


def test_weights_sum_to_one_and_locked_ones_stand_still(desks: Any) -> None:
    desk = desks("confirmed")
    start = desk.run("return mixdesk.weights()")
    found = desk.run(
        """
        const found = {off: 0, least: 1, touched: 0, moved: 0, locked: 0};
        for (const [kind, asked, w] of a[0]) {
            const before = mixdesk.weights(), locks = mixdesk.locked();
            if (kind === 'lock' && !locks[asked] && locks.filter(Boolean).length > 4) continue;
            mixdesk[kind](asked, w);
            const after = mixdesk.weights();
            found.off = Math.max(found.off, Math.abs(after.reduce((x, y) => x + y, 0) - 1));
            found.least = Math.min(found.least, ...after);
            found.moved += after.some((x, i) => x !== before[i]); found.locked += locks.some(Boolean);
            if (kind === 'undo' || kind === 'redo') continue;
            found.touched += locks.filter((is, i) => is && after[i] !== before[i]).length;
        }
        return found;
        """,
        steps(8),
    )
    assert found["off"] < 1e-9
    assert found["least"] >= 0.0
    assert found["touched"] == 0
    assert found["moved"] > 400
    assert found["locked"] > 500
    desk.run("while (mixdesk.store.undo.length) mixdesk.undo();")
    assert desk.run("return mixdesk.weights()") == start


def test_the_crossfader_goes_from_natural_to_the_recipe_and_beyond(desks: Any) -> None:
    desk = desks("confirmed")
    view, answers = VARIANTS["confirmed"]()
    recipe = answers[0].recipe
    one, two = (np.array(m.over(view.domains)) for m in (view.natural, recipe.mixture))
    unique = {domain.name: domain.n_tokens for domain in view.corpus.domains}
    cap = np.array([4.0 * unique[name] / recipe.plan.scale.n_tokens for name in view.domains])

    def path(t: float, free: Any, room: float) -> Any:
        raw = np.where(free, one ** (1 - t) * two**t, 0.0)
        out, held = np.zeros(8), np.zeros(8, dtype=bool)
        while True:
            mine = free & ~held
            out[mine] = raw[mine] / raw[mine].sum() * (room - out[held].sum())
            if not (mine & (out > cap)).any():
                return out
            held |= mine & (out > cap)
            out[held] = cap[held]

    assert (path(1.3, np.ones(8, dtype=bool), 1.0) == cap).any()
    assert desk.run("mixdesk.fade(0); return mixdesk.weights()") == one.tolist()
    assert desk.run("mixdesk.fade(1); return mixdesk.weights()") == two.tolist()
    for t in (0.2, 0.7, 1.3):
        found = desk.run("mixdesk.fade(a[0]); return mixdesk.weights()", t)
        assert found == pytest.approx(path(t, np.ones(8, dtype=bool), 1.0).tolist(), abs=1e-12)
    before = desk.run("mixdesk.preset('uniform'); mixdesk.lock(0); mixdesk.lock(6); return mixdesk.weights()")
    found = desk.run("mixdesk.fade(.5); return mixdesk.weights()")
    free = np.array([i not in (0, 6) for i in range(8)])
    wanted = np.where(free, path(0.5, free, 0.75), before)
    assert found == pytest.approx(wanted.tolist(), abs=1e-12)
    assert (found[0], found[6]) == (before[0], before[6])


def test_the_crossfader_is_moved_by_keys_and_says_where_it_is(desks: Any) -> None:
    desk = desks("confirmed")
    knob = desk.page.get_by_role("slider", name="crossfader, natural to recipe")
    start = desk.run("return mixdesk.weights()")
    assert knob.get_attribute("aria-valuetext") == "100 %"
    knob.press("ArrowRight")
    assert knob.get_attribute("aria-valuetext") == "1 % beyond"
    knob.press("End")
    assert knob.get_attribute("aria-valuetext") == "30 % beyond"
    knob.press("Home")
    assert knob.get_attribute("aria-valuetext") == "0 %"
    assert desk.run("return mixdesk.weights()") == desk.run("return mixdesk.store.preset('natural').weights")
    desk.run("mixdesk.move(1, .5)")
    assert knob.get_attribute("aria-valuetext") == "off the path"
    desk.run("while (mixdesk.store.undo.length) mixdesk.undo();")
    assert knob.get_attribute("aria-valuetext") == "100 %"
    assert desk.run("return mixdesk.weights()") == start
    assert desk.said == []


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


def test_what_is_copied_is_read_back(desks: Any, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from mixdesk.api.recipes import read_recipe
    from mixdesk.cli.main import app

    desk = desks("offered")
    view, _ = VARIANTS["hostile"]()
    words = shlex.split(desk.run("return mixdesk.code()").replace("\\\n", ""))
    assert words[:4] == ["mixdesk", "law", "predict", "laws/exponential.json"]
    given = dict(word.rsplit("=", 1) for word in words[5::2])
    assert set(given) <= set(view.domains)
    assert sum(map(float, given.values())) == pytest.approx(1.0, abs=1e-7)
    assert desk.page.get_by_text("run it in the study's folder").is_visible()
    desk.run("mixdesk.move(1, .125); mixdesk.settle();")
    desk.page.get_by_role("button", name="JSON").click()
    desk.page.wait_for_timeout(200)
    path = tmp_path / "recipe.json"
    path.write_text(desk.run("return mixdesk.code()"), encoding="utf-8")
    recipe = read_recipe(path)
    assert recipe.mixture.over(view.domains) == tuple(desk.run("return mixdesk.weights()"))
    assert recipe.expected[0].mean == pytest.approx(desk.run("return mixdesk.predict(mixdesk.weights()).objective"))
    assert recipe.comparisons == ()
    judged = CliRunner().invoke(app, ["recipe", "check", str(path)])
    assert judged.exit_code == 3
    assert "set by hand" in judged.output
    desk.page.get_by_label("copy for a trainer").select_option("weights")
    weights = json.loads(desk.run("return mixdesk.code()"))
    assert weights == dict.fromkeys(("train_domain_weights", "eval_domain_weights"), recipe.mixture.as_dict())
    assert desk.said == []


QUICK = ("hostile",)
EVERY = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in sorted({**VARIANTS, "three_domains": 0})
]


@pytest.mark.parametrize("name", EVERY)
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


def test_figures_are_drawn_when_they_come_near(desks: Any) -> None:
    desk = desks("confirmed")
    assert desk.run("return window.Plotly === undefined && document.querySelectorAll('.main-svg').length === 0")
    desk.page.locator("#fig-predict").scroll_into_view_if_needed()
    desk.page.locator("#fig-predict .main-svg").first.wait_for(timeout=40_000)
    assert desk.page.locator("#fig-tradeoff .main-svg").count() == 0
    desk.page.locator("#fig-tradeoff").scroll_into_view_if_needed()
    desk.page.locator("#fig-tradeoff .main-svg").first.wait_for(timeout=40_000)


HOT = """
    const found = {};
    found.card = document.querySelector('.hotcard').hidden ? '' : document.querySelector('.hotcard b').textContent;
    found.rows = [...document.querySelectorAll('#raw tr.on')].map(row => row.dataset.t);
    const weight = one => one.hidden ? null : Number(one.style.getPropertyValue('--q')) ** 2;
    found.faders = [...document.querySelectorAll('.rug.on')].map(weight);
    found.lanes = [...document.querySelectorAll('.lane .tick.on')].filter(one => one.getAttribute('d')).length;
    found.marks = [...document.querySelectorAll('.hotlayer path')].filter(one => one.getAttribute('d')).length;
    return found;
"""


def test_a_trial_pointed_at_lights_up_everywhere(desks: Any) -> None:
    desk = desks("confirmed")
    view, _ = VARIANTS["confirmed"]()
    desk.scroll_through()
    one = view.trials[4]
    weights = list(one.spec.mixture.over(view.domains))
    order = desk.run("return JSON.parse(document.getElementById('data').textContent).console.channels.map(c => c.i)")
    for figure in ("fig-predict", "fig-residuals", "fig-tried", "fig-tradeoff"):
        desk.run(
            """
            const node = document.getElementById(a[0]);
            for (const [curveNumber, t] of node.data.entries()) {
                const pointNumber = t.customdata ? t.customdata.indexOf(a[1]) : -1;
                if (pointNumber >= 0) node.emit('plotly_hover', {points: [{curveNumber, customdata: a[1]}]});
            }
            """,
            figure, one.id,
        )  # fmt: skip
        found = desk.run(HOT)
        assert found["card"] == one.id
        assert found["rows"] == [one.id]
        assert found["faders"] == pytest.approx([weights[i] for i in order], abs=1e-3)
        assert found["lanes"] == 4
        assert found["marks"] == 4
        desk.run("document.getElementById(a[0]).emit('plotly_unhover', {})", figure)
        assert desk.run(HOT) == {"card": "", "rows": [], "faders": [None] * 8, "lanes": 0, "marks": 0}
    # From the table, and pinned: it stays, its mixture goes to the faders, Escape lets it go.
    desk.page.locator(f"#raw tr[data-t='{one.id}']").click()
    desk.page.mouse.move(5, 5)
    assert desk.run(HOT)["card"] == one.id
    desk.page.get_by_role("button", name="Load on the faders").click()
    assert desk.run("return mixdesk.weights()") == pytest.approx(weights, abs=1e-8)
    desk.page.keyboard.press("Escape")
    assert desk.run(HOT)["card"] == ""
    assert desk.said == []


def test_a_brush_on_an_axis_dims_the_others_everywhere(desks: Any) -> None:
    desk = desks("confirmed", shared=True)
    view, _ = VARIANTS["confirmed"]()
    desk.scroll_through()
    labels = desk.run("return JSON.parse(document.getElementById('data').textContent).bands.map(b => b.members[0])")
    share = {trial.id: trial.spec.mixture.over(view.domains)[labels[0]] for trial in view.trials}
    # Drawn with the mouse along the first axis, from 20 to 70 %.
    box = desk.page.locator("#fig-tried").bounding_box()
    x, *ends = desk.run(
        """
        const {xaxis, yaxis} = document.getElementById('fig-tried')._fullLayout;
        return [xaxis._offset + xaxis.d2p(0), ...[.2, .7].map(w => yaxis._offset + yaxis.d2p(Math.sqrt(w)))];
        """
    )
    desk.page.mouse.move(box["x"] + x, box["y"] + ends[0])
    desk.page.mouse.down()
    desk.page.mouse.move(box["x"] + x, box["y"] + ends[1], steps=4)
    desk.page.mouse.up()
    fields = [float(desk.page.get_by_label(f"brush {end}").input_value()) for end in ("from", "to")]
    assert fields == pytest.approx([20.0, 70.0], abs=0.8)
    wanted = {key for key, w in share.items() if fields[0] <= 100 * w <= fields[1]}
    assert 0 < len(wanted) < len(share)
    rows = "return [...document.querySelectorAll('#raw tbody tr')].map(row => row.dataset.t)"
    assert set(desk.run(rows)) == wanted
    proxies = len(wanted & {trial.id for trial in view.at()})
    path = "document.querySelector('#' + id + ' .kept').getAttribute('d')"
    marks = f"return a[0].map(id => ({path}.match(/M/g) || []).length)"
    figures = ["fig-tried", "fig-predict", "fig-residuals", "fig-tradeoff"]
    assert desk.run(marks, figures) == [proxies] * 4
    assert desk.page.locator(".fig.brushed").count() == 4
    # The same by keys, and gone with Escape.
    desk.page.get_by_label("brush on").select_option("objective")
    desk.page.get_by_label("brush from").fill("0")
    desk.page.get_by_label("brush to").fill("0.68")
    best = {
        trial.id
        for trial in view.trials
        if view.objective.value(np.array([trial.final[m.name] for m in view.metrics]), view.metrics) <= 0.68
    }
    assert set(desk.run(rows)) == best
    desk.page.keyboard.press("Escape")
    assert len(desk.run(rows)) == len(view.trials)
    assert desk.page.locator(".fig.brushed").count() == 0
    assert desk.run(marks, figures) == [0] * 4
    assert desk.said == []


@pytest.mark.slow
def test_the_mouse_over_a_dot_points_at_its_trial(desks: Any) -> None:
    desk = desks("confirmed")
    figure = desk.page.locator("#fig-residuals")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for(timeout=40_000)
    box, (x, y, trial) = figure.bounding_box(), desk.run(
        """
        const node = document.getElementById('fig-residuals'), t = node.data.find(t => t.customdata);
        const {xaxis, yaxis} = node._fullLayout;
        return [xaxis._offset + xaxis.d2p(t.x[9]), yaxis._offset + yaxis.d2p(t.y[9]), t.customdata[9]];
        """
    )  # fmt: skip
    desk.page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    desk.page.wait_for_timeout(150)
    assert desk.run(HOT)["card"] == trial


def test_three_domains_lie_in_a_triangle(desks: Any) -> None:
    desk = desks("three_domains")
    desk.page.locator("#fig-tried").scroll_into_view_if_needed()
    desk.page.locator("#fig-tried .main-svg").first.wait_for(timeout=40_000)
    one = desk.run("return document.getElementById('fig-tried').data[0].customdata[2]")
    marked = desk.run(
        """
        const node = document.getElementById('fig-tried');
        node.emit('plotly_hover', {points: [{customdata: a[0]}]});
        return new Promise(go => setTimeout(() => { const t = node.data.at(-1); go([t.a[0], t.b[0], t.c[0]]); }, 60));
        """,
        one,
    )
    view, _ = three_domains()
    found = next(trial for trial in view.trials if trial.id == one).spec.mixture.as_dict()
    assert sorted(marked) == pytest.approx(sorted(100 * w for w in found.values()), abs=1e-4)
    assert desk.said == []


def test_figures_give_their_numbers_and_their_picture(desks: Any) -> None:
    desk = desks("confirmed", shared=True)
    _, answers = VARIANTS["confirmed"]()
    desk.page.locator("#fig-predict").scroll_into_view_if_needed()
    desk.page.locator("#fig-predict .main-svg").first.wait_for(timeout=40_000)
    menu = desk.page.locator("#predict .figmenu")
    menu.locator("summary").click()
    with desk.page.expect_download() as waiting:
        menu.get_by_role("button", name="CSV").click()
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines if line.startswith("trial,")]
    wanted = {row.trial: (row.mean, row.measured) for row in answers[0].rows if row.metric == "objective"}
    assert {row[2]: (float(row[3]), float(row[4])) for row in rows} == {
        trial: pytest.approx(pair, rel=1e-6) for trial, pair in wanted.items()
    }
    menu.locator("summary").click()
    with desk.page.expect_download() as waiting:
        menu.get_by_role("button", name="SVG").click()
    assert Path(waiting.value.path()).read_text(encoding="utf-8").startswith("<svg")
    menu.locator("summary").click()
    menu.get_by_role("button", name="Explain").click()
    told = desk.page.locator("#predict .told").inner_text()
    assert "f_m(w) = c_m + Σ_h exp(t_mh · w)" in told
    assert "Data Mixing Laws" in told
    assert desk.page.locator("#residuals .told").is_hidden()
    assert desk.page.locator(".figmenu").count() == desk.page.locator(".fig").count() + 1
    assert desk.said == []


@pytest.mark.slow
def test_other_metrics_are_drawn_with_their_own_steps(desks: Any) -> None:
    desk = desks("confirmed")
    desk.page.locator("#fig-tradeoff").scroll_into_view_if_needed()
    desk.page.locator("#fig-tradeoff .main-svg").first.wait_for(timeout=40_000)
    desk.page.get_by_label("down the side").select_option("2")
    x, y, steps = desk.run(
        "const d = document.getElementById('fig-tradeoff').data, t = d.find(t => t.meta === 'trial'),"
        " s = d.find(t => t.meta === 'line'); return [t.x, t.y, [s.x, s.y]]"
    )
    view, _ = VARIANTS["confirmed"]()
    finals = [trial.final for trial in view.at()]
    assert y == pytest.approx([final["bpb/set/text"] for final in finals], rel=1e-8)
    xs, ys = undominated(x, y, (1.0, 1.0))
    assert steps == [pytest.approx(xs), pytest.approx(ys)]
    predicted = desk.run("return mixdesk.predict(mixdesk.store.preset('recipe').weights).metrics['bpb/set/text']")
    assert (
        desk.run("return document.getElementById('fig-tradeoff').data.find(t => t.name === 'recipe').y")[0] == predicted
    )


def test_a_family_moves_as_one(desks: Any) -> None:
    desk = desks("confirmed")
    start = desk.run("return mixdesk.weights()")
    desk.page.get_by_role("button", name="5 families").click()
    knob = desk.page.get_by_role("slider", name="code, share")
    knob.press("PageUp")
    moved = desk.run("return mixdesk.weights()")
    assert moved[1] + moved[2] == pytest.approx(start[1] + start[2] + 0.05)
    assert moved[1] / moved[2] == pytest.approx(start[1] / start[2])
    assert sum(moved) == pytest.approx(1.0, abs=1e-9)
    knob.press("l")
    assert desk.run("return mixdesk.locked()") == [False, True, True, *[False] * 5]


COST = """
    const writes = [], evaluations = [];
    const frame = () => new Promise(go => requestAnimationFrame(() => setTimeout(go)));
    let n = 0;
    const all = {attributes: true, childList: true, characterData: true, subtree: true};
    new MutationObserver(list => { n += list.length; }).observe(document.body, all);
    const knob = document.querySelector('.knob');
    for (let k = 0; k < 20; k++) {
        await frame(); await 0; n = 0;
        const before = mixdesk.evaluations();
        knob.dispatchEvent(new KeyboardEvent('keydown', {key: k % 4 < 2 ? 'ArrowUp' : 'PageDown', bubbles: true}));
        await new Promise(requestAnimationFrame); await 0;
        writes.push(n); evaluations.push(mixdesk.evaluations() - before);
    }
    return [writes, evaluations];
"""


@pytest.mark.parametrize("name", ["many", pytest.param("twenty_five", marks=pytest.mark.slow), "confirmed"])
def test_an_event_costs_one_evaluation_and_few_writes(desks: Any, name: str) -> None:
    desk = desks(name)
    desk.page.wait_for_timeout(400)
    writes, evaluations = desk.page.evaluate(f"async () => {{ {COST} }}")
    assert max(evaluations) == 1
    assert 0 < max(writes) <= 200, writes


def test_a_list_of_domains_opens_finds_and_moves_by_keyboard(desks: Any) -> None:
    desk = desks("many")
    view, answers = many()
    assert desk.page.locator(".ch.row").count() == 8
    knob = desk.page.get_by_role("slider", name="code, share")
    knob.focus()
    knob.press(" ")
    assert 8 < desk.page.locator(".ch.row").count() <= 14
    knob.press("Alt+ArrowDown")
    inner = desk.page.evaluate("document.activeElement.getAttribute('aria-label')").split(",")[0]
    assert inner.startswith("code/domain-")
    desk.page.keyboard.press("Enter")
    desk.page.keyboard.type("12.5")
    desk.page.keyboard.press("Enter")
    j = view.domains.index(inner)
    assert desk.run("return mixdesk.weights()")[j] == pytest.approx(0.125)
    desk.page.keyboard.press("l")
    for _ in range(3):
        desk.page.keyboard.press("Alt+ArrowDown")
        desk.page.keyboard.press("ArrowUp")
    assert desk.run("return mixdesk.weights()")[j] == 0.125
    desk.page.keyboard.press("l")
    for _ in range(6):
        desk.page.keyboard.press("Control+z")
    assert tuple(desk.run("return mixdesk.weights()")) == answers[0].recipe.mixture.over(view.domains)
    desk.page.get_by_label("find domains").fill("domain-17")
    assert desk.page.locator(".finder .u").inner_text() == "10 of 200 domains"
    # What a row of packed weights says is what the trial had.
    weights = desk.run(
        "return mixdesk.store.tell && JSON.stringify(0) && mixdesk.csvText().split('\\r\\n')[3].split(',')"
    )
    assert [float(w) for w in weights[5:205]] == pytest.approx(view.trials[2].spec.mixture.over(view.domains), abs=1e-6)


@pytest.mark.slow
def test_a_picture_of_the_whole_page_has_all_of_it(desks: Any) -> None:
    """What is far from the console is left out of frames while that is in use, and only then; nothing moves by it."""
    desk = desks("confirmed")
    seen = "return [...document.querySelectorAll('main > section')].map(s => getComputedStyle(s).contentVisibility)"
    place = "return [...document.querySelectorAll('main > section')].map(s => s.getBoundingClientRect().top + scrollY)"
    before = desk.run(place)
    assert set(desk.run(seen)) == {"visible"}
    desk.page.locator(".knob").first.focus()
    desk.page.wait_for_timeout(100)
    assert desk.run(seen) == ["auto", "auto", "visible", "auto", "auto"]
    assert desk.run(place) == pytest.approx(before, abs=0.1)
    desk.page.get_by_role("button", name="JSON").click()
    assert "auto" in desk.run(seen)
    desk.run("document.activeElement.blur()")
    assert set(desk.run(seen)) == {"visible"}
    assert desk.run(place) == pytest.approx(before, abs=0.1)


def test_on_paper_controls_are_gone_and_nothing_is_cut(desks: Any) -> None:
    desk = desks("confirmed")
    desk.scroll_through()
    desk.page.emulate_media(media="print")
    for part in (".bar2", ".left", ".copy", ".figmenu", "#theme"):
        assert not desk.page.locator(part).first.is_visible(), part
    assert desk.page.locator(".lane").first.is_visible()
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", desk.page.pdf(format="A4"))) <= 8
    assert desk.said == []


def test_without_scripts_the_answer_stands(desks: Any) -> None:
    desk = desks("confirmed", java_script_enabled=False)
    for part in ("h1", ".strip.big", "#checks", "#table", "#trials"):
        assert desk.page.locator(part).is_visible(), part
    assert "The faders need scripts" in desk.page.locator("#explore").inner_text()


def test_the_league_sorts_by_any_head(desks: Any) -> None:
    desk = desks("confirmed", shared=True)
    laws = "return [...document.querySelectorAll('#league tbody tr')].map(r => r.cells[0].textContent)"
    assert desk.run(laws) == ["exponential", "trees"]
    head = desk.page.locator("#league th button", has_text="rank")
    head.click()
    assert desk.run(laws) == ["trees", "exponential"]
    head.click()
    assert desk.run(laws) == ["exponential", "trees"]
    assert desk.page.locator("#league th", has_text="rank").get_attribute("aria-sort") == "descending"


def test_trials_sort_and_download(desks: Any) -> None:
    desk = desks("confirmed")
    view, _ = VARIANTS["confirmed"]()
    desk.page.locator("#raw th button", has_text="objective").click()
    shown = [
        float(x)
        for x in desk.run("return [...document.querySelectorAll('#raw tbody tr')].map(r => r.cells[4].dataset.v)")
    ]
    assert shown == sorted(shown)
    with desk.page.expect_download() as waiting:
        desk.page.locator("#csv").click()
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(view.trials) + 1
    assert lines[1].split(",")[0] == view.trials[0].id
