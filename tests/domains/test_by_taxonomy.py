import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import write_json
from mixdesk.domains.by_taxonomy import ByTaxonomy
from mixdesk.domains.simplex import corners


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Python and C as installed, and help pages."""
    library, headers = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("include"))
    found = []
    for name, paths in (("python", sorted(library.glob("*.py"))), ("c", sorted(headers.rglob("*.h")))):
        texts = [path.read_text(encoding="utf-8", errors="replace")[:1500] for path in paths[:60]]
        found += [Document(text=text, label=name) for text in texts if len(text) > 300]
    namespace: dict[str, dict[str, str]] = {}
    exec((library / "pydoc_data" / "topics.py").read_text(encoding="utf-8"), namespace)
    pages = sorted(text for text in namespace["topics"].values() if len(text) > 300)
    return found + [Document(text=text[:1500], label="topics") for text in pages[:60]]


def test_a_domain_that_is_added_leaves_old_corners_and_stored_vectors(documents, tmp_path) -> None:
    first = ByTaxonomy(width=16).prepare([one for one in documents if one.label != "topics"])
    assert first.held["accuracy"] > 0.9
    path = tmp_path / "first.json"
    write_json(path, first.to_dict())
    second = ByTaxonomy(before=str(path)).prepare(documents)
    assert second.corners == ("c", "python", "topics")
    assert second.held["accuracy"] > 0.8
    assert second.held["cross"] >= second.held["before"] - 0.02
    # Old vectors still say what they are by the new version's corners.
    old = [one for one in documents if one.label != "topics"]
    near_n = (first.vectors(old) @ corners(64)[:3].T).argmax(1)
    assert np.mean([second.corners[k] == one.label for k, one in zip(near_n, old, strict=True)]) > 0.9
    again = ByTaxonomy().restore(json.loads(json.dumps(second.to_dict())))
    assert again.label(documents[:20]) == second.label(documents[:20])


def test_a_retired_domain_keeps_its_corner_and_is_given_no_document(documents, tmp_path) -> None:
    path = tmp_path / "first.json"
    write_json(path, ByTaxonomy(width=16).prepare(documents).to_dict())
    renamed = [Document(text=one.text, label="header" if one.label == "c" else one.label) for one in documents]
    second = ByTaxonomy(before=str(path)).prepare(renamed)
    assert second.corners == ("c", "python", "topics", "header")
    assert second.names == ("header", "python", "topics")
    assert all("c" not in shares for shares in second.label(renamed[:30]))


def test_too_little_or_too_much_is_refused(documents) -> None:
    with pytest.raises(NotEnoughEvidence, match="too few labelled domains"):
        ByTaxonomy().prepare(documents[:10])
    many = [Document(text=f"{i} {one.text}", label=f"d{i}") for i, one in enumerate(documents[:65])]
    with pytest.raises(InputError, match="no corner left"):
        ByTaxonomy().prepare(many)
