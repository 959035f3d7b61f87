"""Studies of worlds with quality bins, for the tests of QuaDMix's search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Prediction
from mixdesk.core.plan import complete
from mixdesk.core.protocols import Law, Strategy
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.testing.worlds import World

MEAN = Objective(terms={"*": 1.0})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Truth:
    """The world itself as a fit."""

    world: World

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        mean = self.world.value(inputs.over(self.world.domains))
        names = tuple(metric.name for metric in self.world.metrics)
        return Prediction(metrics=names, mean_qm=mean, low_qm=mean, high_qm=mean)

    def browser(self) -> dict[str, Any]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


def view_on(world: World, n_trials: int = 60, **more: Any) -> StudyView:
    """A study of the world before its first trial."""
    settings: dict[str, Any] = {
        "name": "study",
        "domains": world.domains,
        "objective": MEAN,
        "constraints": Constraints(),
        "rungs": (Rung(label="proxy", scale=Scale(n_tokens=1000)), Rung(label="target", scale=Scale(n_tokens=10_000))),
        "metrics": world.metrics,
        "trials": (),
        "corpus": world.corpus,
        "natural": Mixture.natural(world.corpus),
        "budget": Budget(n_trials=n_trials),
    }
    return StudyView(**{**settings, **more})


def answered(strategy: Strategy, view: StudyView, world: World) -> StudyView:
    """The view after all that the strategy asks was run."""
    trials = []
    for proposal in strategy.ask(view, 1000):
        spec = complete(proposal, view.rungs, world.corpus.fingerprint)
        metrics = tuple(world.measure(spec.mixture, spec.replicate).items())
        point = Point(n_tokens=1000, metrics=metrics)
        trials.append(Trial(spec=spec, state="done", rung=proposal.rung, why=proposal.why, points=(point,)))
    return replace(view, trials=view.trials + tuple(trials))


def regret(strategy: Strategy, world: World, best: float, law: Law | None = None) -> float:
    """How much worse than the world's optimum what the strategy recommends is; without a law it is told the truth."""
    view = answered(strategy, view_on(world), world)
    fit = Truth(world=world) if law is None else law.fit(view.observations())
    found: Floats = np.array([strategy.recommend(view, fit).mixture.over(world.domains)])
    return float(MEAN.value(world.value(found), world.metrics)[0]) - best


def optimum(world: World) -> float:
    """Value of the best mixture of the world: losses are convex, so one start will do."""
    found = minimize(
        lambda w: float(MEAN.value(world.value(w), world.metrics)[0]),
        world.natural_d,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(world.domains),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return float(found.fun)
