"""A world with quality bins: good text teaches more, but there is little of it, and repeats teach less and less.

    x_i = c_i (1 − exp(−w_i / c_i)),  c_i = PASSES · n_i            fresh text that weight w_i of leaf i is worth
    S_m = Σ_g C_mg ((Σ_{i in g} q_i x_i + F)^γ_mg − F^γ_mg)          what metric m learns from each domain
    y_m = E_m + A_m (b_m + S_m)^−p_m                                 lower is better

with n_i the natural share and q_i the worth of a token, 1 in the best bin of each domain, less in the next. The best
bins alone are worn out, natural sampling spends half of the run on poor text, and which domains matter has nothing to
do with their size: neither quality nor mixture alone is enough. Losses are convex in the weights.
"""

from __future__ import annotations

import numpy as np

from mixdesk.core import checks
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.files import fingerprint
from mixdesk.core.observations import Floats, Metric
from mixdesk.testing.worlds import FLOOR, N_SPREAD, TOKENS, World

# A weight of as many times its natural share is worth 63 % of what any larger one is.
PASSES = 1.0
# Worth of a token in the worst bin: between these by domain, so that some domains want a filter and some do not.
WORST = (0.02, 0.5)


def qualities(n_domains: int = 3, n_bins: int = 4, m: int = 3, seed: int = 0, noise: float = 0.1) -> World:
    """The world of leaves d00/q1, d00/q2, …, d01/q1, …: bins of equal size, domains ten-fold apart.

    Each metric is helped most by one domain. `noise` is the sd of one run relative to the sd of the metric over
    mixtures even on the simplex.
    """
    for name, value, least in (("n_domains", n_domains, 2), ("n_bins", n_bins, 1), ("m", m, 1)):
        checks.count(name, value, least)
    relative = checks.finite("noise", noise, 0.0)
    rng = np.random.default_rng(seed)
    name = f"qualities-{n_domains}-{n_bins}-{m}-{seed}"
    group_d = np.repeat(np.arange(n_domains), n_bins)
    tokens_d = rng.permutation(np.geomspace(*TOKENS, n_domains))[group_d] // n_bins
    cap_d = PASSES * tokens_d / tokens_d.sum()
    worst_g, bend_g = (
        np.exp(rng.uniform(np.log(WORST[0]), np.log(WORST[1]), n_domains)),
        rng.uniform(0.6, 1.6, n_domains),
    )
    depth_b = np.linspace(0.0, 1.0, n_bins) if n_bins > 1 else np.zeros(1)
    worth_d = (1.0 - (1.0 - worst_g[:, None]) * depth_b ** bend_g[:, None]).ravel()
    C_mg, power_mg = rng.uniform(0.0, 1.0, (m, n_domains)) ** 2, rng.uniform(0.4, 0.8, (m, n_domains))
    C_mg[np.arange(m), np.arange(m) % n_domains] = rng.uniform(1.0, 2.0, m)
    E_m, A_m = rng.uniform(0.5, 1.5, m), rng.uniform(0.5, 2.0, m)
    b_m, p_m = rng.uniform(0.3, 1.0, m), rng.uniform(0.5, 1.5, m)
    member_dg = np.eye(n_domains)[group_d]

    def law(W_qd: Floats) -> Floats:
        fresh_qd = cap_d * (1.0 - np.exp(-np.maximum(W_qd, 0.0) / cap_d))
        good_qg = (worth_d * fresh_qd) @ member_dg
        learned_qm = (C_mg * ((good_qg[:, None, :] + FLOOR) ** power_mg - FLOOR**power_mg)).sum(axis=2)
        values: Floats = E_m + A_m * (b_m + learned_qm) ** -p_m
        return values

    leaves = [f"d{g:02d}/q{b + 1}" for g in range(n_domains) for b in range(n_bins)]
    corpus = Corpus(
        name=name,
        tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=fingerprint("bytes")),
        domains=tuple(
            Domain(
                name=leaf, n_tokens=int(n), n_bytes=int(n), n_docs=int(n) // 1000, fingerprint=fingerprint(name, leaf)
            )
            for leaf, n in zip(leaves, tokens_d, strict=True)
        ),
    )
    metrics = tuple(Metric(name=f"bpb/set/s{j:02d}") for j in range(m))
    spread_m = law(np.random.default_rng(0).dirichlet(np.ones(len(leaves)), N_SPREAD)).std(axis=0)
    return World(name=name, corpus=corpus, metrics=metrics, law=law, noise_m=relative * spread_m)
