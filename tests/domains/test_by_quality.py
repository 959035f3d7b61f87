"""Quality bins: even inside each domain, the best in q1, learned once and kept."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents
from mixdesk.domains.by_quality import ByQuality
from mixdesk.search.lens import Leaves


def scored(n=400, labels=("web", "books"), **scores):
    """Documents whose scores are functions of their number."""
    return [
        Document(
            text=f"document {i} " + "x" * 50,
            label=labels[i % len(labels)] if labels else None,
            scores=tuple((name, float(value(i))) for name, value in scores.items()),
        )
        for i in range(n)
    ]


def bins(splitter, documents):
    return [next(iter(shares)) for shares in splitter.prepare(documents).label(documents)]


@cache
def mixed():
    """Docstrings as they are, and the same with their characters shuffled."""
    found = list(installed_documents({"prose/docstrings": 200_000}))
    rng = np.random.default_rng(0)
    return found + [replace(one, text="".join(rng.permutation(list(one.text)))) for one in found]


def test_bins_are_even_and_ordered():
    documents = scored(worth=lambda i: i)
    got = bins(ByQuality(scores=("worth",), bins=4), documents)
    assert sorted(Counter(got).values()) == pytest.approx([50] * 8, abs=2)
    best = [i for i, name in enumerate(got) if name == "web/q1"]
    worst = [i for i, name in enumerate(got) if name == "web/q4"]
    assert min(best) > max(worst)
    assert min(best) > 290


def test_the_lens_reads_the_bins():
    names = sorted(set(bins(ByQuality(scores=("worth",), bins=3), scored(worth=lambda i: i))))
    leaves = Leaves.of(names, np.ones(len(names)))
    assert leaves.groups == ("books", "web")
    assert leaves.has_bins


def test_each_domain_has_its_own_scale():
    documents = scored(worth=lambda i: i + 10_000 * (i % 2))
    got = bins(ByQuality(scores=("worth",), bins=2), documents)
    assert Counter(got) == pytest.approx({"web/q1": 100, "web/q2": 100, "books/q1": 100, "books/q2": 100}, abs=2)


def test_a_monotone_change_of_the_score_changes_no_bin():
    straight, curved = scored(worth=lambda i: i), scored(worth=lambda i: np.expm1(i / 100.0))
    one, other = (bins(ByQuality(scores=("worth",)), documents) for documents in (straight, curved))
    assert np.mean([a == b for a, b in zip(one, other, strict=True)]) > 0.97


def test_weights_decide_between_scores():
    documents = scored(up=lambda i: i, down=lambda i: -i)
    up = bins(ByQuality(scores=("up", "down"), weights=(1.0, 0.0)), documents)
    down = bins(ByQuality(scores=("up", "down"), weights=(0.0, 1.0)), documents)
    assert up[-1] == "books/q1"
    assert down[-1] == "books/q4"
    assert up[0] == "web/q4"


def test_few_values_make_even_bins():
    documents = scored(worth=lambda i: i % 3 == 0)
    got = bins(ByQuality(scores=("worth",), bins=4), documents)
    assert sorted(Counter(got).values()) == pytest.approx([50] * 8, abs=2)
    assert all(documents[i].scores[0][1] == 1.0 for i, name in enumerate(got) if name.endswith("q1"))


def test_a_document_without_the_score_is_middling():
    documents = scored(worth=lambda i: i)
    model = ByQuality(scores=("worth",), bins=3).prepare(documents)
    assert model.label([replace(documents[0], scores=())]) == [{"web/q2": 1.0}]


def test_small_new_and_unlabelled_domains():
    documents = [*scored(worth=lambda i: i), *scored(n=9, labels=("tiny",), worth=lambda i: i)]
    model = ByQuality(scores=("worth",)).prepare(documents)
    asked = [replace(documents[-1], label=label) for label in ("tiny", "unseen", None)]
    assert model.label(asked) == [{"tiny": 1.0}, {"unseen/q4": 1.0}, {"q4": 1.0}]


def test_data_gives_the_same_labels():
    documents = mixed()
    splitter = ByQuality(scores=("rules", "perplexity", "worth"), weights=(1, 2, 1))
    some = [
        replace(one, scores=(("worth", float(len(one.text))),)) if i % 3 else one for i, one in enumerate(documents)
    ]
    model = splitter.prepare(some)
    back = ByQuality().restore(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert back.label(some) == model.label(some)


def test_shuffled_characters_are_the_worse_half():
    documents = mixed()
    got = bins(ByQuality(bins=2), documents)
    half = len(documents) // 2
    assert np.mean([name == "prose/docstrings/q1" for name in got[:half]]) > 0.9
    assert np.mean([name == "prose/docstrings/q2" for name in got[half:]]) > 0.9


def test_examples_teach_what_is_good(tmp_path):
    documents = mixed()
    half = len(documents) // 2
    path = tmp_path / "labels.jsonl"
    examples = [{"text": one.text, "good": int(i < half)} for i, one in enumerate(documents) if i % half < 8]
    path.write_text("\n".join(map(json.dumps, examples)), encoding="utf-8")
    got = bins(ByQuality(scores="classifier", labels=str(path), bins=2), documents)
    assert np.mean([name.endswith("q1") for name in got[:half]]) > 0.95


def test_bad_settings_are_refused():
    for settings in (
        {"bins": 1},
        {"scores": ()},
        {"weights": (1.0,)},
        {"weights": (0.0, 0.0)},
        {"weights": (1.0, -1.0)},
    ):
        with pytest.raises(InputError):
            ByQuality(**settings)
    with pytest.raises(InputError, match="no document has the score `wroth`"):
        ByQuality(scores=("wroth",)).prepare(scored(worth=lambda i: i))
    with pytest.raises(NotEnoughEvidence, match="too few documents"):
        ByQuality(scores=("worth",)).prepare(scored(n=19, worth=lambda i: i))
