"""Identity of a corpus: content under a tokenizer, whatever the order or the sharding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Shard, Tokenizer
from mixdesk.core.errors import InputError

BYTES = Tokenizer(name="bytes", vocab_size=257, sha256="t")
CORPUS = Corpus(
    name="c",
    tokenizer=BYTES,
    domains=(Domain(name="b", fingerprint="2"), Domain(name="a", fingerprint="1")),
    evals=(EvalSet(name="held-out"),),
)


def test_domains_are_kept_in_order_of_their_names():
    assert CORPUS.names == ("a", "b")
    assert replace(CORPUS, domains=CORPUS.domains[::-1]) == CORPUS


def test_the_fingerprint_is_content_and_tokenizer_only():
    shard = Shard(path="a.bin", domain="a", split="train", n_tokens=3, sha256="")
    same = replace(CORPUS, name="other", shards=(shard,), evals=())
    assert same.fingerprint == CORPUS.fingerprint
    changed = replace(CORPUS, domains=(Domain(name="a", fingerprint="9"), CORPUS.domains[1]))
    assert changed.fingerprint != CORPUS.fingerprint
    assert replace(CORPUS, tokenizer=replace(BYTES, sha256="u")).fingerprint != CORPUS.fingerprint


@given(corpus=st.from_type(Corpus))
def test_counts_of_a_domain_do_not_change_the_fingerprint(corpus):
    counted = tuple(replace(domain, n_tokens=7, n_docs=1) for domain in corpus.domains)
    assert replace(corpus, domains=counted).fingerprint == corpus.fingerprint


def test_a_corpus_needs_distinct_domains():
    with pytest.raises(InputError, match="no domain"):
        replace(CORPUS, domains=())
    with pytest.raises(InputError, match="name twice"):
        replace(CORPUS, domains=(Domain(name="a"), Domain(name="a")))
    with pytest.raises(InputError, match="unknown split `test`"):
        Shard(path="x", domain="a", split="test", n_tokens=1, sha256="")
