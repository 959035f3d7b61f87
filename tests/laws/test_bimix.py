"""BiMix: slopes, both forms recovered, intervals only where weights were fitted, scores that cannot be."""

import json

import numpy as np
import pytest
from formula_checks import check_slopes

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.laws.bimix import BiMix, BiMixFormula, BiMixOwnFormula

NAMES = tuple("abcd")
OWN = [Metric(name=f"loss/{name}", domain=name) for name in NAMES]
ALPHA, BETA = np.array([0.2, 0.05, 0.1, 0.3]), np.array([0.3, 0.4, 0.25, 0.5])
FALL, REST = np.array([0.5, 0.8, 0.4, 0.6]), np.array([1.5, 2.0, 1.2, 1.0])


def own_world(W_qd, tokens_q):
    """The paper's form, one metric per domain; B in units of 3e9 tokens."""
    return W_qd**-ALPHA * (FALL * (tokens_q[:, None] / 3e9) ** -BETA + REST)


def general_world(W_qd):
    return (np.array([0.3, 0.0, 0.1, 0.2]) * W_qd ** -np.array([0.4, 1.0, 0.6, 0.2])).sum(1, keepdims=True)


def own_runs(seed=0, sign=1.0):
    rng = np.random.default_rng(seed)
    W_nd, tokens_n = np.repeat(rng.dirichlet(np.full(4, 5.0), 8), 5, axis=0), np.tile(np.geomspace(1e9, 1e10, 5), 8)
    return Observations.of(NAMES, W_nd, sign * own_world(W_nd, tokens_n), OWN, covariates={"n_tokens": tokens_n})


def test_slopes_are_exact():
    rng = np.random.default_rng(0)
    W_nd = 0.1 + 0.6 * rng.dirichlet(np.ones(4), 6)
    check_slopes(BiMixFormula(), W_nd, rng.normal(size=(2, 9)))
    X_nd, theta = np.column_stack([W_nd, rng.uniform(1.0, 4.0, 6)]), np.abs(rng.normal(size=(2, 7))) + 0.1
    check_slopes(BiMixOwnFormula(reference=2.0), X_nd, theta, n_domains=4)


def test_own_domain_coefficients_are_recovered_and_longer_runs_foretold():
    fit = BiMix().fit(own_runs())
    alpha = [fit.fit.theta_mp[j, fit.domains.index(name)] for j, name in enumerate(NAMES)]
    np.testing.assert_allclose(alpha, ALPHA, rtol=1e-4)
    W_qd, tokens_q = np.random.default_rng(1).dirichlet(np.full(4, 5.0), 20), np.full(20, 3e10)
    found = fit.predict(Inputs.of(NAMES, W_qd, {"n_tokens": tokens_q}), level=0.0).mean_qm
    np.testing.assert_allclose(found, own_world(W_qd, tokens_q), rtol=1e-4)
    longest = fit.predict(Inputs.of(NAMES, W_qd), level=0.0).mean_qm
    np.testing.assert_allclose(longest, own_world(W_qd, np.full(20, 1e10)), rtol=1e-4)


def test_another_domains_weight_does_not_move_a_metric():
    gradient = BiMix().fit(own_runs()).gradient(np.full((1, 4), 0.25))[0]
    fit = BiMix().fit(own_runs())
    is_own = np.array([[metric.domain == name for name in fit.domains] for metric in OWN])
    assert (gradient[is_own] < 0.0).all()
    assert (gradient[~is_own] == 0.0).all()


def test_general_form_is_recovered():
    rng = np.random.default_rng(2)
    W_nd, W_qd = (0.02 + 0.92 * rng.dirichlet(np.ones(4), n) for n in (120, 100))
    fit = BiMix().fit(Observations.of(NAMES, W_nd, general_world(W_nd), [Metric(name="x")]))
    gap = fit.predict(Inputs.of(NAMES, W_qd), level=0.0).mean_qm - general_world(W_qd)
    assert np.abs(gap).max() < 0.02 * np.ptp(general_world(W_qd))


def test_below_the_fitted_weights_there_is_a_mean_but_no_interval():
    fit = BiMix().fit(own_runs())
    found = fit.predict(Inputs.of(NAMES, np.array([[0.0, 0.4, 0.3, 0.3], [0.25, 0.25, 0.25, 0.25]])))
    assert np.isfinite(found.mean_qm).all()
    assert np.isnan(found.low_qm).tolist() == [[True, False, False, False], [False] * 4]
    copy = BiMix().restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(
        copy.predict(Inputs.of(NAMES, np.eye(4))).low_qm[:, 0] > 0, [True, False, False, False]
    )
    with pytest.raises(InputError, match="not a fit"):
        BiMix().restore({**fit.to_dict(), "low": [[0.0]]})


def test_scores_that_are_not_positive_are_refused_with_the_reason():
    with pytest.raises(NotEnoughEvidence, match="product of powers"):
        BiMix().fit(own_runs(sign=-1.0))
