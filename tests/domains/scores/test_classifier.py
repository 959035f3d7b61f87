"""Quality by example: a few labelled texts are enough to tell kinds of text apart."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents
from mixdesk.domains.scores.classifier import Classifier

FOUND = [
    replace(one, text=one.text[:2000])
    for one in installed_documents({"prose/docstrings": 150_000, "code/tests": 150_000})
]
IS_GOOD = np.array([one.label == "prose/docstrings" for one in FOUND])


def labelled(every):
    return [
        replace(one, scores=(("good", float(good)),)) if i % every == 0 else one
        for i, (one, good) in enumerate(zip(FOUND, IS_GOOD, strict=True))
    ]


def in_order(score_n):
    """Share of pairs of a good and a bad text whose good one has the larger score."""
    return (score_n[IS_GOOD][:, None] > score_n[~IS_GOOD]).mean()


def test_a_few_examples_tell_the_rest():
    score_n = Classifier().prepare(labelled(8)).score(FOUND)
    assert in_order(score_n) > 0.95
    assert ((score_n > 0.0) & (score_n < 1.0)).all()


def test_a_file_of_labels_does_as_well(tmp_path):
    path = tmp_path / "labels.jsonl"
    lines = [json.dumps({"text": one.text, "useful": int(good)}) for one, good in zip(FOUND, IS_GOOD, strict=True)][::8]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    score_n = Classifier(labels=str(path), score="useful").prepare(FOUND).score(FOUND)
    assert in_order(score_n) > 0.95


def test_one_kind_of_example_is_no_example():
    with pytest.raises(NotEnoughEvidence, match="0 good and 0 bad"):
        Classifier().prepare(FOUND)
    with pytest.raises(NotEnoughEvidence, match="1 good and 0 bad"):
        Classifier().prepare([replace(FOUND[0], scores=(("good", 1.0),)), *FOUND[1:]])


@pytest.mark.parametrize(
    "line", ["not JSON", "[]", '{"text": "a"}', '{"text": 3, "good": 1}', '{"text": "a", "good": "?"}']
)
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps({"text": "fine", "good": 1}) + "\n" + line, encoding="utf-8")
    with pytest.raises(InputError, match=r"labels\.jsonl:2: no labelled text"):
        Classifier(labels=str(path)).prepare([Document(text="a")])
