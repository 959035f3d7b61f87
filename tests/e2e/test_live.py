"""`mixdesk study run --live` in its own process, in a real Chromium: trials land, the reader keeps the place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

import mixdesk as mx

CHROMIUM = Path("/usr/bin/chromium")
pytest.importorskip("uvicorn", reason="the extra `live` is not installed")
TOML = """name = "live <img src=x onerror=alert(1)>"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 400 }
law = { name = "exponential" }
constraints = { upper = { "d00" = 0.6 } }
trainer = { name = "synthetic", options = { d = 3, m = 2, seconds = 0.3 } }
"""
RUN = [sys.executable, "-m", "mixdesk.cli", "study", "run"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(TOML)
    mx.new_study(tmp_path).close()
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*RUN, str(folder), "--live", "--jobs", "1", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def address(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    line = run.stdout.readline()
    assert line.startswith("The desk, live: http://127.0.0.1:"), run.stderr
    return line.split()[-1]


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")
def test_the_page_follows_the_run_and_leaves_the_reader_his_place(folder: Path, run: subprocess.Popen[str]) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    said: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(error.message))
        page.goto(address(run))
        page.locator("#try-next").wait_for(timeout=30_000)
        headline = "() => document.querySelector('h1').textContent"
        page.evaluate("() => { window.here = 1; mixdesk.move(0, .2); mixdesk.lock(0); mixdesk.settle(); }")
        page.get_by_label("copy for a trainer").select_option("megatron")
        page.evaluate("() => mixdesk.store.pin(1)")
        page.locator("#raw thead button").nth(4).click()
        page.evaluate("() => window.scrollTo({ top: 700, behavior: 'instant' })")
        weights = page.evaluate("() => mixdesk.weights()")
        page.locator(".knob").nth(1).focus()
        before = page.evaluate(headline)

        def landed(old: str) -> None:
            page.wait_for_function(f"old => ({headline})() !== old", arg=old, timeout=30_000)

        place = page.evaluate("() => document.querySelector('#console').getBoundingClientRect().top")
        landed(before)
        assert "of 400 trials are in. Too early for a recipe." in page.evaluate(headline)
        assert page.evaluate("() => window.here") == 1
        assert page.evaluate("() => mixdesk.weights()") == pytest.approx(weights, abs=1e-12)
        assert page.evaluate("() => mixdesk.locked()") == [True, False, False]
        assert page.evaluate("() => document.activeElement.getAttribute('aria-label')").startswith("d01")
        assert page.evaluate("() => document.querySelector('#raw [aria-sort]').cellIndex") == 4
        assert page.evaluate("() => [mixdesk.store.pinned, mixdesk.store.undo.length]") == [1, 1]
        assert page.locator(".hotcard").count() == 1
        assert page.get_by_label("copy for a trainer").input_value() == "megatron"
        assert page.locator(".master .code").inner_text().startswith("0.2 data/d00\n")
        now = page.evaluate("() => document.querySelector('#console').getBoundingClientRect().top")
        assert now == pytest.approx(place, abs=2)
        # A figure that is drawn stays, and shows the new trials.
        page.locator("#fig-predict").scroll_into_view_if_needed()
        page.locator("#fig-predict .main-svg").first.wait_for(timeout=20_000)
        page.evaluate("() => { window.drawn = document.getElementById('fig-predict'); }")
        points = "() => Math.max(...drawn.data.map(t => (t.customdata || []).length))"
        n_points = page.evaluate(points)
        landed(page.evaluate(headline))
        assert page.evaluate("() => drawn.isConnected && drawn === document.getElementById(drawn.id)")
        page.wait_for_function(f"n => ({points})() > n", arg=n_points, timeout=30_000)
        # A theme is switched once, however often the page was patched.
        page.locator("#theme").click()
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        # A mixture that the study forbids, then one that it allows.
        page.evaluate("() => { mixdesk.lock(0); mixdesk.move(0, .9); mixdesk.settle(); }")
        tried = page.locator("#try-said")
        page.locator("#try-next").click()
        sync_api.expect(tried).to_contain_text("d00 ≤ 0.6")
        page.evaluate("() => { mixdesk.move(0, .25); mixdesk.settle(); }")
        wish = dict(zip(("d00", "d01", "d02"), page.evaluate("() => mixdesk.weights()"), strict=True))
        page.locator("#try-next").click()
        sync_api.expect(tried).to_contain_text("Asked as trial")
        name = tried.inner_text().split("trial ")[1].split(".")[0]
        landed(page.evaluate(headline))
        sync_api.expect(tried).to_contain_text(name)
        with mx.open_study(folder) as study:
            until = time.monotonic() + 20
            while study.trial(name).state != "done" and time.monotonic() < until:
                time.sleep(0.1)
            assert study.trial(name).state == "done"
            assert study.trial(name).why == "asked on the desk"
            assert study.trial(name).spec.mixture.as_dict() == pytest.approx(wish)
        run.send_signal(signal.SIGINT)
        sync_api.expect(page.locator(".livebar")).to_contain_text("the run has ended", timeout=15_000)
        assert page.locator("#try-next").is_disabled()
        # Chromium tells of the refused mixture and of the end of the server; the page has nothing to tell.
        assert [one for one in said if not one.startswith("Failed to load resource")] == []
        browser.close()
    assert run.wait(timeout=20) == 130


@pytest.mark.slow
def test_an_interrupted_run_ends_both_and_goes_on(folder: Path, run: subprocess.Popen[str]) -> None:
    place = address(run)
    with mx.open_study(folder) as study:
        until = time.monotonic() + 20
        while not any(trial.state == "done" for trial in study.trials().values()) and time.monotonic() < until:
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=20)
        assert run.returncode == 130
        assert "Traceback" not in errors
        n_done = sum(trial.state == "done" for trial in study.trials().values())
        assert n_done >= 1
        subprocess.run([*RUN, str(folder), "--trials", "2", "--quiet"], check=True, capture_output=True, timeout=60)
        assert sum(trial.state == "done" for trial in study.trials().values()) == n_done + 2
    assert place.count("/") == 4


@pytest.mark.slow
def test_an_open_page_gets_the_last_trial(folder: Path) -> None:
    (folder / "study.toml").write_text(TOML.replace("n_trials = 400", "n_trials = 12"))
    with mx.open_study(folder) as study, mx.live_desk(study) as address:
        heard: list[dict[str, object]] = []

        def look() -> None:
            while not heard or heard[-1]["is_running"]:
                with urlopen(address + "state", timeout=10) as answer:
                    heard.append(json.load(answer))
                time.sleep(0.2)

        reader = threading.Thread(target=look)
        reader.start()
        mx.run_study(study, jobs=2)
    reader.join(20)
    assert heard[-1]["n_done"] == 12
    assert "Too early" not in str(heard[-1]["headline"])
    assert heard[-1]["headline"]
