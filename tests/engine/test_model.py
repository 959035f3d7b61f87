from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mixdesk.core.errors import InputError
from mixdesk.core.scale import Hyper, ModelSpec, MoESpec
from mixdesk.engine.model import Transformer
from mixdesk.engine.optim import optimizers, rate

NANO = ModelSpec(n_layers=2, d_model=32, n_heads=4, n_kv_heads=2, vocab_size=61, seq_len=24)
GOLDEN = Path(__file__).parents[1] / "golden" / "losses" / "nano_dense.txt"


def ten_losses() -> list[float]:
    """Losses of ten steps on sequences that a model can learn: each token is 3 times the last, plus a little noise."""
    rng = np.random.default_rng(7)
    tokens = np.zeros((10, 8, NANO.seq_len + 1), dtype=np.int64)
    tokens[:, :, 0] = rng.integers(0, NANO.vocab_size, (10, 8))
    for t in range(1, tokens.shape[2]):
        tokens[:, :, t] = (3 * tokens[:, :, t - 1] + rng.integers(0, 2, (10, 8))) % NANO.vocab_size
    model, hyper = Transformer(NANO, seed=11), Hyper(lr=0.04)
    opts = optimizers(model, hyper)
    losses = []
    for step in range(10):
        loss = model.loss(torch.from_numpy(tokens[step]))
        losses.append(loss.item())
        loss.backward()
        for opt in opts:
            opt.param_groups[0]["lr"] = rate(hyper, step, 10)
            opt.step()
            opt.zero_grad()
    return losses


def test_ten_steps_give_the_golden_losses() -> None:
    golden = [float(line) for line in GOLDEN.read_text().split()]
    assert ten_losses() == pytest.approx(golden, abs=1e-4)
    assert golden[-1] < golden[0] - 0.5


def test_the_loss_starts_at_that_of_uniform_guesses() -> None:
    tokens = torch.arange(50).view(2, 25)
    assert Transformer(NANO, seed=0).loss(tokens).item() == pytest.approx(math.log(NANO.vocab_size), abs=0.05)


def test_matrix_parameters_are_those_of_the_spec() -> None:
    model = Transformer(NANO, seed=0)
    assert sum(weight.numel() for weight in model.blocks.parameters()) == NANO.n_params
    assert model.embedding.shape == (NANO.vocab_size, NANO.d_model)
    assert sum(weight.numel() for weight in model.parameters()) == NANO.n_params + model.embedding.numel()


def test_no_token_sees_those_after_it() -> None:
    model = trained()
    tokens = torch.randint(0, NANO.vocab_size, (1, NANO.seq_len), generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[0, 15] = (other[0, 15] + 1) % NANO.vocab_size
    a, b = model(tokens), model(other)
    assert torch.equal(a[:, :15], b[:, :15])
    assert not torch.allclose(a[:, 15:], b[:, 15:])


def test_positions_matter() -> None:
    model = trained()
    swapped = model(torch.tensor([[5, 9, 7, 7]]))[0, -1]
    assert not torch.allclose(model(torch.tensor([[9, 5, 7, 7]]))[0, -1], swapped, atol=1e-4)


def test_initial_weights_depend_on_the_seed_only() -> None:
    torch.manual_seed(5)
    a = Transformer(NANO, seed=3).state_dict()
    torch.manual_seed(6)
    b, c = Transformer(NANO, seed=3).state_dict(), Transformer(NANO, seed=4).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["embedding"], c["embedding"])


def test_experts_are_refused() -> None:
    moe = ModelSpec(
        n_layers=1, d_model=32, n_heads=2, vocab_size=8, seq_len=8, moe=MoESpec(n_experts=4, top_k=1, d_expert=8)
    )
    with pytest.raises(InputError, match="dense models only"):
        Transformer(moe, seed=0)


def trained() -> Transformer:
    """A model whose blocks do something (at the start they are the identity)."""
    model = Transformer(NANO, seed=2)
    with torch.no_grad():
        for weight in model.blocks.parameters():
            weight.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(weight.numel()))
    return model
