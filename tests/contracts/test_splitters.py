"""Every splitter keeps its protocol: probabilities, plain data, the same again, and no text that breaks it."""

import contextlib
import json
from dataclasses import replace
from functools import cache

import pytest

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents

WEIRD = ["", " ", "\0", "\ud800 lone", "\U0001f600" * 5, "a", "\n" * 4000, "語" * 3000, "x" * 100_000]
# What a splitter needs beside its defaults on a sample of three domains.
SETTINGS = {"by_cluster": {"k": 3}}


@cache
def sample():
    caps = {"code/library": 100_000, "prose/docstrings": 100_000, "tables/unicode": 60_000}
    return tuple(replace(one, text=one.text[:3000], language="en") for one in installed_documents(caps))


def make(name):
    return registry.part("splitters", name)(**SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", registry.names("splitters"))
def test_splitter_keeps_the_contract(name):
    model = make(name).prepare(iter(sample()))
    found = model.label(sample())
    assert len(found) == len(sample())
    for shares in found:
        assert all(isinstance(domain, str) and domain and 0.0 <= share <= 1.0 for domain, share in shares.items())
        assert sum(shares.values()) <= 1.0 + 1e-9
    assert len({domain for shares in found for domain in shares}) > 1

    data = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    assert registry.part("splitters", name)().restore(data).label(sample()) == found, "the restored model differs"
    again = make(name).prepare(sample())
    assert json.loads(json.dumps(again.to_dict())) == data, "the same sample makes another model"
    assert model.label(sample()[3:5]) == found[3:5], "a label depends on what is asked beside it"
    assert model.label([]) == []


@pytest.mark.parametrize("name", registry.names("splitters"))
def test_splitter_takes_weird_texts(name):
    weird = [Document(text=text, label="odd", license="MIT", language="en") for text in WEIRD]
    model = make(name).prepare([*sample(), *weird])
    for shares in model.label(weird):
        assert sum(shares.values()) <= 1.0 + 1e-9


@pytest.mark.parametrize("name", registry.names("splitters"))
def test_splitter_says_that_an_empty_sample_is_too_small(name):
    with contextlib.suppress(NotEnoughEvidence, InputError):
        model = make(name).prepare([])
        assert len(model.label(sample())) == len(sample())
