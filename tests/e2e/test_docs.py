"""The documentation: its help is that of the command line, its reference is whole, its site needs no network."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mixdesk as mx
from mixdesk.core import registry

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")


def test_the_page_of_commands_has_the_help_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    shown = importlib.import_module("commands").helps()
    old = [command for command, text in shown.items() if f"`{command}`\n\n```text\n{text}```\n" not in page]
    assert not old, f"run: python scripts/commands.py; its help is another now: {', '.join(old)}"
    assert len(shown) == page.count("```text\nUsage: ")


def test_the_reference_has_every_public_name() -> None:
    listed = set(re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    homes = {name: getattr(mx, name).__module__ for name in mx.__all__}
    assert not {name: home for name, home in homes.items() if home not in listed}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_part_is_on_the_page_of_methods(site: Path) -> None:
    page = (site / "methods.html").read_text(encoding="utf-8")
    heads = re.findall(r"<h3 id=[^>]*><code>(\w+)</code>", page)
    assert heads == [name for kind in registry.ROOMS for name in registry.names(kind)]


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    outside = [
        f"{path.relative_to(site)}: {found[0][:80]}"
        for path in site.rglob("*.html")
        for found in re.finditer(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"?https?://[^>]*>", path.read_text())
    ]
    assert not outside, "\n".join(outside)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the site is not tested in a browser")
def test_search_works_from_the_disk_without_a_network(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page: Any = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator("input[name=query]").click()
        page.keyboard.type("crossed block")
        page.locator(".md-search-result__item").first.wait_for(timeout=30_000)
        hits = page.locator(".md-search-result__item a").evaluate_all("all => all.map(one => one.href)")
        browser.close()
    assert any("concepts.html" in hit for hit in hits)
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
