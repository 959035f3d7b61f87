import json
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.domains.by_mixture import ByMixture


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    """(domain, text): pieces of installed Python, C and prose."""
    library, headers = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("include"))
    files = {
        "python": sorted(library.glob("*.py"))[:60],
        "c": sorted(headers.rglob("*.h"))[:60],
        "topics": [library / "pydoc_data" / "topics.py"],
    }
    found = []
    for name, paths in files.items():
        pieces = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
        if name == "topics":
            namespace: dict[str, dict[str, str]] = {}
            exec(pieces[0], namespace)
            pieces = sorted(namespace["topics"].values())[:60]
        found += [(name, piece[:2000]) for piece in pieces if len(piece) > 300]
    return found


def hidden(texts: list[tuple[str, str]], per_domain: int) -> list[Document]:
    """The texts, all but a few labels of each domain taken off."""
    seen: Counter[str] = Counter()
    documents = []
    for name, text in texts:
        seen[name] += 1
        documents.append(Document(text=text, label=name if seen[name] <= per_domain else None))
    return documents


def share_right(model, texts: list[tuple[str, str]]) -> float:
    shares = model.label([Document(text=text) for _, text in texts])
    return sum(max(one, key=one.get) == name for one, (name, _) in zip(shares, texts, strict=True)) / len(texts)


def test_a_few_labels_label_everything_and_the_model_comes_back(texts) -> None:
    model = ByMixture(width=8).prepare(hidden(texts, 4))
    assert share_right(model, texts) > 0.9
    assert set(model.held) == {"mixture", "nearest"}
    again = ByMixture().restore(json.loads(json.dumps(model.to_dict())))
    documents = [Document(text=text) for _, text in texts]
    assert again.label(documents) == model.label(documents)
    assert all(abs(sum(one.values()) - 1.0) < 0.01 for one in model.label(documents))


def test_labels_come_from_a_file_and_may_be_coarse(texts, tmp_path) -> None:
    rows = [{"text": one.text, "label": one.label} for one in hidden(texts, 4) if one.label]
    coarse = [{"text": text, "label": ["c", "python"]} for name, text in texts if name == "c"][10:20]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows + coarse), encoding="utf-8")
    wrong = [Document(text=text, label="wrong") for _, text in texts]
    model = ByMixture(width=8, labels=str(path)).prepare(wrong)
    assert model.names == ("c", "python", "topics")
    assert share_right(model, texts) > 0.9
    assert model.label(wrong[:9]) == model.label([Document(text=one.text) for one in wrong[:9]])
    path.write_text('{"text": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"labels.jsonl:1 is no labelled text"):
        ByMixture(labels=str(path)).prepare(wrong)


def test_a_trusted_label_stays_and_little_confidence_is_unknown(texts) -> None:
    documents = hidden(texts, 4)
    labels = ByMixture(width=8, trust=1.0).prepare(documents).label(documents)
    assert all(labels[i] == {one.label: 1.0} for i, one in enumerate(documents) if one.label)
    shy = ByMixture(width=8, confidence=1.0).prepare(documents).label([Document(text="?")])
    assert shy == [{"unknown": 1.0}]


def test_online_steps_label_too(texts) -> None:
    assert share_right(ByMixture(width=8, batch=32).prepare(hidden(texts, 4)), texts) > 0.9


@pytest.mark.slow
def test_without_labels_the_relaxation_begins(texts) -> None:
    model = ByMixture(width=8, k=3, confidence=0.0).prepare([Document(text=text) for _, text in texts])
    shares = model.label([Document(text=text) for _, text in texts])
    pairs = Counter((name, max(one, key=one.get)) for one, (name, _) in zip(shares, texts, strict=True))
    best = {part: max(n for (_, other), n in pairs.items() if other == part) for _, part in pairs}
    assert len(best) == 3
    assert sum(best.values()) / len(texts) > 0.8


def test_what_cannot_be_split_is_said(texts) -> None:
    with pytest.raises(NotEnoughEvidence, match="too few labelled domains"):
        ByMixture().prepare([Document(text=text) for _, text in texts])
    with pytest.raises(InputError, match="found without labels"):
        ByMixture(k=3, labels="x.jsonl")
