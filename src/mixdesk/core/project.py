"""The nearest mixture inside bounds, rows and a ball.

    minimise ½ ‖w − v‖²  subject to  Σ w = 1, lower ≤ w ≤ upper, A w ≤ b

In the dual w = clip(v − Σ λ_j e_j, lower, upper), with e_0 = 1 for the sum and λ_j ≥ 0 for the rows: a concave function
of few numbers with a piecewise linear gradient, climbed by Newton's steps for all rows of a batch at once.
"""

from __future__ import annotations

import numpy as np

from mixdesk.core.observations import Floats

# Slack of a bound: weights come out of float solvers, and 1e-9 of a run is less than a sequence.
TOLERANCE = 1e-9
# Newton steps and halvings of a step; misses of the rows that count as none, well within the tolerance.
N_STEPS, N_HALVINGS, MISS = 60, 24, 1e-12


def project_box(W_qd: Floats, lower_d: Floats, upper_d: Floats) -> Floats:
    """The nearest mixture within bounds of each row, (q, d): clip(w + shift) with Σ = 1."""
    low, high = -1.0 - W_qd.max(1), 1.0 - W_qd.min(1)
    for _ in range(80):
        shift = (low + high) / 2.0
        total = np.clip(W_qd + shift[:, None], lower_d, upper_d).sum(1)
        low, high = np.where(total < 1.0, shift, low), np.where(total < 1.0, high, shift)
    out: Floats = np.clip(W_qd + high[:, None], lower_d, upper_d)
    # What bisection left (≤ 1e-16 per domain) goes to the widest slack, so that rows sum to one exactly enough.
    out /= out.sum(1, keepdims=True)
    return out


def project_rows(W_qd: Floats, lower_d: Floats, upper_d: Floats, rows_rd: Floats, most_r: Floats) -> Floats:
    """The nearest mixture within bounds and rows of each row, (q, d); within the bounds where Newton stops early."""
    norm_r = np.linalg.norm(rows_rd, axis=1)
    unit_r = np.where(norm_r > 0.0, norm_r, 1.0)
    E_jd = np.vstack([np.ones(len(lower_d)) / np.sqrt(len(lower_d)), rows_rd / unit_r[:, None]])
    level_j = np.append(1.0 / np.sqrt(len(lower_d)), most_r / unit_r)
    is_row = np.arange(len(E_jd)) > 0
    price_qj = np.zeros((len(W_qd), len(E_jd)))
    left = np.arange(len(W_qd))

    def at(v_qd: Floats, price: Floats) -> tuple[Floats, Floats, Floats]:
        w = np.clip(v_qd - price @ E_jd, lower_d, upper_d)
        miss = w @ E_jd.T - level_j
        return w, miss, 0.5 * np.square(w - v_qd).sum(axis=1) + (price * miss).sum(axis=1)

    for _ in range(N_STEPS):
        v, price = W_qd[left], price_qj[left]
        w, miss, value = at(v, price)
        still = is_row & (price <= 0.0) & (miss <= 0.0)
        size = np.abs(np.where(still, 0.0, miss)).max(axis=1, initial=0.0)
        is_left = size > MISS
        left, v, price, w = left[is_left], v[is_left], price[is_left], w[is_left]
        miss, value, still, size = miss[is_left], value[is_left], still[is_left], size[is_left]
        if not len(left):
            break
        between = ((w > lower_d) & (w < upper_d)).astype(np.float64)
        moving = (~still).astype(np.float64)
        H_qjj = (between[:, None, :] * E_jd) @ E_jd.T * moving[:, :, None] * moving[:, None, :]
        H_qjj += (1e-3 * np.minimum(size, 1.0)[:, None] + (1.0 - moving) + 1e-12)[:, :, None] * np.eye(len(E_jd))
        step = np.linalg.solve(H_qjj, (miss * moving)[:, :, None])[:, :, 0]
        share, is_open = np.ones(len(left)), np.ones(len(left), dtype=np.bool_)
        new = price.copy()
        for _ in range(N_HALVINGS):
            tried = price[is_open] + share[is_open, None] * step[is_open]
            tried = np.where(is_row, np.maximum(tried, 0.0), tried)
            gain = at(v[is_open], tried)[2] - value[is_open]
            enough = gain >= 1e-4 * (miss[is_open] * (tried - price[is_open])).sum(axis=1) - 1e-15
            new[is_open] = tried
            is_open[np.flatnonzero(is_open)[enough]] = False
            share *= 0.5
            if not is_open.any():
                break
        price_qj[left] = new
    return project_box(at(W_qd, price_qj)[0], lower_d, upper_d)


def pull_to_rows(W_qd: Floats, rows_rd: Floats, most_r: Floats, inside_d: Floats) -> Floats:
    """Rows that miss a limit by more than rounding, moved straight towards a mixture inside until they keep it."""
    reached, start = W_qd @ rows_rd.T, rows_rd @ inside_d
    miss = reached > most_r + TOLERANCE / 10.0
    share = np.where(miss, np.maximum(most_r - start, 0.0) / np.maximum(reached - start, 1e-300), 1.0)
    moved: Floats = inside_d + np.clip(share.min(axis=1, initial=1.0), 0.0, 1.0)[:, None] * (W_qd - inside_d)
    return moved


def nats_of(W_qd: Floats, near_d: Floats) -> Floats:
    """Σ w ln(w / near) of each row, (q,); weights below 1e-12 of a domain that `near` has none of count as none."""
    used = near_d > 0.0
    w = np.maximum(W_qd[:, used], 0.0)
    found: Floats = (w * np.log(np.maximum(w, 1e-300) / near_d[used])).sum(axis=1)
    return found


def pull_to_ball(W_qd: Floats, near_d: Floats, nats: float, inside_d: Floats) -> Floats:
    """Rows farther than `nats` moved straight towards a mixture inside until they are not, (q, d)."""
    out = W_qd.copy()
    far = np.flatnonzero(nats_of(W_qd, near_d) > nats)
    low, high = np.zeros(len(far)), np.ones(len(far))
    way = W_qd[far] - inside_d
    for _ in range(60):
        middle = (low + high) / 2.0
        is_in = nats_of(inside_d + middle[:, None] * way, near_d) <= nats
        low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
    out[far] = inside_d + low[:, None] * way
    return out
