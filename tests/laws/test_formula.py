"""The result type of laws with coefficients: round trips, covariates, damage."""

import json

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.observations import Inputs
from mixdesk.laws.bimix import BiMixOwnFormula
from mixdesk.laws.exponential import ExponentialFormula
from mixdesk.laws.formula import FormulaFit


def make(formula, p, seed=0):
    rng = np.random.default_rng(seed)
    return FormulaFit(
        formula=formula,
        domains=("a", "b", "c"),
        metrics=("x", "y"),
        sign_m=np.array([1.0, -1.0]),
        shift_m=rng.normal(size=2),
        scale_m=np.array([2.0, 0.5]),
        theta_mp=rng.normal(size=(2, p)),
        draw_shift_km=rng.normal(size=(120, 2)),
        draw_kmp=rng.normal(size=(120, 2, p)),
        noise_mm=0.1 * np.eye(2),
    )


def test_gradient_is_the_slope_of_the_prediction():
    fit, W_qd, step = make(ExponentialFormula(n_terms=2), 7), np.array([[0.2, 0.3, 0.5]]), 1e-6
    for j in range(3):
        sides = [fit.predict(Inputs.of(fit.domains, W_qd + s * step * np.eye(3)[j]), level=0.0) for s in (1, -1)]
        wanted = (sides[0].mean_qm - sides[1].mean_qm) / (2.0 * step)
        np.testing.assert_allclose(fit.gradient(W_qd)[:, :, j], wanted, rtol=1e-5)


def test_round_trip_predicts_the_same_and_keeps_the_options():
    fit = make(ExponentialFormula(n_terms=2), 7)
    copy = FormulaFit.from_dict(json.loads(json.dumps(fit.to_dict())), ExponentialFormula)
    assert copy.formula == ExponentialFormula(n_terms=2)
    inputs = Inputs.of(("c", "a", "b"), np.random.default_rng(1).dirichlet(np.ones(3), 500))
    one, two = (each.predict(inputs, 130, sense="run") for each in (fit, copy))
    np.testing.assert_array_equal(one.draws_kqm, two.draws_kqm)
    np.testing.assert_array_equal(one.low_qm, two.low_qm)


def test_page_gets_a_hundred_draws_of_nine_digits():
    fit = make(ExponentialFormula(), 4)
    page = fit.browser()
    assert np.shape(page["draws"]["theta"]) == (100, 2, 4)
    np.testing.assert_allclose(page["draws"]["theta"], fit.draw_kmp[:100], rtol=1e-8)
    np.testing.assert_allclose(page["draws"]["shift"], fit.draw_shift_km[:100], rtol=1e-8)
    assert len(json.dumps(page)) < len(json.dumps(fit.to_dict()))


def test_draws_in_many_pieces_are_the_same(monkeypatch):
    fit = make(ExponentialFormula(), 4)
    inputs = Inputs.of(fit.domains, np.random.default_rng(2).dirichlet(np.ones(3), 50))
    wanted = fit.predict(inputs, 120).draws_kqm
    monkeypatch.setattr("mixdesk.laws.formula.N_AT_ONCE", 1)
    np.testing.assert_allclose(fit.predict(inputs, 120).draws_kqm, wanted, rtol=1e-12)


def test_no_candidates_is_no_error():
    found = make(ExponentialFormula(), 4).predict(Inputs.of(("a", "b", "c"), np.empty((0, 3))))
    assert found.mean_qm.shape == (0, 2)


def test_a_missing_covariate_is_named():
    fit = make(BiMixOwnFormula(reference=1e9), 6)
    with pytest.raises(InputError, match="n_tokens"):
        fit.predict(Inputs.of(fit.domains, np.full((1, 3), 1 / 3)))


@pytest.mark.parametrize(
    "change", [{"form": "other"}, {"theta": [[1.0]]}, {"draw_theta": []}, {"options": {"n_terms": "x"}}]
)
def test_damage_is_an_input_error(change):
    data = make(ExponentialFormula(), 4).to_dict()
    with pytest.raises(InputError, match="not a fit"):
        FormulaFit.from_dict({**data, **change}, ExponentialFormula)
