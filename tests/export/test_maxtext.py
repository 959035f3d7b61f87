import json
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.core.files import write_json
from mixdesk.export.maxtext import Maxtext
from mixdesk.testing.orders import THREE, VECTOR, order, orders

GOLDEN = """\
{
  "books": {"path": "data/books.array_record*", "weight": 100.0},
  "code": {"path": "data/code.array_record*", "weight": 3000.000003},
  "web": {"path": "data/web.array_record*", "weight": 3000.000003}
}
"""
WANTED = replace(order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),)), source="recipe of study x")


def test_the_smallest_file_is_as_it_was(tmp_path: Path) -> None:
    """Weights count documents: 0.6 / 0.3 / 0.1 of tokens by means of 800, 400 and 4,000."""
    export = Maxtext().export(WANTED, tmp_path)
    assert (tmp_path / "mix.json").read_text() == GOLDEN
    script = (tmp_path / "run.sh").read_text()
    assert "# mix.json: 200000 tokens\n" in script
    assert script.endswith("mix.json num_epoch=2 use_truncation=False steps=100\n")
    assert [one.realised for one in export.stages[0].shares] == pytest.approx([0.1, 0.3, 0.6], abs=1e-9)


def test_it_comes_back_as_tokens_by_the_sidecar_and_as_documents_without(tmp_path: Path) -> None:
    export = Maxtext().export(WANTED, tmp_path)
    bare = mixdesk.read_mixture(tmp_path, "maxtext")
    assert bare.unit == "documents"
    assert bare.plan.schedule.stages[0].mixture.as_dict()["code"] == pytest.approx(0.491803, abs=1e-6)
    assert "not of tokens" in bare.notes[-1]
    write_json(tmp_path / "mixdesk.json", replace(export, target="maxtext"))
    found = mixdesk.read_mixture(tmp_path, "maxtext")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(THREE, abs=1e-9)


def test_stages_come_back_with_their_lengths(tmp_path: Path) -> None:
    Maxtext().export(orders()["two stages"], tmp_path)
    script = (tmp_path / "run.sh").read_text()
    assert "stage1.json num_epoch=2 use_truncation=False steps=50\n" in script
    assert "stage2.json num_epoch=2 use_truncation=False steps=100\n" in script
    found = Maxtext().read(tmp_path).plan
    assert [stage.until for stage in found.schedule.stages] == [0.5, 1.0]
    assert found.scale.n_tokens == 200_000
    (tmp_path / "run.sh").unlink()
    assert "equally long" in Maxtext().read(tmp_path).notes[0]


def test_names_that_are_patterns_name_themselves(tmp_path: Path) -> None:
    named = {"a[1]": 0.5, "b": 0.5}
    Maxtext().export(order({name: (9_000, 9) for name in named}, (1.0, named), n_tokens=2_000), tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a[1].array_record-00000").touch()
    pattern = json.loads((tmp_path / "mix.json").read_text())["a[1]"]["path"]
    assert [path.name for path in tmp_path.glob(pattern)] == ["a[1].array_record-00000"]


def test_the_short_form_by_hand_is_read(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text(
        'grain_train_files: "gs://d/web.array_record*,0.3;gs://d/code.array_record*,0.7"\n'
    )
    found = Maxtext().read(tmp_path / "base.yml")
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"web": 0.3, "code": 0.7})
    assert "4 decimals" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("x.json", "{", "JSON"),
        ("x.json", '{"a": {"weight": 1}}', "other entries"),
        ("x.json", '{"a": {"path": "p", "weight": 0.0}}', "grain refuses"),
        ("x.json", '{"a": {"path": "p", "weight": "much"}}', "weights as numbers"),
        ("x.json", "{}", "grain refuses"),
        ("x.yml", "grain_train_files: one*", "patterns and weights"),
        ("x.yml", "grain_train_files: 'a*,1;b*'", "patterns and weights"),
    ],
)
def test_what_maxtext_would_refuse_is_refused(name: str, text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=what):
        Maxtext().read(tmp_path / name)


def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    unknown = replace(WANTED, domains=tuple(replace(one, n_docs=0) for one in WANTED.domains))
    for wrong, what in (
        (unknown, "the mean length of the documents"),
        (replace(orders()["two stages"], batch_tokens=None), "the tokens of a step"),
    ):
        with pytest.raises(InputError, match=what):
            Maxtext().export(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []
