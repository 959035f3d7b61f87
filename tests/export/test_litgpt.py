import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixdesk
from mixdesk.core.errors import InputError
from mixdesk.export.litgpt import Litgpt
from mixdesk.testing.orders import THREE, VECTOR, order, orders, write_made

GOLDEN = '''\
# mixdesk: recipe of study x
# LitData draws each block at random with these weights, and begins all domains again when the first one ends.
# weight = share of tokens; a block is sequence length + 1 tokens
# Limits on epochs over the run: code 2
"""The mixture as a data set of LitData: folders are relative to this file."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
# Tokens of the run, and of a sequence.
N_TOKENS, SEQ_LEN = 200000, 100
# Domain, folder, share of tokens.
DOMAINS = [
    ("books", "data/books", 0.1),
    ("code", "data/code", 0.3),
    ("web", "data/web", 0.6),
]
'''
# As the trainer's own example of two data sets is written.
BY_HAND = """\
from litdata.streaming import CombinedStreamingDataset, StreamingDataset, TokensLoader

class Mine(DataModule):
    def setup(self):
        self.web = str(self.path) + "/web"

    def train_dataloader(self):
        first = StreamingDataset(input_dir=self.web, item_loader=TokensLoader(block_size=self.seq_length), shuffle=True)
        both = [first, StreamingDataset("d/code", item_loader=TokensLoader(block_size=self.seq_length), shuffle=True)]
        weights = (0.693584, 0.306416)
        return CombinedStreamingDataset(datasets=both, seed=self.seed, weights=weights, iterate_over_all=False)
"""
WANTED = replace(order(VECTOR, (1.0, THREE), max_epochs=(("code", 2.0),)), source="recipe of study x")


def test_the_smallest_file_is_as_it_was(tmp_path: Path) -> None:
    export = Litgpt().export(WANTED, tmp_path)
    assert (tmp_path / "mixture.py").read_text().startswith(GOLDEN)
    compile((tmp_path / "litgpt_data.py").read_text(), "litgpt_data.py", "exec")
    # 600 blocks of 101 tokens are more than the 60,000 that there are.
    epochs = {one.domain: one.epochs for one in export.stages[0].shares}
    assert epochs == pytest.approx({"web": 0.202, "code": 1.01, "books": 0.505})
    assert any("After about 198,000 tokens `code` ends" in line for line in export.losses)
    assert any("about 1.1 % of the run" in line for line in export.losses)


def test_the_run_comes_back(tmp_path: Path) -> None:
    Litgpt().export(WANTED, tmp_path)
    found = Litgpt().read(tmp_path).plan
    assert found.schedule.stages[0].mixture.as_dict() == pytest.approx(THREE)
    assert found.scale.n_tokens == 200_000


def test_a_file_by_hand_is_read_with_what_its_folders_tell(tmp_path: Path) -> None:
    write_made(order({"code": (600, 3)}, (1.0, {"code": 1.0})), "litdata", tmp_path / "d")
    (tmp_path / "mine.py").write_text(BY_HAND)
    found = mixdesk.read_mixture(tmp_path / "mine.py", "litgpt")
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"web": 0.693584, "d/code": 0.306416})
    assert [(one.name, one.n_tokens, one.n_docs) for one in found.domains] == [("d/code", 600, 3)]
    assert found.unit == "tokens"


def test_no_weights_are_the_lengths_of_the_data(tmp_path: Path) -> None:
    write_made(order({"a": (300, 3), "b": (900, 3)}, (1.0, {"a": 1.0})), "litdata", tmp_path)
    text = "CombinedStreamingDataset([StreamingDataset('a'), StreamingDataset('b')])"
    (tmp_path / "x.py").write_text(text)
    found = Litgpt().read(tmp_path / "x.py")
    assert found.plan.schedule.stages[0].mixture.as_dict() == pytest.approx({"a": 0.25, "b": 0.75})
    assert "No weights" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = (", "Python"),
        ("x = 1", "no CombinedStreamingDataset"),
        ("CombinedStreamingDataset(sets(), weights=[1])", "written out as a list"),
        ("CombinedStreamingDataset([StreamingDataset('a')], weights=w())", "weights as numbers"),
        ("CombinedStreamingDataset([StreamingDataset('a')], weights=['much'])", "weights as numbers"),
        ("CombinedStreamingDataset([StreamingDataset('a')], weights=1)", "weights as numbers"),
        ("CombinedStreamingDataset([StreamingDataset('a')], weights=[1, 2])", "1 data sets, 2 weights"),
        ("CombinedStreamingDataset([StreamingDataset('nowhere')])", "no weights"),
        ("CombinedStreamingDataset([StreamingDataset('a')], weights=[-1])", "weights ≥ 0"),
        ("DOMAINS = [('a', 'data/a')]", r"\(domain, folder, share\)"),
        ("DOMAINS = [('a', 'data/a', 'much')]", r"\(domain, folder, share\)"),
        ("DOMAINS = [('a', 'data/a', None)]", r"\(domain, folder, share\)"),
        ("DOMAINS = [1]", r"\(domain, folder, share\)"),
        ("DOMAINS = 1", r"\(domain, folder, share\)"),
        ("DOMAINS = {[1]: 2}", r"\(domain, folder, share\)"),
        ("DOMAINS = []", "could not be understood"),
        ("DOMAINS = [('a', 'data/a', float('nan'))]", r"\(domain, folder, share\)"),
    ],
)
def test_what_cannot_be_understood_is_an_error(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(InputError, match=what):
        Litgpt().read(tmp_path / "x.py")


def test_what_cannot_be_expressed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for wrong, what in (
        (orders()["two stages"], "cannot change the mixture"),
        (orders()["short run"], "under what this target can hold"),
        (replace(WANTED, seq_len=None), "the tokens of a sequence"),
    ):
        with pytest.raises(InputError, match=what):
            Litgpt().export(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("litdata")
    export = Litgpt().export(WANTED, tmp_path)
    with pytest.raises(InputError, match="LitData refuses"):
        Litgpt().verify(tmp_path, export, 100)


def test_it_ends_with_the_first_domain_and_begins_again(tmp_path: Path) -> None:
    """`code` has 594 blocks of 101 tokens and about 1,000 are asked: a second cycle gives the rest."""
    pytest.importorskip("litdata")
    often = orders()["repeats"]
    export = Litgpt().export(often, tmp_path)
    write_made(often, "litdata", tmp_path / "data")
    found = Litgpt().verify(tmp_path, export, 100_000)
    assert "2,000 blocks in 2 cycles" in found.how
    [stage] = found.stages
    assert stage.error < 3 * stage.chance
    assert stage.chance == pytest.approx(np.sqrt(0.25 / 990), rel=0.1)


@pytest.mark.slow
def test_the_data_module_gives_batches(tmp_path: Path) -> None:
    """litgpt's base class is replaced by a bare one where it is not installed: nothing of it is called."""
    pytest.importorskip("litdata")
    Litgpt().export(WANTED, tmp_path)
    write_made(WANTED, "litdata", tmp_path / "data")
    script = (
        "import sys, types\n"
        "base = types.ModuleType('litgpt.data'); base.DataModule = object\n"
        "sys.modules |= {'litgpt': types.ModuleType('litgpt'), 'litgpt.data': base}\n"
        "from litgpt_data import Mixture\n"
        "data = Mixture(num_workers=0); data.connect(batch_size=4, max_seq_length=64)\n"
        "print(tuple(next(iter(data.train_dataloader())).shape), tuple(next(iter(data.val_dataloader())).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "(4, 65) (4, 65)"
