"""What each verdict looks like: the first screen of the desk, of small worlds with the verdict that judges them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from desk_worlds import VARIANTS

from mixdesk.core.objective import Comparison
from mixdesk.core.recipe import Recipe
from mixdesk.core.trial import StudyView
from mixdesk.recipe.judge import judge, while_running
from mixdesk.report import first
from mixdesk.report.figures import Answer

FOLDER = Path(__file__).parent / "verdicts"


def of(name: str, change: Callable[[Recipe], Recipe] = lambda recipe: recipe) -> tuple[StudyView, Answer]:
    """A world's answer with the verdict that its changed recipe earns."""
    view, answers = VARIANTS[name]()
    recipe = answers[0].recipe
    facts = recipe.provenance
    mine = tuple(row for row in facts.scores if row.law == facts.law)
    recipe = change(replace(recipe, provenance=replace(facts, scores=mine)))
    return view, replace(answers[0], recipe=replace(recipe, verdict=judge(recipe)))


def trained(recipe: Recipe, change: Callable[[Comparison], Comparison]) -> Recipe:
    """The recipe with its trained comparisons changed."""
    return replace(recipe, comparisons=tuple(change(c) if c.basis == "trained" else c for c in recipe.comparisons))


def reversed_(found: Comparison) -> Comparison:
    verdict = {"better": "worse", "worse": "better"}.get(found.verdict, found.verdict)
    return replace(found, difference=-found.difference, low=-found.high, high=-found.low, verdict=verdict)


def lost_in_noise(found: Comparison) -> Comparison:
    half = 1.2 * abs(found.difference)
    return replace(found, low=found.difference - half, high=found.difference + half, verdict="no different")


def running() -> tuple[StudyView, Answer]:
    view, found = of("predicted")
    return view, replace(found, recipe=replace(found.recipe, verdict=while_running(found.recipe.verdict, 17, 40)))


# Verdict → the world that earns it, and name and state it must have.
EARNED = {
    "confirmed": (lambda: of("confirmed"), ("better", "confirmed")),
    "likely": (lambda: of("predicted"), ("better", "predicted")),
    "contradicted": (lambda: of("confirmed", lambda r: trained(r, reversed_)), ("worse", "contradicted")),
    "worse than a rival": (lambda: of("no_different"), ("worse", "confirmed")),
    "no better than a rival": (
        lambda: of("confirmed", lambda r: trained(r, lost_in_noise)),
        ("no different", "confirmed"),
    ),
    "refused": (lambda: of("too_weak"), ("too weak", "predicted")),
    "running": (running, ("better", "running")),
}


@pytest.mark.parametrize("name", EARNED)
def test_the_first_screen_of_each_verdict(name: str) -> None:
    make, (verdict, state) = EARNED[name]
    view, found = make()
    assert (found.recipe.verdict.name, found.recipe.verdict.state) == (verdict, state)
    assert all(math.isfinite(c.difference) for c in found.recipe.comparisons)
    made = first.section(view, found, {}).replace("><", ">\n<") + "\n"
    assert made == (FOLDER / f"{name.replace(' ', '-')}.html").read_text(encoding="utf-8")
