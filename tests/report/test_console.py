"""The page's data: packed rows are what they were, a draft is a recipe that claims nothing, hooks are told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from desk_worlds import confirmed, hostile, running, study

from mixdesk.core.export import Each, Snippet
from mixdesk.core.files import from_data
from mixdesk.core.recipe import Recipe
from mixdesk.report import console, figures


def unpacked(row: list[float | str]) -> list[float]:
    unit, text = row
    assert isinstance(unit, float)
    assert isinstance(text, str)
    digits = [console.SIXTY_FOUR.index(letter) for letter in text]
    return [unit * (a * 4096 + b * 64 + c) for a, b, c in zip(*[iter(digits)] * 3, strict=True)]


def test_few_trials_are_plain_and_many_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    view, answers = confirmed()
    plain = console.trials(view, answers[0])
    monkeypatch.setattr(console, "MOST_PLAIN", 10)
    packed = console.trials(view, answers[0])
    for row, kept in zip(plain["weights"], packed["weights"], strict=True):
        np.testing.assert_allclose(unpacked(kept), row, atol=max(row) / 2**18)
    assert {key: plain[key] for key in plain if key != "weights"} == {
        key: packed[key] for key in packed if key != "weights"
    }


def test_trials_hold_the_objective_and_what_was_said_of_them() -> None:
    view, answers = confirmed()
    found = console.trials(view, answers[0])
    said = {row.trial: row.mean for row in answers[0].rows if row.metric == "objective"}
    for n, trial in enumerate(view.trials):
        assert found["objective"][n] == pytest.approx(figures.measured(view, view.objective, trial.final))
        if trial.id in said:
            assert found["predicted"][n] == pytest.approx(said[trial.id])
        else:
            assert found["predicted"][n] is None
    waiting = console.trials(running()[0])
    assert waiting["objective"].count(None) == 23
    json.dumps(waiting, allow_nan=False)


def test_a_draft_is_a_recipe_that_claims_nothing() -> None:
    view, answers = hostile()
    data = console.console(view, answers[0])["draft"]
    assert data.pop("schema") == 1
    draft = from_data(Recipe, json.loads(json.dumps(data)))
    assert draft.mixture.over(view.domains) == pytest.approx(answers[0].recipe.mixture.over(view.domains))
    assert (draft.comparisons, draft.expected, draft.guards, draft.card) == ((), (), (), None)
    assert draft.verdict.exit_code == 3
    assert draft.rivals == answers[0].recipe.rivals


def test_snippets_of_trainers_are_plain_data() -> None:
    view, answers = confirmed()
    rows = Each(pieces=tuple(("", f" {name}") for name in view.domains), between=", ")
    one = Snippet(file="x.txt", sentence="Nobody.", domains=view.domains, parts=("blend ", rows), least=0.25)
    assert console.console(view, answers[0])["exports"] == {}
    found = console.console(view, replace(answers[0], snippets={"mine": one}))["exports"]
    assert from_data(Snippet, json.loads(json.dumps(found["mine"]))) == one


def test_bands_are_families_of_many_domains() -> None:
    names = tuple(f"{family}/{leaf}" for family in ("a", "b") for leaf in "abcdefghijklm")
    view, _ = study(names, n=4, block=False)
    found = console.bands(view, figures.reference(view).mixture)
    assert [one["label"] for one in found] in (["a", "b"], ["b", "a"])
    assert sorted(i for one in found for i in one["members"]) == list(range(26))
