"""A world at two sizes as a study of two rungs, and a loop that answers what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Proposal, complete
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.testing.scales import LARGE, SMALL, TwoScales, two_scales
from mixdesk.testing.worlds import quadratic

# Price of the dear rung in runs of the cheap one.
RATIO = 20.0


def two_rungs(d: int, seed: int, rank: float = 0.9, budget: float = 12.0) -> tuple[TwoScales, StudyView]:
    """A bowl at two sizes and a study that may spend `budget` runs of the dear one."""
    world = quadratic(d, 1, seed, 0.05)
    rungs = tuple(
        Rung(label=label, flops=flops, scale=Scale(n_params=int(size[0]), n_tokens=int(size[1])))
        for label, flops, size in (("small", 1.0 / RATIO, SMALL), ("target", 1.0, LARGE))
    )
    return two_scales(world, seed, rank, bend=0.7), StudyView(
        name="two rungs",
        domains=world.domains,
        objective=Objective(terms=((world.metrics[0].name, 1.0),)),
        constraints=Constraints(),
        rungs=rungs,
        metrics=world.metrics,
        trials=(),
        seed=seed,
        natural=Mixture.of(dict(zip(world.domains, world.natural_d.tolist(), strict=True)), normalise=True),
        budget=Budget(flops=budget),
    )


def play(ask: Callable[[StudyView], Sequence[Proposal]], view: StudyView, sizes: TwoScales | None) -> StudyView:
    """Ask until nothing more is asked; without `sizes` every answer is 1."""
    while proposals := ask(view):
        new = []
        for proposal in proposals:
            spec = complete(proposal, view.rungs)
            world = None if sizes is None else sizes.small if proposal.rung == "small" else sizes.large
            said = {view.metrics[0].name: 1.0} if world is None else world.measure(spec.mixture, spec.replicate)
            point = Point(n_tokens=spec.plan.scale.n_tokens or 1, metrics=tuple(said.items()))
            new.append(Trial(spec=spec, state="done", rung=proposal.rung, why=proposal.why, points=(point,)))
        view = replace(view, trials=view.trials + tuple(new))
    return view
