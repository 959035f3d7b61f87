"""Hashes of n-grams: equal where the words are, in every script, and distinct otherwise."""

import inspect
import json

import numpy as np

from mixdesk.corpus.ngrams import batches, ngrams, words


def by_hand(text, n):
    found = text.split()
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def test_ngrams_are_equal_exactly_where_their_words_are():
    text = " ".join("".join(c if c.isalnum() else " " for c in inspect.getsource(json.decoder)).lower().split())
    for n in (1, 3, 13):
        hash_g, offset_n = ngrams(*words([text[:3000], text]), n)
        grams = by_hand(text[:3000], n) + by_hand(text, n)
        assert offset_n.tolist() == [0, len(by_hand(text[:3000], n)), len(grams)]
        assert len(set(hash_g.tolist())) == len(set(grams)) == len(set(zip(grams, hash_g.tolist(), strict=True)))


def test_combining_marks_belong_to_their_word():
    _, offset_n = words(["हिन्दी भाषा", "école e\u0301cole"])
    assert offset_n.tolist() == [0, 2, 4]
    hash_w, _ = words(["école e\u0301cole ÉCOLE"])
    assert len(set(hash_w.tolist())) == 1


def test_scripts_without_blanks_have_a_word_a_character():
    _, offset_n = words(["東京タワー", "ภาษา", "한국어 문서", "\U00020000\U00020001", "a木b"])
    assert np.diff(offset_n).tolist() == [5, 4, 2, 2, 3]


def test_lone_surrogates_and_unassigned_characters_are_no_words():
    hash_w, offset_n = words(["\ud800 a \U000e0001 \U0010ffff", "a"])
    assert offset_n.tolist() == [0, 1, 2]
    assert hash_w[0] == hash_w[1]


def test_batches_keep_every_text_in_order():
    texts = ["a" * n for n in (5, 0, 30, 3, 3, 0)]
    assert [list(batch) for batch in batches(texts, 10)] == [texts[:2], [texts[2]], texts[3:]]
    assert list(batches([])) == []


def test_words_are_the_same_however_many_texts_are_hashed_together():
    texts = ["some words " * 20_000, "", "and a few", "more of them " * 20_000]
    hash_w, offset_n = words(texts)
    parts = [words([text]) for text in texts]
    assert np.diff(offset_n).tolist() == [len(hashes) for hashes, _ in parts]
    assert (hash_w == np.concatenate([hashes for hashes, _ in parts])).all()
    assert [len(one) for one in words([])] == [0, 1]
