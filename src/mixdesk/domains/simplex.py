"""A classifier whose class vectors never move, on arrays.

Classes are the corners of a regular simplex; corners without a class are kept for classes to come. So vectors that an
earlier version stored stay comparable with those of a later one. Axis letters: n documents, p features, k corners,
d = k − 1 dimensions of a vector.

Reference: `stationaryrepresentations`. The map is linear, its loss the paper's: cross-entropy against the fixed
corners and, for an update, the higher-order compatibility term (HOC) with the vectors of the version before, which
weighs less here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from mixdesk.core.observations import Floats

Labels = NDArray[np.int64]

# Corners: 64 classes at most, past and to come. Weight of cross-entropy beside HOC (the paper's 0.1 left new classes
# off their corners, see docs/log.md), and sharpness of its similarities.
CORNERS, BALANCE, SHARP = 64, 0.7, 10.0
# Training: steps of Adam, documents per step, rate at its start (it falls to nothing by a half cosine).
STEPS, BATCH, RATE = 600, 128, 0.02


def corners(k: int) -> Floats:
    """The k corners of a regular simplex around the origin, (k, k − 1), each of length one.

    ⟨c_i, c_j⟩ = −1/(k − 1) for i ≠ j.

    >>> np.round(corners(3) @ corners(3).T, 12).tolist()
    [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    d = k - 1
    P_kd = np.vstack([np.eye(d), np.full((1, d), (1.0 - np.sqrt(d + 1.0)) / d)])
    P_kd -= P_kd.mean(0)
    unit_kd: Floats = P_kd / np.linalg.norm(P_kd, axis=1, keepdims=True)
    return unit_kd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SimplexMap:
    """x → x W + b in the space of the corners. `W_pd`, `b_d`."""

    W_pd: Floats
    b_d: Floats

    def vectors(self, X_np: Floats) -> Floats:
        """Document vectors to store and compare, (n, d), each of length one."""
        return _unit(X_np @ self.W_pd + self.b_d)[0]

    def weigh(self, X_np: Floats, classes: Labels) -> Floats:
        """Probability of each class, (n, number of classes): softmax over the corners that `classes` names."""
        P_kd = corners(len(self.b_d) + 1)
        weight_nk: Floats = softmax((X_np @ self.W_pd + self.b_d) @ P_kd[classes].T, 1)
        return weight_nk

    def to_dict(self) -> dict[str, Any]:
        """The arrays as lists."""
        return {"W": self.W_pd.tolist(), "b": self.b_d.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SimplexMap:
        """The map that `to_dict` wrote."""
        return cls(W_pd=np.array(data["W"], float), b_d=np.array(data["b"], float))


def train(
    X_np: Floats, label_n: Labels, *, k: int = CORNERS, old: SimplexMap | None = None, seed: int = 0
) -> SimplexMap:
    """Learn the map from labelled documents; with `old`, so that its stored vectors stay comparable.

    Minimises cross-entropy of softmax(h c_k) over all k corners, classes weighted by √(1 / share); with `old`
    0.7 · that + 0.3 · HOC, where s_ij = 10 ⟨ĥ_old,i, ĥ_new,j⟩ and HOC = mean_i [−s_ii + log Σ_j exp(s_ij [y_j ≠ y_i])].

    Args:
        X_np: features.
        label_n: corner of each document's class; an old class keeps its corner, a retired corner is not given again.
        k: corners, past, present and to come.
        old: the version before, on the same features.
        seed: order of the documents and beginning of a first version; an update begins where `old` is.
    """
    P_kd = corners(k)
    rng = np.random.default_rng(seed)
    n, p = X_np.shape
    if old is None:
        theta = np.vstack([rng.normal(0.0, 1.0 / np.sqrt(p), (p, k - 1)), np.zeros((1, k - 1))])
    else:
        theta = np.vstack([old.W_pd, old.b_d])
    weight_n = 1.0 / np.sqrt(np.bincount(label_n, minlength=k)[label_n] / n)
    weight_n /= weight_n.mean()
    wide_nq = np.hstack([X_np, np.ones((n, 1))])
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for t in range(STEPS):
        rows = rng.choice(n, min(BATCH, n), replace=False)
        x_bq, y_b = wide_nq[rows], label_n[rows]
        h_bd = x_bq @ theta
        slope_bd = _entropy_slope(h_bd, y_b, P_kd, weight_n[rows])
        if old is not None:
            slope_bd *= BALANCE
            slope_bd += (1.0 - BALANCE) * _hoc_slope(h_bd, old.vectors(X_np[rows]), y_b)
        slope = x_bq.T @ slope_bd
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        rate = RATE * 0.5 * (1.0 + np.cos(np.pi * t / STEPS))
        theta = theta - rate * (first / (1.0 - 0.9 ** (t + 1))) / (np.sqrt(second / (1.0 - 0.999 ** (t + 1))) + 1e-8)
    return SimplexMap(W_pd=theta[:-1], b_d=theta[-1])


def hoc(h_bd: Floats, before_bd: Floats, y_b: Labels) -> float:
    """The compatibility loss of new outputs `h_bd` with earlier vectors of the same documents (length one)."""
    s_bb, others_bb = _similar(_unit(h_bd)[0], before_bd, y_b)
    return float((np.log(np.exp(s_bb * others_bb).sum(1)) - np.diag(s_bb)).mean())


def nearest(query_nd: Floats, gallery_md: Floats, label_m: Labels) -> Labels:
    """Label of the stored vector that is nearest in angle to each query."""
    found: Labels = label_m[(_unit(query_nd)[0] @ _unit(gallery_md)[0].T).argmax(1)]
    return found


def _entropy_slope(h_bd: Floats, y_b: Labels, P_kd: Floats, weight_b: Floats) -> Floats:
    R_bk = np.exp(log_softmax(h_bd @ P_kd.T, 1))
    R_bk[np.arange(len(y_b)), y_b] -= 1.0
    slope: Floats = (weight_b[:, None] * R_bk) @ P_kd / len(y_b)
    return slope


def _hoc_slope(h_bd: Floats, before_bd: Floats, y_b: Labels) -> Floats:
    unit_bd, length_b1 = _unit(h_bd)
    s_bb, others_bb = _similar(unit_bd, before_bd, y_b)
    R_bb = softmax(s_bb * others_bb, 1) * others_bb - np.eye(len(y_b))
    slope_bd = SHARP * R_bb.T @ before_bd / len(y_b)
    along_b1 = (slope_bd * unit_bd).sum(1, keepdims=True)
    slope: Floats = (slope_bd - along_b1 * unit_bd) / length_b1
    return slope


def _similar(unit_bd: Floats, before_bd: Floats, y_b: Labels) -> tuple[Floats, Floats]:
    return SHARP * before_bd @ unit_bd.T, (y_b[:, None] != y_b).astype(float)


def _unit(h_nd: Floats) -> tuple[Floats, Floats]:
    length_n1 = np.maximum(np.linalg.norm(h_nd, axis=1, keepdims=True), 1e-12)
    return h_nd / length_n1, length_n1
