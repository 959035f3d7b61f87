"""The mixtures from which a law learns most about the others, chosen before any answer.

    next = argmax over candidates i of  Σ_j S_ij² / (S_ii + noise),   then  S ← S − S_·i S_i· / (S_ii + noise)
    S before any run:  1 + u · u' / mean |u|² + Matérn-5/2(|u − u'| ÷ 2 median distance),   u = √w − mean √w

S is the covariance of a Gaussian process over the candidates; its variance does not depend on answers, so the whole
list is known at once. The chosen mixture is the one that lowers the average variance over all candidates most
(integrated variance, I-optimality), where a spread-out design goes for what is most uncertain: rims and corners.

Reference: Cohn (1996). What we do differently: the kernel is fixed and stands for laws of any kind. On RegMix's runs
and on swarms of synthetic worlds √w beat w^0.3, and a common unit a unit per domain (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixdesk.core.observations import Floats
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.design import base_mixture, dirichlet, n_planned
from mixdesk.search.exact import Exact
from mixdesk.search.feasible import settle
from mixdesk.search.sample import hit_and_run
from mixdesk.search.terrain import natural_weights, target_space

# Candidates where there is no pool: half around the natural mixture, half even over the space.
N_CANDIDATES = 512
# Noise variance beside a signal of three, and the length scale in median distances.
NOISE, LENGTH = 0.05, 2.0
# Gains this near to the best are equal: the first candidate wins, whatever rounding says.
EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Each trial tells the most about the mixtures that were not tried; what the study holds already counts."""

    title: ClassVar[str] = "the mixtures that tell a law most about the others"
    reference: ClassVar[str] = "cohn1996"
    eager: ClassVar[bool] = True

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n mixtures, given all that the first rung has been asked; as many as `Design` without a budget.

        Raises:
            Infeasible: no mixture satisfies the constraints, at the target or in the design.
        """
        target_space(view)
        space = settle(Space.build(view.constraints.without_epochs, view.domains))
        known = list(dict.fromkeys(trial.spec.mixture for trial in view.at()))
        drawn = dict.fromkeys(space.mixture(row) for row in _candidates(view, space))
        both = [*(mixture for mixture in drawn if mixture not in set(known)), *known]
        W_qd = np.array([mixture.over(view.domains) for mixture in both])
        n = min(n, n_planned(view) - len(view.at()), len(both) - len(known))
        why = "tells most about the other mixtures" + (" of the pool" if space.pool_qd is not None else "")
        places = choose(W_qd, n, range(len(both) - len(known), len(both))) if n > 0 else []
        return view.affordable([Proposal(mixture=both[i], rung=view.rungs[0].label, why=why) for i in places])

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """As `Exact`."""
        return Exact().recommend(view, law)


def choose(W_qd: Floats, n: int, known: Sequence[int] = ()) -> list[int]:
    """Places of ≤ n rows that lower the average variance over all rows most, one after the other.

    `known` are places of rows that are measured already; they are not chosen again. S itself is never formed: it is
    the prior less L L', and the sums Σ_j S_ij² are kept up to date. Cost: q² per row.
    """
    K_qq = prior(W_qd)
    variance_q, sum_q = np.diag(K_qq).copy(), (K_qq**2).sum(axis=0)
    L_qk, done = np.zeros((len(K_qq), len(known) + n)), list(known)
    n_all = min(len(known) + n, len(W_qd))
    for k in range(n_all):
        if k == len(done):
            gain_q = sum_q / (variance_q + NOISE)
            gain_q[done] = -1.0
            done.append(int((gain_q >= gain_q.max() * (1.0 - EQUAL)).argmax()))
        column = K_qq[:, done[k]] - L_qk @ L_qk[done[k]]
        pivot = column[done[k]] + NOISE
        along_q = K_qq @ column - L_qk @ (L_qk.T @ column)
        sum_q += column * (column * (column @ column) / pivot - 2.0 * along_q) / pivot
        variance_q -= column**2 / pivot
        L_qk[:, k] = column / np.sqrt(pivot)
    return done[len(known) :]


def prior(W_qd: Floats) -> Floats:
    """Covariance of the candidates before any run, (q, q): a level, a slope and a shape of equal weight."""
    U_qd = np.sqrt(np.maximum(W_qd, 0.0))
    U_qd = U_qd - U_qd.mean(axis=0)
    inner_qq = U_qd @ U_qd.T
    norm_q = np.diag(inner_qq)
    distance_qq = np.sqrt(np.maximum(norm_q[:, None] + norm_q - 2.0 * inner_qq, 0.0))
    apart = distance_qq[np.triu_indices(len(W_qd), 1)]
    r = np.sqrt(5.0) * distance_qq / (LENGTH * max(float(np.median(apart)) if len(apart) else 0.0, 1e-9))
    slope_qq = inner_qq / max(float(norm_q.mean()), 1e-18)
    covariance: Floats = 1.0 + slope_qq + (1.0 + r + r * r / 3.0) * np.exp(-r)
    return covariance


def _candidates(view: StudyView, space: Space) -> Floats:
    """The pool, or mixtures around the natural one and even over the space, (q, d)."""
    if space.pool_qd is not None:
        return space.pool_qd
    rng = np.random.default_rng(view.seed)
    base = base_mixture(None if view.natural is None else natural_weights(view), len(view.domains))
    near = dirichlet(space, base, N_CANDIDATES // 2, rng)
    return np.vstack([near, hit_and_run(space, N_CANDIDATES - len(near), rng)])
