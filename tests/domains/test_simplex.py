import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mixdesk.domains import simplex
from mixdesk.domains.simplex import SimplexMap, corners, nearest, train


@pytest.mark.parametrize("k", [2, 16, 64, 1024])
def test_corners_are_those_of_a_regular_simplex(k: int) -> None:
    gram_kk = corners(k) @ corners(k).T
    assert np.abs(gram_kk - (np.eye(k) * k / (k - 1) - 1.0 / (k - 1))).max() < 1e-12


def test_slopes_are_those_of_the_losses() -> None:
    rng = np.random.default_rng(0)
    h_bd, before_bd, y_b = rng.normal(size=(6, 3)), corners(4)[rng.integers(4, size=6)], rng.integers(3, size=6)
    slope = approx_fprime(h_bd.ravel(), lambda h: simplex.hoc(h.reshape(6, 3), before_bd, y_b), 1e-7)
    np.testing.assert_allclose(simplex._hoc_slope(h_bd, before_bd, y_b).ravel(), slope, atol=1e-5)

    def entropy(h) -> float:
        logits_bk = h.reshape(6, 3) @ corners(4).T
        return float((np.log(np.exp(logits_bk).sum(1)) - logits_bk[np.arange(6), y_b]).mean())

    slope = approx_fprime(h_bd.ravel(), entropy, 1e-7)
    got = simplex._entropy_slope(h_bd, y_b, corners(4), np.ones(6))
    np.testing.assert_allclose(got.ravel(), slope, atol=1e-5)


@pytest.mark.slow
def test_stored_vectors_stay_comparable_when_classes_are_added() -> None:
    """Four classes become seven: new queries find their class among the old vectors better than old queries did."""
    compatible = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mean_kp = rng.normal(0.0, 0.7, (7, 20))
        y_n = rng.integers(7, size=2000)
        X_np = mean_kp[y_n] + rng.normal(size=(2000, 20))
        known = np.flatnonzero(y_n[:1000] < 4)
        old = train(X_np[known], y_n[known], k=16, seed=seed)
        new = train(X_np[:1000], y_n[:1000], k=16, old=old, seed=seed)

        def found(query: SimplexMap, gallery: SimplexMap, X_np=X_np, y_n=y_n) -> float:
            near_n = nearest(query.vectors(X_np[1000:]), gallery.vectors(X_np[:1000]), y_n[:1000])
            return float((near_n == y_n[1000:]).mean())

        compatible += found(new, old) > found(old, old)
    assert compatible >= 4


def test_a_map_goes_to_data_and_back() -> None:
    rng = np.random.default_rng(0)
    X_np, y_n = rng.normal(size=(50, 4)), np.arange(50) % 3
    model = train(X_np, y_n, k=8)
    again = SimplexMap.from_dict(model.to_dict())
    assert (again.vectors(X_np) == model.vectors(X_np)).all()
    np.testing.assert_allclose(np.linalg.norm(model.vectors(X_np), axis=1), 1.0)
    assert model.weigh(X_np, np.array([0, 2])).shape == (50, 2)
