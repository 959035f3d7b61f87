"""Choosing is greedy in the average variance and indifferent to how it is asked."""

from __future__ import annotations

import numpy as np

from mixdesk.core.observations import Floats
from mixdesk.search.informative import NOISE, choose, prior


def average_variance(W_qd: Floats, places: list[int]) -> float:
    """Mean posterior variance over all rows after runs of some, by the textbook formula."""
    K_qq = prior(W_qd)
    K_qn, K_nn = K_qq[:, places], K_qq[np.ix_(places, places)] + NOISE * np.eye(len(places))
    return float((np.diag(K_qq) - np.einsum("qn,nq->q", K_qn, np.linalg.solve(K_nn, K_qn.T))).mean())


def drawn(q: int, d: int = 4, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(d), q)


def test_each_choice_lowers_the_average_variance_most() -> None:
    W_qd = drawn(40)
    chosen = choose(W_qd, 6)
    for k, place in enumerate(chosen):
        best = min(range(40), key=lambda i: average_variance(W_qd, [*chosen[:k], i]))
        assert place == best


def test_what_is_known_counts_and_is_not_chosen_again() -> None:
    W_qd = drawn(60)
    whole = choose(W_qd, 12)
    assert choose(W_qd, 7, whole[:5]) == whole[5:]
    assert sorted(choose(W_qd, 99, whole)) == sorted(set(range(60)) - set(whole))


def test_equal_candidates_are_taken_in_their_order() -> None:
    assert choose(np.eye(5), 5) == [0, 1, 2, 3, 4]
    assert choose(np.full((3, 2), 0.5), 2) == [0, 1]
