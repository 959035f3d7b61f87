"""The nested pipeline: token laws, size laws, then the mixing law."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sized_worlds import Sized

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Inputs
from mixdesk.laws.nested import at_size
from mixdesk.laws.scale import Scale
from mixdesk.testing.contracts import check_law

LAW = Scale(nested=True, n_draws=20)


def test_contract_with_one_scale():
    check_law(lambda: LAW)


def test_recovers_the_largest_size_held_out():
    sized = Sized(0)
    fit = LAW.fit(sized.observations(18))
    inputs, true = sized.candidates(40, 1e9, 1e11)
    assert np.abs(fit.predict(inputs).mean_qm / true - 1.0).max() < 1e-2
    seen, near = sized.candidates(40, 3e8, 3e10)
    assert np.abs(fit.predict(seen).mean_qm / near - 1.0).max() < 1e-2
    silent = fit.predict(replace(seen, covariates={}))
    assert np.array_equal(silent.mean_qm, fit.predict(seen).mean_qm)


def test_argmin_at_the_largest_size():
    sized = Sized(1)
    fit = LAW.fit(sized.observations(24))
    inputs, true = sized.candidates(400, 1e9, 1e11)
    found = fit.predict(inputs, level=0.0).mean_qm.mean(axis=1)
    assert true.mean(axis=1)[found.argmin()] == true.mean(axis=1).min()


def test_noise_stays_small():
    errors = []
    for seed in range(3):
        sized = Sized(seed, noise=0.02)
        obs = sized.observations(18)
        true = sized.value(at_size(obs, 1e9, 1e11).W_nd, np.full(18, 1e9), np.full(18, 1e11))
        errors.append(np.abs(at_size(obs, 1e9, 1e11).Y_nm / true - 1.0).mean())
    assert np.mean(errors) < 0.03


def test_higher_is_the_mirror_image():
    sized = Sized(2)
    obs = sized.observations(18)
    metrics = tuple(replace(metric, better="higher") for metric in obs.metrics)
    mirrored = LAW.fit(replace(obs, Y_nm=-obs.Y_nm, metrics=metrics))
    inputs, _ = sized.candidates(10, 1e9, 1e11)
    assert np.allclose(mirrored.predict(inputs).mean_qm, -LAW.fit(obs).predict(inputs).mean_qm, atol=1e-6)


def test_mixed_sizes_missing_cells_and_json():
    sized = Sized(3, noise=0.01)
    obs = sized.observations(18)
    Y = obs.Y_nm.copy()
    Y[:3, 0] = np.nan
    fit = LAW.fit(replace(obs, Y_nm=Y))
    (large, _), (small, _) = sized.candidates(3, 1e9, 1e11), sized.candidates(3, 7e7, 1e10)
    order = [0, 3, 1, 4, 2, 5]
    joined = Inputs.of(
        fit.domains,
        np.vstack([large.W_qd, small.W_qd])[order],
        {name: np.r_[large.covariates[name], small.covariates[name]][order] for name in large.covariates},
    )
    found = fit.predict(joined, 4)
    assert np.allclose(found.mean_qm[[0, 2, 4]], fit.predict(large).mean_qm)
    assert np.allclose(found.mean_qm[[1, 3, 5]], fit.predict(small).mean_qm)
    assert found.draws_kqm.shape == (4, 6, 4)
    copy = LAW.restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    assert np.array_equal(copy.predict(joined, 4).draws_kqm, found.draws_kqm)
    json.dumps(fit.browser(), allow_nan=False)
    w, step = np.full(5, 0.2), 1e-6 * (np.eye(5)[0] - np.eye(5)[1])
    ends = [fit.predict(Inputs.of(fit.domains, w + sign * step), level=0.0).mean_qm[0] for sign in (1, -1)]
    assert np.allclose((ends[0] - ends[1]) / 2e-6, fit.gradient(w[None])[0] @ (step * 1e6), rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError):
        LAW.restore({"domains": []})


def test_two_sizes_are_too_few_for_a_curve():
    obs = Sized(4).observations(18, sizes=(7e7, 3e8))
    with pytest.raises(NotEnoughEvidence, match="too few sizes"):
        LAW.fit(obs)
