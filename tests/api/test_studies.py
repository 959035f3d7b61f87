"""What new, ask and confirm refuse, and that a refusal leaves nothing behind in the record."""

from __future__ import annotations

import math
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
