"""Counts of parameters and FLOPs against sums over the tensors, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.errors import InputError
from mixdesk.core.scale import Budget, Hyper, ModelSpec, MoESpec, Rung, Scale

DENSE = ModelSpec(n_layers=2, d_model=8, n_heads=2, vocab_size=100, seq_len=16)


def test_dense_parameters_are_the_sum_over_the_matrices():
    query = key = value = out = 8 * 8
    up, down = 8 * 32, 32 * 8
    assert DENSE.n_params == DENSE.n_active == 2 * (query + key + value + out + up + down)


def test_shared_key_value_heads_shrink_two_matrices():
    grouped = ModelSpec(n_layers=2, d_model=8, n_heads=2, n_kv_heads=1, vocab_size=100, seq_len=16)
    assert grouped.n_params == 2 * (8 * 8 + 8 * 4 + 8 * 4 + 8 * 8 + 8 * 32 + 32 * 8)


def test_experts_count_whole_and_active():
    moe = MoESpec(n_experts=4, top_k=2, d_expert=6, n_shared=1)
    model = ModelSpec(n_layers=3, d_model=8, n_heads=2, vocab_size=100, seq_len=16, moe=moe)
    attention, router, expert = 4 * 8 * 8, 8 * 4, 2 * 8 * 6
    assert model.n_params == 3 * (attention + router + 5 * expert)
    assert model.n_active == 3 * (attention + router + 3 * expert)


def test_flops_count_matrices_head_and_causal_attention():
    # Forward: 2 per weight and token; attention: scores and values, 2 · 2 · seq_len · d_model, half of it causal.
    forward = 2 * (DENSE.n_params + 100 * 8) + 2 * (2 * 2 * 16 * 8) / 2
    assert DENSE.flops_per_token == 3 * forward


@given(model=st.from_type(ModelSpec))
def test_active_never_exceeds_all(model):
    assert 0 < model.n_active <= model.n_params
    assert model.flops_per_token > 6 * model.n_active


def test_a_rung_derives_size_and_cost_from_its_model():
    rung = Rung(label="p", model=DENSE, scale=Scale(n_tokens=1000))
    assert rung.scale == Scale(n_tokens=1000, n_params=DENSE.n_params)
    assert rung.flops == 1000 * DENSE.flops_per_token
    assert Rung(label="p", model=DENSE, scale=Scale(n_tokens=1000), flops=5.0).flops == 5.0
    assert Rung(label="p").flops is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(),
        lambda: Budget(n_trials=0),
        lambda: Budget(seconds=0.0),
        lambda: Hyper(warmup=0.5, decay=0.6),
        lambda: Hyper(lr=0.0),
        lambda: Scale(n_tokens=0),
        lambda: MoESpec(n_experts=2, top_k=3, d_expert=4),
        lambda: ModelSpec(n_layers=1, d_model=8, n_heads=2, n_kv_heads=3, vocab_size=8, seq_len=8),
        lambda: ModelSpec(n_layers=1, d_model=10, n_heads=2, vocab_size=8, seq_len=8),
        lambda: Rung(label=" p"),
        lambda: Rung(label="p", unique_share=0.0),
    ],
)
def test_impossible_sizes_are_refused(make):
    with pytest.raises(InputError):
        make()
