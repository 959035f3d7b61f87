"""Studies of synthetic worlds as frozen views, without a record: quick enough for many seeds."""

from __future__ import annotations

import dataclasses

import numpy as np

from mixdesk.core.mixture import Stage
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.recipe import Recipe
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.laws import score
from mixdesk.laws.exponential import Exponential
from mixdesk.recipe.compose import compose
from mixdesk.search.exact import Exact
from mixdesk.testing.worlds import World

RUNGS = (Rung(label="proxy", scale=Scale(n_tokens=1_000_000)), Rung(label="target", scale=Scale(n_tokens=4_000_000)))
MEAN = Objective(terms=(("*", 1.0),))


def empty_view(world: World, n_trials: int, seed: int = 0, objective: Objective = MEAN) -> StudyView:
    from mixdesk.core.mixture import Mixture

    return StudyView(
        name=world.name,
        domains=world.domains,
        objective=objective,
        constraints=Constraints(),
        rungs=RUNGS,
        metrics=world.metrics,
        trials=(),
        seed=seed,
        corpus=world.corpus,
        natural=Mixture.natural(world.corpus),
        budget=Budget(n_trials=n_trials),
    )


def answered(view: StudyView, world: World, proposals: list[Proposal]) -> StudyView:
    trials = []
    for proposal in proposals:
        spec = complete(proposal, view.rungs)
        metrics = world.measure(proposal.mixture, proposal.replicate)
        point = Point(n_tokens=spec.plan.scale.n_tokens or 1, metrics=tuple(metrics.items()))
        trials.append(Trial(spec=spec, state="done", rung=proposal.rung, why=proposal.why, points=(point,)))
    return dataclasses.replace(view, trials=view.trials + tuple(trials))


def studied(world: World, n_trials: int = 64, seed: int = 0, objective: Objective = MEAN) -> StudyView:
    view = empty_view(world, n_trials, seed, objective)
    return answered(view, world, Exact().ask(view, n_trials))


def shuffled(view: StudyView, seed: int) -> StudyView:
    """The same answers with the mixtures dealt out anew; the runs of one mixture stay together."""
    mixtures = list(dict.fromkeys(trial.spec.mixture for trial in view.trials))
    order = np.random.default_rng(seed).permutation(len(mixtures))
    new = {mixture: mixtures[j] for mixture, j in zip(mixtures, order, strict=True)}
    trials = []
    for trial in view.trials:
        proposal = Proposal(mixture=new[trial.spec.mixture], rung=trial.rung, replicate=trial.spec.replicate)
        trials.append(dataclasses.replace(trial, spec=complete(proposal, view.rungs)))
    return dataclasses.replace(view, trials=tuple(trials))


def made(
    view: StudyView, strategy: Exact | None = None, law: Exponential | None = None, before: Stage | None = None
) -> Recipe:
    strategy, law = strategy or Exact(), law or Exponential()
    obs = view.observations()
    fit = law.fit(obs)
    rows = score.out_of_fold(law, obs, view.objective)
    recommendation = dataclasses.replace(strategy.recommend(view, fit), before=before)
    return compose(
        view,
        fit,
        recommendation,
        score.scores("exponential", rows),
        law="exponential",
        strategy="exact",
        version="test",
    )
