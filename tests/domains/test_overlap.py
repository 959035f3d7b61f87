"""Overlap: known shares are found, halves of one kind cannot be told apart, and evaluation sets that leak show."""

import json
import random

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.domains.overlap import overlap


def text(rng, words, n=60):
    return " ".join(rng.choices(words, k=n))


def vocabulary(seed, letters):
    rng = random.Random(seed)
    return ["".join(rng.choices(letters, k=rng.randrange(3, 9))) for _ in range(400)]


def documents(texts):
    return [Document(text=one) for one in texts]


@pytest.fixture(scope="module")
def measured():
    rng = random.Random(1)
    first, second = vocabulary(2, "abcdefghij"), vocabulary(3, "klmnopqrst")
    apart = [text(rng, first) for _ in range(300)]
    half = [text(rng, second) for _ in range(300)]
    other = [text(rng, second) for _ in range(240)] + apart[:60]
    twin = [text(rng, first) for _ in range(200)]
    sets = {"held": [apart[0], text(rng, second)], "clean": [text(rng, second)], "tiny": ["three words only"]}
    domains = {"apart": apart, "half": half, "other": other, "twin": twin}
    return overlap({name: documents(texts) for name, texts in domains.items()}, sets, n_windows=2000)


def test_the_share_of_windows_is_known_within_its_standard_error(measured):
    names = measured.names
    for a, b, share in (("apart", "other", 0.2), ("other", "apart", 0.2), ("half", "apart", 0.0)):
        i, j = names.index(a), names.index(b)
        # A copied text brings 51 windows together, but each is kept or not by its own hash.
        error = np.sqrt(share * (1 - share) / measured.kept_dd[i, j])
        assert abs(measured.windows_dd[i, j] - share) <= 4 * error
        assert 500 < measured.kept_dd[i, j] <= 2000


def test_halves_of_one_kind_cannot_be_told_apart_and_kinds_can(measured):
    near = dict(zip(measured.names, measured.neighbours_dd, strict=True))
    assert near["apart"][3] > 0.4
    assert near["twin"][0] > 0.4
    assert near["apart"][1] < 0.02
    assert near["twin"][1] < 0.02


def test_a_leak_is_exact_however_few_windows_are_kept_of_the_domain(measured):
    assert measured.sets == ("held", "clean", "tiny")
    assert measured.leaked_sd[0].tolist() == [0.5, 0.0, 0.5, 0.0]
    assert measured.leaked_sd[1].tolist() == [0.0] * 4
    assert np.isnan(measured.leaked_sd[2]).all()


def test_warnings_name_pairs_that_are_one_and_sets_that_leak(measured):
    found = "\n".join(measured.warnings())
    assert "50% of the 10-word windows of the set `held` stand in `apart`: remove them" in found
    assert "of texts of `apart` and `twin`" in found
    assert "`clean`" not in found
    one = [Document(text=" ".join(f"a{i}b{k}" for i in range(40))) for k in range(30)]
    same = overlap({"x": one, "y": one + documents(["quite another text " * 9])})
    assert same.warnings() == ["`x` shares 100% of its 10-word windows with `y`: merge them"]


def test_the_same_documents_give_the_same_json(measured):
    data = measured.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["leaked"][2] == [None] * 4
    assert data["warnings"] == measured.warnings()
    rng = random.Random(5)
    texts = documents(text(rng, vocabulary(2, "abc")) for _ in range(50))
    runs = [overlap({"a": iter(texts[:30]), "b": iter(texts[30:])}, n_texts=10).to_dict() for _ in range(2)]
    assert runs[0] == runs[1]


def test_domains_too_small_for_neighbours_have_none_and_settings_have_bounds():
    small = overlap({"a": documents(["one"]), "b": documents(["two"])})
    assert np.isnan(small.neighbours_dd).all()
    assert np.isnan(small.windows_dd).all()
    assert small.warnings() == []
    assert overlap({}).to_dict()["windows"] == []
    for settings in ({"n": 0}, {"n_windows": 0}, {"n_texts": 1}):
        with pytest.raises(InputError):
            overlap({}, **settings)
