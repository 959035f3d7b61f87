from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pico_trials import PICO

from mixdesk.core.errors import InputError
from mixdesk.corpus.shards import TokenStore
from mixdesk.engine import evaluate
from mixdesk.engine.model import Transformer

SEQ_LEN = 32


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(PICO, seed=0)
    with torch.no_grad():
        made.embedding.mul_(20.0)  # far from uniform, so that a token more or less would show
    return made


def test_every_byte_is_counted_once(store: TokenStore, model: Transformer) -> None:
    """A budget that pays for all windows gives what a plain walk over the whole text gives."""
    final, _ = evaluate.plan(store, (), n_tokens=10_000_000, seq_len=SEQ_LEN)
    measured = evaluate.bits_per_byte(model, store, final)
    for metric, name, split in (("bpb/domain/email", "email", "valid"), ("bpb/set/logging", "logging", "set")):
        tokens = store.tokens(name, split)
        text = [store.separator, *tokens[: len(tokens)].tolist()]
        bits, n_bytes = 0.0, 0
        for start in range(0, len(text) - 1, SEQ_LEN):
            row = torch.tensor([text[start : start + SEQ_LEN + 1]])
            with torch.no_grad():
                log_p = torch.log_softmax(model(row[:, :-1]).double(), -1)[0]
            for position, token in enumerate(row[0, 1:].tolist()):
                if token != store.separator:
                    bits -= float(log_p[position, token]) / math.log(2.0)
                    n_bytes += int(store.token_bytes[token])
        assert n_bytes == store.token_bytes[tokens[: len(tokens)]].sum()
        assert measured[metric] == pytest.approx(bits / n_bytes, rel=1e-6)


@pytest.mark.parametrize("n_tokens", [2_000, 7_680, 30_720, 200_000])
def test_all_evaluation_costs_at_most_fifteen_per_cent_of_training(store: TokenStore, n_tokens: int) -> None:
    final, curve = evaluate.plan(store, (), n_tokens, SEQ_LEN)
    n_windows = sum(len(text.starts) for text in final) + 2 * sum(len(text.starts) for text in curve)
    assert n_windows * SEQ_LEN / 3 <= 0.15 * n_tokens
    if n_tokens == 30_720:
        assert n_windows * SEQ_LEN / 3 > 0.12 * n_tokens


def test_windows_do_not_overlap_and_curves_use_some_of_the_final_ones(store: TokenStore) -> None:
    final, curve = evaluate.plan(store, (), 7_680, SEQ_LEN)
    for text, thin in zip(final, curve, strict=True):
        assert (np.diff(text.starts) >= SEQ_LEN).all()
        assert (text.starts % SEQ_LEN == 0).all()
        assert text.starts[-1] < len(store.tokens(text.name, text.split))
        assert set(thin.starts) <= set(text.starts)
        assert len(thin.starts) == math.ceil(len(text.starts) / 5)


def test_an_evaluation_set_gets_the_share_of_three_domains(store: TokenStore) -> None:
    final, _ = evaluate.plan(store, (), 7_680, SEQ_LEN)
    n_of = {text.metric: len(text.starts) for text in final}
    assert set(n_of) == {"bpb/domain/asyncio", "bpb/domain/email", "bpb/domain/json", "bpb/set/logging"}
    assert n_of["bpb/set/logging"] == pytest.approx(3 * n_of["bpb/domain/email"], abs=2)


def test_what_a_small_text_cannot_use_goes_to_the_others() -> None:
    assert evaluate.allot([2, 100, 100], [1.0, 1.0, 1.0], 86) == [2, 29, 29]


def test_a_run_too_short_to_be_measured_is_refused(store: TokenStore) -> None:
    with pytest.raises(InputError, match="too short to be measured on 4 texts"):
        evaluate.plan(store, (), 800, SEQ_LEN)


def test_only_the_sets_of_the_trial_are_measured(store: TokenStore) -> None:
    known = store.corpus.evals[0].fingerprint
    assert evaluate.plan(store, (known,), 7_680, SEQ_LEN)[0][-1].metric == "bpb/set/logging"
    with pytest.raises(InputError, match="evaluation set that the corpus does not have"):
        evaluate.plan(store, ("0" * 64,), 7_680, SEQ_LEN)
