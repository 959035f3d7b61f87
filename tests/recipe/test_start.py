"""Mixtures without evidence: their formulas, epochs and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.recipe.start import NO_EVIDENCE, start_mixtures


def corpus_of(**n_tokens: int | None) -> Corpus:
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in n_tokens.items())
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""), domains=domains)


def test_rules_by_hand() -> None:
    found = {one.name: one for one in start_mixtures(corpus_of(a=100, b=400, c=2500), 3000, max_epochs=4.0)}
    assert found["natural"].mixture.weights == pytest.approx((1 / 30, 4 / 30, 25 / 30))
    assert found["temperature"].mixture.weights == pytest.approx((10 / 80, 20 / 80, 50 / 80))
    # a is held at 4 epochs = 400 of 3,000 tokens; the others share the rest, 1,300 each.
    assert found["unimax"].mixture.weights == pytest.approx((400 / 3000, 1300 / 3000, 1300 / 3000))
    assert dict(found["unimax"].epochs) == pytest.approx({"a": 4.0, "b": 3.25, "c": 0.52})
    assert found["uniform"].epochs[0] == ("a", pytest.approx(10.0))
    assert {name: one.is_within for name, one in found.items()} == {
        "unimax": True, "temperature": True, "natural": True, "uniform": False,
    }  # fmt: skip
    assert all(one.evidence == NO_EVIDENCE for one in found.values())


def test_unimax_is_uniform_in_a_short_run_and_natural_at_the_cap() -> None:
    corpus = corpus_of(a=100, b=900)
    assert start_mixtures(corpus, 100)[0].mixture.weights == pytest.approx((0.5, 0.5))
    assert start_mixtures(corpus, 4000)[0].mixture.weights == pytest.approx((0.1, 0.9))


def test_a_run_longer_than_the_cap_is_refused_with_the_smallest_relaxation() -> None:
    with pytest.raises(Infeasible, match=r"found 4\.5 epochs, expected at most 4; .* or run 4,000 tokens"):
        start_mixtures(corpus_of(a=100, b=900), 4500)


def test_unknown_counts_are_refused() -> None:
    with pytest.raises(InputError, match="needs token counts"):
        start_mixtures(corpus_of(a=None, b=900), 100)


def test_constraints_move_a_rule_to_the_nearest_that_is_allowed_and_it_says_so() -> None:
    corpus = corpus_of(a=100, b=400, c=2500)
    limits = Constraints(max_epochs=4.0, upper={"c": 0.0}, lower={"a": 0.3})
    space = Space.build(limits, corpus.names, corpus, Scale(n_tokens=1000))
    found = {one.name: one for one in start_mixtures(corpus, 1000, 4.0, space)}
    for one in found.values():
        assert space.contains(np.array([one.mixture.over(corpus.names)]))[0]
        assert one.is_within
        assert dict(one.moved)["c"] < 0.0
        assert sum(change for _, change in one.moved) == pytest.approx(0.0)
    # Natural without c is 1 to 4; a may not be below 0.3.
    assert found["natural"].mixture.as_dict() == pytest.approx({"a": 0.3, "b": 0.7, "c": 0.0})
    assert dict(found["natural"].moved) == pytest.approx({"a": 0.3 - 1 / 30, "b": 0.7 - 4 / 30, "c": -25 / 30})
    assert "a ≥ 0.3" in found["natural"].binding
    # Uniform without c breaks the cap of a: 4 epochs of 100 in 1,000 tokens.
    assert found["uniform"].mixture.as_dict() == pytest.approx({"a": 0.4, "b": 0.6, "c": 0.0})
    assert not any(one.moved or one.binding for one in start_mixtures(corpus, 1000, 4.0))
