from __future__ import annotations

import itertools

import pytest
import torch

from mixdesk.core.mixture import Mixture, Stage
from mixdesk.core.plan import plan_at
from mixdesk.core.scale import Hyper, ModelSpec, Rung
from mixdesk.engine.model import Transformer
from mixdesk.engine.optim import Muon, optimizers, orthogonal, rate

MIXTURE = Mixture.of({"a": 1.0})
RUNG = Rung(label="target", hyper=Hyper(lr=0.02))


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    hyper = Hyper(lr=0.02, warmup=0.1, decay=0.4)
    rates = [rate(hyper, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.002)
    assert rates[9:60] == [0.02] * 51
    assert all(a > b for a, b in itertools.pairwise(rates[61:]))
    assert rates[-1] == pytest.approx(0.02 / 40)


def test_the_rate_of_the_last_stage_begins_where_it_was_and_ends_at_zero() -> None:
    plan = plan_at(RUNG, MIXTURE, Stage(mixture=MIXTURE, until=0.9))
    assert plan.hyper is not None
    rates = [rate(plan.hyper, step, 1000) for step in range(1001)]
    assert rates[100:901] == pytest.approx([0.02] * 801, rel=1e-12)
    assert max(abs(a - b) for a, b in itertools.pairwise(rates[900:])) == pytest.approx(0.02 / 100)
    assert all(a > b for a, b in itertools.pairwise(rates[901:]))
    assert rates[1000] == 0.0


def test_a_rate_without_warmup_and_decay_is_constant() -> None:
    assert {rate(Hyper(lr=0.5, warmup=0.0, decay=0.0), step, 7) for step in range(7)} == {0.5}


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 64)])
def test_orthogonal_brings_singular_values_together_and_keeps_directions(shape: tuple[int, ...]) -> None:
    X = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(X, full_matrices=False)
    inner = (u.mT @ orthogonal(X) @ vh.mT).diagonal(dim1=-2, dim2=-1)
    large = s > 0.2 * s.max()
    assert inner[large].min() > 0.5
    assert inner.max() < 1.3


def test_a_step_of_muon_has_the_spectral_norm_of_its_rate() -> None:
    for n_out, n_in in ((64, 16), (16, 64), (16, 16)):
        weight = torch.nn.Parameter(torch.zeros(n_out, n_in))
        weight.grad = torch.randn(n_out, n_in, generator=torch.Generator().manual_seed(1))
        Muon([weight], lr=0.1).step()
        expected = 0.1 * max(1.0, n_out / n_in) ** 0.5
        assert 0.7 * expected < torch.linalg.matrix_norm(weight, 2).item() < 1.3 * expected
        assert (weight * weight.grad).sum() < 0


def test_every_parameter_has_one_optimizer() -> None:
    model = Transformer(ModelSpec(n_layers=2, d_model=16, n_heads=2, vocab_size=9, seq_len=8), seed=0)
    taken = [weight for opt in optimizers(model, Hyper()) for group in opt.param_groups for weight in group["params"]]
    assert {id(weight) for weight in taken} == {id(weight) for weight in model.parameters()}
    assert len(taken) == len(list(model.parameters()))
