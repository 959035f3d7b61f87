"""The additive power law: slopes, AutoScale's printed curves, recovery, levels."""

from dataclasses import replace

import numpy as np
import pytest
from formula_checks import check_slopes, same_but_for_the_level

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.laws.additive import Additive, AdditiveFormula

# AutoScale, notebook `DDO_example`: f_i(x) = (x + a_i)^(−b_i) + c_i, x the domain's tokens relative to the base run;
# common_crawl, github, books, wiki, c4, stackexchange, arxiv.
A = np.array([2.6659, 6.6162, 2.6736, 2.4631, 2.5184, 2.8900, 3.3192])
B = np.array([1.2492, 1.4360, 1.5363, 1.8287, 1.1859, 1.9536, 1.9267])
C = np.array([0.8027, 0.9458, 0.8645, 0.8969, 0.7750, 0.9296, 0.9403])
NAMES = tuple("abcdefg")


def printed(X_qd):
    """The sum of the printed curves, (q, 1)."""
    return ((X_qd + A) ** -B + C).sum(1, keepdims=True)


def test_slopes_are_exact():
    rng = np.random.default_rng(0)
    check_slopes(AdditiveFormula(), rng.dirichlet(np.ones(3), 6), rng.normal(size=(2, 10)))


def test_printed_curves_are_a_case_of_the_formula():
    X_qd = np.random.default_rng(1).uniform(0.2, 3.0, (20, 7))
    theta_p = np.concatenate([[C.sum()], A**-B, np.log(A), np.log(B)])
    np.testing.assert_allclose(AdditiveFormula().values(X_qd, theta_p[None]).T, printed(X_qd), rtol=1e-12)
    # One domain at the notebook's three points, the reduced run first: the base run scores 1 by construction.
    np.testing.assert_allclose((1.0 + A) ** -B + C, 1.0, atol=1e-3)


def test_printed_world_is_recovered():
    rng = np.random.default_rng(2)
    W_nd, W_qd = rng.dirichlet(np.ones(7), 100), rng.dirichlet(np.ones(7), 100)
    fit = Additive().fit(Observations.of(NAMES, W_nd, printed(7.0 * W_nd), [Metric(name="perplexity")]))
    gap = fit.predict(Inputs.of(NAMES, W_qd), level=0.0).mean_qm - printed(7.0 * W_qd)
    assert np.abs(gap).max() < 0.01 * np.ptp(printed(7.0 * W_qd))


def test_a_constant_added_moves_the_level_alone():
    rng = np.random.default_rng(3)
    W_nd = rng.dirichlet(np.ones(7), 30)
    y_nm = printed(7.0 * W_nd) + 0.02 * rng.standard_normal((30, 1))
    obs = Observations.of(NAMES, W_nd, y_nm, [Metric(name="x")])
    np.testing.assert_allclose(same_but_for_the_level(Additive(), obs, replace(obs, Y_nm=y_nm - 3.0)), -3.0, atol=1e-9)


def test_too_few_mixtures_is_a_typed_error():
    rng = np.random.default_rng(4)
    with pytest.raises(NotEnoughEvidence, match="at least 9 mixtures"):
        Additive().fit(Observations.of(NAMES, rng.dirichlet(np.ones(7), 8), rng.random((8, 1)), [Metric(name="x")]))
