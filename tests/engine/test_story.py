"""Two stages on real text: what comes last, while the rate falls to zero, counts most for a target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pico_trials import spec_of

from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.plan import TrialSpec
from mixdesk.core.scale import Scale
from mixdesk.corpus.shards import TokenStore
from mixdesk.corpus.stream import stream_of
from mixdesk.engine.loop import train
from mixdesk.engine.merge import merge

SHARE = 0.2


def mixture_of(*weights: float) -> Mixture:
    return Mixture.of(dict(zip(("asyncio", "email", "json"), weights, strict=True)))


def staged(replicate: int) -> TrialSpec:
    """Little of asyncio until the last fifth, then mostly asyncio, with the rate down to zero over that fifth."""
    stages = (Stage(mixture=mixture_of(0.1, 0.45, 0.45), until=1.0 - SHARE), Stage(mixture=mixture_of(0.8, 0.1, 0.1)))
    spec = spec_of(n_steps=300, replicate=replicate)
    hyper = replace(spec.plan.hyper, decay=SHARE)
    return replace(spec, plan=replace(spec.plan, schedule=Schedule(stages=stages), hyper=hyper))


def constant(spec: TrialSpec) -> TrialSpec:
    """The same tokens of each domain, evenly; all else as it is."""
    return replace(spec, plan=replace(spec.plan, schedule=Schedule.constant(spec.mixture)))


def final(spec: TrialSpec, store: TokenStore, folder: Path) -> dict[str, float]:
    result = train(spec, store, folder / spec.id, lambda point: None, keep=True)
    return dict(result.points[-1].metrics)


def test_the_engine_trains_each_stage_on_its_own_mixture(store: TokenStore, tmp_path: Path) -> None:
    spec = replace(staged(0), plan=replace(staged(0).plan, scale=Scale(n_tokens=40 * 128)))
    result = train(spec, store, tmp_path, lambda point: None)
    assert dict(result.domain_tokens) == pytest.approx(
        {name: weight * 5120 for name, weight in spec.mixture.as_dict().items()}, abs=32
    )
    order = stream_of(store, spec.plan.schedule, 160, 32, 0).batch(0, 160)[1]
    assert [(order[:128] == 0).sum(), (order[128:] == 0).sum()] == pytest.approx([12.8, 25.6], abs=1)


@pytest.mark.slow
def test_the_target_gains_where_its_domain_comes_last(store: TokenStore, tmp_path: Path) -> None:
    """Held-out text of the target's domain, against its tokens spread evenly, learning rate and seed alike."""
    gains = []
    for replicate in range(5):
        spec = staged(replicate)
        late, even = (final(one, store, tmp_path) for one in (spec, constant(spec)))
        gains.append(even["bpb/domain/asyncio"] - late["bpb/domain/asyncio"])
    assert min(gains) > 0.0, gains


@pytest.mark.slow
def test_the_average_of_three_orders_of_the_last_stage_is_no_worse_than_they_are(
    store: TokenStore, tmp_path: Path
) -> None:
    base = spec_of((0.1, 0.45, 0.45), n_steps=240)
    base = replace(base, plan=replace(base.plan, hyper=replace(base.plan.hyper, decay=0.0)))
    train(base, store, tmp_path / base.id, lambda point: None, keep=True)
    last = [
        replace(spec_of((0.8, 0.1, 0.1), n_steps=60, replicate=order), parents=((base.id, 1.0),)) for order in range(3)
    ]
    each = [final(spec, store, tmp_path) for spec in last]
    soup = replace(last[0], method="merge", parents=tuple((spec.id, 1.0 / 3.0) for spec in last))
    soup_of = dict(merge(soup, store, tmp_path / soup.id).points[-1].metrics)
    for metric, value in soup_of.items():
        assert value <= sum(one[metric] for one in each) / 3.0, metric
