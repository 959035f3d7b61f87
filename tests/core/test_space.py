"""Spaces from constraints: named bounds, epoch caps, clashes that say what would do."""

from __future__ import annotations

import numpy as np
import pytest

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Near, Rule, Space

NAMES = ("code/c", "code/py", "web")
RUN = Scale(n_tokens=1000)


def corpus_of(*tokens: int | None) -> Corpus:
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in zip(NAMES, tokens, strict=True))
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""), domains=domains)


def test_without_constraints_it_is_the_simplex():
    space = Space.build(Constraints(), NAMES)
    assert space.lower_d.tolist() == [0.0, 0.0, 0.0]
    assert space.upper_d.tolist() == [1.0, 1.0, 1.0]
    assert space.contains(np.eye(3)).all()
    assert space.binding(Mixture.of({"web": 1.0})) == ()


def test_a_pattern_bounds_every_domain_it_matches_and_the_tightest_wins():
    space = Space.build(Constraints(lower={"code/*": 0.1, "code/py": 0.2}, upper={"*": 0.6}), NAMES)
    assert space.lower_d.tolist() == [0.1, 0.2, 0.0]
    assert space.upper_d.tolist() == [0.6, 0.6, 0.6]
    touching = Mixture.of({"code/c": 0.1, "code/py": 0.3, "web": 0.6})
    assert space.binding(touching) == ("code/c ≥ 0.1", "web ≤ 0.6")


def test_a_mixture_breaks_limits_by_their_names():
    rule = Rule(name="twice", terms={"code/c": 1.0, "code/py": -2.0}, most=0.0)
    near = Near(weights={"code/c": 0.3, "code/py": 0.3, "web": 0.4}, nats=0.05)
    space = Space.build(Constraints(lower={"web": 0.1}, upper={"code/py": 0.6}, rules=(rule,), near=near), NAMES)
    assert space.broken(Mixture.of({"code/c": 0.3, "code/py": 0.3, "web": 0.4})) == ()
    assert space.broken(Mixture.of({"code/c": 1.0})) == ("web ≥ 0.1", "twice ≤ 0", "near ≤ 0.05 nats")
    assert "code/py ≤ 0.6" in space.broken(Mixture.of({"code/py": 0.7, "web": 0.3}))
    pool = Space.build(Constraints(pool=(Mixture.of({"web": 1.0}),)), NAMES)
    assert pool.broken(Mixture.of({"code/c": 1.0})) == ("one of the 1 mixtures of the pool",)
    with pytest.raises(InputError, match="moon"):
        space.broken(Mixture.of({"moon": 1.0}))


def test_epoch_caps_are_shares_of_the_run():
    space = Space.build(Constraints(max_epochs=4.0), NAMES, corpus_of(50, 100, 10_000), RUN)
    assert space.upper_d.tolist() == pytest.approx([0.2, 0.4, 1.0])
    assert space.why_upper[0] == "code/c ≤ 4 epochs (0.2 of the run)"


def test_a_domain_without_counts_has_no_cap():
    space = Space.build(Constraints(max_epochs=4.0), NAMES, corpus_of(50, None, 10_000), RUN)
    assert space.upper_d.tolist() == pytest.approx([0.2, 1.0, 1.0])


def test_epochs_cannot_be_capped_without_counts_or_a_run():
    with pytest.raises(InputError, match="`max_epochs` cannot be applied"):
        Space.build(Constraints(max_epochs=4.0), NAMES)
    with pytest.raises(InputError, match="`max_epochs` cannot be applied"):
        Space.build(Constraints(max_epochs=4.0), NAMES, corpus_of(1, 1, 1))


def test_a_bound_on_nothing_is_refused():
    with pytest.raises(InputError, match="did you mean `web`"):
        Space.build(Constraints(lower={"wbe": 0.1}), NAMES)
    with pytest.raises(InputError, match="out of range"):
        Constraints(lower={"web": 1.5})


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        (Constraints(lower={"code/c": 0.3}, max_epochs=4.0), ["`code/c` may be at most 0.2", "max_epochs to 6"]),
        (Constraints(lower={"web": 0.5}, upper={"web": 0.25}), ["`web` may be at most 0.25", "lower the bound"]),
        (Constraints(lower={"*": 0.5}), ["code/c ≥ 0.5", "lower them by 0.5 in all"]),
        (Constraints(upper={"*": 0.25}), ["web ≤ 0.25", "raise upper bounds by 0.25 in all"]),
        (Constraints(upper={"web": 0.1}, max_epochs=4.0), ["leave part of the run without data", "max_epochs to 6"]),
    ],
)
def test_a_clash_names_its_constraints_and_what_would_do(constraints, words):
    with pytest.raises(Infeasible) as caught:
        Space.build(constraints, NAMES, corpus_of(50, 100, 10_000), RUN)
    for word in words:
        assert word in str(caught.value)


def test_project_leaves_what_is_allowed_and_mends_the_rest():
    space = Space.build(Constraints(lower={"web": 0.2}, upper={"code/py": 0.5}), NAMES)
    allowed = np.array([[0.3, 0.3, 0.4]])
    assert space.project(allowed) == pytest.approx(allowed)
    mended = space.project(np.array([[0.0, 1.0, 0.0], [9.0, 0.0, 0.0]]))
    assert space.contains(mended).all()
    assert mended.sum(1) == pytest.approx([1.0, 1.0])
    # [0, 1, 0]: web rises to its bound, py falls to its own, and c takes what is left.
    assert mended[0] == pytest.approx([0.25, 0.5, 0.25])


def test_a_mixture_drops_what_is_rounding():
    space = Space.build(Constraints(), NAMES)
    assert space.mixture(np.array([1e-15, 0.5, 0.5])).as_dict() == {"code/c": 0.0, "code/py": 0.5, "web": 0.5}


def test_what_a_search_ends_with_has_no_dust_but_where_a_limit_wants_it():
    row = np.array([0.6 - 8e-10, 0.4, 8e-10])
    free = Space.build(Constraints(), ("a", "b", "c"), None, None)
    assert free.settled(row).as_dict() == pytest.approx({"a": 0.6, "b": 0.4, "c": 0.0}, abs=1e-9)
    assert free.settled(row).as_dict()["c"] == 0.0
    for held in (Constraints(lower={"c": 8e-7}), Constraints(upper={"a": 0.6 - 5e-7, "b": 0.4})):
        row = np.array([0.6 - 8e-7, 0.4, 8e-7])
        space = Space.build(held, ("a", "b", "c"), None, None)
        assert space.settled(row).as_dict()["c"] == pytest.approx(8e-7)


def test_a_clash_at_a_domain_called_epochs_has_nothing_to_do_with_max_epochs():
    bounds = Constraints(lower={"epochs": 0.5}, upper={"epochs": 0.1})
    with pytest.raises(Infeasible) as caught:
        Space.build(bounds, ["a", "epochs"], None, Scale(n_tokens=10))
    assert caught.value.remedy == "lower the bound"
