"""The first screen in a headless Chromium: what is on it, what is not, without scripts, in print, in the dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk_worlds import VARIANTS

from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.trial import StudyView
from mixdesk.report.desk import render
from mixdesk.report.figures import Answer

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the page is not tested in a browser"),
]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# What the first screen has to hold, each with its words to the last line.
PARTS = (".eyebrow", "h1", ".strip.big, .stages", ".parts", ".gain .num", ".gain .iv", "#cost", ".doubts", ".todo")


def staged() -> tuple[StudyView, tuple[Answer, ...]]:
    view, answers = VARIANTS["predicted"]()
    recipe = answers[0].recipe
    before = Stage(mixture=Mixture.uniform(view.domains), until=0.85)
    schedule = Schedule(stages=(before, Stage(mixture=recipe.mixture, until=1.0)))
    return view, (replace(answers[0], recipe=replace(recipe, plan=replace(recipe.plan, schedule=schedule))),)


STATES = {name: VARIANTS[name] for name in ("confirmed", "predicted", "no_different", "too_weak", "running")}
STATES |= {name: VARIANTS[name] for name in ("imported", "hostile", "no_unit", "twenty_five")} | {"staged": staged}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, out = tmp_path_factory.mktemp("first"), {}
    for name, make in STATES.items():
        out[name] = folder / f"{name}.html"
        out[name].write_text(render(*make()), encoding="utf-8")
    return out


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    contexts = []

    def open_(name: str, **context: Any) -> Any:
        # Without scripts: the first screen is what Python wrote, and must stand alone.
        contexts.append(browser.new_context(**{"java_script_enabled": False, **context}))
        page = contexts[-1].new_page()
        page.goto(pages[name].as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["1440", "390"])
@pytest.mark.parametrize("name", sorted(STATES))
def test_the_first_screen_holds_the_answer_and_nothing_else(show: Any, name: str, viewport: dict[str, int]) -> None:
    page = show(name, viewport=viewport)
    for part in PARTS:
        if name == "running" and part == ".gain .iv":
            continue
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= viewport["height"], part
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= viewport["width"], part
    assert page.locator("#proof .card").first.bounding_box()["y"] >= viewport["height"]
    # Nothing on it is set smaller than 11 pixels.
    assert page.locator(".front .foot").count() <= 1


def test_type_and_targets_are_large_enough(show: Any) -> None:
    page = show("confirmed", viewport=PHONE, java_script_enabled=True)
    smallest = page.evaluate(
        "() => Math.min(...[...document.querySelectorAll('.front *')].filter(n => n.getClientRects().length"
        " && !n.closest('.sr') && [...n.childNodes].some(c => c.nodeType === 3 && c.data.trim()))"
        ".map(n => parseFloat(getComputedStyle(n).fontSize)))"
    )
    assert smallest >= 11
    for box in (page.locator(".top a, .top button").nth(i).bounding_box() for i in range(6)):
        assert box is None or box["height"] >= 24


@pytest.mark.parametrize("name", ["confirmed", "twenty_five", "hostile"])
def test_print_takes_eight_sheets_at_most(show: Any, name: str) -> None:
    page = show(name, viewport=DESKTOP, java_script_enabled=True)
    page.emulate_media(media="print")
    assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    sheets = len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(prefer_css_page_size=True)))
    assert 1 <= sheets <= 8
    assert not page.locator("#theme").is_visible()


def test_the_dark_page_has_the_same_screen(show: Any) -> None:
    page = show("confirmed", viewport=DESKTOP, java_script_enabled=True, color_scheme="dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 20)"
    assert page.locator("#proof .card").first.bounding_box()["y"] >= DESKTOP["height"]
