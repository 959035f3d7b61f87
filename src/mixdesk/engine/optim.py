"""Optimizers and the shape of the learning rate.

Muon on the block matrices: the step is the momentum matrix with its singular values pulled to one,

    M <- .95 M + .05 G;   W <- W - lr sqrt(max(1, out / in)) orthogonal(.05 G + .95 M)

AdamW (betas .9 and .95) on the embedding, the only parameter with weight decay.

Reference: jordan2024muon. Different from the original: three Newton-Schulz steps instead of five, fp32 instead of bf16
(the same numbers on every CPU), and matrices of one shape are orthogonalised together (`torch.optim.Muon` goes one by
one, in bf16).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from mixdesk.core.scale import Hyper
from mixdesk.engine.model import Transformer

# Quintic Newton-Schulz coefficients of Jordan et al.: each step multiplies small singular values by 3.4.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
# Theirs is 5. Three gave the same bits per byte (2.779 and 2.778 at width 64, 2.453 and 2.450 at 128) a tenth faster.
N_NEWTON_SCHULZ = 3
MOMENTUM = 0.95


def optimizers(model: Transformer, hyper: Hyper) -> tuple[Optimizer, Optimizer]:
    """Muon for the blocks and AdamW for the embedding, both at the peak rate `hyper.lr`."""
    fused = model.embedding.device.type in ("cpu", "cuda")
    return (
        Muon(model.blocks.parameters(), lr=hyper.lr),
        AdamW(
            [model.embedding], lr=hyper.lr, betas=(0.9, 0.95), eps=1e-10, weight_decay=hyper.weight_decay, fused=fused
        ),
    )


def rate(hyper: Hyper, step: int, n_steps: int) -> float:
    """Learning rate of step 0 … n_steps - 1: linear up over `warmup`, flat, linear to zero over `decay`."""
    up = (step + 1) / max(hyper.warmup * n_steps, 1.0)
    down = (n_steps - step) / max(hyper.decay * n_steps, 1.0)
    return hyper.lr * min(up, down, 1.0)


class Muon(Optimizer):
    """Momentum, orthogonalised. Parameters are matrices (out, in)."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; `closure` is there for torch's signature and not used."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1.0 - MOMENTUM)
                update = weight.grad.lerp(state["momentum"], MOMENTUM)
                tall = update.shape[0] > update.shape[1]
                wide = update.mT if tall else update
                by_shape.setdefault(wide.shape, []).append((weight, wide))
            for pairs in by_shape.values():
                for (weight, _), step in zip(pairs, orthogonal(torch.stack([m for _, m in pairs])), strict=True):
                    n_out, n_in = weight.shape
                    scale = group["lr"] * max(1.0, n_out / n_in) ** 0.5
                    weight.sub_(step.mT if n_out > n_in else step, alpha=scale)


def orthogonal(X_nab: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: all singular values near one. For n matrices (a, b), a ≤ b."""
    a, b, c = NEWTON_SCHULZ
    X: Tensor = X_nab / X_nab.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(N_NEWTON_SCHULZ):
        gram = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
    return X
