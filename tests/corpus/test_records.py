import math

import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.inputs import Skipped
from mixdesk.corpus.records import document_of


def made(record, **options):
    skipped = Skipped(on_error="skip", **options)
    return document_of(record, "file", "a:1", skipped), skipped


def test_every_field_under_each_of_its_keys() -> None:
    first = {"text": "t", "label": "a/b", "license": "MIT", "url": "u", "author": "me", "language": "de"}
    second = {"content": "t", "domain": "a/b", "license": "MIT", "source": "u", "author": "me", "lang": "de"}
    inside = {"text": "t", "id": "7", "metadata": {k: v for k, v in second.items() if k != "content"}}
    documents = [made(record)[0] for record in (first, second, inside)]
    assert documents[0] == documents[1] == documents[2]
    assert (documents[0].label, documents[0].url, documents[0].language) == ("a/b", "u", "de")
    assert (documents[0].license, documents[0].author, documents[0].source) == ("MIT", "me", "a:1")


def test_a_records_own_fields_go_before_those_of_its_metadata() -> None:
    document, _ = made({"text": "t", "label": "", "url": "own", "metadata": {"url": "in", "label": "x", "score": 1}})
    assert (document.url, document.label, document.scores) == ("own", "x", (("score", 1.0),))
    assert made({"text": "t", "score": 2, "metadata": {"score": 1}})[0].scores == (("score", 2.0),)


def test_scores_are_a_mapping_or_numbers_whose_key_says_so() -> None:
    record = {"text": "t", "scores": {"edu": 3, "none": None}, "score_a": 0.5, "score_why": "good", "score_b": math.nan}
    assert made(record)[0].scores == (("edu", 3.0), ("score_a", 0.5))
    assert made({"text": "t", "scores": [("edu", 1.5)]})[0].scores == (("edu", 1.5),)


@pytest.mark.parametrize(
    ("record", "reason", "shown"),
    [
        ({"text": None}, "null text", "null as its `text`"),
        ({"text": "t", "label": 3}, "wrong field", "wrong `label`"),
        ({"text": "t", "url": ["u"]}, "wrong field", "wrong `url`"),
        ({"text": "t", "metadata": "{}"}, "wrong field", "wrong `metadata`"),
        ({"text": "t", "scores": 3}, "wrong field", "wrong `scores`"),
        ({"text": "t", "scores": {"edu": "high"}}, "wrong field", "wrong score `edu`"),
        ({"text": "t", "scores": {"edu": True}}, "wrong field", "wrong score `edu`"),
        ({"text": "t", "score": math.inf}, "wrong field", "out of range"),
        ({"text": "t", "scores": {"": 1}}, "wrong field", "as a name"),
        ({"text": "t", "author": "\ud800"}, "not UTF-8", "surrogate"),
        ({"text": "four!"}, "too long", "at most 4 bytes"),
        ({"text": "é é"}, "too long", "at most 4 bytes"),
        *(
            ({"text": "t", "label": label}, "unsafe label", "rename it")
            for label in ("../up", "a/../b", "/etc", "a//b", ".", "a/", "..", "a\\b", "a\nb", " a", "a\0b")
        ),
    ],
)
def test_what_cannot_be_used_is_named(record, reason, shown) -> None:
    document, skipped = made(record, max_bytes=4)
    assert document is None
    assert skipped.counts == {reason: 1}
    assert shown in skipped.first[reason]
    if reason != "null text":
        with pytest.raises(InputError, match="a:1"):
            document_of(record, "file", "a:1", Skipped(max_bytes=4))
