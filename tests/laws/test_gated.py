"""The gated law: families of runs behind a gate, and one law where one suffices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.observations import Inputs, Metric, Observations
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.gated import Gated
from mixdesk.testing.contracts import check_law

LAW = Exponential(n_draws=10)
DOMAINS = ("a", "b", "c", "d")
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])


def families(seed, n_families=3, n_train=40, n_test=20, n_runs=12):
    """Linear laws by family, noise 0.1, two noisy contexts per environment: runs, candidates and their values."""
    rng = np.random.default_rng(seed)
    slope_fd = 4.0 * rng.normal(size=(3, 4))
    family = np.arange(n_train + n_test) % n_families
    context = CENTRES[family] + 0.5 * rng.normal(size=(n_train + n_test, 2))
    W = rng.dirichlet(np.ones(4), (n_train + n_test, n_runs))
    Y = np.einsum("eod,ed->eo", W, slope_fd[family]) + 0.1 * rng.normal(size=W.shape[:2])
    columns = [{"u": np.repeat(c[:, 0], n_runs), "v": np.repeat(c[:, 1], n_runs)} for c in np.split(context, [n_train])]
    obs = Observations.of(
        DOMAINS, W[:n_train].reshape(-1, 4), Y[:n_train].reshape(-1, 1), [Metric(name="y")], covariates=columns[0]
    )
    return obs, Inputs.of(DOMAINS, W[n_train:].reshape(-1, 4), columns[1]), Y[n_train:].ravel()


def square(fit, inputs, y):
    return ((fit.predict(inputs, level=0.0).mean_qm[:, 0] - y) ** 2).mean()


def test_contract_with_one_environment():
    check_law(lambda: Gated(law=LAW))


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(12), marks=pytest.mark.slow)])
def test_three_families_need_a_gate(seeds):
    one, many = [], []
    for seed in seeds:
        obs, inputs, y = families(seed)
        fit = Gated(law=LAW).fit(obs)
        assert len(fit.experts) == 3
        many.append(square(fit, inputs, y))
        one.append(square(Gated(law=LAW, n_experts=1).fit(obs), inputs, y))
    print(f"one law {np.mean(one):.3f}, gated mean {np.mean(many):.4f} median {np.median(many):.4f}")
    assert np.mean(many) <= 0.1 * np.mean(one)
    assert np.median(many) <= 0.02


@pytest.mark.slow
def test_one_family_needs_one_law():
    found = [len(Gated(law=LAW).fit(families(seed, n_families=1)[0]).experts) for seed in range(10)]
    assert found.count(1) >= 9


def test_one_family_is_the_law_itself():
    obs, inputs, _ = families(0, n_families=1, n_train=12, n_test=4)
    fit = Gated(law=LAW).fit(obs)
    assert len(fit.experts) == 1
    assert np.array_equal(fit.predict(inputs).mean_qm, LAW.fit(obs).predict(inputs).mean_qm)


def test_doubt_mixes_two_experts_and_json_keeps_all():
    obs, inputs, _ = families(1)
    law = Gated(law=LAW)
    fit = law.fit(obs)
    grid = np.linspace(0.0, 4.0, 201)
    between = Inputs.of(DOMAINS, np.full((201, 4), 0.25), {"u": grid, "v": np.zeros(201)})
    shares = fit.shares(between)
    assert np.allclose(shares.sum(1), 1.0)
    in_doubt = np.flatnonzero(shares.max(1) < 1.0)
    assert len(in_doubt) >= 1
    assert (shares.max(1)[[0, -1]] == 1.0).all()
    found = fit.predict(between, sense="run")
    width = (found.high_qm - found.low_qm)[:, 0]
    assert width[in_doubt].max() > 1.5 * max(width[0], width[-1])
    copy = law.restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    for each in (inputs, between):
        one, two = fit.predict(each, 5), copy.predict(each, 5)
        assert np.array_equal(one.mean_qm, two.mean_qm)
        assert np.array_equal(one.draws_kqm, two.draws_kqm)
    assert fit.browser()["form"] == "gated"
    json.dumps(fit.browser(), allow_nan=False)
    with pytest.raises(InputError):
        law.restore({"experts": []})


def test_candidates_without_a_context_are_of_the_largest_scale():
    rng = np.random.default_rng(0)
    W = rng.dirichlet(np.ones(4), 120)
    size = np.repeat([1e6, 1e9], 60)
    Y = (W @ np.where(size[:, None] > 1e7, [[-2.0, 0, 0, 1]], [[2.0, 0, 0, -1]]).T)[np.arange(120), np.arange(120)]
    obs = Observations.of(
        DOMAINS, W, (Y + 0.05 * rng.normal(size=120))[:, None], [Metric(name="y")], covariates={"n_params": size}
    )
    fit = Gated(law=LAW).fit(obs)
    assert len(fit.experts) == 2
    Q = rng.dirichlet(np.ones(4), 10)
    silent = fit.predict(Inputs.of(DOMAINS, Q), level=0.0).mean_qm[:, 0]
    assert np.allclose(silent, Q @ [-2.0, 0, 0, 1], atol=0.2)
