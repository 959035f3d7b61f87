"""Merges and children of real pico trials."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pico_trials import PICO, spec_of
from scipy.stats import spearmanr

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Result
from mixdesk.corpus.shards import TokenStore
from mixdesk.engine import evaluate
from mixdesk.engine.checkpoint import parent
from mixdesk.engine.loop import train
from mixdesk.engine.merge import merge


def run(spec: TrialSpec, store: TokenStore, folder: Path, losses: list[float] | None = None) -> Result:
    return train(spec, store, folder / spec.id, lambda point: None, keep=True, losses=losses)


def child_of(parents: dict[str, float], method: str = "train", **settings: object) -> TrialSpec:
    return replace(spec_of(**settings), method=method, parents=tuple(parents.items()))


def weights_of(spec: TrialSpec, store: TokenStore, folder: Path) -> dict[str, torch.Tensor]:
    return parent(folder / spec.id / "checkpoint", spec.id, PICO, store.corpus.fingerprint)[0]


def final(result: Result) -> dict[str, float]:
    return dict(result.points[-1].metrics)


@pytest.fixture(scope="module")
def folder(store: TokenStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained trial `spec_of()` with its model."""
    made = tmp_path_factory.mktemp("trials")
    run(spec_of(), store, made)
    return made


def test_a_child_goes_on_from_its_parent_in_another_order(store: TokenStore, folder: Path) -> None:
    losses: list[float] = []
    started: list[float] = []
    spec = child_of({spec_of().id: 1.0})
    first = train(spec_of(), store, Path("nowhere"), lambda point: None, losses=started)
    child = run(spec, store, folder, losses)
    assert losses[0] < started[0] - 1.0, "it starts where the parent stopped"
    assert losses[0] != started[-1]
    assert final(child)["bpb/set/logging"] < final(first)["bpb/set/logging"]
    assert child.flops == first.flops
    again = train(spec, store, folder / "again", lambda point: None)
    assert again.points == child.points
    sibling: list[float] = []
    run(child_of({spec_of().id: 1.0}, weights=(0.4, 0.4, 0.2)), store, folder, sibling)
    assert sibling[0] == pytest.approx(losses[0], abs=0.5), "siblings start from the same weights"


def test_a_merge_of_one_is_that_model_and_costs_its_evaluation(store: TokenStore, folder: Path) -> None:
    whole = run(spec_of(), store, folder)
    merged = merge(child_of({spec_of().id: 1.0}, "merge"), store, folder / "alone")
    assert merged.points == whole.points[-1:]
    texts, _ = evaluate.plan(store, (), 7680, PICO.seq_len)
    assert merged.flops == pytest.approx(PICO.flops_per_token / 3 * sum(len(t.starts) for t in texts) * PICO.seq_len)
    assert merged.flops < 0.2 * whole.flops
    assert not (folder / "alone").exists()


def test_a_merge_keeps_its_model_for_further_merges(store: TokenStore, folder: Path) -> None:
    pair = {spec_of().id: 1.0}
    one, two = child_of(pair, n_steps=20, replicate=1), child_of(pair, n_steps=20, replicate=2)
    for spec in (one, two):
        run(spec, store, folder)
    soup = child_of({one.id: 0.25, two.id: 0.75}, "merge", n_steps=20)
    merge(soup, store, folder / soup.id, keep=True)
    found, parts = weights_of(soup, store, folder), [weights_of(spec, store, folder) for spec in (one, two)]
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, 0.25 * parts[0][name] + 0.75 * parts[1][name])
    further = child_of({soup.id: 0.5, one.id: 0.5}, "merge", n_steps=20)
    assert merge(further, store, folder / further.id).state == "done"


def test_what_does_not_belong_together_is_refused(store: TokenStore, folder: Path) -> None:
    kept = spec_of().id
    other = spec_of(replicate=5, n_steps=20)
    run(other, store, folder)
    model = replace(PICO, n_heads=1)
    plan = replace(spec_of().plan, model=model)
    wrong = {
        "no final model": child_of({"feedfeedfeed": 1.0}),
        "another model": replace(child_of({kept: 1.0}), plan=plan),
        "one parent at most": child_of({kept: 0.5, other.id: 0.5}),
        "different weights": child_of({kept: 0.5, other.id: 0.5}, "merge"),
        "do not sum to one": child_of({kept: 0.7}, "merge"),
        "only models of one shape": child_of({}, "merge"),
    }
    for message, bad in wrong.items():
        with pytest.raises(InputError, match=message) as caught:
            answer(bad, store, folder / "new")
        assert caught.value.remedy
    with pytest.raises(InputError, match="set keep = true"):
        answer(child_of({"feedfeedfeed": 1.0}, "merge"), store, folder / "new")
    elsewhere = copy(store)
    elsewhere.corpus = replace(store.corpus, tokenizer=replace(store.corpus.tokenizer, sha256="0" * 64))
    with pytest.raises(InputError, match="another corpus"):
        answer(child_of({kept: 1.0}, "merge"), elsewhere, folder / "new")


def test_a_checkpoint_from_the_middle_is_no_parent(store: TokenStore, tmp_path: Path) -> None:
    spec = spec_of()

    def stop(point: object) -> None:
        if (tmp_path / spec.id / "checkpoint").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, store, tmp_path / spec.id, stop, checkpoint_every=10)
    with pytest.raises(InputError, match="before its end"):
        merge(child_of({spec.id: 1.0}, "merge"), store, tmp_path / "new")


@pytest.mark.slow
def test_merges_rank_mixtures_as_training_does(store: TokenStore, tmp_path: Path) -> None:
    """Parts and rivals go on from one base for as long as each other; 10 mixtures, 3 trainings of parts."""
    base = spec_of(n_steps=120)
    run(base, store, tmp_path)

    def on(weights: tuple[float, float, float]) -> TrialSpec:
        return child_of({base.id: 1.0}, weights=weights, n_steps=40)

    parts = [on((1.0, 0.0, 0.0)), on((0.0, 1.0, 0.0)), on((0.0, 0.0, 1.0))]
    for part in parts:
        run(part, store, tmp_path)
    trained, merged = [], []
    for weights in [(a / 4, b / 4, (4 - a - b) / 4) for a in range(5) for b in range(5 - a)]:
        if max(weights) == 1.0:
            continue
        asked = child_of(dict(zip([part.id for part in parts], weights, strict=True)), "merge", n_steps=40)
        mixture = Mixture.of(dict(zip(("asyncio", "email", "json"), weights, strict=True)))
        asked = replace(asked, plan=replace(asked.plan, schedule=Schedule.constant(mixture)))
        merged.append(final(merge(asked, store, tmp_path / asked.id)))
        trained.append(final(run(on(weights), store, tmp_path)))
    for metric in ("bpb/domain/asyncio", "bpb/domain/email", "bpb/domain/json"):
        rank = spearmanr([row[metric] for row in merged], [row[metric] for row in trained]).statistic
        assert rank > 0.7, metric


def answer(spec: TrialSpec, store: TokenStore, out: Path) -> Result:
    return merge(spec, store, out) if spec.method == "merge" else train(spec, store, out, lambda point: None)
