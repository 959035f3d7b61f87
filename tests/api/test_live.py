"""Mixtures asked on the desk become trials; what cannot be one is refused and recorded nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.api.live import ask_mixture, draft_answers
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.study.local import WISH

TOML = """name = "world"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 12 }
law = { name = "exponential" }
constraints = { upper = { "d00" = 0.6 }, group_upper = { "d0[12]" = 0.9 } }
trainer = { name = "synthetic", options = { d = 3, m = 2 } }
"""


@pytest.fixture
def study(tmp_path: Path) -> mx.Study:
    (tmp_path / "study.toml").write_text(TOML)
    return mx.new_study(tmp_path)


def test_a_mixture_becomes_a_trial_as_if_asked_by_an_outsider(study: mx.Study) -> None:
    said = ask_mixture(study, {"d00": 0.25, "d01": 0.75})
    (spec,) = study.pending()
    assert said.startswith(f"Asked as trial {spec.id}.")
    assert spec.mixture.over(("d00", "d01", "d02")) == (0.25, 0.75, 0.0)
    assert study.trial(spec.id).why == WISH
    assert "asked before" in ask_mixture(study, {"d00": 0.25, "d01": 0.75})
    assert len(study.pending()) == 1
    mx.run_study(study, trials=1)
    assert study.trial(spec.id).state == "done"
    with pytest.raises(InputError, match=f"this mixture was tried: found trial {spec.id}"):
        ask_mixture(study, {"d00": 0.25, "d01": 0.75})


@pytest.mark.parametrize(
    ("weights", "wrong"),
    [
        ({"d00": 0.7, "d01": 0.3}, "expected d00 ≤ 0.6"),
        ({"d00": 0.05, "d01": 0.95}, "breaks a limit"),
        ({"d00": 0.5, "moon": 0.5}, "unknown domain"),
        ({"d00": 0.5, "d01": 0.4}, "sum"),
        ({"d00": 1.5, "d01": -0.5}, "d01"),
        ({"d00": float("nan"), "d01": 1.0}, "d00"),
        ({}, "sum"),
    ],
)
def test_what_is_not_allowed_is_refused_and_nothing_recorded(
    study: mx.Study, weights: dict[str, float], wrong: str
) -> None:
    with pytest.raises((InputError, Infeasible), match=wrong):
        ask_mixture(study, weights)
    assert study.trials() == {}


def test_the_budget_is_kept(study: mx.Study) -> None:
    planned = mx.ask_study(study, 12)
    said = ask_mixture(study, {"d00": 0.25, "d01": 0.75})
    assert said.endswith("It takes the place of the last planned trial, as the budget has no room for both.")
    done = mx.run_study(study)
    assert done.n_done == 12
    trials = study.trials()
    assert [name for name, trial in trials.items() if trial.state == "waiting"] == [planned[-1].id]
    assert next(trial for trial in trials.values() if trial.why == WISH).state == "done"
    assert mx.run_study(study).n_done == 0
    (answer,) = draft_answers(study.view(), study.config)
    assert answer.recipe.verdict.state == "predicted"
    with pytest.raises(InputError, match=r"the budget of the study is spent: found 13 trials.*raise the budget"):
        ask_mixture(study, {"d00": 0.5, "d01": 0.5})
    (study.folder / "study.toml").write_text(TOML.replace("n_trials = 12", "n_trials = 13"))
    mx.run_study(study)
    assert {trial.state for trial in study.trials().values()} == {"done"}


def test_a_wish_leaves_room_in_a_plan_that_is_not_asked_yet(study: mx.Study) -> None:
    assert "place" not in ask_mixture(study, {"d00": 0.25, "d01": 0.75})
    mx.run_study(study)
    assert [trial.state for trial in study.trials().values()] == ["done"] * 12


def test_the_verdict_is_running_until_the_last_trial(study: mx.Study) -> None:
    assert draft_answers(study.view(), study.config) == ()
    mx.run_study(study, trials=11)
    (answer,) = draft_answers(study.view(), study.config)
    assert answer.recipe.verdict.state == "running"
    assert answer.recipe.verdict.headline == "11 of 12 trials are in. Too early for a recipe."
    mx.run_study(study)
    (answer,) = draft_answers(study.view(), study.config)
    assert answer.recipe.verdict == mx.make_recipe(study).verdict
    assert sorted(path.name for path in study.folder.iterdir() if path.suffix == ".json") == ["recipe.json"]


def test_the_desk_is_served_while_the_block_runs(study: mx.Study) -> None:
    pytest.importorskip("uvicorn", reason="the extra `live` is not installed")
    with pytest.raises(InputError, match="no such port"), mx.live_desk(study, 70_000):
        pass
    with mx.live_desk(study) as address:
        assert address.startswith("http://127.0.0.1:")
    study.close()
