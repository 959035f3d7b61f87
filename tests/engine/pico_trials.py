"""Trials on the pico corpus that train in a fifth of a second."""

from __future__ import annotations

from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.scale import Hyper, ModelSpec, Scale

PICO = ModelSpec(n_layers=1, d_model=32, n_heads=2, vocab_size=512, seq_len=32)


def spec_of(
    weights: tuple[float, float, float] = (0.5, 0.3, 0.2), n_steps: int = 60, replicate: int = 0, lr: float = 0.02
) -> TrialSpec:
    """A trial: weights of asyncio, email, json; steps of 128 tokens."""
    mixture = Mixture.of(dict(zip(("asyncio", "email", "json"), weights, strict=True)))
    hyper = Hyper(lr=lr, batch_tokens=128)
    plan = RunPlan(
        schedule=Schedule.constant(mixture),
        scale=Scale(n_tokens=n_steps * hyper.batch_tokens),
        model=PICO,
        hyper=hyper,
    )
    return TrialSpec(plan=plan, replicate=replicate)
