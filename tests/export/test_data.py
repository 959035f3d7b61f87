import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.core import registry
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.plan import Plug
from mixdesk.corpus.shards import TokenStore, open_store
from mixdesk.export.data import counts, deal, write_data


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


def documents_of(path: Path, form: str) -> list[bytes]:
    """The documents under a path as their ids."""
    parts = registry.make("formats", Plug(name=form)).read(path).parts
    return [part.ids(i).astype("<u2").tobytes() for part in parts for i in range(len(part.lengths))]


def test_documents_are_dealt_in_proportion() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, size=1_000)
    dealt = deal(lengths, [3.0, 2.0, 1.0])
    spent = np.bincount(dealt, weights=lengths) / lengths.sum()
    assert spent == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=100 / lengths.sum())


def test_fresh_stages_share_no_document(made: Path, tmp_path: Path) -> None:
    recipe = mx.read_recipe(made / "study")
    common = mx.export_recipe(made / "study", "megatron", tmp_path / "one", seq_len=20, batch_tokens=400)
    assert any("anew at each stage" in line for line in common.losses)
    export = mx.export_recipe(made / "study", "megatron:fresh=true", tmp_path / "out", seq_len=20, batch_tokens=400)
    assert not any("anew at each stage" in line for line in export.losses)
    assert (tmp_path / "out" / "phase1.txt").read_text().splitlines()[0] == "0.5 data/stage1/books"
    for name in recipe.plan.schedule.domains:
        first, second = (documents_of(tmp_path / "out" / "data" / f"stage{i}" / name, "megatron") for i in (0, 1))
        assert first
        assert second
        whole = documents_of(tmp_path / "one" / "data" / name, "megatron")
        assert Counter(first) + Counter(second) == Counter(whole)
        need = [stage.mixture.as_dict()[name] for stage in recipe.plan.schedule.stages]
        longest = max(map(len, whole))
        assert sum(map(len, first)) == pytest.approx(sum(map(len, whole)) * need[0] / sum(need), abs=longest)
    assert mx.read_mixture(tmp_path / "out", "megatron").plan == recipe.plan


def test_fresh_needs_data_of_ours(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mixdesk's to write"):
        mx.export_recipe(
            made / "study", "nemo:fresh=true", tmp_path / "out", seq_len=20, batch_tokens=400, data="/tokens"
        )
    assert not (tmp_path / "out").exists()


def test_a_limit_holds_over_all_stages(made: Path, tmp_path: Path) -> None:
    with pytest.raises(Infeasible, match="more often than it may"):
        mx.export_recipe(
            made / "study", "megatron:fresh=true", tmp_path / "out", seq_len=20, batch_tokens=400, n_tokens=60_000
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_megatron_core_fills_fresh_stages(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("megatron.core", reason="needs megatron-core: make verify")
    mx.export_recipe(made / "study", "megatron:fresh=true", tmp_path / "out", seq_len=20, batch_tokens=400)
    assert max(stage.error for stage in mx.verify_export(tmp_path / "out").stages) <= 1 / 500
