"""Mixtures, their joins by name, and schedules."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule, Stage, bin_of
from mixdesk.core.scale import Scale


def corpus_of(**tokens: int | None) -> Corpus:
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in tokens.items())
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""), domains=domains)


@given(mixture=st.from_type(Mixture), data=st.data())
def test_order_of_domains_does_not_matter(mixture, data):
    order = data.draw(st.permutations(range(len(mixture.domains))))
    shuffled = Mixture(
        domains=tuple(mixture.domains[i] for i in order), weights=tuple(mixture.weights[i] for i in order)
    )
    assert shuffled == mixture
    assert hash(shuffled) == hash(mixture)


@given(mixture=st.from_type(Mixture), data=st.data())
def test_over_joins_by_name(mixture, data):
    names = data.draw(st.permutations([*mixture.domains, "not there"]))
    found = mixture.over(names)
    assert found == tuple(mixture.as_dict().get(name, 0.0) for name in names)


def test_over_refuses_to_drop_weight_but_not_a_zero():
    mixture = Mixture.of({"a": 1.0, "b": 0.0})
    assert mixture.over(["a"]) == (1.0,)
    with pytest.raises(InputError, match="unknown domain `a`"):
        mixture.over(["b"])


def test_weights_that_do_not_sum_to_one_are_refused_or_normalised():
    with pytest.raises(InputError, match="do not sum to one"):
        Mixture.of({"a": 2.0, "b": 6.0})
    assert Mixture.of({"a": 2.0, "b": 6.0}, normalise=True).weights == (0.25, 0.75)
    with pytest.raises(InputError, match="sum of the weights"):
        Mixture.of({"a": 0.0}, normalise=True)
    with pytest.raises(InputError, match="do not pair up"):
        Mixture(domains=("a", "b"), weights=(1.0,))


def test_natural_follows_tokens_and_needs_them():
    assert Mixture.natural(corpus_of(b=300, a=100)).as_dict() == {"a": 0.25, "b": 0.75}
    with pytest.raises(InputError, match="natural mixture needs token counts"):
        Mixture.natural(corpus_of(a=1, b=None))


def test_epochs_are_weight_times_run_over_unique_tokens():
    mixture = Mixture.of({"a": 0.25, "b": 0.75})
    assert mixture.epochs(corpus_of(a=50, b=1500), Scale(n_tokens=1000)) == (("a", 5.0), ("b", 0.5))
    assert mixture.epochs(corpus_of(a=50, b=None), Scale(n_tokens=1000)) == (("a", 5.0),)
    assert mixture.epochs(corpus_of(a=50, b=1500), Scale()) == ()


def test_kl_is_in_nats_and_joined_by_name():
    one, other = Mixture.of({"a": 0.5, "b": 0.5}), Mixture.of({"b": 0.25, "a": 0.75})
    assert one.kl(other) == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert one.kl(one) == 0.0
    assert one.kl(Mixture.of({"a": 1.0})) == math.inf
    assert Mixture.of({"a": 1.0}).kl(one) == pytest.approx(math.log(2.0))


def test_groups_are_marginals_of_the_first_step():
    mixture = Mixture.of({"code/c": 0.25, "code/py": 0.25, "web": 0.5})
    assert mixture.groups() == (("code", 0.5), ("web", 0.5))


@pytest.mark.parametrize("ends", [[], [0.5], [1.0, 1.0], [0.7, 0.3, 1.0]])
def test_stages_must_cover_the_run(ends):
    with pytest.raises(InputError, match="do not cover the run"):
        Schedule(stages=tuple(Stage(mixture=Mixture.uniform("ab"), until=end) for end in ends))


def test_average_weighs_stages_by_their_length():
    first, last = Mixture.of({"a": 1.0}), Mixture.of({"b": 1.0})
    schedule = Schedule(stages=(Stage(mixture=first, until=0.75), Stage(mixture=last)))
    assert schedule.average.as_dict() == pytest.approx({"a": 0.75, "b": 0.25})
    assert schedule.domains == ("a", "b")
    assert Schedule.constant(first).average is first


@pytest.mark.parametrize(
    ("leaf", "found"),
    [
        ("web/q1", ("web", 1)),
        ("web/science/q12", ("web/science", 12)),
        ("web/q0", ("web/q0", 0)),
        ("web/q01", ("web/q01", 0)),
        ("web/high", ("web/high", 0)),
        ("q1", ("q1", 0)),
        ("web/q1/more", ("web/q1/more", 0)),
    ],
)
def test_the_last_step_of_a_path_names_the_quality_bin(leaf, found):
    assert bin_of(leaf) == found


def test_a_stage_may_come_before_the_last():
    base, last = Mixture.of({"a": 0.5, "b": 0.5}), Mixture.of({"a": 0.0, "b": 1.0})
    schedule = Schedule.ending(last, Stage(mixture=base, until=0.9))
    assert schedule.average.as_dict() == pytest.approx({"a": 0.45, "b": 0.55})
    assert schedule.throughout(base).average.as_dict() == pytest.approx(base.as_dict())
    assert [stage.until for stage in schedule.throughout(base).stages] == [0.9, 1.0]
    assert Schedule.ending(last) == Schedule.constant(last)
    assert Schedule.ending(base).throughout(last) == Schedule.constant(last)
    with pytest.raises(InputError, match="do not cover"):
        Schedule.ending(last, Stage(mixture=base))


def test_dolmino_passes_half_of_its_instruction_data():
    """OLMo 2, the mix of 50B tokens: FLAN is 16.6 % of it and has 17.0B tokens, printed as 50 % of the source."""
    mixture = Mixture.of({"flan": 0.166, "rest": 0.834})
    corpus = corpus_of(flan=17_000_000_000, rest=1_000_000_000_000)
    assert dict(mixture.epochs(corpus, Scale(n_tokens=50_000_000_000)))["flan"] == pytest.approx(0.488, abs=5e-4)
    whole = Schedule.ending(mixture, Stage(mixture=Mixture.of({"flan": 0.0, "rest": 1.0}), until=0.95)).average
    assert dict(whole.epochs(corpus, Scale(n_tokens=1_000_000_000_000)))["flan"] == pytest.approx(0.488, abs=5e-4)
