"""The script for datasets: the commonest lie and its cure, stages that go on, others' calls of interleave_datasets."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.core.export import Order, in_tokens
from mixdesk.core.files import write_json
from mixdesk.export.hf import HuggingFace
from mixdesk.export.prepared import literal_in
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

datasets = pytest.importorskip("datasets")


# The test vector with documents of a twentieth of the length: the same shares, quicker to read.
SHORT = {name: (n_tokens // 20, n_docs) for name, (n_tokens, n_docs) in VECTOR.items()}


def write_even(wanted: Order, out: Path) -> None:
    """Rows of equal length within a domain, each word of a length of its own: the test vector to the letter."""
    for i, domain in enumerate(wanted.domains):
        n_words = (domain.n_tokens or 0) // domain.n_docs
        row = json.dumps({"text": " ".join([f"w{i}"] * n_words)})
        (out / wanted.data).mkdir(parents=True, exist_ok=True)
        (out / wanted.data / f"{domain.name}.jsonl").write_text(f"{row}\n" * domain.n_docs)


def words_of(rows: object) -> dict[str, float]:
    """Share of words by domain, as the words themselves tell it."""
    spent = {"w0": 0, "w1": 0, "w2": 0}
    for row in rows:  # type: ignore[attr-defined]
        words = row["text"].split()
        spent[words[0] if words[0] in spent else words[-1]] += len(words)
    total = sum(spent.values())
    return dict(zip(VECTOR, (n / total for n in spent.values()), strict=True))


def test_weights_given_to_a_row_sampler_train_something_else_and_ours_what_was_asked(tmp_path: Path) -> None:
    wanted = order(SHORT, (1.0, THREE), n_tokens=10_000)
    export = HuggingFace().export(wanted, tmp_path)
    write_even(wanted, tmp_path)
    parts = [
        datasets.Dataset.from_json(str(tmp_path / "data" / f"{name}.jsonl"), cache_dir=str(tmp_path / "c"))
        for name in VECTOR
    ]
    drawn = datasets.interleave_datasets(
        [part.to_iterable_dataset().repeat(None) for part in parts], probabilities=[0.6, 0.3, 0.1], seed=0
    )
    lie = words_of(drawn.take(10_000))
    assert lie == pytest.approx({"web": 0.48, "code": 0.12, "books": 0.40}, abs=0.02)
    found = HuggingFace().verify(tmp_path, export, 100_000)
    assert dict(found.stages[0].realised) == pytest.approx(THREE, abs=1e-6)
    assert found.stages[0].n_tokens == pytest.approx(10_000, abs=1)
    assert "datasets" in found.how


def test_the_stream_draws_the_shares_too_and_as_many_rows(tmp_path: Path) -> None:
    wanted = order(SHORT, (1.0, THREE), n_tokens=300_000)
    export = HuggingFace().export(wanted, tmp_path)
    write_even(wanted, tmp_path)
    script = runpy.run_path(str(tmp_path / "mixture.py"))
    assert script["ROWS"] == [9_150]
    assert script["PROBABILITIES"][0] == pytest.approx({"web": 0.491803, "code": 0.491803, "books": 0.016393}, abs=1e-6)
    drawn = words_of(script["stream"](0))
    assert drawn == pytest.approx(THREE, abs=0.03)
    counts = np.random.default_rng(0).multinomial(9_150, [30 / 61, 30 / 61, 1 / 61], size=2_000) * [40, 20, 200]
    spread = 100 * (counts / counts.sum(axis=1, keepdims=True)).std(axis=0).max()
    told = next(float(line.split("about ")[1].split(" %")[0]) for line in export.losses if "at random" in line)
    assert told == pytest.approx(spread, rel=0.05)


def test_a_stage_goes_on_where_the_last_one_ended_until_all_was_seen(tmp_path: Path) -> None:
    sizes = {"a": (3_000, 30), "b": (3_000, 10)}
    halves = [(i / 3, {"a": 0.5, "b": 0.5}) for i in (1, 2)]
    wanted = order(sizes, *halves, (1.0, {"a": 0.5, "b": 0.5}), n_tokens=6_000)
    HuggingFace().export(wanted, tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    for name, (n_tokens, n_docs) in sizes.items():
        rows = [" ".join(f"{name}{i}-{k}" for k in range(n_tokens // n_docs)) for i in range(n_docs)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    stage = runpy.run_path(str(tmp_path / "mixture.py"))["stage"]
    text = [sorted(row["text"] for row in stage(k) if row["domain"] == "b") for k in range(3)]
    whole = "".join(json.loads(line)["text"] for line in (folder / "b.jsonl").read_text().splitlines())
    assert sum(len(one) for rows in text for one in rows) == len(whole)
    words = [word for rows in text for one in rows for word in one.split() if word.count("-") == 1]
    assert len(set(words)) >= 3_000 - 8
    assert len(words) - len(set(words)) <= 4


def test_rows_without_text_stay_whole(tmp_path: Path) -> None:
    wanted = order({"chat": (1_000, 100)}, (1.0, {"chat": 1.0}), n_tokens=300)
    HuggingFace().export(wanted, tmp_path)
    (tmp_path / "data").mkdir()
    rows = ({"messages": [{"role": "user", "content": f"hello {i:03}"}]} for i in range(100))
    (tmp_path / "data" / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = runpy.run_path(str(tmp_path / "mixture.py"))["stage"](0)
    assert len(found) == 30
    assert set(found.column_names) == {"messages", "domain"}


def test_the_script_written_by_hand_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "mixture.py"
    path.write_text('SIZES = {"web": 600, "code": 300}\nSTAGES = [{"web": 30, "code": 10}, {"web": 10, "code": 10}]\n')
    found = HuggingFace().read(path)
    assert [stage.until for stage in found.plan.schedule.stages] == pytest.approx([2 / 3, 1.0])
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.25, "web": 0.75}
    assert found.plan.scale.n_tokens == 60
    assert {one.name: one.n_tokens for one in found.domains} == {"web": 600, "code": 300}


HAND = """
from datasets import interleave_datasets, load_dataset
code = load_dataset("json", data_files="data/code.jsonl", split="train")
probs = [0.5, 0.25, 0.25]
mixed = interleave_datasets(
    [load_dataset("json", data_files="data/web.jsonl", split="train"), code, load_dataset("my/math")],
    probabilities=probs, seed=0{more})
"""


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ("", "first dataset is used up: the rest"),
        (', stopping_strategy="all_exhausted"', "repeated in the same order"),
        (', stopping_strategy="all_exhausted_without_replacement"', "natural mixture"),
    ],
)
def test_somebodys_call_comes_back_as_rows_with_what_its_rule_does(more: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(HAND.replace("{more}", more))
    found = HuggingFace().read(path)
    assert found.unit == "rows"
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.25, "my/math": 0.25, "web": 0.5}
    assert any(word in note for note in found.notes)
    assert "not of tokens" in mx.read_mixture(path, "hf").notes[-1]


def test_with_our_account_beside_it_rows_become_tokens(tmp_path: Path) -> None:
    export = HuggingFace().export(order(VECTOR, (1.0, THREE)), tmp_path)
    write_json(tmp_path / "mixdesk.json", export)
    path = tmp_path / "train.py"
    path.write_text("interleave_datasets([web, code, books], probabilities=[0.6, 0.3, 0.1])")
    found = mx.read_mixture(path, "hf")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"web": 0.48, "code": 0.12, "books": 0.40})
    assert in_tokens(found) == found


@pytest.mark.parametrize(
    "text",
    ["x = 1", "interleave_datasets([a, b], probabilities=make())", "interleave_datasets([a, b], probabilities=[1.0])",
     "interleave_datasets(parts)", "def (", "SIZES = 3\nSTAGES = [1]", "SIZES = {}\nSTAGES = []"],
)  # fmt: skip
def test_what_says_no_mixture_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        HuggingFace().read(tmp_path / "x.py")


def test_what_it_cannot_do_without_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mean length of the documents of `web`"):
        HuggingFace().export(order({"web": (1_000, 0)}, (1.0, {"web": 1.0})), tmp_path)
    with pytest.raises(InputError, match="under one token"):
        HuggingFace().export(order(VECTOR, (1.0, {"web": 1.0 - 1e-7, "code": 1e-7})), tmp_path)
    assert not list(tmp_path.iterdir())


def test_data_that_are_not_there_or_cannot_be_counted(tmp_path: Path) -> None:
    wanted = order({"web": (1_000, 10)}, (1.0, {"web": 1.0}), n_tokens=500)
    export = HuggingFace().export(wanted, tmp_path)
    with pytest.raises(InputError, match="rows of `web` are not there"):
        HuggingFace().verify(tmp_path, export, 10)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "web.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(InputError, match="cannot be told"):
        HuggingFace().verify(tmp_path, export, 10)


def test_files_of_the_test_vector(tmp_path: Path) -> None:
    two = orders()["two stages"]
    export = HuggingFace().export(two, tmp_path)
    assert literal_in(tmp_path / "mixture.py", "STAGES") == [
        {"books": 10_000, "code": 30_000, "web": 60_000}, {"books": 10_000, "code": 10_000, "web": 80_000},
    ]  # fmt: skip
    assert [one.end for one in export.stages] == [100_000, 200_000]
    text = (tmp_path / "mixture.py").read_text()
    compile(text, "mixture.py", "exec")
    assert text.startswith("# mixdesk")
    write_made(two, "rows", tmp_path / "data")
    assert all(one.error < 1e-5 for one in HuggingFace().verify(tmp_path, export, 10).stages)
