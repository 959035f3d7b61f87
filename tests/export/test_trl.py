"""TRL's YAML: fractions of rows as people write them, prepared rows, and what TRL itself makes of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.core.export import Order
from mixdesk.core.files import write_json
from mixdesk.export.configs import read_yaml
from mixdesk.export.trl import Trl
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

GOLDEN = """\
datasets:
  - path: json
    data_files: "data/books.jsonl"
    fraction: 0.01639344262295082
  - path: json
    data_files: "data/code.jsonl"
    fraction: 0.4918032786885246
  - path: json
    data_files: "data/web.jsonl"
    fraction: 0.4918032786885246
num_train_epochs: 1
packing: true
packing_strategy: bfd_split
max_length: 100
"""


def write_even(wanted: Order, out: Path) -> None:
    """Rows that are equally long within a domain; of texts 7 characters a word."""
    for i, domain in enumerate(wanted.domains):
        path = out / wanted.data / f"{domain.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = json.dumps({"text": f"word{i:02} " * ((domain.n_tokens or 0) // domain.n_docs // 20)})
        path.write_text(f"{row}\n" * domain.n_docs)


def test_fractions_of_the_test_vector(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    wanted = order(VECTOR, (1.0, THREE))
    export = Trl(prepared=False).export(wanted, tmp_path)
    text = (tmp_path / "stage0.yaml").read_text()
    assert "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")) == GOLDEN
    write_even(wanted, tmp_path)
    found = Trl().verify(tmp_path, export, 100_000).stages[0]
    assert dict(found.realised) == pytest.approx(THREE, abs=1e-9)
    assert found.n_tokens == 200_000
    # Rows of a domain are equally long: nothing is chance, and half a row of `books` is all that rounding leaves.
    assert found.chance == 0.0
    assert found.allowed == found.resolution == pytest.approx((0.9 * 2_000 + 0.1 * 600) / 200_000)


def test_rows_of_unequal_length_are_chance_and_verification_says_so(tmp_path: Path) -> None:
    """Ten books of which five are drawn: 0.0088 is a standard deviation, where 200,000 tokens are asked for."""
    pytest.importorskip("trl")
    wanted = order(VECTOR, (1.0, THREE))
    export = Trl(prepared=False).export(wanted, tmp_path)
    write_made(wanted, "rows", tmp_path / "data")
    found = Trl().verify(tmp_path, export, 100_000)
    [stage] = found.stages
    assert 1e-3 < stage.error < stage.allowed == 4.0 * stage.chance
    assert stage.chance == pytest.approx(0.0088, abs=1e-4)
    assert found.how.endswith("Rows are whole and their lengths chance, which may move a share by 0.035.")


def test_prepared_rows_are_named_and_taken_once(tmp_path: Path) -> None:
    export = Trl().export(orders()["two stages"], tmp_path)
    assert export.files == ("mixture.py", "stage0.yaml", "stage1.yaml", "run.sh")
    assert read_yaml(tmp_path / "stage1.yaml")["datasets"] == [{"path": "json", "data_files": "prepared/stage1.jsonl"}]
    run = (tmp_path / "run.sh").read_text()
    assert 'python mixture.py\ntrl sft --config stage0.yaml --model_name_or_path "$1"' in run
    assert "--config stage1.yaml --model_name_or_path out/stage0" in run
    alone = Trl().read(tmp_path / "stage0.yaml").plan.schedule
    assert alone.stages[1].mixture.as_dict() == {"books": 0.1, "code": 0.1, "web": 0.8}
    assert any("begin anew" in line for line in export.losses)


HAND = """
datasets:
  - path: json
    data_files: {web}.jsonl
    fraction: 6
  - {{path: json, data_files: [{code}.jsonl], fraction: 3}}
  - {{path: org/books, fraction: 1}}
"""


def test_a_file_of_somebody_comes_back_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text(HAND.format(web="sft/web", code="sft/code"))
    found = Trl().read(path)
    assert found.unit == "rows"
    weights = found.plan.schedule.stages[0].mixture.as_dict()
    assert sorted(weights.values()) == pytest.approx([0.1, 0.3, 0.6])
    assert any("no dataset is passed twice" in note for note in found.notes)


def test_beside_our_account_rows_become_tokens(tmp_path: Path) -> None:
    export = Trl(prepared=False).export(order(VECTOR, (1.0, THREE)), tmp_path)
    write_json(tmp_path / "mixdesk.json", export)
    path = tmp_path / "stage0.yaml"
    path.write_text(path.read_text().replace("0.01639344262295082", "0.2"))
    found = mx.read_mixture(path, "trl")
    rows = {"web": 0.4918032786885246 * 800, "code": 0.4918032786885246 * 400, "books": 0.2 * 4_000}
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(
        {name: n / sum(rows.values()) for name, n in rows.items()}
    )


def test_without_fractions_the_rows_of_the_files_count(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text("datasets:\n  - {path: json, data_files: a.jsonl}\n  - {path: json, data_files: b.jsonl}\n")
    with pytest.raises(InputError, match="no fractions"):
        Trl().read(path)
    (tmp_path / "a.jsonl").write_text("{}\n" * 30)
    (tmp_path / "b.jsonl").write_text("{}\n" * 10)
    assert Trl().read(path).plan.schedule.stages[0].mixture.as_dict() == {"a": 0.75, "b": 0.25}


def test_two_entries_of_one_file_are_one_domain(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    entries = [f"  - {{path: json, data_files: x/{name}.jsonl, fraction: 1}}\n" for name in ("a", "b", "a")]
    path.write_text("datasets:\n" + "".join(entries))
    found = Trl().read(path)
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert any("again" in note for note in found.notes)


@pytest.mark.parametrize(
    "text",
    ["", "datasets: 3", "datasets: []", "datasets: [web]", "datasets: [{path: a, fraction: x}]", "a: [",
     "datasets: [{path: a, fraction: 1}, {path: b}]", "datasets: [{path: a, fraction: 0}]"],
)  # fmt: skip
def test_what_says_no_mixture_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        Trl().read(tmp_path / "x.yaml")


def test_repeats_are_refused_as_fractions_and_prepared_else(tmp_path: Path) -> None:
    repeats = orders()["repeats"]
    with pytest.raises(InputError, match="TRL passes no dataset twice"):
        Trl(prepared=False).export(repeats, tmp_path / "a")
    export = Trl().export(repeats, tmp_path / "b")
    assert any("`code` 1.67 times" in line for line in export.losses)


def test_stages_of_fractions_repeat_heads_and_say_so(tmp_path: Path) -> None:
    export = Trl(prepared=False).export(orders()["two stages"], tmp_path)
    assert any("starts `web` anew" in line for line in export.losses)
    found = Trl().read(tmp_path)
    assert len(found.plan.schedule.stages) == 2
    assert any("equal lengths" in note for note in found.notes)


def test_what_fractions_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weight of `books` is under"):
        Trl(prepared=False).export(orders()["short run"], tmp_path)
    late = order(VECTOR, (0.5, THREE), (1.0, {"web": 0.1, "books": 0.9}))
    with pytest.raises(InputError, match="`books` is to be"):
        Trl(prepared=False).export(late, tmp_path)
    assert not list(tmp_path.iterdir())
