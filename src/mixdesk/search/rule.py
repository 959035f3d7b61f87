"""One mixture by formula, and runs of it: the baselines that a search has to beat.

    natural       w = tokens ÷ all tokens
    uniform       w = 1 / D
    temperature   w ∝ natural^(1/T)
    unimax        w = min(E · tokens ÷ run, u), as even as E epochs of the target's run allow

Reference: unimax. What we do differently: a formula that leaves the constraints is moved to the nearest allowed
mixture, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.plan import FIRST_FRESH_REPLICATE, Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.rules import tempered, unimax
from mixdesk.core.trial import StudyView
from mixdesk.search.design import n_planned
from mixdesk.search.terrain import target_space

RULES = ("natural", "uniform", "temperature", "unimax")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The mixture of a formula, as many replicates as the budget allows.

    Args:
        rule: natural, uniform, temperature or unimax.
        temperature: T of the rule temperature.
        max_epochs: E of the rule unimax.
    """

    title: ClassVar[str] = "one mixture by formula: natural, uniform, temperature or UniMax"
    reference: ClassVar[str] = "unimax"
    eager: ClassVar[bool] = True
    needs_law: ClassVar[bool] = False

    rule: str = "natural"
    temperature: float = 2.0
    max_epochs: float = 4.0

    def __post_init__(self) -> None:
        checks.one_of("rule", self.rule, RULES)
        put(
            self,
            temperature=checks.finite("temperature", self.temperature, 0.0, open_low=True),
            max_epochs=checks.finite("max_epochs", self.max_epochs, 0.0, open_low=True),
        )

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n replicates of the mixture that the first rung does not have yet, within the budget.

        Raises:
            InputError: the formula needs token counts that are unknown.
            Infeasible: no mixture satisfies the constraints, or the epochs of unimax are shorter than the run.
        """
        answer = self.recommend(view, None)
        done = {trial.spec.replicate for trial in view.at() if trial.spec.mixture == answer.mixture}
        left = [r for r in range(min(n_planned(view), FIRST_FRESH_REPLICATE)) if r not in done]
        n = min(n, n_planned(view) - len(view.at()))
        label = view.rungs[0].label
        asked = [Proposal(mixture=answer.mixture, rung=label, replicate=r, why=answer.why) for r in left[: max(n, 0)]]
        return view.affordable(asked)

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The mixture; neither answers nor law are looked at.

        Raises:
            InputError, Infeasible: as in `ask`.
        """
        space = target_space(view)
        wanted, why = self._formula(view)
        if space.contains(wanted)[0]:
            mixture = Mixture.of(dict(zip(view.domains, wanted.tolist(), strict=True)), normalise=True)
        else:
            mixture = space.mixture(space.project(wanted)[0])
            why += ", moved to the nearest mixture that the constraints allow"
        return Recommendation(mixture=mixture, binding=space.binding(mixture), why=why)

    def _formula(self, view: StudyView) -> tuple[Floats, str]:
        """Weights of the formula, (d,), and its words."""
        d = len(view.domains)
        if self.rule == "uniform":
            return np.full(d, 1.0 / d), "uniform mixture"
        if self.rule == "unimax":
            tokens = {} if view.corpus is None else {one.name: one.n_tokens for one in view.corpus.domains}
            run = view.target.n_tokens
            known = [tokens.get(name) for name in view.domains]
            if run is None or not all(known):
                raise InputError(
                    "unimax needs token counts",
                    value="no tokens of the target run" if run is None else "a domain without tokens",
                    bound="n_tokens > 0 of every domain and of the target",
                    remedy="give token counts, or name another rule",
                )
            tokens_d = np.array(known, dtype=np.float64)
            return unimax(tokens_d, run, self.max_epochs), f"UniMax, at most {self.max_epochs:g} epochs"
        if view.natural is None:
            raise InputError(
                f"the rule {self.rule} needs the natural mixture",
                value="unknown",
                bound="n_tokens > 0 per domain",
                remedy="give token counts, or the rule `uniform`",
            )
        natural_d = np.array(view.natural.over(view.domains))
        if self.rule == "natural":
            return natural_d, "natural mixture"
        return tempered(natural_d, self.temperature), f"natural mixture at temperature {self.temperature:g}"
