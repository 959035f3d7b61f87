"""Vectors of texts: the same everywhere, of each text alone, close where texts are alike."""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents
from mixdesk.domains.embed import N_TOGETHER, Embedder, Embedding

WEIRD = ["", " ", "\0", "\ud800 lone", "\U0001f600" * 5, "a", "\n" * 4000, "語" * 3000, "x" * 100_000]


@cache
def texts():
    caps = {"code/library": 120_000, "prose/docstrings": 120_000, "tables/unicode": 120_000}
    return tuple(document.text[:4000] for document in installed_documents(caps))


@cache
def embedding():
    return Embedder(width=16).fit(texts())


def test_vectors_are_of_length_one():
    V_np = embedding().of(texts())
    assert V_np.shape == (len(texts()), 16)
    assert V_np.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(V_np, axis=1), 1.0, atol=1e-5)


def test_a_vector_depends_on_its_text_alone():
    V_np = embedding().of(texts())
    order = np.random.default_rng(0).permutation(len(texts()))
    permuted_np = embedding().of([texts()[i] for i in order])
    np.testing.assert_array_equal(permuted_np, V_np[order])
    np.testing.assert_array_equal(embedding().of([texts()[3]])[0], V_np[3])


def test_batches_are_no_boundary():
    many = [f"text {i} of {'many' * (i % 5)}" for i in range(N_TOGETHER + 3)]
    V_np = embedding().of(many)
    np.testing.assert_array_equal(V_np[-3:], embedding().of(many[-3:]))


def test_data_gives_the_same_vectors():
    written = json.dumps(embedding().to_dict())
    assert len(written) < 300_000
    back = Embedding.from_dict(json.loads(written))
    np.testing.assert_array_equal(back.of(texts()), embedding().of(texts()))
    np.testing.assert_array_equal(back.of(WEIRD), embedding().of(WEIRD))


def test_another_process_learns_the_same():
    few = texts()[:30]
    code = (
        "import sys, json; from mixdesk.domains.embed import Embedder;"
        "print(json.dumps(Embedder(width=8).fit(json.load(sys.stdin)).to_dict()))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(few), capture_output=True, text=True, check=True
    )
    assert json.loads(asked.stdout) == Embedder(width=8).fit(few).to_dict()


def test_halves_of_a_text_are_closer_than_other_texts():
    held = [text for text in texts() if len(text) >= 1500]
    first_np, second_np = (
        embedding().of([text[: len(text) // 2] for text in held]),
        embedding().of([text[len(text) // 2 :] for text in held]),
    )
    cosine_nn = first_np @ second_np.T
    own = np.diag(cosine_nn)
    assert own.mean() > 2.0 * cosine_nn.mean() + 0.2


def test_what_lies_behind_the_reach_is_not_read():
    short = Embedder(width=8, reach=100).fit(texts()[:40])
    text = "a" * 50 + "b" * 400
    assert not (short.of([text]) - short.of([text + "ccc"])).any()
    assert (short.of(["alpha beta " * 4]) - short.of(["gamma delta " * 4])).any()


def test_weird_texts_have_finite_vectors():
    V_np = embedding().of(WEIRD)
    assert np.isfinite(V_np).all()
    assert not V_np[0].any()
    assert embedding().of([]).shape == (0, 16)


@pytest.mark.parametrize("sample", [[], [""], ["one"], ["same text"] * 50, ["", "", "", ""]])
def test_nothing_is_learned_from_next_to_nothing(sample):
    with pytest.raises(NotEnoughEvidence, match="too few texts"):
        Embedder().fit(sample)


def test_small_samples_have_fewer_directions():
    assert Embedder(width=64).fit(["alpha beta", "beta gamma", "gamma delta", "delta alpha"]).width == 2
