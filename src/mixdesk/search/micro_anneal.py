"""Micro-anneals: what a domain adds to a short last stage, measured from one common base.

    base on the general mixture;  from it, runs of the anneal rung, each with its learning rate down to zero:
    control   the general mixture
    single    half general, half one domain                      one per domain
    blends    general and the winners (singles that beat the control), in several shares
    repeats   the best of these in two more data orders, and the average of the three: a soup

The control is always run: a falling learning rate alone gains, and only what is better than it is worth its data. The
general mixture is the natural one. A soup is kept where its objective is not worse than that of its best member.
The answer is a run in two stages: the general mixture, then the best anneal's for the share of the tokens that an
anneal had of its own tokens and its base's.

Reference: olmo2. What we do differently: shares are exact, the control is a trial like the others, and the base is a
trial of the same study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core.checks import Pairs
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture, Stage
from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView, Trial
from mixdesk.search.design import SAME
from mixdesk.search.ladder import (
    asking_space,
    general_mixture,
    n_asked,
    next_of,
    proxy_rungs,
    ranked,
    trial_of,
    values,
)
from mixdesk.search.terrain import target_space

# What an anneal has of the domain that it tries; and of the winners, in turn.
SINGLE, SHARES = 0.5, (0.5, 0.25, 0.75)
# Bases that are tried before the study gives up: one that diverged may do so by its replicate.
N_BASES = 3
# Runs of the best anneal, the first included, and the trials that they and their average take at the end.
N_REPLICATES = 3
N_LAST = N_REPLICATES
# The last stage's share of a run's tokens where those of base and anneal are unknown: OLMo 2 takes 5 to 10 %.
LAST_SHARE = 0.1
# Random blends, once the even ones are asked: draws per blend that is wanted.
N_TRIES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroAnneal:
    """Anneal from one base on each domain, then on the winners; the trainer must keep its models.

    The base is trained at the study's first rung, anneals at the last before the target; with one rung both there.
    """

    title: ClassVar[str] = "short anneals from one base, against a control"
    reference: ClassVar[str] = "olmo2"
    eager: ClassVar[bool] = False

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n of base, singles, blends, repeats or soup; none while those before are out.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        target_space(view)
        return next_of(view, self._rounds(view), n)

    def recommend(self, view: StudyView, law: LawFit | None = None) -> Recommendation:
        """The best allowed anneal, repeats averaged, after the general mixture; the law is not asked.

        Limits on epochs are kept by each stage as if it were the whole run.

        Raises:
            NotEnoughEvidence: no allowed anneal has an answer.
            Infeasible: no mixture satisfies the constraints.
        """
        space, rung = target_space(view), proxy_rungs(view)[-1]
        found = ranked(view, [trial for trial in view.at(rung.label) if trial.spec.parents])
        allowed = [mixture for mixture in found if space.contains(np.array(mixture.over(view.domains)))[0]]
        if not allowed:
            raise NotEnoughEvidence(
                "no allowed anneal has been measured",
                value=f"{len(found)} anneals at `{rung.label}`",
                bound="at least one inside the constraints, with every metric of the objective",
                remedy="run more trials, or loosen the constraints",
            )
        best, control = allowed[0], general_mixture(view, asking_space(view))
        if best == control:
            why = "no anneal was better than the control, the general mixture annealed as long"
        elif control in found:
            gain = found[control] - found[best]
            why = f"best anneal: {gain:.4g} better than the control, the general mixture annealed as long"
        else:
            why = "best anneal; its control has no answer, so the gain of annealing alone is in it"
        mixture = space.mixture(np.array(best.over(view.domains)))
        before = Stage(mixture=general_mixture(view, space), until=1.0 - _last_share(view))
        why += _soup(view, best)
        return Recommendation(mixture=mixture, binding=space.binding(mixture), why=why, before=before)

    def _rounds(self, view: StudyView) -> Iterator[list[Proposal]]:
        rungs, space = proxy_rungs(view), asking_space(view)
        general = general_mixture(view, space)
        base, n_bases = None, 0
        while base is None and n_bases < N_BASES:
            proposal = Proposal(
                mixture=general, rung=rungs[0].label, replicate=n_bases, why="base that anneals start from"
            )
            yield [proposal]
            trial, n_bases = trial_of(view, proposal), n_bases + 1
            base = trial if trial is not None and trial.state == "done" else None
        if base is None:
            return

        start = ((base.id, 1.0),)
        control = _anneal(general, rungs[-1].label, start, "control: the general mixture alone")
        singles: dict[Mixture, str] = {}
        halves = (1.0 - SINGLE) * np.array(general.over(view.domains)) + SINGLE * np.eye(len(view.domains))
        for name, row in zip(view.domains, space.project(halves), strict=True):
            singles.setdefault(space.mixture(row), name)
        singles.pop(general, None)
        first = [control, *(_anneal(m, rungs[-1].label, start, f"half `{name}`") for m, name in singles.items())]
        yield first

        limit = n_asked(view)
        n_blends = len(view.domains) if limit is None else max(limit - n_bases - len(first) - N_LAST, 0)
        winners = _winners(view, first)
        used = [np.array(proposal.mixture.over(view.domains)) for proposal in first]
        picked = [view.domains.index(singles[mixture]) for mixture in winners]
        rows = _blends(view, space, picked, used, limit or n_blends)
        blends = [_anneal(space.mixture(row), rungs[-1].label, start, words) for words, row in rows]
        yield blends[:n_blends]

        best = next(iter(ranked(view, _trials(view, first + blends[:n_blends]))), None)
        if best is not None:
            yield [
                _anneal(best, rungs[-1].label, start, "the best anneal in another order", replicate)
                for replicate in range(1, N_REPLICATES)
            ]
            yield _soup_of(view, best, rungs[-1].label)
        # What failures have left of the budget.
        yield blends if limit is not None else []


def _last_share(view: StudyView) -> float:
    """An anneal's tokens ÷ (its base's and its own); `LAST_SHARE` where they are unknown."""
    base, anneal = (rung.scale.n_tokens for rung in (proxy_rungs(view)[0], proxy_rungs(view)[-1]))
    return LAST_SHARE if base is None or anneal is None else anneal / (base + anneal)


def _anneal(mixture: Mixture, rung: str, start: Pairs, why: str, replicate: int = 0) -> Proposal:
    return Proposal(mixture=mixture, rung=rung, replicate=replicate, why=why, parents=start)


def _trials(view: StudyView, proposals: Sequence[Proposal]) -> list[Trial]:
    """The trials that proposals asked, as far as they were."""
    return [trial for proposal in proposals if (trial := trial_of(view, proposal)) is not None]


def _winners(view: StudyView, first: Sequence[Proposal]) -> list[Mixture]:
    """Singles that beat the control, best first; the best single where none does or the control has no answer."""
    found = ranked(view, _trials(view, first))
    control = found.get(first[0].mixture, -np.inf)
    singles = [mixture for mixture in found if mixture != first[0].mixture]
    return [mixture for mixture in singles if found[mixture] < control] or singles[:1]


def _blends(view: StudyView, space: Space, winners: list[int], used: list[Floats], n: int) -> list[tuple[str, Floats]]:
    """Up to n allowed mixtures of general and winning domains that are not among `used`, each with its words.

    The first of `used` is the general mixture. Even blends of the first k winners come first, in each of `SHARES`, then
    random ones.
    """
    rng, general_d = np.random.default_rng(view.seed), used[0]
    rows: list[tuple[str, Floats]] = []
    taken = list(used)

    def add(words: str, share: float, weight_k: Floats) -> None:
        row = (1.0 - share) * general_d
        row[winners[: len(weight_k)]] += share * weight_k
        row = space.project(row)[0]
        if all(np.abs(row - other).max() > SAME for other in taken):
            taken.append(row)
            rows.append((words, row))

    for share in SHARES:
        for k in range(len(winners), 0, -1):
            named = ", ".join(f"`{view.domains[d]}`" for d in winners[:k])
            add(f"{share:.0%} {named}", share, np.full(k, 1.0 / k))
    for _ in range(N_TRIES * n if winners else 0):
        if len(rows) >= n:
            break
        add("random blend of the winners", float(rng.uniform(0.1, 0.9)), rng.dirichlet(np.ones(len(winners))))
    return rows[:n]


def _soup_of(view: StudyView, mixture: Mixture, rung: str) -> list[Proposal]:
    """The average of a mixture's finished anneals, where there are two or more."""
    done = [
        trial
        for trial in view.at(rung)
        if trial.spec.mixture == mixture and trial.spec.parents and trial.state == "done"
    ]
    if len(done) < 2:
        return []
    parents = tuple((trial.id, 1.0 / len(done)) for trial in done)
    return [Proposal(mixture=mixture, rung=rung, method="merge", parents=parents, why=f"soup of {len(done)} orders")]


def _soup(view: StudyView, best: Mixture) -> str:
    """What the soup of a mixture's anneals is worth, as the end of a sentence; empty without one."""
    for soup in (trial for trial in view.trials if trial.spec.method == "merge" and trial.spec.mixture == best):
        members = [trial for trial in view.trials if trial.id in dict(soup.spec.parents)]
        value, single = float(values(view, [soup])[0]), float(values(view, members).min())
        if np.isfinite(value) and np.isfinite(single):
            kept = "keep it" if value <= single else "drop it"
            return f"; the soup of {len(members)} orders is at {value:.4g}, the best of them at {single:.4g}: {kept}"
    return ""
