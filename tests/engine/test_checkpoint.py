from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pico_trials import PICO, spec_of

from mixdesk.core.errors import InputError
from mixdesk.core.scale import Hyper
from mixdesk.core.trial import Point
from mixdesk.corpus.shards import TokenStore
from mixdesk.engine import checkpoint
from mixdesk.engine.loop import train
from mixdesk.engine.model import Transformer
from mixdesk.engine.optim import optimizers


class Stopped(Exception):
    """Ends a trial from inside, as a power cut would."""


def stop(point: Point) -> None:
    if point.n_tokens > 2000:
        raise Stopped


def test_a_resumed_trial_equals_an_undisturbed_one_bit_for_bit(store: TokenStore, tmp_path: Path) -> None:
    spec = spec_of()
    whole = train(spec, store, tmp_path / "whole", lambda point: None, keep=True)
    with pytest.raises(Stopped):
        train(spec, store, tmp_path / "cut", stop, checkpoint_every=7)
    assert (tmp_path / "cut" / "checkpoint" / "step-00000028.safetensors").exists()
    losses: list[float] = []
    resumed = train(spec, store, tmp_path / "cut", lambda point: None, checkpoint_every=7, keep=True, losses=losses)
    assert len(losses) == 60 - 28
    assert resumed.points == whole.points
    assert resumed.domain_tokens == whole.domain_tokens
    weights = [load(tmp_path / name / "checkpoint").state_dict() for name in ("whole", "cut")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len(list((tmp_path / "cut" / "checkpoint").iterdir())) == 2


def test_a_kept_model_answers_again_without_training(store: TokenStore, tmp_path: Path) -> None:
    first = train(spec_of(), store, tmp_path, lambda point: None, keep=True)
    losses: list[float] = []
    second = train(spec_of(), store, tmp_path, lambda point: None, keep=True, losses=losses)
    assert losses == []
    assert second.points == first.points


def test_a_folder_serves_one_trial(store: TokenStore, tmp_path: Path) -> None:
    train(spec_of(), store, tmp_path, lambda point: None, keep=True)
    with pytest.raises(InputError, match="checkpoint of another trial"):
        train(replace(spec_of(), replicate=9), store, tmp_path, lambda point: None)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    model = Transformer(PICO, seed=0)
    checkpoint.save(tmp_path, model, optimizers(model, Hyper()), 5, {})
    path = tmp_path / "step-00000005.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="not the file its index describes"):
        load(tmp_path)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = Transformer(replace(PICO, d_model=16), seed=0)
    checkpoint.save(tmp_path, model, optimizers(model, Hyper()), 5, {})
    with pytest.raises(InputError, match="of another model"):
        load(tmp_path)


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    model = Transformer(PICO, seed=0)
    assert checkpoint.load(tmp_path, model, optimizers(model, Hyper())) is None


def load(folder: Path) -> Transformer:
    model = Transformer(PICO, seed=99)
    checkpoint.load(folder, model, optimizers(model, Hyper()))
    return model


def test_the_average_of_equal_weights_is_those_weights() -> None:
    weights = Transformer(PICO, seed=3).state_dict()
    found = checkpoint.average([weights] * 3, [0.2, 0.3, 0.5])
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_the_order_of_parts_does_not_matter_and_shares_do() -> None:
    parts = [Transformer(PICO, seed=seed).state_dict() for seed in range(3)]
    found, turned = checkpoint.average(parts, [0.2, 0.3, 0.5]), checkpoint.average(parts[::-1], [0.5, 0.3, 0.2])
    even, other = checkpoint.average(parts), checkpoint.average(parts, [0.5, 0.3, 0.2])
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, turned[name], rtol=2e-7, atol=0.0)
        torch.testing.assert_close(even[name], sum(part[name] for part in parts) / 3)
    assert not torch.equal(found["embedding"], other["embedding"])


def test_the_average_of_least_squares_on_equal_grams_is_the_fit_to_the_union() -> None:
    """Two data sets of one Gram matrix XᵀX: the mean of their solutions solves both together."""
    torch.manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(40, 4, dtype=torch.float64))
    X = [q, torch.linalg.qr(torch.randn(40, 4, dtype=torch.float64))[0]]
    y = [torch.randn(40, 1, dtype=torch.float64) for _ in X]
    parts = [{"w": torch.linalg.lstsq(a, b).solution} for a, b in zip(X, y, strict=True)]
    union = torch.linalg.lstsq(torch.vstack(X), torch.vstack(y)).solution
    torch.testing.assert_close(checkpoint.average(parts)["w"], union, rtol=1e-8, atol=1e-10)


def test_models_of_two_shapes_have_no_average() -> None:
    parts = [Transformer(spec, seed=0).state_dict() for spec in (PICO, replace(PICO, d_model=16))]
    with pytest.raises(InputError, match="of one shape"):
        checkpoint.average(parts)
