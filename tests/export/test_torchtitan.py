import ast
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.export.torchtitan import Torchtitan
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

GOLDEN = '''\
# mixdesk: recipe of study x
# torchtitan packs each domain into rows and draws rows at random by weight; a domain that ends begins again.
# weight = share of tokens
# Limits on epochs over the run: code 1
"""Data loaders of the stages: set `config.dataloader = stage(0)`, and seq_len 100. The texts are
JSON lines, a file of each domain, in a folder beside this file.
"""

from pathlib import Path

from datasets import load_dataset
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets.text_datasets import DATASETS, HFDataSource, InterleavedHuggingFaceTextDataLoader

DATA = Path(__file__).resolve().parent / "data"
# Tokens of each stage, and the shares of its domains.
STAGES = [
    (200000, [
        ("books", 0.1),
        ("code", 0.3),
        ("web", 0.6),
    ]),
]
'''
# A loader as torchtitan 0.3.0 has it: weights on any scale, one of them left at its default of 1.
SOURCES = """\
from torchtitan.hf_datasets.text_datasets import HFDataSource, InterleavedHuggingFaceTextDataLoader

C4 = "allenai/c4"

def mine(config):
    config.dataloader = InterleavedHuggingFaceTextDataLoader.Config(
        sources=[
            HFDataSource(dataset="c4", dataset_path=C4, weight=6, infinite=True),
            HFDataSource(dataset="c4_test", weight=3.0, infinite=True),
            HFDataSource(dataset="c4", dataset_path="data/books", infinite=True),
        ],
        seed=1,
        stopping_strategy="all_exhausted",
    )
"""
# A mix of the pipeline after 0.3.0.
PACKED = """\
books = ConcatThenSplitPackingConfig(dataset=books_files)
code = ConcatThenSplitPackingConfig(dataset=code_files)
mix = DatasetMixConfig(datasets=(WeightedDataset(dataset=books, weight=1.5), WeightedDataset(dataset=code, weight=0.5)))
"""
WANTED = replace(order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),)), source="recipe of study x")


def test_the_smallest_file_is_as_it_was(tmp_path: Path) -> None:
    export = Torchtitan().export(WANTED, tmp_path)
    text = (tmp_path / "torchtitan_data.py").read_text()
    assert text.startswith(GOLDEN)
    assert {"_load", "_text", "stage"} == {one.name for one in ast.parse(text).body if isinstance(one, ast.FunctionDef)}
    epochs = {one.domain: one.epochs for one in export.stages[0].shares}
    assert epochs == pytest.approx({"web": 0.2, "code": 1.0, "books": 0.5})
    assert export.losses == (
        "Rows are drawn at random: a share of tokens differs by about 1.1 % of a stage (a standard deviation).",
    )


def test_stages_come_back_with_their_lengths(tmp_path: Path) -> None:
    export = Torchtitan().export(orders()["two stages"], tmp_path)
    assert "has no stages" in export.losses[1]
    found = Torchtitan().read(tmp_path).plan
    assert found.scale.n_tokens == 200_000
    assert [stage.until for stage in found.schedule.stages] == [0.5, 1.0]
    assert found.schedule.stages[1].mixture.as_dict() == pytest.approx({"web": 0.8, "code": 0.1, "books": 0.1})


def test_sources_by_hand_are_shares_of_tokens_named_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCES)
    found = mixdesk.read_mixture(tmp_path / "mine.py", "torchtitan")
    assert found.unit == "tokens"
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx(
        {"allenai/c4": 0.6, "c4_test": 0.3, "data/books": 0.1}
    )
    assert found.plan.scale.n_tokens is None


def test_mixed_packed_sets_are_shares_of_tokens_and_mixed_documents_are_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PACKED)
    found = mixdesk.read_mixture(path, "torchtitan")
    assert (found.unit, found.notes) == ("tokens", ())
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"books": 0.75, "code": 0.25})
    path.write_text(PACKED.replace("code = ConcatThenSplitPackingConfig", "code = TextDatasetConfig"))
    found = mixdesk.read_mixture(path, "torchtitan")
    assert found.unit == "documents"
    assert found.notes[0] == "What is mixed is not packed before: the weights count documents."
    assert "the mean length of `books` is not known" in found.notes[1]


def test_weights_by_place_are_read_as_those_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PACKED.replace("dataset=books,", "books,").replace("weight=", "", 1))
    found = Torchtitan().read(tmp_path / "mine.py").plan.schedule.stages[0].mixture
    assert found.as_dict() == pytest.approx({"books": 0.75, "code": 0.25})


def test_a_source_named_twice_counts_twice_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "[HFDataSource(dataset='a'), HFDataSource(dataset='b'), HFDataSource(dataset='a')]"
    )
    found = Torchtitan().read(tmp_path / "mine.py")
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert "name a domain again" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = (", "Python"),
        ("x = 1", "no HFDataSource, no WeightedDataset"),
        ("HFDataSource(weight=1)", "a source with a dataset"),
        ("HFDataSource(dataset=name())", "dataset as a text"),
        ("HFDataSource(dataset='a', weight=w())", "weights as numbers"),
        ("HFDataSource(dataset='a', weight='much')", "weights as numbers"),
        ("HFDataSource(dataset='a', weight=-1)", "weights ≥ 0"),
        ("HFDataSource(dataset='a', weight=0)", "weights ≥ 0"),
        ("STAGES = rows()", "a list of"),
        ("STAGES = [1]", "a list of"),
        ("STAGES = []", "weights ≥ 0"),
        ("STAGES = [(10, [('a', -1.0)])]", "weights ≥ 0"),
    ],
)
def test_what_cannot_be_understood_is_an_error(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(InputError, match=what):
        Torchtitan().read(tmp_path / "x.py")


def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for wrong, what in (
        (orders()["short run"], "under what this target can hold"),
        (replace(WANTED, seq_len=None), "the tokens of a sequence"),
        (replace(WANTED, n_tokens=None), "the tokens of the run"),
    ):
        with pytest.raises(InputError, match=what):
            Torchtitan().export(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


needs_torchtitan = pytest.mark.skipif(
    importlib.util.find_spec("torchtitan") is None, reason="needs torchtitan: make verify"
)


@needs_torchtitan
@pytest.mark.slow
def test_missing_data_are_an_error(tmp_path: Path) -> None:
    export = Torchtitan().export(WANTED, tmp_path)
    with pytest.raises(InputError, match="torchtitan cannot read the data"):
        Torchtitan().verify(tmp_path, export, 100)


@needs_torchtitan
@pytest.mark.slow
def test_the_loader_draws_rows_whatever_the_lengths_of_documents(tmp_path: Path) -> None:
    """0.6 / 0.3 / 0.1 of tokens from documents of 800, 400 and 4,000: by documents it would be 0.48 / 0.12 / 0.40."""
    export = Torchtitan().export(WANTED, tmp_path)
    write_made(WANTED, "rows", tmp_path / "data")
    found = Torchtitan().verify(tmp_path, export, 1_000)
    assert "drew 1,000 rows" in found.how
    [stage] = found.stages
    assert stage.n_tokens == 100_000
    assert 0.0 < stage.error < 4.0 * stage.chance < 0.07
