"""What does the desk cost? Size of the page, seconds to its first paint, and the time of a fader's frame.

    OMP_NUM_THREADS=1 python benchmarks/desk.py [--domains 200] [--trials 5000] [--page FILE]

A synthetic study (the one of the desk's tests, scaled up) is rendered and opened in a headless Chromium without a GPU.
`--page` measures a page that is there. Writes `benchmarks/results/desk_<machine class>_<yyyymm>.md`. Gates: page
≤ 5.5 MB at 40 trials and ≤ 8 MB at 5,000; first paint ≤ 2 s; 95th percentile of a fader's frame ≤ 16 ms; per event one
evaluation of the law and ≤ 200 writes to the DOM. A frame's time is that of the page's main thread, from the event to
the frame's end; the clock beside it tells how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from demo import machine_class
from mixdesk.report.desk import render

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))
from desk_worlds import answer, study

CHROMIUM = "/usr/bin/chromium"
FAMILIES = ("books", "code", "law", "news", "reference", "science", "talk", "web")
N_EVENTS = 60
# Milliseconds on the first screen before a reader jumps.
READING = 5000
EVENT = """async ([key]) => {
    const knob = document.querySelector('.knob'), seen = window.seen ||= {n: 0};
    const all = {attributes: true, childList: true, characterData: true, subtree: true};
    window.watch ||= new MutationObserver(list => { seen.n += list.length; }).observe(document.body, all) || true;
    await new Promise(go => setTimeout(go, 120)); await 0; seen.n = 0;
    const start = performance.now(), evaluated = mixdesk.evaluations();
    knob.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    await new Promise(requestAnimationFrame); await 0;
    const found = {writes: seen.n, evaluations: mixdesk.evaluations() - evaluated};
    const channel = new MessageChannel();
    await new Promise(go => { channel.port1.onmessage = go; channel.port2.postMessage(0); });
    return {...found, clock: performance.now() - start};
}"""
HOVER = """() => { const start = performance.now(); for (let k = 0; k < 20; k++) mixdesk.store.point(k * 7 % 40);
    mixdesk.store.point(null); return (performance.now() - start) / 21; }"""


def make(n_domains: int, n_trials: int) -> tuple[str, float]:
    """The page of a study of that size, and the processor seconds that rendering it took."""
    names = tuple(f"{FAMILIES[i % 8]}/domain-{i:03d}" for i in range(n_domains))
    view, world = study(names, n=n_trials)
    view, one = answer(view, world, "predicted")
    start = time.process_time()
    return render(view, (one,)), time.process_time() - start


def measure(path: Path) -> dict[str, Any]:
    """First paint, first figure, frames and hovers of a page."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        reader = browser.new_page(viewport={"width": 1440, "height": 900})
        reader.goto(path.as_uri())
        reader.wait_for_timeout(READING)
        later, _ = _jump(reader)
        reader.close()
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(path.as_uri())
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
        figure, worked = _jump(page)
        hover = page.evaluate(HOVER)
        page.evaluate("document.getElementById('explore').scrollIntoView()")
        page.wait_for_timeout(4000)
        page.locator(".knob").first.focus()
        found = []
        browser.start_tracing(page=page, categories=["devtools.timeline", "cc", "blink"])
        for k in range(N_EVENTS):
            found.append(page.evaluate(EVENT, ["ArrowUp" if k % 20 < 10 else "ArrowDown"]))
        frames = _frames(browser.stop_tracing())
        out = {
            "paint": paint, "figure": figure, "worked": worked, "later": later, "hover": hover, "frames": frames,
            "browser": browser.version, "heap": page.evaluate("performance.memory.usedJSHeapSize") / 1e6,
            **{key: [one[key] for one in found] for key in ("writes", "evaluations", "clock")},
        }  # fmt: skip
        browser.close()
    return out


def _jump(page: Any) -> tuple[float, float]:
    """Seconds from a jump to the evidence to its first figure, by the clock and by the main thread's processor."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    start, worked = time.perf_counter(), _worked(session)
    page.evaluate("document.getElementById('doubt').scrollIntoView()")
    page.locator("#fig-predict .main-svg").first.wait_for(timeout=60_000)
    return time.perf_counter() - start, _worked(session) - worked


def _worked(session: Any) -> float:
    """Processor seconds of the page's main thread so far."""
    found = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in found if one["name"] == "TaskDuration")


def _frames(trace: bytes) -> list[float]:
    """Milliseconds of the main thread per frame that a fader's event asked for: those that ran a script."""
    events = [e for e in json.loads(trace)["traceEvents"] if e.get("ph") == "X" and "tdur" in e]
    frames = [e for e in events if e["name"] == "ProxyMain::BeginMainFrame"]
    scripts = [e for e in events if e["name"] == "FireAnimationFrame"]
    ran = [f for f in frames if any(f["ts"] <= s["ts"] <= f["ts"] + f["dur"] for s in scripts)]
    return [f["tdur"] / 1000 for f in ran]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domains", type=int, default=200)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    small, _ = make(8, 40)
    with tempfile.TemporaryDirectory() as folder:
        path, seconds = options.page, None
        if path is None:
            text, seconds = make(options.domains, options.trials)
            path = Path(folder) / "desk.html"
            path.write_text(text, encoding="utf-8")
        size, found = path.stat().st_size / 1e6, measure(path.resolve())
    p95 = float(np.quantile(found["frames"], 0.95))
    load = os.getloadavg()[0]
    what = f"{options.domains} domains × {options.trials:,} trials"
    rows = [
        ("page at 40 trials, MB", f"{len(small.encode()) / 1e6:.2f}", "≤ 5.5"),
        (f"page at {what}, MB", f"{size:.2f}", "≤ 8"),
        ("rendering it, processor s", "–" if seconds is None else f"{seconds:.0f}", ""),
        ("first paint, s", f"{found['paint']:.2f}", "≤ 2"),
        ("from a jump to the evidence to its first figure, s", f"{found['figure']:.2f}", "≤ 2"),
        (f"the same {READING // 1000} s after opening, s", f"{found['later']:.2f}", "≤ 2"),
        ("the jump at once on the page's main thread, processor s", f"{found['worked']:.2f}", ""),
        ("fader: frame on the main thread, median, ms", f"{float(np.median(found['frames'])):.1f}", ""),
        ("fader: frame on the main thread, 95th percentile, ms", f"{p95:.1f}", "≤ 16"),
        ("fader: event to frame by the clock, median, ms", f"{float(np.median(found['clock'])):.1f}", ""),
        ("fader: evaluations of the law per event, most", str(max(found["evaluations"])), "≤ 1"),
        ("fader: writes to the DOM per event, most", str(max(found["writes"])), "≤ 200"),
        ("pointing at a trial, all drawn figures, ms", f"{found['hover']:.1f}", "≤ 8"),
        ("script memory, MB", f"{found['heap']:.0f}", "≤ 150"),
    ]
    out = Path(__file__).parent / "results" / f"desk_{machine_class()}_{date.today():%Y%m}.md"
    lines = [
        "# What the desk costs",
        "",
        f"Command: `python benchmarks/desk.py --domains {options.domains} --trials {options.trials}`. {date.today()}, "
        f"{machine_class()}, load {load:.0f} while measured, {len(found['frames'])} frames.",
        f"Versions: mixdesk {version('mixdesk')}, plotly {version('plotly')}, Chromium {found['browser']} headless "
        f"without a GPU, Python {platform.python_version()}.",
        "",
        "| what | found | budget |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {value} | {budget} |" for name, value, budget in rows),
    ]
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(out)


if __name__ == "__main__":
    main()
