"""Projection on a space is what it says, what comes out of it is allowed, and a refusal's advice, followed, works."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from limits_as_written import cut_constraints, misses

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible
from mixdesk.core.mixture import Mixture
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.search.feasible import settle
from mixdesk.search.sample import hit_and_run

shares = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8)


def names(d: int) -> tuple[str, ...]:
    return tuple(f"d{i}" for i in range(d))


def corpus_of(tokens: list[int]) -> Corpus:
    domains = tuple(Domain(name=n, n_tokens=t) for n, t in zip(names(len(tokens)), tokens, strict=True))
    return Corpus(name="c", tokenizer=Tokenizer(name="bytes", vocab_size=256, sha256=""), domains=domains)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A space with bounds around a random mixture, so that it is never empty."""
    inside = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8)))
    inside /= inside.sum()
    room = draw(st.lists(st.floats(0.0, 0.5), min_size=2 * len(inside), max_size=2 * len(inside)))
    lower = np.maximum(inside - room[: len(inside)], 0.0)
    upper = np.minimum(inside + room[len(inside) :], 1.0)
    domains = names(len(inside))
    return Space.build(
        Constraints(lower=dict(zip(domains, lower, strict=True)), upper=dict(zip(domains, upper, strict=True))), domains
    )


@given(space=spaces(), seed=st.integers(0, 1000))
def test_projection_is_allowed_idempotent_and_nearest(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(4, len(space.domains)))
    near = space.project(W)
    assert space.contains(near, 1e-9).all()
    assert np.abs(near.sum(1) - 1.0).max() < 1e-12
    assert np.abs(space.project(near) - near).max() < 1e-9
    other = space.project(rng.normal(size=(50, len(space.domains))))
    closest = np.linalg.norm(W - near, axis=1)
    rival = np.linalg.norm(W[:, None] - other[None], axis=2).min(1)
    assert (closest <= rival + 1e-7).all()


@given(space=spaces(), seed=st.integers(0, 1000))
def test_a_mixture_of_the_space_survives_and_touches_its_vertex(space: Space, seed: int) -> None:
    vertex = space.project(100.0 * np.random.default_rng(seed).normal(size=len(space.domains)))[0]
    mixture = space.mixture(vertex)
    assert np.array(mixture.over(space.domains)) == pytest.approx(vertex, abs=1e-11)
    touched = space.binding(mixture)
    held = [why for why, gap in zip(space.why_lower, vertex - space.lower_d, strict=True) if why and gap < 5e-5]
    held += [why for why, gap in zip(space.why_upper, space.upper_d - vertex, strict=True) if why and gap < 5e-5]
    assert set(held) <= set(touched)


@given(upper=shares)
def test_raising_upper_bounds_as_told_is_enough_and_less_is_not(upper: list[float]) -> None:
    assume(sum(upper) < 0.999 and len(upper) >= 2)
    domains = names(len(upper))

    def build(more: float) -> Space:
        each = more / len(upper)
        return Space.build(
            Constraints(upper={n: min(u + each, 1.0) for n, u in zip(domains, upper, strict=True)}), domains
        )

    with pytest.raises(Infeasible, match="upper bounds leave part of the run without data") as told:
        build(0.0)
    assert all(f"{n} ≤" in str(told.value.value) or len(str(told.value.value)) > 200 for n in domains)
    relaxation = float(re.findall(r"raise upper bounds by (\S+) in all", told.value.remedy)[0])
    build(relaxation)
    with pytest.raises(Infeasible):
        build(0.998 * relaxation)


@given(lower=shares)
def test_lowering_lower_bounds_as_told_is_enough(lower: list[float]) -> None:
    assume(sum(lower) > 1.001)
    domains = names(len(lower))
    with pytest.raises(Infeasible, match="take more than the whole run") as told:
        Space.build(Constraints(lower=dict(zip(domains, lower, strict=True))), domains)
    relaxation = float(re.findall(r"lower them by (\S+) in all", told.value.remedy)[0])
    assert sum(lower) - 1.0 - 1e-12 <= relaxation <= (sum(lower) - 1.0) * 1.002  # the sum itself is rounded
    scaled = [low * (1.0 - relaxation / sum(lower)) for low in lower]
    Space.build(Constraints(lower=dict(zip(domains, scaled, strict=True))), domains)


@given(
    tokens=st.lists(st.integers(1, 10**6), min_size=2, max_size=8),
    epochs=st.floats(0.01, 10.0),
    run=st.integers(10**3, 10**9),
)
def test_raising_max_epochs_as_told_is_enough_and_less_is_not(tokens: list[int], epochs: float, run: int) -> None:
    assume(epochs * sum(tokens) < 0.999 * run)
    corpus = corpus_of(tokens)

    def build(max_epochs: float) -> Space:
        return Space.build(Constraints(max_epochs=max_epochs), corpus.names, corpus, Scale(n_tokens=run))

    with pytest.raises(Infeasible, match="leave part of the run without data") as told:
        build(epochs)
    advice = float(re.findall(r"raise max_epochs to (\S+),", told.value.remedy)[0])
    space = build(advice)
    assert space.upper_d.sum() >= 1.0 - 1e-9
    with pytest.raises(Infeasible):
        build(0.998 * advice)


@given(low=st.floats(0.05, 0.95), share=st.floats(0.01, 0.9))
def test_a_lower_bound_over_an_epoch_cap_names_both_and_the_way_out(low: float, share: float) -> None:
    run, tokens = 1_000_000, [max(int(1_000_000 * low * share), 1), 1_000_000]
    corpus = corpus_of(tokens)
    with pytest.raises(Infeasible, match="`d0` may be at most") as told:
        Space.build(Constraints(lower={"d0": low}, max_epochs=1.0), corpus.names, corpus, Scale(n_tokens=run))
    assert "epoch" in told.value.wrong
    advice = float(re.findall(r"raise max_epochs to (\S+) or", told.value.remedy)[0])
    Space.build(Constraints(lower={"d0": low}, max_epochs=advice), corpus.names, corpus, Scale(n_tokens=run))


@given(weights=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30))
def test_a_mixture_is_sorted_sums_to_one_and_is_nearest_to_itself(weights: list[float]) -> None:
    assume(sum(weights) > 1e-6)
    given_weights = {f"d{i * 7919 % 101}": w for i, w in enumerate(weights)}
    assume(sum(given_weights.values()) > 1e-6)
    mixture = Mixture.of(given_weights, normalise=True)
    assert list(mixture.domains) == sorted(mixture.domains)
    assert sum(mixture.weights) == pytest.approx(1.0, abs=1e-12)
    assert mixture == Mixture.of(dict(reversed(given_weights.items())), normalise=True)
    assert mixture.kl(mixture) == 0.0
    assert mixture.kl(Mixture.uniform(mixture.domains)) >= 0.0
    space = Space.build(Constraints(), mixture.domains)
    assert space.project(np.array(mixture.weights))[0] == pytest.approx(np.array(mixture.weights), abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(asked=cut_constraints(), seed=st.integers(0, 1000))
def test_what_a_space_returns_keeps_the_constraints_as_written(
    asked: tuple[Constraints, tuple[str, ...]], seed: int
) -> None:
    constraints, domains = asked
    rng = np.random.default_rng(seed)
    try:
        space = settle(Space.build(constraints, domains))
    except Infeasible:
        # Refused for a reason: no mixture of many tried is allowed.
        tried = rng.dirichlet(np.full(len(domains), rng.choice([0.3, 1.0, 5.0])), size=300)
        given_ones = [np.array(one.over(domains)) for one in constraints.pool]
        for row in [*tried, *given_ones]:
            mixture = Mixture.of(dict(zip(domains, row.tolist(), strict=True)), normalise=True)
            assert misses(constraints, domains, mixture) > 0.0
        return
    drawn = hit_and_run(space, 20, rng)
    moved = space.project(
        np.vstack([rng.dirichlet(np.ones(len(domains)), size=10), 5.0 * rng.normal(size=(5, len(domains)))])
    )
    for row in np.vstack([drawn, moved]):
        assert misses(constraints, domains, space.mixture(row)) <= 1e-9
    assert space.contains(np.vstack([drawn, moved])).all()
    again = space.project(moved)
    assert np.abs(again - moved).max() < 1e-7


@settings(deadline=None, max_examples=100)
@given(asked=cut_constraints())
def test_a_refusal_of_rules_names_a_clash_and_its_relaxation_works(asked: tuple[Constraints, tuple[str, ...]]) -> None:
    constraints, domains = asked
    constraints = replace(constraints, near=None, pool=())
    try:
        settle(Space.build(constraints, domains))
        return
    except Infeasible as error:
        told = error
    assume(told.wrong.startswith("no mixture satisfies all of"))
    clash = re.findall(r"`([^`]+)`", told.wrong)
    loosened = dict(re.findall(r"`([^`]+)` by (\S+?)(?= and|$)", told.remedy))
    assert set(loosened) <= set(clash)

    def follow(share: float) -> Constraints:
        def by(why: str) -> float:
            return share * float(loosened.get(why, 0.0))

        rules = tuple(replace(r, most=r.most + by(f"{r.name} ≤ {r.most:g}")) for r in constraints.rules)
        sums = {
            side: {p: min(max(v + sign * by(f"sum of {p} {relation} {v:g}"), 0.0), 1.0) for p, v in bounds}
            for side, sign, relation, bounds in (
                ("group_lower", -1.0, "≥", constraints.group_lower),
                ("group_upper", 1.0, "≤", constraints.group_upper),
            )
        }
        box = Space.build(replace(constraints, rules=(), group_lower=(), group_upper=()), domains)
        lower = {n: max(v - by(w), 0.0) for n, v, w in zip(domains, box.lower_d, box.why_lower, strict=True)}
        upper = {n: min(v + by(w), 1.0) for n, v, w in zip(domains, box.upper_d, box.why_upper, strict=True)}
        return Constraints(lower=lower, upper=upper, rules=rules, **sums)

    settle(Space.build(follow(1.0), domains))
    # A hundredth of a smaller clash is below the tolerance of 1e-9.
    assume(max(map(float, loosened.values())) > 1e-6)
    with pytest.raises(Infeasible):
        settle(Space.build(follow(0.99), domains))
