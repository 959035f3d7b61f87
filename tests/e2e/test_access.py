"""The page for those who read it with other eyes, other tools or larger letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the page is not tested in a browser"),
]


@pytest.fixture(scope="module")
def axe() -> str:
    base = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    return Path(base.AXE_FILE_PATH).read_text(encoding="utf-8")


def slow(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["confirmed", slow("many"), slow("too_weak"), slow("imported"), slow("running")])
def test_axe_finds_nothing_serious_in_either_theme(desks: Any, axe: str, name: str) -> None:
    desk = desks(name)
    desk.scroll_through()
    desk.page.evaluate(axe)
    for theme in ("light", "dark"):
        desk.run(
            "if (document.documentElement.dataset.theme !== a[0]) document.getElementById('theme').click();", theme
        )
        desk.page.wait_for_timeout(200)
        found = desk.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 20
        bad = [
            (theme, one["id"], [node["html"][:160] for node in one["nodes"][:3]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert bad == []


# Text whose box cuts it, unless an ellipsis says so and the whole stands in a title or a label.
CUT = """
    const cut = [], apart = 'svg, pre, .sr, script, style, option';
    for (const node of document.querySelectorAll('body *')) {
        const text = [...node.childNodes].some(kid => kid.nodeType === 3 && kid.data.trim());
        if (!text || !node.checkVisibility() || node.closest(apart)) continue;
        const range = document.createRange(); range.selectNodeContents(node);
        const a = range.getBoundingClientRect();
        for (let box = node; box !== document.body; box = box.parentElement) {
            const look = getComputedStyle(box), b = box.getBoundingClientRect();
            if (look.overflowX === 'visible' && look.overflowY === 'visible') continue;
            const isCut = a.right > b.right + 1.5 || a.bottom > b.bottom + 1.5 || a.top < b.top - 1.5;
            const isTold = look.textOverflow === 'ellipsis' && box.closest('[title], [aria-label]');
            if (look.overflowX !== 'auto' && look.overflowY !== 'auto' && isCut && !isTold) cut.push(node.textContent);
            break;
        }
    }
    return cut.map(text => text.slice(0, 80));
"""


def test_at_twice_the_size_nothing_overflows_and_no_text_is_cut(desks: Any) -> None:
    # Twice the size on a screen of 1440 × 900: half as many pixels, each twice as large.
    desk = desks("confirmed", viewport={"width": 720, "height": 450}, device_scale_factor=2)
    desk.scroll_through()
    assert desk.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0
    assert desk.run(CUT) == []
