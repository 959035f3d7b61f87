"""A decoder-only transformer, top to bottom.

    x = norm(E[tokens])
    x = x + attention(norm(x));  x = x + mlp(norm(x))        for each layer
    logits = (OUTPUT / D) E norm(x)

RMSNorm without gains, rotary positions, QK-norm, causal attention with grouped key-value heads, ReLU^2 feed-forward of
width 4 D, one embedding E for input and output. All state is in two kinds of tensors: the embedding and the block
matrices, which is how `optim.py` splits them.

Widths: block matrices start with entries of sd 1 / sqrt(fan in) (those that write to the residual stream at zero),
the embedding with sd `EMBEDDING` at any width, and the logits are divided by D. With Muon's steps, whose spectral norm
is the rate, this is the maximal-update scaling: one learning rate serves all widths (`benchmarks/width.py`).

Axes: B batch, T tokens, D width, H heads, G key-value heads, K head size, V vocabulary.
Reference: yang2022mup for the scaling. The norm after the embedding makes its own input scale irrelevant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdesk.core.errors import InputError
from mixdesk.core.scale import ModelSpec

# Sd of the embedding's entries at the start: small against AdamW's steps, so that 160 steps can learn every row.
EMBEDDING = 0.02
# Scale of the logits at width D is OUTPUT / D: 1 at D = 64, where it was tuned.
OUTPUT = 64.0
# Base of the rotary frequencies (Su et al. 2021).
ROTARY = 10_000.0


class Transformer(nn.Module):
    """The model of a `ModelSpec`; call it with tokens (B, T) to get logits (B, T, V).

    Args:
        spec: its shape.
        seed: of the initial weights, drawn on the CPU, so that they are the same on every device.

    Raises:
        InputError: a mixture-of-experts spec.
    """

    def __init__(self, spec: ModelSpec, seed: int) -> None:
        super().__init__()
        if spec.moe is not None:
            raise InputError(
                "the built-in engine trains dense models only",
                value=f"moe with {spec.moe.n_experts} experts",
                bound="a model without `moe`",
                remedy="leave `moe` out of the rung's model, or use the trainer `command`",
            )
        head_size = spec.d_model // spec.n_heads
        self.spec = spec
        self.embedding = nn.Parameter(torch.empty(spec.vocab_size, spec.d_model))
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.n_layers))
        angle_TK = torch.outer(
            torch.arange(spec.seq_len, dtype=torch.float32),
            ROTARY ** -torch.linspace(0.0, 1.0, head_size // 2 + 1, dtype=torch.float32)[:-1],
        )
        self.cos_TK: Tensor
        self.sin_TK: Tensor
        self.register_buffer("cos_TK", angle_TK.cos(), persistent=False)
        self.register_buffer("sin_TK", angle_TK.sin(), persistent=False)
        self._start(torch.Generator().manual_seed(seed))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits of the next token, (B, T, V)."""
        n_tokens = tokens_BT.shape[1]
        cos_TK, sin_TK = self.cos_TK[:n_tokens], self.sin_TK[:n_tokens]
        x_BTD = norm(F.embedding(tokens_BT, self.embedding))
        for block in self.blocks:
            x_BTD = block(x_BTD, cos_TK, sin_TK)
        return F.linear(norm(x_BTD) * (OUTPUT / self.spec.d_model), self.embedding)

    def loss(self, tokens_BT: Tensor, reduction: str = "mean") -> Tensor:
        """Cross entropy in nats of tokens[:, 1:] given what stands before them; tokens are (B, T + 1).

        `reduction` "mean" is a scalar, "none" (B, T).
        """
        logits_BTV = self(tokens_BT[:, :-1])
        target_BT = tokens_BT[:, 1:]
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), reduction=reduction)
        return nats if reduction == "mean" else nats.view(target_BT.shape)

    @torch.no_grad()
    def _start(self, generator: torch.Generator) -> None:
        """Draw the initial weights, in the order of the parameters."""
        for name, weight in self.named_parameters():
            if name == "embedding":
                weight.normal_(0.0, EMBEDDING, generator=generator)
            elif name.endswith(("w_attention", "w_out")):
                weight.zero_()  # each block starts as the identity
            else:
                weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)


class Block(nn.Module):
    """Attention and feed-forward, each added to the residual stream. Matrices are (out, in)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        d_model = spec.d_model
        self.n_heads, self.n_kv_heads = spec.n_heads, spec.n_kv_heads or spec.n_heads
        d_kv = d_model // self.n_heads * self.n_kv_heads
        self.w_query = nn.Parameter(torch.empty(d_model, d_model))
        self.w_key = nn.Parameter(torch.empty(d_kv, d_model))
        self.w_value = nn.Parameter(torch.empty(d_kv, d_model))
        self.w_attention = nn.Parameter(torch.empty(d_model, d_model))
        self.w_in = nn.Parameter(torch.empty(4 * d_model, d_model))
        self.w_out = nn.Parameter(torch.empty(d_model, 4 * d_model))

    def forward(self, x_BTD: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
        """The residual stream after this block."""
        x_BTD = x_BTD + self._attention(norm(x_BTD), cos_TK, sin_TK)
        return x_BTD + F.linear(F.relu(F.linear(norm(x_BTD), self.w_in)).square(), self.w_out)

    def _attention(self, x_BTD: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
        n_batch, n_tokens, _ = x_BTD.shape
        q_BHTK = F.linear(x_BTD, self.w_query).view(n_batch, n_tokens, self.n_heads, -1).transpose(1, 2)
        k_BGTK = F.linear(x_BTD, self.w_key).view(n_batch, n_tokens, self.n_kv_heads, -1).transpose(1, 2)
        v_BGTK = F.linear(x_BTD, self.w_value).view(n_batch, n_tokens, self.n_kv_heads, -1).transpose(1, 2)
        q_BHTK, k_BGTK = norm(turn(q_BHTK, cos_TK, sin_TK)), norm(turn(k_BGTK, cos_TK, sin_TK))
        if self.n_kv_heads < self.n_heads:
            n_shared = self.n_heads // self.n_kv_heads
            k_BGTK, v_BGTK = k_BGTK.repeat_interleave(n_shared, 1), v_BGTK.repeat_interleave(n_shared, 1)
        y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BGTK, v_BGTK, is_causal=True)
        return F.linear(y_BHTK.transpose(1, 2).flatten(2), self.w_attention)


def norm(x: Tensor) -> Tensor:
    """RMSNorm over the last axis, without gains."""
    return F.rms_norm(x, (x.shape[-1],))


def turn(x_BHTK: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    """Rotary positions: the two halves of each head are the coordinates of pairs turned by position × frequency."""
    a, b = x_BHTK.chunk(2, dim=-1)
    return torch.cat((a * cos_TK - b * sin_TK, a * sin_TK + b * cos_TK), dim=-1)
