"""A trial answered without training: the weighted average of other trials' final weights, measured as any trial is.

Models that were trained a little way from one start on different data lie close enough for their average to behave like
a model trained on the mixture: ranks of the two agree, values do not (the average is mostly worse).

Reference: ablationmerging. What we do differently: any weights on the simplex, not subsets alone; parents that started
from different weights are refused, since nothing is known of their average.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch

from mixdesk.core.errors import InputError
from mixdesk.core.plan import TrialSpec
from mixdesk.core.trial import Point, Result
from mixdesk.corpus.shards import TokenStore
from mixdesk.engine import checkpoint, evaluate
from mixdesk.engine.loop import check, notes_of
from mixdesk.engine.model import Transformer


def merge(spec: TrialSpec, store: TokenStore, out: Path, *, keep: bool = False) -> Result:
    """Average the parents' final weights and measure the result on the windows that a trained trial is measured on.

    Args:
        spec: the question, `method` merge; the parents' weights sum to 1.
        store: the corpus.
        out: folder of the trial, beside those of its parents.
        keep: leave the averaged model in `out/checkpoint`.

    Returns:
        One point at the spec's `n_tokens`. `flops` are those of the evaluation, a third of training per token.

    Raises:
        InputError: the spec does not fit the engine or the corpus, or the parents do not fit each other.
    """
    started = time.perf_counter()
    model_spec, hyper, n_steps = check(spec, store, "merge")
    parts, starts = [], {}
    for name, _ in spec.parents:
        there = out.parent / name / "checkpoint"
        weights, notes = checkpoint.parent(there, name, model_spec, store.corpus.fingerprint)
        parts.append(weights)
        starts[notes["start"]] = name
    if len(starts) > 1:
        raise InputError(
            "the parents of a merge started from different weights",
            value=starts,
            bound="one start: the same replicate without a parent, or the same parent",
            remedy="merge trials of one start",
        )
    model = Transformer(model_spec, 0).to(torch.get_default_device())
    model.load_state_dict(checkpoint.average(parts, [weight for _, weight in spec.parents]))
    texts, _ = evaluate.plan(store, spec.evals, n_steps * hyper.batch_tokens, model_spec.seq_len)
    measured = evaluate.bits_per_byte(model, store, texts)
    n_measured = sum(len(text.starts) for text in texts) * model_spec.seq_len
    seconds = time.perf_counter() - started
    if keep:
        notes = notes_of(spec, store) | {"start": next(iter(starts))}
        checkpoint.save(out / "checkpoint", model, (), n_steps, notes)
    else:
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return Result(
        state="done",
        points=(Point(n_tokens=n_steps * hyper.batch_tokens, metrics=tuple(measured.items())),),
        flops=evaluate.FORWARD * model_spec.flops_per_token * n_measured,
        seconds=seconds,
    )
