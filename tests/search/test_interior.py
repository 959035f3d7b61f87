"""The interior-point method: known minima, equalities, and the same answers as SLSQP over many domains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import names, random_law, view_of

from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Floats
from mixdesk.core.project import project_box
from mixdesk.core.space import Constraints, Near
from mixdesk.search import exact
from mixdesk.search.exact import Exact
from mixdesk.search.interior import Task, minimise


def nearest(v: Floats, upper: Floats, rows: Floats, most: Floats, *, is_known: bool = True) -> Task:
    """The mixture nearest to v, its curvature given or to be learned."""
    d = len(v)
    zero = np.zeros(d)
    return Task(
        value=lambda x: float(((x - v) ** 2).sum()),
        slope=(lambda x: zero) if is_known else lambda x: 2.0 * (x - v),
        known_slope=(lambda x: 2.0 * (x - v)) if is_known else lambda x: zero,
        curvature=lambda x, price_k: 2.0 * np.eye(d) * is_known,
        slack=lambda x: most - rows @ x,
        slopes=lambda x: -rows,
        is_known_k=np.zeros(len(rows), dtype=np.bool_),
        lower_x=np.zeros(d),
        upper_x=upper,
        total_x=np.ones(d),
    )


@pytest.mark.parametrize("is_known", [True, False])
def test_the_nearest_mixture_within_bounds(is_known: bool) -> None:
    rng = np.random.default_rng(0)
    v, upper, d = rng.normal(0.1, 0.3, 20), np.full(20, 0.15), 20
    task = nearest(v, upper, np.zeros((0, d)), np.zeros(0), is_known=is_known)
    found = minimise(task, np.full(d, 0.05), np.full(d, 0.05))
    assert found is not None
    assert found == pytest.approx(project_box(v[None], np.zeros(d), upper)[0], abs=1e-6)


def test_a_row_without_slack_holds_as_an_equality_and_one_with_it_binds() -> None:
    rows = np.array([[1.0, 1.0, 0.0, 0.0], [-1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    task = nearest(np.array([0.9, 0.1, 0.5, 0.0]), np.ones(4), rows, np.array([0.4, -0.4, 0.5]))
    found = minimise(task, np.array([0.2, 0.2, 0.3, 0.3]), np.array([0.2, 0.2, 0.3, 0.3]))
    assert found == pytest.approx([0.4, 0.0, 0.5, 0.1], abs=1e-6)


def test_a_middle_that_is_off_limits_is_no_start() -> None:
    task = nearest(np.zeros(3), np.ones(3), np.array([[1.0, 0.0, 0.0]]), np.array([0.2]))
    wrong = replace(task, slack=lambda x: np.array([-1.0]) if x[0] > 0.3 else np.array([0.1]))
    assert minimise(wrong, np.array([0.8, 0.1, 0.1]), np.full(3, 1.0 / 3.0)) is None


CASES = {
    "caps": (Constraints(upper={"d*": 0.05}), (), "mean"),
    "groups": (Constraints(group_upper={"d00*": 0.05}, group_lower={"d01*": 0.3}), (), "mean"),
    "ball": (Constraints(near=Near(weights=dict.fromkeys(names(60), 1.0), nats=0.02)), (), "mean"),
    "tied": (Constraints(group_upper={"d00*": 0.2}, group_lower={"d00*": 0.2}, upper={"d010": 0.0}), (), "mean"),
    "guard": (Constraints(), (Guard(metric="m1", than="natural", slack=-0.0),), "mean"),
    "worst": (Constraints(upper={"d*": 0.2}), (), "worst"),
}


@pytest.mark.parametrize("kind", CASES)
def test_it_finds_what_slsqp_finds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constraints, guards, reduce = CASES[kind]
    law = random_law(60, 6)
    rng = np.random.default_rng(1)
    natural = rng.dirichlet(np.full(60, 5.0))
    view = view_of(60, rng.dirichlet(60.0 * natural, size=90), law=law, natural=natural, constraints=constraints)
    view = replace(view, objective=Objective(terms={"m*": 1.0}, reduce=reduce, guards=guards))
    slsqp = Exact(kl=0.05).recommend(view, law)
    monkeypatch.setattr(exact, "MANY", 50)
    monkeypatch.setattr(exact, "minimize", None)
    interior = Exact(kl=0.05).recommend(view, law)
    assert "could not verify" not in interior.why
    assert np.array(interior.mixture.weights) == pytest.approx(np.array(slsqp.mixture.weights), abs=2e-4)
    assert interior.binding == slsqp.binding


@pytest.mark.slow
def test_a_thousand_domains_are_solved_and_verified() -> None:
    law = random_law(1000, 20)
    rng = np.random.default_rng(1)
    natural = rng.dirichlet(np.ones(1000))
    caps = {name: 2.0 * float(w) for name, w in zip(names(1000), natural, strict=True)}
    limits = Constraints(upper=caps, group_upper={"d0*": 1.1 * float(natural[:100].sum())})
    view = view_of(1000, rng.dirichlet(100.0 * natural, size=200), law=law, natural=natural, constraints=limits)
    found = Exact().recommend(view, law)
    assert "could not verify" not in found.why
    assert len(found.binding) > 10
