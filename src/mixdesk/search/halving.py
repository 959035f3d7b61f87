"""Successive halving: many mixtures in short runs, the better part of them in longer ones.

    n_0 mixtures at the first rung;  the best n_k = n_0 / eta^k of rung k - 1 at rung k, up to the last but the target

n_0 is the largest for which Σ n_k fits the budget's trials and Σ n_k × FLOPs of a run at rung k its FLOPs. A mixture is
only compared with others at its own rung: a short run has another learning rate and sees less data, so its value says
nothing beside that of a longer one.

Reference: halving2016. What we do differently: the number kept does not follow from equal FLOPs per round but from
`eta`; the natural mixture always goes on, as the rival that the recipe is held against; and the answer is the minimum
of a law over the last round, not its best member.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import ClassVar

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import Law, LawFit
from mixdesk.core.scale import Budget
from mixdesk.core.trial import StudyView
from mixdesk.search.design import Design
from mixdesk.search.ladder import n_asked, next_of, proxy_rungs, ranked, recommend_at
from mixdesk.search.terrain import target_space


@dataclass(frozen=True, kw_only=True, slots=True)
class Halving:
    """Successive halving over the rungs before the target; with one such rung, the default design there.

    Args:
        law: asked for the best mixture at the highest rung with d + 2 mixtures or more.
        eta: a rung has this many times the mixtures of the next.
    """

    title: ClassVar[str] = "successive halving over rungs"
    reference: ClassVar[str] = "halving2016"
    eager: ClassVar[bool] = False

    law: Law
    eta: float = 2.0

    def __post_init__(self) -> None:
        put(self, eta=checks.finite("eta", self.eta, 1.0, open_low=True))

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n of the first rung that is not asked in full; none while its trials are out.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        target_space(view)
        return next_of(view, self._rounds(view), n)

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The minimum of a law at the highest rung with enough runs, else the best seen at the highest with any.

        Raises:
            NotEnoughEvidence: no trial has an answer.
            Infeasible: no mixture satisfies the constraints.
        """
        rungs = proxy_rungs(view)[::-1]
        enough = [rung for rung in rungs if view.n_mixtures(rung) >= len(view.domains) + 2]
        some = [rung for rung in rungs if view.n_mixtures(rung)]
        rung = (enough or some or list(rungs))[0]
        found = recommend_at(view, rung, self.law, law)
        return replace(found, why=f"{found.why}; runs of rung `{rung.label}`")

    def sizes(self, view: StudyView) -> list[int]:
        """Trials per rung: n_0 / eta^k rounded down, at least 1; n_0 is the most that the budget pays.

        A budget that counts neither trials nor FLOPs that are known pays 3 (d + 1) at the first rung.
        """
        prices = [rung.flops or 0.0 for rung in proxy_rungs(view)]
        n_most, most = n_asked(view), view.budget.flops if view.budget is not None and any(prices) else None
        if n_most is None and most is None:
            return self._sizes(3 * (len(view.domains) + 1), len(prices))
        found = self._sizes(1, len(prices))
        for first in count(2):
            sizes = self._sizes(first, len(prices))
            flops = sum(n * price for n, price in zip(sizes, prices, strict=True))
            if (n_most is not None and sum(sizes) > n_most) or (most is not None and flops > most):
                return found
            found = sizes
        raise AssertionError("the loop above always returns")

    def _sizes(self, first: int, n_rungs: int) -> list[int]:
        return [max(int(first / self.eta**k), 1) for k in range(n_rungs)]

    def _rounds(self, view: StudyView) -> Iterator[list[Proposal]]:
        rungs, sizes = proxy_rungs(view), self.sizes(view)
        yield Design().proposals(replace(view, budget=Budget(n_trials=sizes[0])))
        for below, rung, size in zip(rungs, rungs[1:], sizes[1:], strict=False):
            order = list(ranked(view, view.at(below.label)))
            words = {mixture: f"{place} of {len(order)} at `{below.label}`" for place, mixture in enumerate(order, 1)}
            order.sort(key=lambda mixture: mixture != view.natural)
            # What failures and rounding have left of the budget goes to the last rung; `next_of` ends where it ends.
            if rung == rungs[-1] and view.budget is not None and (n_asked(view) or view.budget.flops):
                size = len(order)
            yield [Proposal(mixture=each, rung=rung.label, why=words[each]) for each in order[:size]]
