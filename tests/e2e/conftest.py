"""The desk in a headless Chromium: one browser a module, pages made once and shared where a test leaves them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_worlds import MORE, VARIANTS

from mixdesk.report.desk import render

CHROMIUM = Path("/usr/bin/chromium")


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
            figures.nth(i).locator("svg").first.wait_for(timeout=40_000)


@pytest.fixture(scope="module")
def desks(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, opened, kept = tmp_path_factory.mktemp("desks"), [], {}

    def open_(name: str, *, shared: bool = False, **context: Any) -> Desk:
        """A fresh page, or one that tests share because they leave it as it was."""
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(render(*{**VARIANTS, **MORE}[name]()), encoding="utf-8")
        if shared and name in kept:
            return kept[name]
        opened.append(Desk(browser, path, **context))
        if shared:
            kept[name] = opened[-1]
        return opened[-1]

    yield open_
    for desk in opened:
        desk.context.close()
