import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.core.export import Order
from mixdesk.core.files import write_json
from mixdesk.export.olmo_core import OlmoCore
from mixdesk.testing.orders import THREE, VECTOR, order, write_made

GOLDEN = """\
# mixdesk: recipe of study x
# OLMo-core applies target_ratio: a share of the tokens it requests, kept to the sequence; what it asks of a source \
beyond max_repetition_ratio it refuses.
# target_ratio = share of tokens; sequences = target_ratio x tokens / sequence length, by largest remainder
# Limits on epochs over the run: code 1
# Stage 1 of 1.
# Tokens of this stage: 200000
# Paths are relative to the folder that dataset.py is run in; ids are raw, without numpy's header.
sources:
- source_name: "books"
  target_ratio: 0.1
  paths: ["data/books/*.npy"]
  max_repetition_ratio: 1.0
- source_name: "code"
  target_ratio: 0.3
  paths: ["data/code/*.npy"]
  max_repetition_ratio: 1.0
- source_name: "web"
  target_ratio: 0.6
  paths: ["data/web/*.npy"]
  max_repetition_ratio: 1.0
"""
BY_HAND = """\
sources:
- source_name: web
  target_ratio: 0.75
  paths: [{path}/web/a.npy, "{path}/web/b*.npy"]
- {{source_name: math, target_ratio: 0.25, paths: [nowhere/*.npy], max_repetition_ratio: 2.5, max_source_fraction: 0.5}}
"""


def vector(**changes: object) -> Order:
    return replace(order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),)), source="recipe of study x", **changes)


def test_the_smallest_file_is_as_it_was(tmp_path: Path) -> None:
    export = OlmoCore().export(vector(), tmp_path)
    assert (tmp_path / "mixture.yaml").read_text() == GOLDEN
    epochs = {one.domain: one.epochs for one in export.stages[0].shares}
    assert epochs == pytest.approx({"web": 0.2, "code": 1.0, "books": 0.5})
    assert [one.realised for one in export.stages[0].shares] == pytest.approx([0.1, 0.3, 0.6], abs=1e-12)


def test_repeats_are_allowed_as_far_as_they_are_planned(tmp_path: Path) -> None:
    often = order(VECTOR, (1.0, {"web": 0.1, "code": 0.5, "books": 0.4}))
    found = OlmoCore().export(often, tmp_path / "a")
    assert dict(OlmoCore().read(tmp_path / "a").limits) == pytest.approx(
        {"web": 1.0, "code": 100 / 60 * 1.001, "books": 2.0 * 1.001}
    )
    assert len(found.stages[0].shares) == 3
    OlmoCore().export(replace(often, max_epochs=(("code", 4.0),)), tmp_path / "b")
    assert dict(OlmoCore().read(tmp_path / "b").limits)["code"] == 4.0


def test_a_small_weight_is_a_number_to_yaml(tmp_path: Path) -> None:
    tiny = order(VECTOR, (1.0, {"web": 0.69995, "code": 0.3, "books": 0.00005}), n_tokens=4_000_000)
    OlmoCore().export(tiny, tmp_path)
    assert "target_ratio: 5.0e-05" in (tmp_path / "mixture.yaml").read_text()
    assert OlmoCore().read(tmp_path).plan.schedule.stages[0].mixture.as_dict()["books"] == pytest.approx(5e-5)


def test_stages_come_back_with_their_lengths(tmp_path: Path) -> None:
    staged = order(VECTOR, (0.7, THREE), (1.0, {"web": 0.8, "code": 0.1, "books": 0.1}))
    export = OlmoCore().export(staged, tmp_path)
    assert export.files == ("stage1.yaml", "stage2.yaml", "dataset.py")
    assert any("`code` anew at each stage" in line for line in export.losses)
    found = OlmoCore().read(tmp_path).plan
    assert [stage.until for stage in found.schedule.stages] == [0.7, 1.0]
    assert found.scale.n_tokens == 200_000


def test_a_file_by_hand_is_read_with_what_its_files_tell(tmp_path: Path) -> None:
    (tmp_path / "d" / "web").mkdir(parents=True)
    for name, n in (("a", 300), ("b1", 200), ("b2", 100)):
        np.zeros(n, dtype="<u2").tofile(tmp_path / "d" / "web" / f"{name}.npy")
    (tmp_path / "mine.yaml").write_text(BY_HAND.format(path=tmp_path / "d"))
    found = mixdesk.read_mixture(tmp_path / "mine.yaml", "olmo_core:dtype=uint16")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"web": 0.75, "math": 0.25})
    assert [(one.name, one.n_tokens) for one in found.domains] == [("web", 600)]
    assert dict(found.limits) == {"web": 1.0, "math": 1.25}
    assert "`math` could not be counted" in found.notes[0]
    (tmp_path / "mine.yaml").write_text(BY_HAND.format(path="d"))
    assert [(one.name, one.n_tokens) for one in OlmoCore(dtype="uint32").read(tmp_path / "mine.yaml").domains] == [
        ("web", 300)
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sources: []", "no list"),
        ("- 1", "no list"),
        ("sources: [{source_name: a, target_ratio: 0.9, paths: [x]}]", "sum to 1"),
        ("sources: [{source_name: a, target_ratio: 5e-05, paths: [x]}]", "a number"),
        ("sources: [{source_name: a, target_ratio: 1.0, paths: x}]", "a list of files"),
        ("sources: [{source_name: a, target_ratio: 1.0}]", "`paths`"),
        ("sources: [{source_name: a, target_ratio: 1.0, paths: [x], weight: 2}]", "`weight`"),
        ("a: [", "YAML"),
    ],
)
def test_what_olmo_would_refuse_is_refused(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=what):
        OlmoCore().read(tmp_path / "x.yaml")


def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    pattern = {"a*": 0.5, "b": 0.5}
    for wrong, what in (
        (order({name: (9_000, 9) for name in pattern}, (1.0, pattern), n_tokens=2_000), "a pattern"),
        (order(VECTOR, (1.0, {"web": 0.69995, "code": 0.3, "books": 0.00005})), "under what this target can hold"),
        (vector(batch_tokens=2_050), "whole sequences"),
        (vector(n_tokens=None), "needs the tokens of the run"),
    ):
        with pytest.raises(InputError, match=what):
            OlmoCore().export(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_data_is_olmos_own_error(tmp_path: Path) -> None:
    pytest.importorskip("olmo_core")
    export = OlmoCore().export(vector(), tmp_path)
    with pytest.raises(InputError, match="OLMo-core refuses"):
        OlmoCore().verify(tmp_path, export, 100)


def test_olmo_refuses_more_than_the_limit(tmp_path: Path) -> None:
    """The file's limit is the one that OLMo-core keeps: with half of `code` on disk it says so."""
    pytest.importorskip("olmo_core")
    export = OlmoCore().export(vector(), tmp_path)
    write_made(order({**VECTOR, "code": (30_000, 75)}, (1.0, THREE)), "olmo_npy", tmp_path / "data")
    with pytest.raises(InputError, match="Insufficient tokens for source: code"):
        OlmoCore().verify(tmp_path, export, 100)


def test_a_share_that_is_rounded_down_is_within_its_own_limit(tmp_path: Path) -> None:
    """1,049 tokens of 1,000 are ten sequences, one pass; OLMo-core asks for 1.049 passes all the same."""
    pytest.importorskip("olmo_core")
    wanted = order({"a": (1_000, 10), "b": (50_000, 50)}, (1.0, {"a": 0.1049, "b": 0.8951}), n_tokens=10_000)
    export = OlmoCore().export(wanted, tmp_path)
    assert export.stages[0].shares[0].realised == 0.1
    write_made(wanted, "olmo_npy", tmp_path / "data")
    found = OlmoCore().verify(tmp_path, export, 100).stages[0]
    assert dict(found.realised) == {"a": 0.1, "b": 0.9}


@pytest.mark.slow
def test_the_code_makes_the_data_set(tmp_path: Path) -> None:
    pytest.importorskip("olmo_core")
    staged = order(VECTOR, (0.5, THREE), (1.0, {"web": 0.8, "code": 0.1, "books": 0.1}))
    write_json(tmp_path / "mixdesk.json", OlmoCore().export(staged, tmp_path))
    write_made(staged, "olmo_npy", tmp_path / "data")
    script = (
        "from olmo_core.data import TokenizerConfig; import dataset\n"
        "known = TokenizerConfig(vocab_size=500, eos_token_id=0, pad_token_id=0)\n"
        "data = dataset.dataset(1, known, 'work').build()\n"
        "print(len(data), sum(int(data[i]['input_ids'].max() == 1) for i in range(len(data))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    # `web` is the first of the made data: its ids are 1.
    assert done.stdout.splitlines()[-1] == "1000 800"
