import gzip
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.read import Skipped, find_files, read_files

pytest.importorskip("resiliparse")

SENTENCE = "The river rose slowly over the meadows, and nobody in the village had seen it so high for a generation. "
PAGE = f"""<!doctype html><html><head><title>River</title>
<link rel="canonical" href="https://example.org/river"><meta name="author" content="Ada  Moss"><style>p {{}}</style>
</head><body><nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>The river</h1><p>{SENTENCE * 3}</p><p>Caf\u00e9 owners moved their chairs. {SENTENCE}</p></article>
<div id="comments"><div class="comment"><p>First! Great post.</p></div></div>
<footer><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY</a> <p>All rights wrong.</p></footer>
<script>var hidden = 1;</script></body></html>"""


def read(*sources, on_error="skip", **options):
    skipped = Skipped(on_error=on_error, **options)
    return list(read_files(find_files(sources, skipped), skipped)), skipped


def record(url: str, body: bytes, kind="text/html", status="200 OK", extra="") -> bytes:
    payload = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
        "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload + b"\r\n\r\n"


@pytest.mark.parametrize("name", ["web/a.html", "web/a.htm", "web/a.html.gz"])
def test_a_page_gives_its_main_content_and_what_it_states(tmp_path: Path, name: str) -> None:
    (tmp_path / "web").mkdir()
    raw = PAGE.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    (document,), skipped = read(tmp_path, on_error="raise")
    assert document.text.count("The river rose slowly") == 4
    assert "Caf\u00e9 owners" in document.text
    for noise in ("About us", "First!", "hidden", "All rights", "<p>"):
        assert noise not in document.text
    assert (document.label, document.source) == ("web", f"{tmp_path}/{name}")
    assert (document.url, document.author) == ("https://example.org/river", "Ada Moss")
    assert document.license == "https://creativecommons.org/licenses/by/4.0/"
    assert not skipped.counts


@pytest.mark.parametrize(
    ("encoding", "meta"),
    [("utf-8-sig", ""), ("utf-16", ""), ("iso-8859-1", '<meta charset="iso-8859-1">'), ("cp1252", "")],
)
def test_pages_are_decoded_as_they_say(tmp_path: Path, encoding: str, meta: str) -> None:
    (tmp_path / "a.html").write_bytes(PAGE.replace("<title>", meta + "<title>").encode(encoding))
    (document,), _ = read(tmp_path, on_error="raise")
    assert "Caf\u00e9 owners" in document.text


def test_pages_without_content_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<html><body><script>x</script></body></html>")
    (tmp_path / "b.html").write_text("")
    (tmp_path / "c.html").write_text("<div>" * 100_000 + "bottom")
    (tmp_path / "d.html").write_bytes(b"<p>\0\0\0 text</p>")
    (tmp_path / "e.html").write_text(PAGE + "x" * 5000)
    documents, skipped = read(tmp_path, max_bytes=5000)
    assert [Path(one.source).name for one in documents] == []
    assert skipped.counts == {"page without content": 2, "too long": 2, "binary": 1}


def test_deeply_nested_pages_take_no_time(tmp_path: Path) -> None:
    (tmp_path / "c.html").write_text("<div>" * 100_000 + "bottom")
    documents, skipped = read(tmp_path)
    assert not documents
    assert "512 boxes" in skipped.first["page without content"]


RECORDS = [
    record("http://a/1", PAGE.encode(), "text/html; charset=utf-8"),
    record("http://a/2", gzip.compress(PAGE.encode()), extra="Content-Encoding: gzip\r\n"),
    record("http://a/3", PAGE.encode("latin-1"), "text/html; charset=ISO-8859-1"),
    record("http://a/4", b"{}", "application/json"),
    record("http://a/5", PAGE.encode(), status="404 Not Found"),
    record("http://a/6", b"not packed", extra="Content-Encoding: gzip\r\n"),
    record("http://a/7", gzip.compress(bytes(50 << 20)), extra="Content-Encoding: gzip\r\n"),
    record(
        "http://a/8",
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE.encode()), PAGE.encode()),
        extra="Transfer-Encoding: chunked\r\n",
    ),
]


@pytest.mark.parametrize("name", ["crawl.warc", "crawl.warc.gz", "one.warc.gz"])
def test_archives_give_their_pages_and_count_the_rest(tmp_path: Path, name: str) -> None:
    packed = [gzip.compress(one) for one in RECORDS]
    raw = {
        "crawl.warc": b"".join(RECORDS),
        "crawl.warc.gz": b"".join(packed),
        "one.warc.gz": gzip.compress(b"".join(RECORDS)),
    }
    (tmp_path / name).write_bytes(raw[name])
    documents, skipped = read(tmp_path, max_bytes=1 << 20)
    assert [one.url for one in documents] == ["http://a/1", "http://a/2", "http://a/3", "http://a/8"]
    assert len({one.text for one in documents}) == 1
    assert {one.label for one in documents} == {name.split(".")[0]}
    assert documents[2].source == f"{tmp_path}/{name}:3"
    assert skipped.counts == {
        "another kind of response": 1, "another status": 1, "broken response": 1, "too long": 1,
    }  # fmt: skip


@pytest.mark.parametrize("cut", [0.5, 0.62, 0.9, 0.999])
@pytest.mark.parametrize("name", ["half.warc", "half.warc.gz"])
def test_half_an_archive_is_named(tmp_path: Path, name: str, cut: float) -> None:
    noise = random.Random(0)
    pages = [PAGE.replace("</body>", f"<!-- {noise.randbytes(20_000).hex()} --></body>") for _ in range(9)]
    records = [record("http://a", page.encode()) for page in pages]
    raw = b"".join(gzip.compress(one) for one in records) if name.endswith("gz") else b"".join(records)
    (tmp_path / name).write_bytes(raw[: int(len(raw) * cut)])
    documents, skipped = read(tmp_path)
    assert int(9 * cut) - 1 <= len(documents) <= 9 * cut
    assert skipped.counts == {"broken WARC": 1}
    with pytest.raises(InputError, match=name):
        read(tmp_path, on_error="raise")


def test_broken_archives_never_raise_anything_else(tmp_path: Path) -> None:
    noise = random.Random(0)
    raw = b"".join(RECORDS[:3])
    for _ in range(150):
        place = noise.randrange(len(raw))
        (tmp_path / "a.warc").write_bytes(raw[:place] + noise.randbytes(3) + raw[place + 3 :])
        read(tmp_path)
    for raw, reason in ((b"plain text\n" * 99, "broken WARC"), (b"", "broken WARC")):
        (tmp_path / "a.warc").write_bytes(raw)
        assert read(tmp_path)[1].counts == {reason: 1}


def test_without_the_extra_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'resiliparse':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from mixdesk.corpus.read import Skipped, find_files\n"
        "from mixdesk.core.errors import MissingExtra\n"
        "try:\n"
        f"    find_files([{str(tmp_path)!r}], Skipped())\n"
        "except MissingExtra as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "`resiliparse` is not installed" in done.stdout
    assert "mixdesk[corpus]" in done.stdout
