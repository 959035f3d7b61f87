"""Merging: one training per domain, then any number of mixtures for the price of their evaluation.

    theta(lambda) = Σ lambda_p theta_p    stands for a run on    w = Σ lambda_p w_p,    w_p the mixture of part p

1. A base on the natural mixture, where parts have a rung of their own; they then go on from one place.
2. A part per domain: the allowed mixture nearest to that domain alone.
3. Merges: design mixtures, each as the average of parts that makes it (weights lambda ≥ 0 by least squares; a mixture
   between no parts is moved to the nearest that is).
4. Trainings from the start: natural, then the mixtures whose merges are best, then the rest of the design.

Ranks of merges are evidence, their values are not (mostly too high, most so far from any part). So merges choose what
is trained, and the answer comes from trainings alone; `agreement` says how far the two orders agree.

Reference: ablationmerging. What we do differently: weights on the simplex in place of subsets; merges only screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.optimize import nnls
from scipy.stats import spearmanr

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, put
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import SAME, Design
from mixdesk.search.ladder import (
    asking_space,
    general_mixture,
    n_asked,
    next_of,
    proxy_rungs,
    ranked,
    recommend_at,
    trial_of,
)
from mixdesk.search.terrain import target_space

# Merges: this part of the trials that base and parts leave; without a limit of trials, so many per domain.
SCREENED, PER_DOMAIN = 0.5, 4
# A part with less of a merge than this is left out of it.
LEAST_SHARE = 1e-9
# Mixtures by merge and by training from which on their orders are compared.
FEW_PAIRS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How merges order mixtures against trainings: Spearman `rank` correlation of the objective, over `n` mixtures.

    `rank` is NaN below three mixtures, or where one order is flat.
    """

    rank: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Screen mixtures by merging one model per domain, train the best; the trainer must keep its models.

    Args:
        law: asked for the best mixture from d + 2 trained mixtures on.
        rung: label of the rung of trainings; default: the last before the target.
        part_rung: label of the rung of base, parts and merges; default: the first. Where it is that of the trainings
            there is no base: parts start from the initial weights, and merges rank worse. Parts of a rung of their own
            are also no extremes that the law would have to follow.
    """

    title: ClassVar[str] = "screen by merging one model per domain, train the best"
    reference: ClassVar[str] = "ablationmerging"
    eager: ClassVar[bool] = False

    law: Law
    rung: str = ""
    part_rung: str = ""

    def __post_init__(self) -> None:
        for name in ("rung", "part_rung"):
            if getattr(self, name):
                put(self, **{name: checks.label(name, getattr(self, name))})

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n of base, parts, merges or trainings; none while those before them are out.

        Raises:
            InputError: an option names a rung that the study does not have.
            Infeasible: no mixture satisfies the constraints.
        """
        target_space(view)
        return next_of(view, self._rounds(view), n)

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The minimum of a law over the trained mixtures, or the best of them where they are few.

        Raises:
            NotEnoughEvidence: no training of the rung has an answer.
            Infeasible: no mixture satisfies the constraints.
        """
        _, rung = self.rungs(view)
        found = recommend_at(view, rung, self.law, law)
        agreed = agreement(view, rung.label)
        words = f"; merges order {agreed.n} trained mixtures with a rank correlation of {agreed.rank:.2f}"
        return replace(found, why=found.why + (words if np.isfinite(agreed.rank) else "; merges were not judged"))

    def rungs(self, view: StudyView) -> tuple[Rung, Rung]:
        """The rung of base, parts and merges, and that of trainings."""
        proxies = proxy_rungs(view)
        part_rung = view.rung(self.part_rung) if self.part_rung else proxies[0]
        return part_rung, view.rung(self.rung) if self.rung else proxies[-1]

    def _rounds(self, view: StudyView) -> Iterator[list[Proposal]]:
        part_rung, rung = self.rungs(view)
        space, designed = asking_space(view), self._designed(view)
        start: Pairs = ()
        n_before = 0
        if part_rung != rung:
            mixture = general_mixture(view, space)
            base = Proposal(mixture=mixture, rung=part_rung.label, why="base that the parts start from")
            yield [base]
            trial = trial_of(view, base)
            n_before += 1
            # Without its base the study goes on from the initial weights.
            start = ((trial.id, 1.0),) if trial is not None and trial.state == "done" else ()

        corners = space.project(np.eye(len(view.domains)))
        parts = {space.mixture(row): name for name, row in zip(view.domains, corners, strict=True)}
        asked = [
            Proposal(mixture=mixture, rung=part_rung.label, parents=start, why=f"part for merging: `{name}`")
            for mixture, name in parts.items()
        ]
        yield asked
        trials = [trial_of(view, proposal) for proposal in asked]
        done = {trial.id: trial.spec.mixture for trial in trials if trial is not None and trial.state == "done"}
        limit = n_asked(view)
        n_merges = PER_DOMAIN * len(view.domains)
        n_merges = n_merges if limit is None else max(round(SCREENED * (limit - n_before - len(asked))), 0)
        merges = merges_of(space, designed, done, part_rung.label)[:n_merges]
        yield merges

        values = ranked(view, [trial for merge in merges if (trial := trial_of(view, merge)) is not None])
        words = {mixture: f"{place} of {len(values)} by merging" for place, mixture in enumerate(values, 1)}
        order = [*([view.natural] if view.natural in designed else []), *values, *designed]
        yield [
            Proposal(mixture=mixture, rung=rung.label, why=words.get(mixture, "design, not merged"))
            for mixture in dict.fromkeys(order)
        ]

    def _designed(self, view: StudyView) -> list[Mixture]:
        """The design's mixtures without repeats, as many as the budget has trials."""
        n = n_asked(view) or 2 * PER_DOMAIN * len(view.domains)
        design = Design(n_replicates=1).proposals(replace(view, budget=Budget(n_trials=n)))
        return [proposal.mixture for proposal in design]


def merges_of(space: Space, mixtures: list[Mixture], parts: dict[str, Mixture], rung: str) -> list[Proposal]:
    """Merges that stand for the mixtures, or for the nearest that the parts (trial id → mixture) can make.

    Each is asked once, alone parts not at all, and none that the space does not allow.
    """
    found: dict[Mixture, Proposal] = {}
    if len(parts) < 2:
        return []
    P_pd = np.array([mixture.over(space.domains) for mixture in parts.values()])
    for mixture in mixtures:
        wanted = np.array(mixture.over(space.domains))
        # Least squares keeps the sum only where it can reach the mixture: a heavy row of ones keeps it everywhere.
        share_p, _ = nnls(np.vstack([P_pd.T, 1e3 * np.ones(len(parts))]), np.append(wanted, 1e3))
        share_p = np.where(share_p < LEAST_SHARE, 0.0, share_p) / share_p[share_p >= LEAST_SHARE].sum()
        made = share_p @ P_pd
        exact = float(np.abs(made - wanted).max()) <= SAME
        stands = mixture if exact else space.mixture(made)
        if (share_p > 0.0).sum() > 1 and space.contains(made)[0] and stands not in found:
            shares = {name: share for name, share in zip(parts, share_p.tolist(), strict=True) if share > 0.0}
            found[stands] = Proposal(
                mixture=stands,
                rung=rung,
                method="merge",
                parents=tuple(shares.items()),
                why="screened by merging" if exact else "nearest mixture that the parts can make, by merging",
            )
    return list(found.values())


def agreement(view: StudyView, rung: str | None = None) -> Agreement:
    """Objective of merges against trainings at a rung (None: the last before the target), over what has both."""
    merged = ranked(view, [trial for trial in view.trials if trial.spec.method == "merge"])
    trained = ranked(view, view.at(rung or proxy_rungs(view)[-1].label))
    both = [mixture for mixture in merged if mixture in trained]
    pairs = np.array([[merged[mixture], trained[mixture]] for mixture in both]).reshape(-1, 2)
    if len(both) < FEW_PAIRS or not np.ptp(pairs, axis=0).all():
        return Agreement(rank=float("nan"), n=len(both))
    return Agreement(rank=float(spearmanr(*pairs.T).statistic), n=len(both))
