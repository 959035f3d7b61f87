"""Formula baselines: the mixture they say, moved where it is not allowed, run as often as the budget pays for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from search_worlds import names, trial, view_of

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.search.rule import RULES, Rule

TOKENS = (100, 400, 2500)


def study(n_tokens: int = 3000, **more: Any) -> Any:
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in zip(names(3), TOKENS, strict=True))
    corpus = Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""), domains=domains)
    rungs = (Rung(label="proxy"), Rung(label="target", scale=Scale(n_tokens=n_tokens)))
    return view_of(3, natural=TOKENS, corpus=corpus, rungs=rungs, **{"budget": Budget(n_trials=4), **more})


def test_each_rule_says_its_mixture() -> None:
    found = {name: Rule(rule=name).recommend(study(), None) for name in RULES}
    assert {name: one.why for name, one in found.items()} == {
        "natural": "natural mixture",
        "uniform": "uniform mixture",
        "temperature": "natural mixture at temperature 2",
        "unimax": "UniMax, at most 4 epochs",
    }
    assert found["natural"].mixture == study().natural
    assert found["uniform"].mixture.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found["temperature"].mixture.weights == pytest.approx((10 / 80, 20 / 80, 50 / 80))
    assert found["unimax"].mixture.weights == pytest.approx((400 / 3000, 1300 / 3000, 1300 / 3000))
    assert Rule(rule="temperature", temperature=1.0).recommend(study(), None).mixture.weights == pytest.approx(
        study().natural.weights
    )
    assert Rule(rule="unimax", max_epochs=3.0).recommend(study(), None).mixture.weights[0] == pytest.approx(0.1)


def test_replicates_of_one_mixture_fill_the_budget() -> None:
    view, strategy = study(), Rule(rule="uniform")
    first = strategy.ask(view, 3)
    assert [p.replicate for p in first] == [0, 1, 2]
    assert {p.mixture for p in first} == {strategy.recommend(view, None).mixture}
    view = replace(view, trials=tuple(trial(p.mixture, [1.0], p.replicate) for p in first))
    assert [p.replicate for p in strategy.ask(view, 3)] == [3]
    assert strategy.ask(replace(view, budget=Budget(n_trials=3)), 3) == []


def test_a_formula_outside_the_constraints_is_moved_and_says_so() -> None:
    view = study(constraints=Constraints(upper={"d002": 0.5}))
    found = Rule().recommend(view, None)
    assert found.why == "natural mixture, moved to the nearest mixture that the constraints allow"
    assert found.mixture.weights == pytest.approx((1 / 30 + 1 / 6, 4 / 30 + 1 / 6, 0.5))
    assert found.binding == ("d002 ≤ 0.5",)
    assert Rule().ask(view, 1)[0].mixture == found.mixture
    capped = Rule(rule="uniform").recommend(study(constraints=Constraints(max_epochs=4.0)), None)
    assert np.array(capped.mixture.weights) @ [3000 / n for n in (100, 1e9, 1e9)] == pytest.approx(4.0)


def test_what_a_formula_needs_is_named() -> None:
    blind = replace(study(), corpus=None, natural=None)
    for name in ("natural", "temperature"):
        with pytest.raises(InputError, match="needs the natural mixture"):
            Rule(rule=name).ask(blind, 1)
    with pytest.raises(InputError, match="unimax needs token counts"):
        Rule(rule="unimax").ask(blind, 1)
    with pytest.raises(Infeasible, match="longer than 4 epochs"):
        Rule(rule="unimax").ask(study(100_000), 1)
    with pytest.raises(InputError, match="did you mean `unimax`"):
        Rule(rule="unimx")
    with pytest.raises(InputError, match="temperature"):
        Rule(temperature=0.0)
