"""The desk on loopback while a study runs: the same page, its numbers as fresh as the last trial.

GET  /TOKEN/       the page; `page/live.js` watches and patches it, and adds "Try this mixture next"
GET  /TOKEN/state  how far the study is, as JSON, asked every second
GET  /TOKEN/news   the page of the newest trials without Plotly, from which the open page is patched
POST /TOKEN/try    {"mixture": {domain: weight}}: asks a trial of it; the one thing that writes

Only programs of this machine reach the address, and only those that know the token, which changes with every run. The
Host header must name this machine (a page of the web that resolves its own name to 127.0.0.1 is refused), and what is
posted must come from the page itself (Origin). Nothing else of the study is served.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mixdesk.core.errors import InputError, MixdeskError
from mixdesk.core.trial import StudyView
from mixdesk.report.desk import PAGE, Answer, fill, parts_of, plotly_text

HOST = "127.0.0.1"
# Names of this machine that a browser may have been given.
NAMES = (HOST, "localhost")
# Seconds between two looks at the record.
LOOK = 0.25
# A page takes up to a law's fit to make: it is made anew after so many times the seconds that it took the last time, so
# that the training has most of the machine.
REST = 4.0
# Bytes of a posted mixture: a thousand domains with long names.
MOST_BYTES = 256_000
# Seconds that open pages are given to see that the run has ended, and that the last page may take to make.
FAREWELL, LAST_PAGE = 2.5, 60.0
# What somebody hears who does not have the token.
WHOLE = "Open the whole address that mixdesk printed."
# What the browser may do with the page: as in the page itself, and ask this address.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Trials of a study by number: `n_done` with an answer, `n_failed`, `n_asked` in all, `n_planned` by the budget."""

    n_done: int
    n_failed: int
    n_asked: int
    n_planned: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the page's contents come from.

    `count` is quick and asked often; `view` the study as it stands; `answers` what it would say if it ended now (empty:
    too early), which may take a law's fit; `ask` records the question of a mixture and says so in a sentence.
    """

    count: Callable[[], Count]
    view: Callable[[], StudyView]
    answers: Callable[[StudyView], tuple[Answer, ...]]
    ask: Callable[[dict[str, float]], str]


@contextmanager
def served(source: Source, port: int = 0) -> Iterator[str]:
    """The page's address, for as long as the block runs.

    Args:
        source: of what the page shows.
        port: of this machine; 0: a free one.

    Raises:
        InputError: the port is in use, or not to be had.
    """
    listener = _listen(port)
    token = secrets.token_urlsafe(24)
    watch = _Watch(source)
    app = _app(watch, token, listener.getsockname()[1])
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    threads = [
        threading.Thread(target=watch.run, name="desk", daemon=True),
        threading.Thread(target=server.run, args=([listener],), name="desk server", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        watch.finish()
    finally:
        watch.end()
        server.should_exit = True
        for thread in threads:
            thread.join(FAREWELL)
        listener.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InputError(
            f"the desk cannot be served on port {port}",
            value=error.strerror or str(error),
            bound="a free port of this machine, from 1024 to 65535",
            remedy="give another `--port`, or none: then a free one is taken",
        ) from None
    return listener


class _Watch:
    """The newest page of a study, made in a thread of its own each time a trial was asked or ended."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = source.count()
        self.stamp = 0
        self.headline = ""
        self.parts = self._made((), source.view(), self.stamp)
        self.is_running = True
        self._changed = time.monotonic()
        self._stop = threading.Event()
        self._last_asked = 0.0
        self._was_told = threading.Event()
        self._is_last = threading.Event()
        self._is_newest = threading.Event()
        self._read = -1

    def run(self) -> None:
        """Look, and make the page anew where something changed, until the end."""
        shown: Count | None = None
        not_before = 0.0
        try:
            while not self._stop.wait(LOOK):
                self.count = now = self.source.count()
                if now == shown:
                    self._is_newest.set()
                    continue
                self._is_newest.clear()
                if time.monotonic() < not_before and not self._is_last.is_set():
                    continue
                start = time.monotonic()
                view = self.source.view()
                answers = self.source.answers(view)
                self.parts = self._made(answers, view, self.stamp + 1)
                self.headline = answers[0].recipe.verdict.headline if answers else ""
                self._changed = time.monotonic()
                self.stamp += 1  # last: who sees it finds the page that it is of
                shown, not_before = now, self._changed + REST * (self._changed - start)
        finally:
            self._is_newest.set()  # whoever waits for it waits no longer

    def _made(self, answers: tuple[Answer, ...], view: StudyView, stamp: int) -> dict[str, str]:
        parts = parts_of(view, answers)
        css, script = ((PAGE / name).read_text(encoding="utf-8") for name in ("live.css", "live.js"))
        return parts | {
            "live": f'<style>{css}</style><script data-stamp="{stamp}">{script}</script>',
            "connect": "; connect-src 'self'",
            "foot": "Served by mixdesk on this machine alone, while the study runs.",
        }

    def state(self) -> dict[str, Any]:
        """How far the study is by now, and how old the page's numbers are, in seconds: a law may be slow."""
        self._last_asked = time.monotonic()
        if not self.is_running:
            self._was_told.set()
        count = self.source.count() if self.is_running else self.count
        return {
            "stamp": self.stamp,
            "n_done": count.n_done,
            "n_failed": count.n_failed,
            "n_asked": count.n_asked,
            "n_planned": count.n_planned,
            "headline": self.headline,
            "seconds": round(time.monotonic() - self._changed, 1),
            "is_running": self.is_running,
        }

    def news(self) -> dict[str, str]:
        """What an open page is patched from."""
        self._read = self.stamp
        return self.parts | {"plotly": "", "live": ""}

    def finish(self) -> None:
        """All trials are in: where a page is open, make its last state, and let it be read."""
        if not self._is_watched():
            return
        self._is_last.set()
        self._is_newest.clear()
        self._is_newest.wait(LAST_PAGE)
        until = time.monotonic() + FAREWELL
        while self._read != self.stamp and time.monotonic() < until:
            time.sleep(LOOK)

    def _is_watched(self) -> bool:
        return time.monotonic() - self._last_asked < FAREWELL

    def end(self) -> None:
        """Stop looking; a page that is open is given a moment to hear of it."""
        self.count = self.source.count()
        self.is_running = False
        self._stop.set()
        if self._is_watched():
            self._was_told.wait(FAREWELL)


def _app(watch: _Watch, token: str, port: int) -> Starlette:
    hosts = {f"{name}:{port}" for name in NAMES}
    origins = {f"http://{host}" for host in hosts}

    def refused(request: Request) -> Response | None:
        """Why a request is not answered; None where it may be."""
        if request.headers.get("host", "") not in hosts:
            return PlainTextResponse("This address is served to this machine alone.", 403, HEADERS)
        if not secrets.compare_digest(request.path_params.get("token", "").encode(), token.encode()):
            return PlainTextResponse(WHOLE, 403, HEADERS)
        if request.method == "POST" and request.headers.get("origin") not in origins:
            return PlainTextResponse("Only the desk itself may ask.", 403, HEADERS)
        return None

    async def page(request: Request) -> Response:
        return refused(request) or HTMLResponse(fill({**watch.parts, "plotly": plotly_text()}), headers=HEADERS)

    async def news(request: Request) -> Response:
        return refused(request) or HTMLResponse(fill(watch.news()), headers=HEADERS)

    async def state(request: Request) -> Response:
        return refused(request) or JSONResponse(await run_in_threadpool(watch.state), headers=HEADERS)

    async def try_next(request: Request) -> Response:
        if (response := refused(request)) is not None:
            return response
        try:
            mixture = _mixture(await _body(request))
            said = await run_in_threadpool(watch.source.ask, mixture)
        except MixdeskError as error:
            return JSONResponse({"error": str(error)}, 400, HEADERS)
        return JSONResponse({"said": said}, headers=HEADERS)

    async def nowhere(_: Request) -> Response:
        return PlainTextResponse(WHOLE, 403, HEADERS)

    return Starlette(
        routes=[
            Route("/{token}/", page),
            Route("/{token}/news", news),
            Route("/{token}/state", state),
            Route("/{token}/try", try_next, methods=["POST"]),
            Route("/{path:path}", nowhere, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ]
    )


async def _body(request: Request) -> bytes:
    """What was posted.

    Raises:
        InputError: it is longer than any mixture.
    """
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BYTES:
            raise InputError(
                "the mixture is too long",
                value=f"more than {MOST_BYTES} bytes",
                bound=f"at most {MOST_BYTES} bytes",
                remedy="send its weights alone",
            )
    return found


def _mixture(body: bytes) -> dict[str, float]:
    """Domain → weight of what was posted.

    Raises:
        InputError: it is something else.
    """
    try:
        mixture = json.loads(body)["mixture"]
        return {str(name): float(weight) for name, weight in mixture.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            "what was posted is no mixture",
            value=body[:80].decode(errors="replace") or "nothing",
            bound='{"mixture": {domain: weight}}',
            remedy="send a weight per domain, as JSON",
        ) from None
