"""Bits per byte under a model of n-grams: what it was trained on is cheap, noise is dear, and the sums are right."""

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents
from mixdesk.domains.scores.perplexity import BETA, Perplexity

PROSE = [one for one in installed_documents({"prose/docstrings": 150_000})]


def test_one_byte_by_hand():
    text = "ab" * 600
    model = Perplexity(order=1).prepare([Document(text=text)])
    total = len(text) + 1  # one line end stands before the text
    p = (600 + BETA / 256) / (total + BETA)
    assert model.score([Document(text="aabb")])[0] == pytest.approx(np.log2(p), abs=1e-12)


def test_two_bytes_are_a_distribution():
    model = Perplexity(order=2).prepare([Document(text="abac" * 400)])
    base = "b"
    p_one = 2.0 ** (model.score([Document(text=base)])[0])
    p = [2.0 ** (2 * model.score([Document(text=base + chr(c))])[0]) / p_one for c in range(128)]
    assert sum(p) == pytest.approx(1.0, abs=0.01)  # the other 128 bytes have β / 256 each of what is left
    assert p[ord("a")] > 0.98


def test_prose_is_cheaper_than_its_bytes_shuffled_and_held_out_text_than_eight_bits():
    rng = np.random.default_rng(0)
    train, test = PROSE[::2], PROSE[1::2]
    model = Perplexity().prepare(train)
    noise = [Document(text="".join(rng.permutation(list(one.text)))) for one in test]
    kept, spoilt = model.score(test), model.score(noise)
    assert kept.mean() > -4.0
    assert spoilt.mean() < -4.5
    assert (kept > spoilt).mean() > 0.97
    assert model.score([Document(text="")])[0] == -8.0


def test_longer_grams_know_more():
    train, test = PROSE[::2], PROSE[1::2]
    got = [Perplexity(order=order).prepare(train).score(test).mean() for order in (1, 2, 3, 4)]
    assert got == sorted(got)


def test_it_may_learn_from_one_label():
    tables = list(installed_documents({"tables/unicode": 60_000}))
    from_prose = Perplexity(trained_on="prose/docstrings").prepare([*PROSE, *tables])
    np.testing.assert_array_equal(from_prose.score(tables), Perplexity().prepare(PROSE).score(tables))
    assert from_prose.score(PROSE).mean() > from_prose.score(tables).mean() + 1.0


def test_too_little_text_and_bad_orders_are_refused():
    with pytest.raises(NotEnoughEvidence, match="too little text of `web`"):
        Perplexity(trained_on="web").prepare(PROSE)
    with pytest.raises(InputError, match="`order`"):
        Perplexity(order=7)
