"""The wizard as a person meets it: answers come through a pipe, the file loads, and the study runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core.files import read_toml
from mixdesk.study.config import StudyConfig

# Corpus, final run, what matters, epochs, hours, runs, size, tokens of a run, write. Its domains have one tier.
DEFAULTS = "\n" * 9


def wizard(folder: Path, answers: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mixdesk.cli", "study", "new", str(folder), "--wizard"],
        input=answers, capture_output=True, text=True, cwd=folder.parent, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, pico_corpus: Path) -> Path:
    (tmp_path / "corpus").symlink_to(pico_corpus)
    return tmp_path / "my-study"


def test_defaults_alone_make_a_study_that_loads_and_says_why(folder: Path) -> None:
    out = wizard(folder, DEFAULTS)
    assert "pico: " in out
    assert "FLOPs, about " in out
    assert "Next: mixdesk study run" in out
    text = (folder / "study.toml").read_text()
    assert text.startswith("#:schema ./study.schema.json\n")
    assert (folder / "study.schema.json").exists()
    config, corpus = read_toml(folder / "study.toml", StudyConfig), mixdesk.open_corpus(folder.parent / "corpus")
    assert config.objective.terms == (("bpb/set/*", 1.0),)
    assert config.rungs[-1].scale.n_tokens == sum(domain.n_tokens or 0 for domain in corpus.domains)
    assert config.budget is not None
    assert config.budget.n_trials == max(3 * (3 + 1), 10) + 6
    for domain in corpus.domains:
        assert f"#   {domain.name}" in text
    assert sum(line.startswith("#") for line in text.splitlines()) > 10


@pytest.mark.slow
def test_the_study_of_the_answers_is_trained_and_its_start_keeps_its_limits(folder: Path) -> None:
    out = wizard(folder, "\n40k\nbpb/domain/json=2, bpb/set/logging\n2.5\n0.01\n12\nnano\n4k\ny\n")
    assert "12 runs of 3,584 tokens" in out  # whole steps of 512
    config = read_toml(folder / "study.toml", StudyConfig)
    assert dict(config.objective.terms) == {"bpb/domain/json": 2.0, "bpb/set/logging": 1.0}
    assert config.constraints.max_epochs == 2.5
    assert config.rungs[0].unique_share == pytest.approx(3584 / 40_000)
    run = [sys.executable, "-m", "mixdesk.cli"]
    done = subprocess.run(
        [*run, "study", "run", str(folder), "--trials", "2", "--jobs", "1", "-q"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [trial.state for trial in mixdesk.open_study(folder).view().trials] == ["done"] * 2
    n_tokens = 2 * sum(domain.n_tokens or 0 for domain in mixdesk.open_corpus(folder.parent / "corpus").domains)
    start = [*run, "recipe", "start", str(folder), "--n-tokens", str(n_tokens)]
    assert "moved by the study's constraints: " in subprocess.run(start, capture_output=True, text=True).stdout
    for one in mixdesk.start_recipe(folder, n_tokens=n_tokens):
        assert max(epochs for _, epochs in one.epochs) < 2.5 + 1e-6
        assert one.is_within


def test_an_answer_that_cannot_be_used_is_asked_again_with_what_is_wrong(folder: Path) -> None:
    answers = "nowhere\n\nmuch\n40k\nbpb/set/nothing\n\n0.1\n\nlong\n\nnone\n\nhuge\nmicro\n-5\n\n\n"
    out = wizard(folder, answers)
    for wrong in ("nowhere", "`the final run` is no size", "bpb/set/nothing", "raise max_epochs", "`long` is no number",
                  "`runs` is no size", "unknown size `huge`", "`tokens` is no size"):  # fmt: skip
        assert wrong in out
    model = read_toml(folder / "study.toml", StudyConfig).rungs[0].model
    assert model is not None
    assert model.d_model == 128


def test_nothing_is_overwritten_unasked_and_an_end_of_answers_writes_nothing(folder: Path) -> None:
    assert "Abort" in wizard(folder, "\n\n\n", code=1)
    assert "Abort" in wizard(folder, DEFAULTS[:-1] + "n\n", code=1)
    assert not folder.exists()
    folder.mkdir()
    (folder / "study.toml").write_text("mine\n")
    for answers in ("\n", "n\n", ""):
        assert "Write over it?" in wizard(folder, answers, code=1)
    assert (folder / "study.toml").read_text() == "mine\n"
    wizard(folder, "y\n" + DEFAULTS)
    before = (folder / "study.toml").read_text()
    assert "there is a study in" in wizard(folder, "y\n" + DEFAULTS, code=1)
    assert (folder / "study.toml").read_text() == before


def test_a_run_of_many_epochs_is_offered_as_many(folder: Path) -> None:
    wizard(folder, "\n10M\n" + DEFAULTS)
    config = read_toml(folder / "study.toml", StudyConfig)
    total = sum(domain.n_tokens or 0 for domain in mixdesk.open_corpus(folder.parent / "corpus").domains)
    assert config.constraints.max_epochs is not None
    assert 10e6 / total <= config.constraints.max_epochs < 10e6 / total + 1.0
