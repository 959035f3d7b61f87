"""Mixtures by formula, from token counts alone.

tempered  w_d ∝ natural_d^(1/T):  T = 1 natural, T = 2 its root, T → ∞ uniform
unimax    w_d = min(E n_d / N, u), u such that Σ w = 1: as even as E epochs allow, n_d unique tokens, N of the run
"""

from __future__ import annotations

import numpy as np

from mixdesk.core.errors import Infeasible
from mixdesk.core.observations import Floats


def tempered(natural_d: Floats, temperature: float) -> Floats:
    """natural^(1 / temperature), divided by its sum, (d,)."""
    power_d = natural_d ** (1.0 / temperature)
    weights_d: Floats = power_d / power_d.sum()
    return weights_d


def unimax(tokens_d: Floats, n_tokens: int, max_epochs: float) -> Floats:
    """Equal shares of a run of `n_tokens`, each held at `max_epochs` passes over its `tokens_d`, (d,).

    Raises:
        Infeasible: so many passes over all domains are shorter than the run.
    """
    cap_d = max_epochs * tokens_d / n_tokens
    if cap_d.sum() < 1.0:
        raise Infeasible(
            f"a run of {n_tokens:,} tokens is longer than {max_epochs:g} epochs of all {tokens_d.sum():,.0f} tokens",
            value=f"{n_tokens / tokens_d.sum():.3g} epochs",
            bound=f"at most {max_epochs:g}",
            remedy=f"raise max-epochs, or run {int(max_epochs * tokens_d.sum()):,} tokens",
        )
    weights_d, left = np.zeros(len(cap_d)), 1.0
    for rank, d in enumerate(np.argsort(cap_d, kind="stable")):
        weights_d[d] = min(cap_d[d], left / (len(cap_d) - rank))
        left -= weights_d[d]
    return weights_d
