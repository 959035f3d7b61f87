"""From shares of tokens to what a target counts, and back: sequences, rows, passes, steps.

    sequences n_d = w_d T / L, rows r_d = w_d T / ℓ_d, probability of a row q_d ∝ w_d / ℓ_d, epochs e_d = w_d T / N_d

w_d share of the training tokens, T tokens of the run, L of a sequence, ℓ_d = N_d / D_d mean tokens of a document, N_d
unique tokens, D_d documents. Whole numbers are by largest remainder, so that they add up: rounding each would not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.errors import InputError
from mixdesk.core.export import ExportStage, Order, OrderStage, Realised, Share
from mixdesk.core.mixture import Stage


def whole(amounts: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total`, in proportion to `amounts` (≥ 0), by largest remainder; ties by order.

    >>> whole({"web": 0.6, "code": 0.3, "books": 0.1}, 7)
    {'web': 4, 'code': 2, 'books': 1}
    """
    scale = total / math.fsum(amounts.values())
    exact = {name: amount * scale for name, amount in amounts.items()}
    out = {name: math.floor(amount) for name, amount in exact.items()}
    by_rest = sorted(exact, key=lambda name: out[name] - exact[name])
    for name in by_rest[: total - sum(out.values())]:
        out[name] += 1
    return out


def filled(weights: Sequence[float], n: int) -> NDArray[np.int64]:
    """Which domain each of n sequences is of (n,), by index, where a loader always fills the largest shortfall.

    >>> filled([0.5, 0.25, 0.25], 4).tolist()
    [0, 1, 2, 0]
    """
    shares = np.asarray(weights, dtype=np.float64)
    counts, out = np.zeros(len(shares)), np.empty(n, dtype=np.int64)
    for i in range(n):
        out[i] = np.argmax(shares * max(i, 1.0) - counts)
        counts[out[i]] += 1
    return out


def used(stage: OrderStage | Stage) -> dict[str, float]:
    """Domain → share of tokens where it is above zero."""
    return {name: weight for name, weight in stage.mixture.as_dict().items() if weight > 0.0}


def sequences(order: Order, stage: OrderStage) -> int:
    """Whole sequences of a stage, n = T / L.

    Raises:
        InputError: there is none, or the tokens of a sequence are not known.
    """
    length = order.need("seq_len")
    if stage.n_tokens < length:
        raise InputError(
            "a stage has no whole sequence", value=f"{stage.n_tokens:,} tokens", bound=f"at least {length:,}",
            remedy="take a longer run or shorter sequences",
        )  # fmt: skip
    return stage.n_tokens // length


def row_shares(order: Order, weights: Mapping[str, float]) -> dict[str, float]:
    """Shares of rows, or documents, that make the shares of tokens: q_d ∝ w_d / ℓ_d, summing to one.

    Raises:
        InputError: a mean length is not known.
    """
    amounts = {name: weight / order.mean_tokens(name) for name, weight in weights.items()}
    total = math.fsum(amounts.values())
    return {name: amount / total for name, amount in amounts.items()}


def token_shares(order: Order, rows: Mapping[str, float]) -> dict[str, float]:
    """Shares of tokens of so many rows, or documents, of each domain: w_d ∝ q_d ℓ_d.

    Raises:
        InputError: a mean length is not known.
    """
    amounts = {name: amount * order.mean_tokens(name) for name, amount in rows.items()}
    total = math.fsum(amounts.values())
    return {name: amount / total for name, amount in amounts.items()}


def wobble(order: Order) -> float:
    """Standard deviation of the largest share of tokens through drawing rows at random, over the shortest stage."""
    worst = 0.0
    for stage in order.stages():
        weights = used(stage)
        mean = 1.0 / math.fsum(weight / order.mean_tokens(name) for name, weight in weights.items())
        # Of n rows of length X the share of a domain has variance (E[X²; in it] (1 - 2 w) + w² E[X²]) / (n mean²).
        second = math.fsum(w * order.mean_tokens(name) for name, w in weights.items()) * mean
        n_rows = stage.n_tokens / mean
        for name, w in weights.items():
            spread = w * order.mean_tokens(name) / mean * (1.0 - 2.0 * w) + w * w * second / mean**2
            worst = max(worst, math.sqrt(max(spread, 0.0) / n_rows))
    return worst


def rows(order: Order, stage: OrderStage) -> dict[str, int]:
    """Whole rows of each domain, r_d = w_d T / ℓ_d, each rounded by itself and at least one.

    Raises:
        InputError: a mean length is not known.
    """
    need = {name: weight * stage.n_tokens / order.mean_tokens(name) for name, weight in used(stage).items()}
    return {name: max(round(amount), 1) for name, amount in need.items()}


def as_stage(
    order: Order,
    stage: OrderStage,
    written: Mapping[str, float],
    realised: Mapping[str, float] | None = None,
    files: Sequence[str] = (),
) -> ExportStage:
    """A stage as written; `realised` shares of tokens where the target rounds, else those asked."""
    weights = used(stage)
    shares = []
    for name, weight in weights.items():
        share = weight if realised is None else realised[name]
        size = order.domain(name).n_tokens
        epochs = share * stage.n_tokens / size if size else None
        shares.append(Share(domain=name, weight=weight, written=written[name], realised=share, epochs=epochs))
    return ExportStage(shares=tuple(shares), end=stage.end, files=tuple(files))


def resolution(stage: ExportStage, loose: Mapping[str, float], n_tokens: int) -> float:
    """The largest difference of a share in `n_tokens` where each domain is off by up to `loose` tokens."""
    total = math.fsum(loose.values())
    return max(
        (1.0 - one.weight) * loose[one.domain] + one.weight * (total - loose[one.domain]) for one in stage.shares
    ) / n_tokens  # fmt: skip


def as_realised(stage: ExportStage, shares: Mapping[str, float], n_tokens: int) -> Realised:
    """What a stage as written trains on: shares of tokens on any scale, over `n_tokens`."""
    total = math.fsum(shares.values())
    return Realised(
        asked=tuple((one.domain, one.weight) for one in stage.shares),
        realised=tuple((name, float(share) / total) for name, share in shares.items()),
        n_tokens=n_tokens,
    )
