import ast
import time
from collections import Counter
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus import installed
from mixdesk.corpus.installed import CAPS, PIECE_BYTES, installed_documents, manual_documents


@pytest.fixture(scope="module")
def cut():
    start = time.perf_counter()
    documents = list(installed_documents())
    return documents, time.perf_counter() - start


def test_every_domain_fills_its_cap_and_no_more(cut) -> None:
    documents, seconds = cut
    sizes: Counter[str] = Counter()
    for document in documents:
        sizes[document.label] += len(document.text.encode())
    caps = dict(CAPS)
    if "tables/charmaps" in sizes:  # Debian's Python
        caps["tables/charmaps"] = caps.pop("tables/decimal")
    assert set(sizes) == set(caps)
    for name, size in sizes.items():
        assert 0.85 * caps[name] <= size <= caps[name], name
    assert max(caps.values()) == 10 * min(caps.values())
    assert seconds < 10


def test_documents_are_pieces_with_places_and_licences(cut) -> None:
    documents, _ = cut
    assert max(len(d.text.encode()) for d in documents) < 2 * PIECE_BYTES
    assert all(d.source and d.text.strip() for d in documents)
    assert len({(d.label, d.source) for d in documents}) == len(documents)
    assert {d.license for d in documents if d.label == "code/library"} == {"PSF-2.0"}
    assert {d.license for d in documents if d.label == "meta/record"} == {None}


def test_the_manual_is_whole_and_not_in_the_domains(cut) -> None:
    documents, _ = cut
    manual = list(manual_documents())
    assert len(manual) > 60
    assert sum(len(d.text) for d in manual) > 300_000
    assert {d.label for d in manual} == {"manual/language"}
    assert not any("pydoc_data" in d.source for d in documents)


def test_the_cut_is_deterministic_and_lazy() -> None:
    caps = {"code/c": 30_000, "prose/docstrings": 30_000}
    assert list(installed_documents(caps)) == list(installed_documents(caps))
    start = time.perf_counter()
    next(installed_documents({"code/tests": 10**9}))
    assert time.perf_counter() - start < 5
    small = list(installed_documents({"code/c": 5_000}))
    large = list(installed_documents({"code/c": 50_000}))
    assert [d.source for d in small] == [d.source for d in large[: len(small)]]


def test_code_has_neither_docstrings_nor_comments() -> None:
    source = 'def f(x):\n    """Say."""\n    # why\n    return x\n\n\nclass A:\n    "Also."\n    y = """kept"""\n'
    nodes = installed._docstring_nodes(ast.parse(source))
    assert installed._without(source, nodes) == 'def f(x):\n    return x\n\n\nclass A:\n    y = """kept"""\n'
    assert [installed._clean(node) for node in nodes] == ["Say.", "Also."]


def test_debian_without_tests_and_headers_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard library without `test` and no Python headers: real files of this one behind links."""
    real = installed._stdlib()
    slim = tmp_path / "python3"
    slim.mkdir()
    for name in ("encodings", "json", "email", "argparse.py", "typing.py"):
        (slim / name).symlink_to(real / name)
    monkeypatch.setattr(
        installed.sysconfig, "get_path", lambda name: str(slim if name == "stdlib" else tmp_path / "no")
    )
    caps = {"code/tests": 50_000, "tables/decimal": 50_000, "code/c": 50_000, "code/library": 50_000}
    sizes: Counter[str] = Counter()
    for document in installed_documents(caps):
        sizes[document.label] += len(document.text.encode())
    assert set(sizes) == {"code/tests", "tables/charmaps", "code/c", "code/library"}
    assert min(sizes.values()) > 40_000


def test_an_unknown_domain_is_named() -> None:
    with pytest.raises(InputError, match="did you mean `code/c`"):
        next(installed_documents({"code/cc": 1000}))
