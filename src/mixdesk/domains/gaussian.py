"""Gaussian mixtures that adapt to documents from weak labels, on arrays.

One Gaussian with a diagonal covariance for each domain, fitted by expectation-maximisation to labelled and unlabelled
documents together. Axis letters: n documents, k domains, p features.

Reference: `agmm`. Ours is the model, in place of a network's loss: a weak label is a set of domains that is trusted in
part, and each domain begins as `PULL` imaginary documents around its labelled mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.observations import Floats

Bools = NDArray[np.bool_]

# Documents that the start of a domain counts as; share of a weak label that is believed.
PULL, TRUST = 20.0, 0.7
# Steps of EM at most, relative rise of its goal at which it stops, and documents per domain and feature from which
# domains have variances and shares of their own.
STEPS, RISE, OWN = 100, 1e-6, 10
# Passes of online EM over the documents, and the power at which later batches count less.
PASSES, FADE = 2, 0.6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Gaussians:
    """A mixture: `share_k` of each domain, `mean_kp` and `variance_kp` of its documents."""

    share_k: Floats
    mean_kp: Floats
    variance_kp: Floats

    def joint(self, X_np: Floats) -> Floats:
        """log(share_k · density of domain k at x_n), (n, k)."""
        precision_kp = 1.0 / self.variance_kp
        square_nk = (X_np**2) @ precision_kp.T - 2.0 * X_np @ (self.mean_kp * precision_kp).T
        square_nk += (self.mean_kp**2 * precision_kp).sum(1)
        height_k = np.log(self.share_k) - 0.5 * np.log(2.0 * np.pi * self.variance_kp).sum(1)
        joint_nk: Floats = height_k - 0.5 * np.maximum(square_nk, 0.0)
        return joint_nk

    def weigh(self, X_np: Floats, allowed_nk: Bools | None = None, *, trust: float = TRUST) -> Floats:
        """Probability of each domain, (n, k), rows sum to one.

        R = trust · (posterior among the allowed domains) + (1 − trust) · posterior. With trust 1 a document with one
        allowed domain is there for certain.
        """
        return _expect(self.joint(X_np), allowed_nk, trust)[0]

    def to_dict(self) -> dict[str, Any]:
        """The three arrays as lists."""
        return {"share": self.share_k.tolist(), "mean": self.mean_kp.tolist(), "variance": self.variance_kp.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Gaussians:
        """The mixture that `to_dict` wrote."""
        share_k, mean_kp, variance_kp = (np.array(data[key], float) for key in ("share", "mean", "variance"))
        return cls(share_k=share_k, mean_kp=mean_kp, variance_kp=variance_kp)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Adapted:
    """A fitted mixture, and the penalised log-likelihood before each step of EM and after the last."""

    model: Gaussians
    goal_t: Floats


def start(X_np: Floats, allowed_nk: Bools) -> Gaussians:
    """Where EM begins, and the rival to beat: means of the labelled documents, one variance, equal shares.

    The variance is that of all documents, feature by feature, so that the answer is the nearest labelled mean in units
    of the features' spread.

    Raises:
        NotEnoughEvidence: a domain has no document that is labelled with it alone.
    """
    sure_nk = (allowed_nk & (allowed_nk.sum(1, keepdims=True) == 1)).astype(float)
    count_k = sure_nk.sum(0)
    if not count_k.all():
        raise NotEnoughEvidence(
            f"domain {int(np.flatnonzero(count_k == 0)[0])} has no labelled document",
            value=0,
            bound="at least one document labelled with it alone",
            remedy="label one, or leave the domain out",
        )
    k = len(count_k)
    variance_p = X_np.var(0) + 1e-12
    return Gaussians(
        share_k=np.full(k, 1.0 / k),
        mean_kp=sure_nk.T @ X_np / count_k[:, None],
        variance_kp=np.tile(variance_p, (k, 1)),
    )


def adapt(
    X_np: Floats,
    allowed_nk: Bools,
    first: Gaussians,
    *,
    trust: float = TRUST,
    pull: float = PULL,
    own: bool | None = None,
) -> Adapted:
    """Fit a mixture by EM from weak labels.

    It raises, step by step and never lowers,

        Σ_n [trust · log Σ_{k allowed} π_k N_k(x_n) + (1 − trust) · log Σ_k π_k N_k(x_n)]
        − ½ pull · Σ_kp [(μ_kp − μ⁰_kp)² / v_kp + v⁰_kp / v_kp + log v_kp]

    Variances v are shared by the domains and π is equal, or with `own` each domain's are its own.

    Args:
        X_np: document vectors; at most some 64 features, or responsibilities become 0 and 1.
        allowed_nk: domains that a document's weak label allows; all of them where it has none.
        first: where to begin; its means and variances are μ⁰ and v⁰.
        trust: in [0, 1], how far weak labels are believed; 1: as certain.
        pull: documents' worth of μ⁰ and v⁰.
        own: whether domains have variances and shares of their own; None: where there are more than 10 documents per
            domain and feature.

    Raises:
        InputError: a document that no domain is allowed to.
    """
    _checked(allowed_nk)
    model, goals = first, [-np.inf]
    loose = len(X_np) > OWN * allowed_nk.shape[1] * X_np.shape[1] if own is None else own
    for _ in range(STEPS):
        R_nk, likely = _expect(model.joint(X_np), allowed_nk, trust)
        goals.append(likely + _penalty(model, first, pull))
        if goals[-1] - goals[-2] < RISE * abs(goals[-1]):
            break
        moments = R_nk.sum(0), R_nk.T @ X_np, R_nk.T @ X_np**2
        model = _maximise(moments, first, pull=pull, loose=loose)
    return Adapted(model=model, goal_t=np.array(goals[1:]))


def adapt_online(
    X_np: Floats,
    allowed_nk: Bools,
    first: Gaussians,
    *,
    batch: int,
    trust: float = TRUST,
    pull: float = PULL,
    seed: int = 0,
) -> Gaussians:
    """The same by online EM: moments of batches, later ones counting less, in two passes in an order drawn by `seed`.

    s ← (1 − ρ_t) s + ρ_t s_batch with ρ_t = (t + 2)^−0.6, s the mean of (R, R x, R x²) over documents. Domains
    share variances, and shares are equal, as in `adapt` without `own`.
    """
    _checked(allowed_nk)
    rng = np.random.default_rng(seed)
    n = len(X_np)
    model, kept, t = first, None, 0
    for _ in range(PASSES):
        for rows in np.array_split(rng.permutation(n), max(round(n / batch), 1)):
            X_bp = X_np[rows]
            R_bk, _ = _expect(model.joint(X_bp), allowed_nk[rows], trust)
            new = tuple(s * (n / len(rows)) for s in (R_bk.sum(0), R_bk.T @ X_bp, R_bk.T @ X_bp**2))
            rate = (t + 2.0) ** -FADE
            kept = new if kept is None else tuple((1.0 - rate) * a + rate * b for a, b in zip(kept, new, strict=True))
            model = _maximise(kept, first, pull=pull, loose=False)
            t += 1
    return model


def _checked(allowed_nk: Bools) -> None:
    if not allowed_nk.any(1).all():
        raise InputError(
            "a weak label allows no domain",
            value=f"document {int(np.flatnonzero(~allowed_nk.any(1))[0])}",
            bound="at least one domain for each document",
            remedy="leave its label out",
        )


def _expect(joint_nk: Floats, allowed_nk: Bools | None, trust: float) -> tuple[Floats, float]:
    """Responsibilities, and the log-likelihood of documents and weak labels."""
    R_nk: Floats = softmax(joint_nk, 1)
    total_n = logsumexp(joint_nk, 1)
    if allowed_nk is None:
        return R_nk, float(total_n.sum())
    within_nk = np.where(allowed_nk, joint_nk, -np.inf)
    likely = float((trust * logsumexp(within_nk, 1) + (1.0 - trust) * total_n).sum())
    return trust * softmax(within_nk, 1) + (1.0 - trust) * R_nk, likely


def _penalty(model: Gaussians, first: Gaussians, pull: float) -> float:
    far_kp = (model.mean_kp - first.mean_kp) ** 2 + first.variance_kp
    return float(-0.5 * pull * (far_kp / model.variance_kp + np.log(model.variance_kp)).sum())


def _maximise(moments: tuple[Floats, ...], first: Gaussians, *, pull: float, loose: bool) -> Gaussians:
    """The mixture that raises the goal most, given the sums of R, R x and R x²."""
    N_k, sum_kp, square_kp = moments
    k = len(N_k)
    mean_kp = (sum_kp + pull * first.mean_kp) / (N_k + pull)[:, None]
    spread_kp = square_kp - 2.0 * mean_kp * sum_kp + N_k[:, None] * mean_kp**2
    spread_kp += pull * ((mean_kp - first.mean_kp) ** 2 + first.variance_kp)
    if loose:
        share_k = np.maximum(N_k / N_k.sum(), 1e-12)
        return Gaussians(share_k=share_k, mean_kp=mean_kp, variance_kp=spread_kp / (N_k + pull)[:, None])
    variance_p = spread_kp.sum(0) / (N_k.sum() + k * pull)
    return Gaussians(share_k=np.full(k, 1.0 / k), mean_kp=mean_kp, variance_kp=np.tile(variance_p, (k, 1)))
