from itertools import permutations

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.domains.likelihood import group, profile


def world(seed: int, p: int, sep: float, n: int = 60, k: int = 3):
    """Gaussians of very different shapes."""
    rng = np.random.default_rng(seed)
    truth_n = np.arange(n) % k
    X_np = np.zeros((n, p))
    for g, mean_p in enumerate(rng.normal(0.0, sep, (k, p))):
        turn_pp = np.linalg.qr(rng.normal(size=(p, p)))[0]
        std_p = np.exp(0.5 * rng.uniform(-2.3, 1.2, p))
        X_np[truth_n == g] = mean_p + (rng.normal(size=((truth_n == g).sum(), p)) * std_p) @ turn_pp.T
    return X_np, truth_n


def missed(found_n, truth_n) -> float:
    return min(float((np.array(order)[found_n] != truth_n).mean()) for order in permutations(range(3)))


def test_shapes_that_distances_miss_are_found_by_likelihood() -> None:
    # A tight cluster beside a wide one, which distances cut in the middle of the two means.
    rng = np.random.default_rng(0)
    truth_n = np.arange(80) % 2
    X_np = rng.normal(size=(80, 3)) * np.where(truth_n, 0.2, 2.0)[:, None] + np.outer(truth_n, [2.5, 0.0, 0.0])
    found = group(X_np, 2)
    plain, adjusted = (min((a != truth_n).mean(), (a == truth_n).mean()) for a in (found.plain_n, found.label_n))
    assert adjusted < 0.06
    assert plain > adjusted + 0.05
    assert found.likelihood > found.plain_likelihood


def test_the_likelihood_told_is_that_of_the_labels_and_never_below_the_plain_one() -> None:
    X_np, _ = world(1, 4, 1.2)
    found = group(X_np, 3)
    assert found.likelihood == profile(X_np, found.label_n, 3) >= found.plain_likelihood
    assert found.residual < 0.01


def test_order_of_the_vectors_and_their_place_do_not_matter() -> None:
    X_np, truth_n = world(3, 4, 2.5)
    order = np.random.default_rng(0).permutation(len(X_np))
    one, other = group(X_np, 3).label_n, group(X_np[order] + 7.0, 3).label_n
    assert missed(one, truth_n) < 0.1
    assert missed(other, one[order]) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("p", "sep"), [(4, 1.3), (15, 0.8)])
def test_it_is_no_worse_than_the_plain_relaxation(p: int, sep: float) -> None:
    plain, adjusted = [], []
    for seed in range(12):
        X_np, truth_n = world(seed, p, sep, n=90)
        found = group(X_np, 3)
        plain.append(missed(found.plain_n, truth_n))
        adjusted.append(missed(found.label_n, truth_n))
    assert np.mean(adjusted) <= np.mean(plain)


def test_too_many_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="cannot group 201 vectors"):
        group(np.zeros((201, 2)), 3)
