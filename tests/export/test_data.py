import json
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core import registry
from mixdesk.core.plan import Plug
from mixdesk.corpus.shards import TokenStore, open_store
from mixdesk.export.data import counts, write_data


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    out = tmp_path_factory.mktemp("corpus") / "c"
    documents = [mx.Document(text=f"{label} {i} " * (i + 5), label=label) for label in ("a", "b/c") for i in range(40)]
    mx.build_corpus(documents, out, tokenizer="bytes", overlap=False)
    return open_store(out)


def test_rows_are_the_texts(store: TokenStore, tmp_path: Path) -> None:
    write_data(store, "rows", tmp_path, store.corpus.names)
    rows = [json.loads(line)["text"] for line in (tmp_path / "b" / "c.jsonl").read_text().splitlines()]
    assert rows == [one.text for one in store.documents("b/c")]


def test_a_share_is_the_first_documents_and_is_counted_so(store: TokenStore, tmp_path: Path) -> None:
    write_data(store, "megatron", tmp_path, store.corpus.names, 0.5)
    found = registry.make("formats", Plug(name="megatron")).read(tmp_path)
    expected = {one.name: (one.n_tokens, one.n_docs) for one in counts(store, 0.5)}
    assert {part.domain: (int(part.lengths.sum()), len(part.lengths)) for part in found.parts} == expected
    whole = {one.name: one.n_tokens for one in store.corpus.domains}
    assert all(0.3 < (n or 0) / (whole[name] or 1) <= 0.5 for name, (n, _) in expected.items())


def test_what_is_done_is_not_written_again(store: TokenStore, tmp_path: Path) -> None:
    write_data(store, "megatron", tmp_path, ("a",))
    before = (tmp_path / "a.bin").stat().st_mtime_ns
    write_data(store, "megatron", tmp_path, store.corpus.names)
    assert (tmp_path / "a.bin").stat().st_mtime_ns == before
    assert (tmp_path / "b" / "c.bin").is_file()
    write_data(store, "megatron", tmp_path, ("a",), 0.5)
    assert (tmp_path / "a.bin").stat().st_mtime_ns != before
