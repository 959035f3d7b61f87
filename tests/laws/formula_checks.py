"""What every formula must do: slopes that agree with differences, at any coefficients."""

import numpy as np

STEP = 1e-6


def check_slopes(formula, X_nd, theta_bp, n_domains=None):
    """The Jacobian and the slope in the weights against central differences."""
    p, d = theta_bp.shape[1], n_domains or X_nd.shape[1]
    assert formula.n_coefficients(d) == p
    J_bnp, slope_nbd = formula.jacobian(X_nd, theta_bp), formula.slope(X_nd, theta_bp)
    for i in range(p):
        step = STEP * np.eye(p)[i]
        wanted = (formula.values(X_nd, theta_bp + step) - formula.values(X_nd, theta_bp - step)) / (2.0 * STEP)
        np.testing.assert_allclose(J_bnp[:, :, i], wanted, rtol=1e-4, atol=1e-7)
    for j in range(d):
        step = STEP * np.eye(X_nd.shape[1])[j]
        wanted = (formula.values(X_nd + step, theta_bp) - formula.values(X_nd - step, theta_bp)) / (2.0 * STEP)
        np.testing.assert_allclose(slope_nbd[:, :, j], wanted.T, rtol=1e-4, atol=1e-6)


def same_but_for_the_level(law, obs, replaced):
    """Fits of two records whose metrics differ by a constant have the same coefficients."""
    one, two = law.fit(obs), law.fit(replaced)
    np.testing.assert_allclose(two.theta_mp, one.theta_mp, atol=1e-5)
    return two.shift_m - one.shift_m
