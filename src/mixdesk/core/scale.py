"""How big: model shapes, run sizes, hyper-parameters, rungs and budgets."""

from __future__ import annotations

from typing import ClassVar

from mixdesk.core import checks
from mixdesk.core.checks import core_type, put
from mixdesk.core.errors import InputError


@core_type
class MoESpec:
    """A mixture-of-experts feed-forward layer: `n_experts` routed, `top_k` used per token, `n_shared` always used,
    `d_expert` hidden width of each, `router` by name.
    """

    n_experts: int
    top_k: int
    d_expert: int
    n_shared: int = 0
    router: str = "softmax"

    def __post_init__(self) -> None:
        for name, low in (("n_experts", 1), ("top_k", 1), ("d_expert", 1), ("n_shared", 0)):
            put(self, **{name: checks.count(name, getattr(self, name), low)})
        if self.top_k > self.n_experts:
            raise InputError(
                "`top_k` exceeds the experts there are",
                value=self.top_k,
                bound=f"≤ n_experts = {self.n_experts}",
                remedy="lower top_k",
            )


@core_type
class ModelSpec:
    """A decoder-only transformer as data. Feed-forward width is 4 × `d_model`; embeddings are tied.

    `seq_len` in tokens. Counts of parameters leave the embedding out; FLOPs include it as output head.
    """

    n_layers: int
    d_model: int
    n_heads: int
    vocab_size: int
    seq_len: int
    n_kv_heads: int | None = None
    moe: MoESpec | None = None

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "vocab_size", "seq_len"):
            put(self, **{name: checks.count(name, getattr(self, name), 1)})
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            raise InputError(
                "`d_model` does not split into even heads",
                value=f"{self.d_model} / {self.n_heads}",
                bound="an even whole number per head (rotary positions need pairs)",
                remedy="change n_heads",
            )
        kv = self.n_heads if self.n_kv_heads is None else checks.count("n_kv_heads", self.n_kv_heads, 1)
        if self.n_heads % kv:
            raise InputError(
                "`n_kv_heads` does not divide `n_heads`",
                value=kv,
                bound=f"a divisor of {self.n_heads}",
                remedy="change it",
            )

    def _per_layer(self, *, active: bool) -> int:
        kv_width = self.d_model // self.n_heads * (self.n_kv_heads or self.n_heads)
        attention = 2 * self.d_model * self.d_model + 2 * self.d_model * kv_width
        if self.moe is None:
            return attention + 8 * self.d_model * self.d_model
        used = (self.moe.top_k if active else self.moe.n_experts) + self.moe.n_shared
        return attention + 2 * used * self.d_model * self.moe.d_expert + self.d_model * self.moe.n_experts

    @property
    def n_params(self) -> int:
        """Matrix parameters without the embedding."""
        return self.n_layers * self._per_layer(active=False)

    @property
    def n_active(self) -> int:
        """Matrix parameters that one token uses, without the embedding."""
        return self.n_layers * self._per_layer(active=True)

    @property
    def flops_per_token(self) -> float:
        """Training FLOPs of one token, forward and backward.

        6 (n_active + vocab_size d_model) + 6 n_layers seq_len d_model: every matrix, the output head (at proxy size
        the larger part) and causal attention at half its square.
        """
        head = self.vocab_size * self.d_model
        return 6.0 * (self.n_active + head) + 6.0 * self.n_layers * self.seq_len * self.d_model


@core_type
class Scale:
    """Size of a run: `n_params` and `n_active` without embeddings, `n_tokens` trained with repeats; None = unknown."""

    n_tokens: int | None = None
    n_params: int | None = None
    n_active: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_tokens", "n_params", "n_active"):
            value = getattr(self, name)
            put(self, **{name: None if value is None else checks.count(name, value, 1)})


@core_type
class Hyper:
    """Hyper-parameters shared by all trials of a rung.

    `lr` peak rate of the block matrices; `batch_tokens` tokens per step; `warmup` and `decay` fractions of the run
    (linear up, linear to zero at the end); `weight_decay` on the embedding.
    """

    lr: float = 0.02
    batch_tokens: int = 512
    warmup: float = 0.1
    decay: float = 0.9
    weight_decay: float = 0.1

    def __post_init__(self) -> None:
        put(
            self,
            lr=checks.finite("lr", self.lr, 0.0, open_low=True),
            batch_tokens=checks.count("batch_tokens", self.batch_tokens, 1),
            warmup=checks.finite("warmup", self.warmup, 0.0, 1.0),
            decay=checks.finite("decay", self.decay, 0.0, 1.0),
            weight_decay=checks.finite("weight_decay", self.weight_decay, 0.0),
        )
        if self.warmup + self.decay > 1.0 + 1e-9:
            raise InputError(
                "`warmup` and `decay` overlap", value=self.warmup + self.decay, bound="a sum ≤ 1", remedy="shorten one"
            )


@core_type
class Rung:
    """A size that a study may ask; the last rung of a study is the target.

    `unique_share` in (0, 1] is the part of each domain the trial may draw from (*simulated epochs*); `flops` of one
    trial; it and the scale's `n_params` are derived from `model` where None.
    """

    EXAMPLE: ClassVar[str] = '{ label = "proxy", scale = { n_tokens = 100000000 } }'

    label: str
    scale: Scale = Scale()
    model: ModelSpec | None = None
    hyper: Hyper | None = None
    unique_share: float = 1.0
    flops: float | None = None

    def __post_init__(self) -> None:
        put(
            self,
            label=checks.label("label", self.label),
            unique_share=checks.finite("unique_share", self.unique_share, 0.0, 1.0, open_low=True),
        )
        if self.model is not None and self.scale.n_params is None:
            put(self, scale=Scale(n_tokens=self.scale.n_tokens, n_params=self.model.n_params))
        if self.flops is None and self.model is not None and self.scale.n_tokens is not None:
            put(self, flops=self.model.flops_per_token * self.scale.n_tokens)


@core_type
class Budget:
    """What a study may spend; the first limit reached ends it. None = no limit; at least one is set."""

    EXAMPLE: ClassVar[str] = "{ n_trials = 64 }"

    n_trials: int | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.n_trials is None and self.flops is None and self.seconds is None:
            raise InputError(
                "the budget is empty", value="no limit", bound="n_trials, flops or seconds", remedy="set at least one"
            )
        if self.n_trials is not None:
            put(self, n_trials=checks.count("n_trials", self.n_trials, 1))
        for name in ("flops", "seconds"):
            value = getattr(self, name)
            put(self, **{name: None if value is None else checks.finite(name, value, 0.0, open_low=True)})
