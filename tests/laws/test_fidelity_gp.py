"""Multi-fidelity Gaussian process: its contract, one scale, and what two scales say together."""

from __future__ import annotations

import json

import numpy as np
from scipy.stats import spearmanr

from mixdesk.core.observations import Inputs
from mixdesk.laws.fidelity_gp import FidelityGP
from mixdesk.laws.gp import MixtureGP
from mixdesk.testing.contracts import check_law
from mixdesk.testing.scales import LARGE, two_scales
from mixdesk.testing.worlds import power, swarm


def test_contract_with_one_scale():
    check_law(FidelityGP)


def test_one_scale_is_the_mixture_gp():
    world = power(5, 2, 0)
    obs = world.observations(swarm(world, 40))
    inputs = Inputs.of(obs.domains, swarm(world, 10, seed=1))
    one, two = (law.fit(obs).predict(inputs, 5) for law in (FidelityGP(), MixtureGP()))
    assert np.array_equal(one.mean_qm, two.mean_qm)
    assert np.array_equal(one.draws_kqm, two.draws_kqm)


def test_two_scales_beat_either_alone_and_the_fit_reads_back():
    errors, orders = [], []
    for seed in range(3):
        world = power(6, 4, seed)
        both = two_scales(world, seed, rank=0.9)
        obs = both.observations(swarm(world, 80, seed), swarm(world, 20, seed + 50))
        W_qd = swarm(world, 100, seed + 100)
        inputs = Inputs.of(obs.domains, W_qd, {"n_params": np.full(100, LARGE[0]), "n_tokens": np.full(100, LARGE[1])})
        true = both.large.value(W_qd)
        fit = FidelityGP().fit(obs)
        found = fit.predict(inputs).mean_qm
        small, large = (
            MixtureGP().fit(obs.take(rows)).predict(Inputs.of(obs.domains, W_qd), level=0.0).mean_qm
            for rows in (np.arange(80), np.arange(80, 100))
        )
        errors.append([(((x - true) / true.std(0)) ** 2).mean() for x in (found, small, large)])
        orders.append([np.mean([spearmanr(x[:, j], true[:, j])[0] for j in range(4)]) for x in (found, small, large)])
    assert np.mean(errors, axis=0).argmin() == 0
    assert np.mean(orders, axis=0).argmax() == 0
    copy = FidelityGP().restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    assert np.array_equal(copy.predict(inputs, 3).draws_kqm, fit.predict(inputs, 3).draws_kqm)
