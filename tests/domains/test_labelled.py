"""Weak labels and shares of domains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.domains import labelled


def test_rounded_shares_never_sum_to_more_than_one() -> None:
    shares = labelled.shares(np.array([0.0102855, 0.9872026, 0.0025119]), ("a", "b", "c"))
    assert list(shares) == ["b", "a", "c"]
    assert sum(shares.values()) <= 1.0 + 1e-12
    assert labelled.shares(np.array([1.0, 0.0005]), ("a", "b")) == {"a": 1.0}


def test_labels_of_a_file_win_and_coarse_ones_allow_several(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    rows = [{"text": "one two", "label": "a"}, {"text": "three four", "label": ["a", "b"]}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    found = labelled.gather([Document(text="five six", label="z")], str(path))
    assert found.names == ("a", "b")
    allowed = labelled.allowed([("a",), ("a", "b"), ()], ("a", "b"))
    assert allowed.tolist() == [[True, False], [True, True], [True, True]]
    path.write_text("not json")
    with pytest.raises(InputError):
        labelled.gather([], str(path))
