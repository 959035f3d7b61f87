"""Bits per byte on fixed windows: what a model of any tokenizer can be compared by.

    bpb = (sum of nats of the measured tokens) / (ln 2 * bytes they stand for)

A text is cut into windows of T tokens that do not overlap; each token is predicted from those before it in its window
and the one token before the window (the document separator before the first). A window is measured whole or not at all,
so no byte counts twice; the separator stands for no byte: it is context and never part of the sum.

Budget: a forward pass costs a third of a training step, and all evaluation of a trial, curve points included, may cost
`SHARE` of its training. The final evaluation gets most of it, each curve point every `EVERY`-th of its windows. An
evaluation set counts as `SET_WEIGHT` domains: it is usually the objective, so its noise should be low. Windows depend
on (corpus, tokens of the run, seq_len) and on nothing else: all mixtures and replicates of a rung are measured on the
same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mixdesk.core.errors import InputError
from mixdesk.corpus.shards import Tokens, TokenStore
from mixdesk.engine.model import Transformer

SHARE = 0.15  # evaluation ÷ training, by FLOPs
FORWARD = 1 / 3  # of the cost of a trained token
CURVE = (0.25, 0.5)  # fractions of the run after which a curve point is measured
EVERY = 5
SET_WEIGHT = 3.0
BATCH_TOKENS = 2048  # tokens of one forward pass: logits of 4,096 × 2,048 floats are 32 MB


@dataclass(frozen=True, slots=True)
class Text:
    """Windows of one text: `metric` they are reported as, `starts` of the windows (tokens) in `split` of `name`."""

    metric: str
    name: str
    split: str
    starts: NDArray[np.int64]


def plan(
    store: TokenStore, evals: tuple[str, ...], n_tokens: int, seq_len: int
) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    """The texts to measure at the end, and the thinner ones of each curve point.

    Args:
        store: the corpus.
        evals: fingerprints of the evaluation sets to measure; empty: all of them.
        n_tokens: trained tokens of the run.
        seq_len: T.

    Raises:
        InputError: an evaluation set the corpus does not have, a text without tokens, or too short a run.
    """
    known = {one.fingerprint for one in store.corpus.evals}
    stray = [fingerprint for fingerprint in evals if fingerprint not in known]
    if stray:
        raise InputError(
            "the trial asks for an evaluation set that the corpus does not have",
            value=stray[0],
            bound="a fingerprint of: " + (", ".join(one.name for one in store.corpus.evals) or "no set at all"),
            remedy="use the corpus the study was made with, or make a new study",
        )
    sources = [(f"bpb/domain/{name}", name, "valid", 1.0) for name in store.corpus.names]
    wanted = [one.name for one in store.corpus.evals if not evals or one.fingerprint in evals]
    sources += [(f"bpb/set/{name}", name, "set", SET_WEIGHT) for name in wanted]
    n_there = [math.ceil(len(store.tokens(name, split)) / seq_len) for _, name, split, _ in sources]
    if 0 in n_there:
        empty = sources[n_there.index(0)]
        raise InputError(
            f"`{empty[1]}` has no text to measure on",
            value=f"0 tokens in its `{empty[2]}` split",
            bound="at least one token",
            remedy="give it more documents, or raise valid_share when building the corpus",
        )
    n_budget = int(SHARE / FORWARD * n_tokens / seq_len)
    n_final = allot(n_there, [weight for *_, weight in sources], n_budget)
    final, curve = [], []
    for (metric, name, split, _), there, taken in zip(sources, n_there, n_final, strict=True):
        starts = seq_len * ((2 * np.arange(taken) + 1) * there // (2 * taken))
        final.append(Text(metric, name, split, starts))
        curve.append(Text(metric, name, split, starts[::EVERY]))
    return tuple(final), tuple(curve)


def allot(n_there: list[int], weights: list[float], n_budget: int) -> list[int]:
    """Windows per text of the final evaluation: by weight, none above what is there, curve points paid as well.

    Raises:
        InputError: not even one window per text and measurement.
    """
    low, high = 0.0, float(max(n_there))
    for _ in range(50):  # the largest number of windows per unit of weight that the budget pays
        middle = (low + high) / 2
        n_taken = [max(min(int(middle * w), n), 1) for n, w in zip(n_there, weights, strict=True)]
        spent = sum(n + len(CURVE) * math.ceil(n / EVERY) for n in n_taken)
        low, high = (middle, high) if spent <= n_budget else (low, middle)
    n_taken = [max(min(int(low * w), n), 1) for n, w in zip(n_there, weights, strict=True)]
    n_least = len(n_there) * (1 + len(CURVE))
    if n_least > n_budget:
        raise InputError(
            f"the run is too short to be measured on {len(n_there)} texts",
            value=f"{n_budget} windows, which is {SHARE:.0%} of its cost",
            bound=f"at least {n_least} windows",
            remedy="train more tokens, shorten seq_len, or merge domains",
        )
    return n_taken


@torch.no_grad()
def bits_per_byte(model: Transformer, store: TokenStore, texts: tuple[Text, ...]) -> dict[str, float]:
    """Metric → bits per byte of each text. Not finite where the model is not."""
    seq_len = model.spec.seq_len
    n_batch = max(BATCH_TOKENS // seq_len, 1)
    device = model.embedding.device
    token_bytes = torch.from_numpy(store.token_bytes)
    measured = {}
    for text in texts:
        tokens = store.tokens(text.name, text.split)
        windows = np.stack([window(tokens, int(start), seq_len, store.separator) for start in text.starts])
        nats, n_bytes = 0.0, 0
        for rows in torch.split(torch.from_numpy(windows), n_batch):
            bytes_BT = token_bytes[rows[:, 1:]]
            nats_BT = model.loss(rows.to(device), reduction="none").double().cpu()
            nats += float(nats_BT[bytes_BT > 0].sum())
            n_bytes += int(bytes_BT.sum())
        measured[text.metric] = nats / (math.log(2.0) * max(n_bytes, 1))
    return measured


def window(tokens: Tokens, start: int, seq_len: int, separator: int) -> NDArray[np.int64]:
    """Ids (T + 1,): one of context, then those at start … start + T; separators fill up the last window."""
    found = tokens[max(start - 1, 0) : min(start + seq_len, len(tokens))]
    row = np.full(seq_len + 1, separator, dtype=np.int64)
    offset = 0 if start else 1
    row[offset : offset + len(found)] = found
    return row
