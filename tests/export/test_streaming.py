import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.export.streaming import Streaming
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

GOLDEN = """\
# mixdesk: recipe of study x
# Streaming chooses so many samples of each stream in an epoch, the stage; one too small is repeated.
# choose = share of tokens x tokens of the stage / tokens of a sample, by largest remainder
# Limits on epochs over the run: code 1
# Stage 1 of 1: one epoch.
# Every sample holds 100 tokens.
train_loader:
  name: text
  dataset:
    max_seq_len: 100
    shuffle: true
    streams:
      "books": {local: "data/books", remote: null, split: null, choose: 200}
      "code": {local: "data/code", remote: null, split: null, choose: 600}
      "web": {local: "data/web", remote: null, split: null, choose: 1200}
  drop_last: true
"""
BY_HAND = """\
train_loader:
  name: text
  dataset:
    max_seq_len: 2048
    shuffle: true
    epoch_size: 1000
    streams:
      web: {local: d/web, remote: null, split: null, proportion: 3}
      code: {local: d/code, remote: null, split: null, proportion: 1}
"""
needs_streaming = pytest.mark.skipif(importlib.util.find_spec("streaming") is None, reason="needs mosaicml-streaming")
WANTED = replace(order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),)), source="recipe of study x")


def weights_of(path: Path) -> dict[str, float]:
    return Streaming().read(path).plan.schedule.stages[0].mixture.as_dict()


def test_the_smallest_file_is_as_it_was(tmp_path: Path) -> None:
    export = Streaming().export(WANTED, tmp_path)
    assert (tmp_path / "train_loader.yaml").read_text() == GOLDEN
    epochs = {one.domain: one.epochs for one in export.stages[0].shares}
    assert epochs == pytest.approx({"web": 0.2, "code": 1.0, "books": 0.5})
    found = Streaming().read(tmp_path)
    assert found.unit == "tokens"
    assert found.plan.scale.n_tokens == 200_000


def test_stages_come_back_with_their_lengths_and_a_script(tmp_path: Path) -> None:
    export = Streaming().export(orders()["two stages"], tmp_path)
    assert export.files == ("stage1.yaml", "stage2.yaml", "run.sh")
    assert (tmp_path / "run.sh").read_text().endswith("$TRAIN stage1.yaml 100000 1\n$TRAIN stage2.yaml 200000 2\n")
    assert [stage.until for stage in Streaming().read(tmp_path).plan.schedule.stages] == [0.5, 1.0]


def test_samples_of_unequal_length_are_no_tokens_until_their_data_tell(tmp_path: Path) -> None:
    """Documents as samples, of 200 and 50 tokens on average: three to one in samples is twelve to one in tokens."""
    (tmp_path / "mine.yaml").write_text(BY_HAND)
    found = mixdesk.read_mixture(tmp_path / "mine.yaml", "streaming")
    assert found.unit == "samples"
    assert "not of tokens" in found.notes[-1]
    write_made(order({"web": (2_000, 10), "code": (1_000, 20)}, (1.0, {"web": 1.0})), "mds", tmp_path / "d")
    found = mixdesk.read_mixture(tmp_path / "mine.yaml", "streaming")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"web": 12 / 13, "code": 1 / 13})


def test_passes_and_nothing_at_all_count_what_lies_there(tmp_path: Path) -> None:
    write_made(order({"web": (2_000, 10), "code": (1_000, 20)}, (1.0, {"web": 1.0})), "mds:seq_len=10", tmp_path / "d")
    text = "streams: {web: {local: d/web, repeat: 0.5}, code: {local: d/code}}"
    (tmp_path / "x.yaml").write_text(text)
    assert weights_of(tmp_path / "x.yaml") == pytest.approx({"web": 0.5, "code": 0.5})
    found = Streaming().read(tmp_path / "x.yaml")
    assert found.unit == "tokens"
    assert "one after another" in found.notes[0]


def test_proportions_without_an_epoch_are_minded(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(BY_HAND.replace("    epoch_size: 1000\n", ""))
    assert "`epoch_size` is missing" in Streaming().read(tmp_path / "x.yaml").notes[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1", "no mapping `streams`"),
        ("streams: {a: {local: x, proportion: 1, choose: 2}}", "proportion and choose"),
        ("streams: {a: {local: x, proportion: 1}, b: {local: y, choose: 2}}", "of one kind"),
        ("streams: {a: {local: x, proportion: 1}, b: {local: y}}", "of one kind"),
        ("streams: {a: {local: x, choose: -1}}", "a number ≥ 0"),
        ("streams: {a: {local: nowhere, repeat: 1.5}}", "its data are not here"),
        ("streams: {a: {local: x, choose: 0}}", "weights ≥ 0"),
    ],
)
def test_what_streaming_would_refuse_is_refused(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=what):
        Streaming().read(tmp_path / "x.yaml")


def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for wrong, what in (
        (orders()["short run"], "under what this target can hold"),
        (replace(WANTED, seq_len=None), "the tokens of a sequence"),
    ):
        with pytest.raises(InputError, match=what):
            Streaming().export(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_streaming
def test_missing_data_and_documents_as_samples_are_errors(tmp_path: Path) -> None:
    export = Streaming().export(WANTED, tmp_path)
    with pytest.raises(InputError, match="Streaming refuses"):
        Streaming().verify(tmp_path, export, 100)
    write_made(WANTED, "mds", tmp_path / "data")
    with pytest.raises(InputError, match="not 100"):
        Streaming().verify(tmp_path, export, 100)


@needs_streaming
def test_a_part_of_the_run_is_a_draw(tmp_path: Path) -> None:
    export = Streaming().export(WANTED, tmp_path)
    write_made(WANTED, "mds:seq_len=100", tmp_path / "data")
    [stage] = Streaming().verify(tmp_path, export, 500).stages
    assert stage.n_tokens == 50_000
    assert 0.0 < stage.error < 4.0 * stage.chance
    [stage] = Streaming().verify(tmp_path, export, 100_000).stages
    assert (stage.error, stage.chance) == (pytest.approx(0.0, abs=1e-12), 0.0)
