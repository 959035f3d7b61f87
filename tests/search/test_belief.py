"""What a run is worth: closed forms, and that runs that are out narrow what is believed."""

from __future__ import annotations

import numpy as np
import pytest

from mixdesk.search.belief import Belief


def belief(mean, cov, noise=(0.0,), target=0, seen=0) -> Belief:
    mean_qr = np.array(mean, dtype=float).reshape(-1, len(noise))
    return Belief(mean_qr, np.array(cov, dtype=float), np.array(noise), target, seen, np.random.default_rng(0))


def test_entropy_is_the_moment_matched_value_at_a_known_ratio() -> None:
    # gamma = .7 and a run that shows the value itself: .306, where the exact value is .421 (data-mixing notes, MES).
    one = belief([0.7], [[1.0]])
    assert one._entropy(np.array([0.0]))[0, 0] == pytest.approx(0.306, abs=5e-4)


def test_a_run_that_is_uncorrelated_with_the_target_tells_nothing() -> None:
    cov = np.kron(np.eye(2), np.eye(2))
    gain_qr = belief([[0.0, 0.0], [1.0, 1.0]], cov, noise=(0.1, 0.1), target=1).gain("entropy")
    assert np.abs(gain_qr[:, 0]).max() < 1e-12
    assert (gain_qr[:, 1] > 0.0).all()


def test_a_correlated_cheap_run_tells_a_part() -> None:
    cov = np.kron(np.eye(2), [[1.0, 0.9], [0.9, 1.0]])
    gain_qr = belief([[0.0, 0.0], [1.0, 1.0]], cov, noise=(0.1, 0.1), target=1).gain("entropy")
    assert (gain_qr[:, 0] < gain_qr[:, 1]).all()
    assert (gain_qr[:, 0] > 0.3 * gain_qr[:, 1]).all()


def test_noisy_ei_is_expected_improvement_over_a_certain_best() -> None:
    # E max(b - f, 0) with b = 0 and f ~ N(.5, 1): sd (z cdf(z) + pdf(z)) at z = -.5 is .1978.
    certain = belief([0.0, 0.5], [[1e-12, 0.0], [0.0, 1.0]], seen=1)
    assert certain.gain("noisy_ei")[1, 0] == pytest.approx(0.1978, abs=0.06)
    assert certain.gain("noisy_ei")[0, 0] < 1e-3


def test_knowledge_is_what_a_minimum_gains() -> None:
    # Two candidates, one certain at 0, one N(0, 1): E min(0, z) = -pdf(0), so a run is worth .3989.
    gain_qr = belief([0.0, 0.0], [[0.0, 0.0], [0.0, 1.0]], noise=(1e-9,)).gain("knowledge")
    assert gain_qr[1, 0] == pytest.approx(0.3989, abs=0.03)
    assert gain_qr[0, 0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", ["noisy_ei", "entropy", "knowledge"])
def test_gains_are_finite_and_not_negative_and_fall_once_a_run_is_out(kind: str) -> None:
    rng = np.random.default_rng(3)
    root = rng.standard_normal((12, 12))
    one = belief(rng.standard_normal((6, 2)), root @ root.T / 12, noise=(0.05, 0.01), target=1, seen=2)
    before = one.gain(kind)
    assert np.isfinite(before).all()
    assert (before >= 0.0).all()
    q = int(before[:, 1].argmax())
    one.narrow(q, 1)
    assert one.var_qr[q, 1] < 0.02
    assert one.gain(kind)[q, 1] < before[q, 1]
