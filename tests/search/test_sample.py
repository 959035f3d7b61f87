"""Hit-and-run: allowed, quick at a hundred domains, and uniform where that is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mixdesk.core.space import Constraints, Near, Rule, Space
from mixdesk.search.feasible import settle
from mixdesk.search.sample import hit_and_run

MANY = tuple(f"d{i:03d}" for i in range(100))
FEW = tuple("abcd")


def drawn(constraints: Constraints, domains: tuple[str, ...], n: int) -> np.ndarray:
    return hit_and_run(settle(Space.build(constraints, domains)), n, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits",
    [
        Constraints(upper={"d*": 0.012}),
        Constraints(
            upper={"d*": 0.02},
            group_lower={"d00*": 0.11},
            group_upper={"d01*": 0.08, "d02*": 0.09},
            rules=(Rule(name="r", terms={"d03*": 2.0, "d04*": -1.0}, most=0.05),),
        ),
        Constraints(upper={"d*": 0.02}, near=Near(weights=dict.fromkeys(MANY, 1.0), nats=0.05)),
        Constraints(upper={"d*": 0.05}, group_lower={"d00*": 0.11}, group_upper={"d00*": 0.11}),
    ],
)
def test_a_hundred_domains_under_tight_limits(limits: Constraints) -> None:
    space = settle(Space.build(limits, MANY))
    start = time.process_time()
    rows = hit_and_run(space, 10_000, np.random.default_rng(0))
    # Two seconds is the bound where it was measured; a machine under load gets three times that.
    assert time.process_time() - start < 6.0
    assert rows.shape == (10_000, 100)
    assert space.contains(rows, 1e-9).all()
    # No weight stands still, and chains that began apart agree.
    assert rows.std(axis=0).min() > 1e-3
    half = rows[:1000].mean(axis=0) - rows[1000:2000].mean(axis=0)
    assert np.abs(half / rows.std(axis=0)).max() < 5.0 * np.sqrt(2.0 / 1000.0)


@pytest.mark.parametrize(
    ("limits", "is_kept"),
    [
        (Constraints(upper={"a": 0.4}), lambda w: w[:, 0] <= 0.4),
        (Constraints(group_upper={"[ab]": 0.3}), lambda w: w[:, :2].sum(1) <= 0.3),
        (
            Constraints(rules=(Rule(name="r", terms={"a": 1.0, "b": -2.0}, most=0.0),)),
            lambda w: w[:, 0] <= 2.0 * w[:, 1],
        ),
        (
            Constraints(near=Near(weights=dict.fromkeys("abcd", 1.0), nats=0.3)),
            lambda w: (w * np.log(4.0 * w)).sum(1) <= 0.3,
        ),
    ],
)
def test_it_is_uniform_as_rejection_is(limits: Constraints, is_kept) -> None:
    plain = np.random.default_rng(1).dirichlet(np.ones(4), size=200_000)
    plain = plain[is_kept(plain)][:8_000]
    rows = drawn(limits, FEW, 8_000)
    for column, other in zip(rows.T, plain.T, strict=True):
        quantiles = np.linspace(0.05, 0.95, 10)
        assert np.quantile(column, quantiles) == pytest.approx(np.quantile(other, quantiles), abs=0.02)


def test_a_tied_rule_that_no_pair_keeps_is_walked_along() -> None:
    terms = {"a": 1.0, "b": -2.0, "c": 0.5}
    ties = tuple(Rule(name=f"tie {s}", terms={k: s * c for k, c in terms.items()}, most=0.0) for s in (1.0, -1.0))
    rows = drawn(Constraints(rules=ties), FEW, 500)
    assert np.abs(rows @ [1.0, -2.0, 0.5, 0.0]).max() < 1e-9
    assert rows.std(axis=0).min() > 0.02


def test_a_single_mixture_and_a_single_domain_are_found() -> None:
    assert drawn(Constraints(group_upper={"[ab]": 0.0}, upper={"c": 0.0}), FEW, 3) == pytest.approx(
        np.tile([0.0, 0.0, 0.0, 1.0], (3, 1)), abs=1e-12
    )
    assert drawn(Constraints(group_lower={"a": 0.5}), ("a",), 2).tolist() == [[1.0], [1.0]]
