"""One trial: train a transformer on a mixture, measure it on the way and at the end.

Everything random follows from (corpus, replicate): the same replicate has the same initial weights and, inside each
domain, the same order of sequences, whatever the mixture (common random numbers). Two runs of one trial on one machine
are equal bit for bit, also when one of them was resumed from a checkpoint.

A trial with a parent starts from the parent's final weights, with a fresh optimizer; its order of sequences follows
from (corpus, replicate, parent). So siblings share their order, and it is not the one their parent has seen: a domain
of which each run sees a small part is mostly new to the child.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint, from_data, to_data
from mixdesk.core.plan import TrialSpec
from mixdesk.core.scale import Hyper, ModelSpec
from mixdesk.core.trial import Point, Result
from mixdesk.corpus.shards import TokenStore
from mixdesk.corpus.stream import stream_of
from mixdesk.engine import checkpoint, evaluate
from mixdesk.engine.model import Transformer
from mixdesk.engine.optim import optimizers, rate

# A loss this many times the first one, after warm-up, is a run that will not come back.
DIVERGED = 2.0


def train(
    spec: TrialSpec,
    store: TokenStore,
    out: Path,
    emit: Callable[[Point], None],
    *,
    checkpoint_every: int = 0,
    keep: bool = False,
    losses: list[float] | None = None,
) -> Result:
    """Train and measure one trial on torch's default device.

    Args:
        spec: the question; needs model, hyper-parameters and tokens.
        store: the corpus it is trained on.
        out: folder of the trial, beside its parents'; training goes on from `out/checkpoint` where there is one.
        emit: called with each curve point as it is measured; the final point is in the result only.
        checkpoint_every: steps between checkpoints; 0 = none.
        keep: leave the final model in `out/checkpoint`; otherwise that folder is removed at the end.
        losses: a list that is given the training loss (nats per token) of every step.

    Returns:
        State "done", or "diverged": a loss that is not finite, or above `DIVERGED` times the first after warm-up. The
        last point is the final evaluation. `flops` are those of training, `seconds` those of training and evaluation.

    Raises:
        InputError: the spec does not fit the engine or the corpus.
    """
    model_spec, hyper, n_steps = check(spec, store)
    n_batch, folder = hyper.batch_tokens // model_spec.seq_len, out / "checkpoint"
    seed, order = seed_of(store, spec.replicate), seed_of(store, spec.replicate, *dict(spec.parents))
    stream = stream_of(store, spec.plan.schedule, n_steps * n_batch, model_spec.seq_len, order, spec.unique_share)
    final, curve = evaluate.plan(store, spec.evals, n_steps * hyper.batch_tokens, model_spec.seq_len)
    curve_steps = {math.ceil(fraction * n_steps) for fraction in evaluate.CURVE}

    device = torch.get_default_device()
    model = Transformer(model_spec, seed).to(device)
    opts = optimizers(model, hyper)
    step, first_loss, points, seconds = _begin(out, spec, store, model, opts)
    message, started = "", time.perf_counter() - seconds
    while step < n_steps and not message:
        tokens_BT = torch.from_numpy(stream.batch(step * n_batch, n_batch)[0]).to(device)
        loss = model.loss(tokens_BT)
        nats = loss.item()
        first_loss = nats if step == 0 else first_loss
        if losses is not None:
            losses.append(nats)
        if not math.isfinite(nats) or (step > hyper.warmup * n_steps and nats > DIVERGED * first_loss):
            message = f"training loss {nats:.3g} nats at step {step + 1} of {n_steps}; the first was {first_loss:.3g}"
            break
        loss.backward()  # type: ignore[no-untyped-call]
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = rate(hyper, step, n_steps)
            opt.step()
            opt.zero_grad()
        step += 1

        if step == n_steps or step in curve_steps:
            measured = evaluate.bits_per_byte(model, store, final if step == n_steps else curve)
            if not all(map(math.isfinite, measured.values())):
                message = f"bits per byte are not finite after step {step} of {n_steps}"
                break
            points.append(Point(n_tokens=step * hyper.batch_tokens, metrics=tuple(measured.items())))
            if step < n_steps:
                emit(points[-1])
        if (keep and step == n_steps) or (checkpoint_every and step < n_steps and step % checkpoint_every == 0):
            notes = {"first_loss": first_loss, "points": points, "seconds": time.perf_counter() - started}
            checkpoint.save(folder, model, opts, step, notes_of(spec, store, step == n_steps) | to_data(notes))

    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return Result(
        state="diverged" if message else "done",
        points=tuple(points),
        domain_tokens=stream.domain_tokens(step * n_batch),
        flops=step * hyper.batch_tokens * model_spec.flops_per_token,
        seconds=time.perf_counter() - started,
        message=message,
    )


def check(spec: TrialSpec, store: TokenStore, method: str = "train") -> tuple[ModelSpec, Hyper, int]:
    """Model, hyper-parameters and number of steps of a trial that this engine can answer on this corpus.

    Raises:
        InputError: otherwise.
    """
    model, hyper, n_tokens = spec.plan.model, spec.plan.hyper or Hyper(), spec.plan.scale.n_tokens
    if model is None or n_tokens is None or spec.method != method:
        missing = "model" if model is None else "n_tokens" if n_tokens is None else "method"
        raise InputError(
            f"the built-in engine needs `{missing}`",
            value=spec.method if missing == "method" else None,
            bound="method train or merge, a rung with `model` and `scale.n_tokens`",
            remedy="complete the rung, or use the trainer `command`",
        )
    if method == "train" and [weight for _, weight in spec.parents] not in ([], [1.0]):
        raise InputError(
            "a training starts from one parent at most",
            value=dict(spec.parents),
            bound="no parent, or one of weight 1",
            remedy="name one parent, or ask a merge",
        )
    if spec.corpus not in (None, store.corpus.fingerprint):
        raise InputError(
            "the trial belongs to another corpus",
            value=str(spec.corpus),
            bound=store.corpus.fingerprint,
            remedy="give the study's own corpus folder, or make a new study",
        )
    if model.vocab_size != store.corpus.tokenizer.vocab_size:
        raise InputError(
            "the model's vocabulary is not the corpus tokenizer's",
            value=model.vocab_size,
            bound=str(store.corpus.tokenizer.vocab_size),
            remedy="set the rung's model.vocab_size to it",
        )
    if hyper.batch_tokens % model.seq_len:
        raise InputError(
            "`batch_tokens` is not a whole number of sequences",
            value=hyper.batch_tokens,
            bound=f"a multiple of seq_len = {model.seq_len}",
            remedy="change one of the two",
        )
    if n_tokens < hyper.batch_tokens:
        raise InputError(
            "the run is shorter than one step",
            value=n_tokens,
            bound=f"n_tokens of at least batch_tokens = {hyper.batch_tokens}",
            remedy="train more tokens, or lower batch_tokens",
        )
    return model, hyper, n_tokens // hyper.batch_tokens


def seed_of(store: TokenStore, replicate: int, *parents: str) -> int:
    """Seed of a replicate's weights and order: a function of (corpus, replicate), and of the parent where it has one.

    The mixture has no part in it.
    """
    return int(fingerprint(store.corpus.fingerprint, "replicate", str(replicate), *parents, length=15), 16)


def notes_of(spec: TrialSpec, store: TokenStore, is_final: bool = True) -> dict[str, Any]:
    """What a checkpoint says of the trial behind it; `start` names the weights that its training began with."""
    start = spec.parents[0][0] if spec.parents else f"replicate {spec.replicate}"
    model, corpus = to_data(spec.plan.model), store.corpus.fingerprint
    return {"trial": spec.id, "model": model, "corpus": corpus, "start": start, checkpoint.IS_FINAL: is_final}


def _begin(
    out: Path, spec: TrialSpec, store: TokenStore, model: Transformer, opts: tuple[torch.optim.Optimizer, ...]
) -> tuple[int, float, list[Point], float]:
    """Step, first loss, points and seconds of the checkpoint in `out`, or those of a run that has not begun.

    One that has not begun is given the weights of its parent.
    """
    folder = out / "checkpoint"
    found = checkpoint.load(folder, model, opts)
    if found is None:
        for name, _ in spec.parents:
            there = out.parent / name / "checkpoint"
            weights, _ = checkpoint.parent(there, name, model.spec, store.corpus.fingerprint)
            model.load_state_dict(weights)
        return 0, math.nan, [], 0.0
    step, notes = found
    if notes["trial"] != spec.id:
        raise InputError(
            f"`{folder}` holds the checkpoint of another trial",
            value=str(notes["trial"]),
            bound=spec.id,
            remedy="use an empty folder for each trial",
        )
    return step, notes["first_loss"], [from_data(Point, point) for point in notes["points"]], notes["seconds"]
