"""Every scorer keeps its protocol: finite numbers, plain data, the same again, and no text that breaks it."""

import contextlib
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents

WEIRD = ["", " ", "\0", "\ud800 lone", "\U0001f600" * 5, "a", "\n" * 4000, "語" * 3000, "x" * 100_000]


@cache
def sample():
    """Every fifth document is called good or bad, for the scorers that learn from examples."""
    found = installed_documents({"prose/docstrings": 100_000, "tables/unicode": 60_000})
    return tuple(
        replace(
            one,
            text=one.text[:3000],
            scores=(("good", float(one.label == "prose/docstrings")),) if i % 5 == 0 else (),
        )
        for i, one in enumerate(found)
    )


@pytest.mark.parametrize("name", registry.names("scorers"))
def test_scorer_keeps_the_contract(name):
    scorer = registry.part("scorers", name)()
    model = scorer.prepare(iter(sample()))
    found = model.score(sample())
    assert found.shape == (len(sample()),)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert len(set(found.tolist())) > len(sample()) // 4

    data = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    np.testing.assert_array_equal(scorer.restore(data).score(sample()), found)
    assert json.loads(json.dumps(scorer.prepare(sample()).to_dict())) == data, "the same sample makes another model"
    np.testing.assert_allclose(model.score(sample()[3:5]), found[3:5], rtol=1e-12)
    assert model.score([]).shape == (0,)


@pytest.mark.parametrize("name", registry.names("scorers"))
def test_scorer_takes_weird_texts(name):
    weird = [Document(text=text) for text in WEIRD]
    model = registry.part("scorers", name)().prepare([*sample(), *weird])
    assert np.isfinite(model.score(weird)).all()


@pytest.mark.parametrize("name", registry.names("scorers"))
def test_scorer_says_that_an_empty_sample_is_too_small(name):
    with contextlib.suppress(NotEnoughEvidence):
        model = registry.part("scorers", name)().prepare([])
        assert np.isfinite(model.score(sample())).all()
