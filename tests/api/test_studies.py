"""What new, ask and confirm refuse, and that a refusal leaves nothing behind in the record."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.core.errors import InputError
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.study.config import StudyConfig

CONFIG = StudyConfig(
    name="outside",
    domains=("a", "b", "c"),
    metrics=(Metric(name="loss"),),
    objective=Objective(terms=(("loss", 1.0),)),
    rungs=(Rung(label="proxy", scale=Scale(n_tokens=1_000)), Rung(label="target", scale=Scale(n_tokens=4_000))),
    budget=Budget(n_trials=20),
)
WORLD = StudyConfig(
    name="world",
    objective=Objective(terms=(("bpb/domain/*", 1.0),)),
    trainer=Plug(name="synthetic"),
    budget=Budget(n_trials=4),
)


def test_a_file_that_cannot_be_written_asks_nothing(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", CONFIG)
    (tmp_path / "file").touch()
    for out in (tmp_path / "asked.txt", tmp_path / "file" / "asked.csv"):
        with pytest.raises(InputError):
            mx.ask_study(study, 4, out)
    for n in (0, -1):
        with pytest.raises(InputError, match="`n` is not a valid count"):
            mx.ask_study(study, n)
    assert study.view().trials == ()
    assert len(mx.ask_study(study, 4, tmp_path / "asked.csv")) == 4
    assert len((tmp_path / "asked.csv").read_text().splitlines()) == 1 + 4


def test_a_trainer_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean `builtin`"):
        mx.new_study(tmp_path / "s", replace(CONFIG, trainer=Plug(name="buitlin")))
    assert not (tmp_path / "s").exists()


def test_a_trainer_without_its_corpus_is_refused_in_words(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", replace(CONFIG, trainer=Plug(name="builtin")))
    with pytest.raises(InputError, match="`builtin` needs the option `corpus`"):
        mx.run_study(study)


def test_a_confirmation_without_a_trainer_asks_nothing(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", CONFIG)
    specs = mx.ask_study(study, 20, tmp_path / "asked.csv")
    rows = [f"{spec.id},{2 + math.exp(-2 * spec.mixture.as_dict()['a'])}" for spec in specs]
    (tmp_path / "answers.csv").write_text("\n".join(["trial,loss", *rows]) + "\n")
    mx.tell_study(study, tmp_path / "answers.csv")
    recipe = mx.make_recipe(study)
    with pytest.raises(InputError, match="has no trainer"):
        mx.confirm_recipe(study, recipe)
    assert len(study.view().trials) == len(specs)


def test_what_waits_is_offered_again_after_what_is_new(tmp_path: Path) -> None:
    study, out = mx.new_study(tmp_path / "s", CONFIG), tmp_path / "asked.csv"
    first = mx.ask_study(study, 18)
    assert mx.ask_study(study, 5, out)[2:] == first[:3]
    assert len(study.view().trials) == 20
    assert len(out.read_text().splitlines()) == 1 + 5
    assert mx.ask_study(study, 3, out) == first[:3]
    (tmp_path / "told.csv").write_text("trial,loss\n" + "".join(f"{spec.id},1\n" for spec in study.pending()))
    mx.tell_study(study, tmp_path / "told.csv")
    before = out.read_bytes()
    assert mx.ask_study(study, 5, out) == ()
    assert out.read_bytes() == before
    assert mx.ask_study(study, 5, tmp_path / "new.csv") == ()
    assert not (tmp_path / "new.csv").exists()


SYNTHETIC = """name = "world"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 6 }
trainer = { name = "synthetic", options = { d = 3, m = 2 } }
"""


def test_a_run_follows_the_budget_that_was_edited_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(SYNTHETIC)
    study = mx.new_study(tmp_path)
    assert mx.run_study(study).n_done == 6
    (tmp_path / "study.toml").write_text(SYNTHETIC.replace("n_trials = 6", "n_trials = 8"))
    assert mx.run_study(study).n_done == 2
    assert mx.open_study(tmp_path).config.budget == Budget(n_trials=8)
    for old, new, words in (
        ("d = 3", "d = 4", r"`trainer.options.d` was changed.* found 4, expected 3 as recorded; .*study new"),
        ("m = 2", "m = 3", r"`trainer.options.m` was changed"),
        ('name = "world"', 'name = "other"', "`name` was changed.* found other, expected 'world'"),
        ("budget", "bugdet", "unknown key `bugdet`"),
    ):
        (tmp_path / "study.toml").write_text(SYNTHETIC.replace(old, new, 1))
        with pytest.raises(InputError, match=words):
            mx.run_study(study)
    assert len(study.view().trials) == 8


def test_a_synthetic_study_uses_the_natural_mixture_that_was_written(tmp_path: Path) -> None:
    def start(folder: str, natural: str) -> mx.Study:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "study.toml").write_text(f"natural = {natural}\n" + SYNTHETIC)
        return mx.new_study(tmp_path / folder)

    natural = start("a", "{ d00 = 1, d01 = 3 }").view().natural
    assert natural is not None
    assert natural.as_dict() == {"d00": 0.25, "d01": 0.75}
    for i, bad in enumerate(("{ d0 = 1 }", "{ d00 = 2, d01 = -1 }")):
        with pytest.raises(InputError):
            start(f"bad{i}", bad)


def test_a_model_of_another_vocabulary_is_refused_by_new(tmp_path: Path, pico_corpus: Path) -> None:
    n_ids = mx.open_corpus(pico_corpus).tokenizer.vocab_size
    model = mx.ModelSpec(n_layers=1, d_model=16, n_heads=1, vocab_size=n_ids + 1, seq_len=32)
    rung = Rung(label="proxy", scale=Scale(n_tokens=1_000), model=model)
    config = StudyConfig(name="s", corpus=str(pico_corpus), objective=CONFIG.objective, rungs=(rung,))
    with pytest.raises(InputError, match="does not have the vocabulary"):
        mx.new_study(tmp_path / "s", config)
    assert not (tmp_path / "s").exists()


def test_a_runner_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = mx.new_study(tmp_path / "s", WORLD)
    with pytest.raises(InputError, match="unknown runner `slurm`"):
        mx.run_study(study, runner="slurm")
    with pytest.raises(InputError, match="add `--runner ray`"):
        mx.run_study(study, address="auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(mx.MissingExtra, match=r"mixdesk\[cluster\]"):
        mx.run_study(study, runner="ray")
    assert study.view().trials == ()


@pytest.mark.parametrize("place", ["ray://head:10001", "127.0.0.1:9", "head:port"])
def test_a_cluster_that_is_not_there_is_an_input_error(place: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    study = mx.new_study(tmp_path / "s", WORLD)
    with pytest.raises(InputError, match="no Ray cluster could be joined at"):
        mx.run_study(study, runner="ray", address=place)
    assert study.view().trials == ()


@pytest.mark.slow
def test_a_cluster_trains_what_this_machine_trains(tmp_path: Path, pico_corpus: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("torch")
    n_ids = mx.open_corpus(pico_corpus).tokenizer.vocab_size
    rung = Rung(
        label="proxy",
        scale=Scale(n_tokens=1_280),
        model=mx.ModelSpec(n_layers=1, d_model=16, n_heads=1, vocab_size=n_ids, seq_len=32),
        hyper=mx.Hyper(lr=0.02, batch_tokens=128),
    )
    config = StudyConfig(
        name="tiny",
        corpus=str(pico_corpus),
        objective=Objective(terms=(("bpb/set/logging", 1.0),)),
        rungs=(rung,),
        trainer=Plug(name="builtin"),
        budget=Budget(n_trials=3),
    )
    views = []
    for runner in ("local", "ray"):
        study = mx.new_study(tmp_path / runner, config)
        assert mx.run_study(study, jobs=2, runner=runner).n_done == 3
        views.append(study.view())
    assert views[0].record_sha256 == views[1].record_sha256
