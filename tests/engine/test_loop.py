from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pico_trials import spec_of

from mixdesk.core.errors import InputError
from mixdesk.core.plan import TrialSpec
from mixdesk.core.scale import Scale
from mixdesk.core.trial import Point
from mixdesk.corpus.shards import TokenStore
from mixdesk.corpus.stream import stream_of
from mixdesk.engine.loop import seed_of, train
from mixdesk.engine.model import Transformer


def test_a_trial_learns_real_text_and_reports_what_it_did(store: TokenStore, tmp_path: Path) -> None:
    seen: list[Point] = []
    losses: list[float] = []
    result = train(spec_of(), store, tmp_path, seen.append, losses=losses)
    assert result.state == "done"
    assert np.mean(losses[-10:]) < losses[0] - 1.0
    assert [point.n_tokens for point in result.points] == [1920, 3840, 7680]
    assert tuple(seen) == result.points[:-1]
    curve = [dict(point.metrics)["bpb/set/logging"] for point in result.points]
    assert curve[2] < curve[1] < curve[0]
    assert dict(result.domain_tokens) == {"asyncio": 3840, "email": 2304, "json": 1536}
    assert result.flops == spec_of().plan.model.flops_per_token * 7680
    assert result.seconds > 0.0
    assert list(tmp_path.iterdir()) == []


def test_the_same_trial_gives_the_same_numbers_and_another_replicate_others(store: TokenStore, tmp_path: Path) -> None:
    points = [train(spec_of(replicate=r), store, tmp_path, lambda point: None).points for r in (1, 1, 2)]
    assert points[0] == points[1]
    assert points[0] != points[2]


def test_replicates_share_weights_and_order_inside_each_domain(store: TokenStore) -> None:
    """Common random numbers: two mixtures of one replicate differ by the mixture and by nothing else."""
    a, b = spec_of((0.5, 0.3, 0.2), replicate=3), spec_of((0.1, 0.2, 0.7), replicate=3)
    seed = seed_of(store, 3)
    assert seed != seed_of(store, 4)
    orders: list[dict[int, list[bytes]]] = []
    for spec in (a, b):
        stream = stream_of(store, spec.plan.schedule, 100, 32, seed, spec.unique_share)
        found: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
        for i in range(100):
            tokens, domain = stream.sequence(i)
            found[domain].append(tokens.tobytes())
        orders.append(found)
    for domain in range(3):
        n = min(len(orders[0][domain]), len(orders[1][domain]))
        assert n >= 9
        assert orders[0][domain][:n] == orders[1][domain][:n]
    first = [losses_of(spec, store)[0] for spec in (a, b)]
    model = Transformer(a.plan.model, seed)
    for spec, loss in zip((a, b), first, strict=True):
        stream = stream_of(store, spec.plan.schedule, 240, 32, seed, spec.unique_share)
        assert loss == pytest.approx(batch_loss(model, stream.batch(0, 4)[0]), rel=1e-6)


def test_a_run_that_explodes_is_an_answer(store: TokenStore, tmp_path: Path) -> None:
    result = train(spec_of(lr=1e4), store, tmp_path, lambda point: None)
    assert result.state == "diverged"
    assert "training loss" in result.message
    assert 0 < sum(dict(result.domain_tokens).values()) < 7680


def test_specs_that_do_not_fit_are_refused(store: TokenStore, tmp_path: Path) -> None:
    spec, plan = spec_of(), spec_of().plan
    wrong = {
        "needs `model`": replace(spec, plan=replace(plan, model=None)),
        "needs `n_tokens`": replace(spec, plan=replace(plan, scale=Scale())),
        "needs `method`": replace(spec, method="merge"),
        "another corpus": replace(spec, corpus="f" * 64),
        "vocabulary": replace(spec, plan=replace(plan, model=replace(plan.model, vocab_size=300))),
        "whole number of sequences": replace(spec, plan=replace(plan, hyper=replace(plan.hyper, batch_tokens=100))),
        "shorter than one step": replace(spec, plan=replace(plan, scale=Scale(n_tokens=100))),
        "too short to be measured": replace(spec, plan=replace(plan, scale=Scale(n_tokens=300))),
    }
    for message, bad in wrong.items():
        with pytest.raises(InputError, match=message):
            train(bad, store, tmp_path, lambda point: None)
    assert train(replace(spec, corpus=store.corpus.fingerprint), store, tmp_path, lambda point: None).state == "done"


def losses_of(spec: TrialSpec, store: TokenStore) -> list[float]:
    losses: list[float] = []
    train(spec, store, Path("nowhere"), lambda point: None, losses=losses)
    return losses


def batch_loss(model: Transformer, tokens: np.ndarray) -> float:
    return model.loss(torch.from_numpy(tokens)).item()
