"""The live desk over real HTTP: who may look, who may ask, what is refused, and that it changes with the study."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from urllib.parse import urlsplit

import plotly.offline
import pytest
from desk_worlds import VARIANTS, hostile

pytest.importorskip("uvicorn", reason="the extra `live` is not installed")

from mixdesk.core.errors import InputError
from mixdesk.core.trial import StudyView
from mixdesk.report.desk import render
from mixdesk.report.figures import Answer
from mixdesk.report.live import MOST_BYTES, Count, Source, served


@dataclass
class Story:
    """A study whose trials end when the test says so, and what was asked of it."""

    view: StudyView
    answers: tuple[Answer, ...]
    n_in: int = 0
    asked: list[dict[str, float]] = field(default_factory=list)

    def source(self) -> Source:
        return Source(
            count=lambda: Count(n_done=self.n_in, n_failed=1, n_asked=40, n_planned=50),
            view=lambda: replace(self.view, trials=self.view.trials[: self.n_in]),
            answers=lambda view: self.answers if view.trials else (),
            ask=self.ask,
        )

    def ask(self, weights: dict[str, float]) -> str:
        if "moon" in weights:
            raise InputError("no such domain", value="moon", bound="a domain", remedy="look again")
        self.asked.append(weights)
        return "Asked."


@dataclass
class Visitor:
    """A client of the served page."""

    address: str

    def ask(self, place: str = "", method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, str]:
        parts = urlsplit(self.address)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        path = place if place.startswith("/") else parts.path + place
        connection.request(method, path, body, {name.title(): value for name, value in headers.items()})
        answer = connection.getresponse()
        self.headers = answer.headers
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    @property
    def origin(self) -> str:
        return f"http://{urlsplit(self.address).netloc}"

    def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, str]]:
        status, text = self.ask("try", "POST", body, **{"origin": self.origin, **headers})
        return status, json.loads(text) if text.startswith("{") else {"text": text}


@pytest.fixture(scope="module")
def story() -> Story:
    return Story(*VARIANTS["confirmed"]())


@pytest.fixture(scope="module")
def visitor(story: Story) -> Iterator[Visitor]:
    with served(story.source()) as address:
        yield Visitor(address)


def test_it_is_on_loopback_alone_behind_a_token_that_nobody_guesses(visitor: Visitor) -> None:
    parts = urlsplit(visitor.address)
    assert parts.hostname == "127.0.0.1"
    assert len(parts.path) > 30
    with socket.socket() as other, pytest.raises(OSError):  # noqa: PT011  (refused: only 127.0.0.1 is bound)
        other.connect(("127.0.0.2", parts.port))
    for path in ("/", "/state", "/wrong/", "/wrong/state", "/wrong/news", "/" + parts.path.strip("/")[:-1] + "x/state"):
        assert visitor.ask(path)[0] == 403, path
    assert visitor.ask("/wrong/try", "POST", b"{}", origin=visitor.origin)[0] == 403


def test_another_host_name_is_refused(visitor: Visitor) -> None:
    port = urlsplit(visitor.address).port
    assert visitor.ask("state", host=f"localhost:{port}")[0] == 200
    for host in ("evil.org", f"evil.org:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.org"):
        assert visitor.ask("state", host=host)[0] == 403, host


def test_there_is_one_thing_to_write_and_only_the_page_may(story: Story, visitor: Visitor) -> None:
    body = json.dumps({"mixture": {"a": 0.5, "b": 0.5}}).encode()
    for origin in ("http://evil.org", "null", visitor.origin.replace("http", "https"), visitor.origin + "0"):
        assert visitor.post(body, origin=origin)[0] == 403, origin
    assert visitor.ask("try", "POST", body)[0] == 403
    for place, method in (("state", "POST"), ("", "POST"), ("news", "DELETE"), ("", "PUT"), ("try", "GET")):
        assert visitor.ask(place, method, origin=visitor.origin)[0] in (403, 405), (place, method)
    assert story.asked == []
    assert visitor.post(body) == (200, {"said": "Asked."})
    assert story.asked == [{"a": 0.5, "b": 0.5}]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"mixture": 3}', b'{"mixture": {"a": "b"}}', b'{"mixture": [1]}', b"[" * 20_000, b"\xff\xfe"],
)
def test_what_is_no_mixture_is_said_so(story: Story, visitor: Visitor, body: bytes) -> None:
    n = len(story.asked)
    status, said = visitor.post(body)
    assert status == 400
    assert said["error"].startswith("what was posted is no mixture")
    assert len(story.asked) == n


def test_errors_of_the_study_come_back_and_long_bodies_do_not_fill_the_memory(visitor: Visitor) -> None:
    status, said = visitor.post(b'{"mixture": {"moon": 1}}')
    assert (status, said["error"]) == (400, "no such domain: found moon, expected a domain; look again.")
    status, said = visitor.post(b" " * (MOST_BYTES + 1))
    assert status == 400
    assert "too long" in said["error"]


def test_it_keeps_the_policy_of_the_page_and_tells_nobody_where_it_is(visitor: Visitor) -> None:
    status, page = visitor.ask()
    assert status == 200
    assert "default-src 'none'" in visitor.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in visitor.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in visitor.headers["Content-Security-Policy"]
    assert visitor.headers["Referrer-Policy"] == "no-referrer"
    assert visitor.headers["Cache-Control"] == "no-store"
    assert "access-control-allow-origin" not in visitor.headers
    assert page.count("Try this mixture next") == 1
    assert urlsplit(visitor.address).path.strip("/") not in page


def test_the_page_is_made_anew_when_trials_end(story: Story, visitor: Visitor) -> None:
    def state() -> dict[str, object]:
        return json.loads(visitor.ask("state")[1])

    until = time.monotonic() + 20
    while (before := state())["stamp"] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert (before["n_done"], before["n_asked"], before["n_planned"], before["headline"]) == (0, 40, 50, "")
    story.n_in = len(story.view.trials)
    while (after := state())["stamp"] == before["stamp"] and time.monotonic() < until:
        time.sleep(0.01)
    assert after["headline"] == story.answers[0].recipe.verdict.headline
    assert after["stamp"] != before["stamp"]
    assert after["n_done"] == story.n_in
    # The page of a number is there as soon as the number is said.
    status, news = visitor.ask("news")
    assert status == 200
    assert 'id="console"' in news
    assert len(news) < 0.5 * len(visitor.ask()[1])  # without Plotly


def test_a_slow_law_holds_up_neither_answers_nor_wishes_and_the_newest_trials_win(story: Story) -> None:
    fits: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(view: StudyView) -> tuple[Answer, ...]:
        fits.append(len(view.trials))
        if len(fits) == 1:
            begun.set()
            assert go_on.wait(30.0)
        return story.answers

    late = Story(story.view, story.answers, n_in=8)
    with served(replace(late.source(), answers=slow)) as address:
        visitor = Visitor(address)
        assert begun.wait(30.0)
        start = time.monotonic()
        for n_in in (9, len(story.view.trials)):
            late.n_in = n_in
            state = json.loads(visitor.ask("state")[1])
            assert (state["stamp"], state["n_done"]) == (0, n_in)
            assert visitor.post(b'{"mixture": {"a": 1}}')[0] == 200
            assert visitor.ask("news")[0] == visitor.ask()[0] == 200
        assert time.monotonic() - start < 10.0
        assert fits == [8]
        go_on.set()
        until = time.monotonic() + 30
        while json.loads(visitor.ask("state")[1])["stamp"] < 2 and time.monotonic() < until:
            time.sleep(0.05)
    # What came in between was never fitted.
    assert fits == [8, len(story.view.trials)]


def test_a_port_in_use_is_one_clear_error(story: Story) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        wrong = f"port {port}: found Address already in use.*give another `--port`"
        with pytest.raises(InputError, match=wrong), served(story.source(), port):
            pass


def test_hostile_names_stay_text() -> None:
    view, answers = hostile()
    with served(Story(view, answers, n_in=len(view.trials)).source()) as address:
        page = Visitor(address).ask()[1]
    assert "<script>alert" not in page


def test_the_offline_page_has_nothing_of_it(story: Story) -> None:
    page = render(story.view, story.answers)
    for one in ("fetch(", "connect-src", "Try this mixture next", "livebar"):
        assert one not in page.replace(plotly.offline.get_plotlyjs(), "")


def test_nothing_answers_once_the_block_has_ended(story: Story) -> None:
    with served(story.source()) as address:
        assert Visitor(address).ask("state")[0] == 200
    with pytest.raises(ConnectionError):
        Visitor(address).ask("state")
