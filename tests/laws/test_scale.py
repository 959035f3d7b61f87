"""The scale law: size terms recovered, and sizes beyond those seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sized_worlds import ALPHA, BETA, Sized

from mixdesk.core.errors import InputError
from mixdesk.core.observations import Inputs
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.scale import Scale
from mixdesk.testing.contracts import check_law
from mixdesk.testing.worlds import loglinear


def test_contract_with_one_scale():
    check_law(Scale)


def test_one_scale_is_close_to_the_exponential_law():
    obs = loglinear(d=4, m=2, seed=1).observations(np.random.default_rng(0).dirichlet(np.ones(4), 40))
    inputs = Inputs.of(obs.domains, np.eye(4))
    found, known = Scale().fit(obs).predict(inputs).mean_qm, Exponential().fit(obs).predict(inputs).mean_qm
    assert np.abs(found - known).max() <= 0.1 * obs.Y_nm.std()


def test_recovers_its_world_beyond_the_largest_size():
    sized = Sized(0)
    fit = Scale().fit(sized.observations(18))
    inputs, true = sized.candidates(40, 1e9, 1e11)
    assert np.abs(fit.predict(inputs).mean_qm / true - 1.0).max() < 1e-3
    exponents = np.exp(fit.formula_fit.theta_mp[:, -2:])
    assert np.allclose(exponents, [ALPHA, BETA], rtol=1e-2)


def test_noisy_extrapolation_and_its_interval():
    errors, covered, widths = [], [], []
    for seed in range(5):
        sized = Sized(seed, noise=0.05)
        fit = Scale(n_draws=100).fit(sized.observations(18))
        inputs, true = sized.candidates(40, 1e9, 1e11)
        found = fit.predict(inputs)
        errors.append(np.abs(found.mean_qm / true - 1.0).mean())
        covered.append(((true >= found.low_qm) & (true <= found.high_qm)).mean())
        inside, _ = sized.candidates(40, 1.6e8, 1.5e10)
        near = fit.predict(inside)
        widths.append(np.mean(found.high_qm - found.low_qm) / np.mean(near.high_qm - near.low_qm))
    assert np.mean(errors) < 0.02
    assert 0.7 <= np.mean(covered) <= 1.0
    assert min(widths) > 1.0


def test_gradient_is_the_slope_at_every_size():
    sized = Sized(2)
    fit = Scale(n_draws=10).fit(sized.observations(14))
    w, step = np.full(5, 0.2), 1e-6 * (np.eye(5)[0] - np.eye(5)[1])
    slope = fit.gradient(w[None])[0] @ (step * 1e6)
    ends = [fit.predict(Inputs.of(fit.domains, w + sign * step), level=0.0).mean_qm[0] for sign in (1, -1)]
    assert np.allclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-4)


def test_json_and_browser():
    sized = Sized(3, noise=0.05)
    law = Scale(n_draws=20)
    fit, (inputs, _) = law.fit(sized.observations(14)), sized.candidates(6, 3e8, 3e10)
    copy = law.restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    one, two = fit.predict(inputs, 5, sense="run"), copy.predict(inputs, 5, sense="run")
    assert np.array_equal(one.draws_kqm, two.draws_kqm)
    data = json.loads(json.dumps(fit.browser(), allow_nan=False))
    theta, at = np.array(data["theta"]), data["options"]["at"]
    f = theta[:, 0] + np.exp(inputs.over(data["domains"]) @ theta[:, 1:6].T)
    for e, size in enumerate((3e8, 3e10)):
        f = f + np.exp(theta[:, 6 + e] - np.exp(theta[:, 8 + e]) * np.log(size / at[e]))
    mean = np.array(data["sign"]) * (np.array(data["shift"]) + np.array(data["scale"]) * f)
    assert np.allclose(mean, one.mean_qm, atol=1e-6)
    with pytest.raises(InputError):
        law.restore({})
