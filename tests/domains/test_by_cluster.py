"""Clusters as domains: topics are found, named, pruned and merged, and a document's domain is its own affair."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.corpus.installed import installed_documents
from mixdesk.domains.by_cluster import ByCluster
from mixdesk.domains.judge import judge

CAPS = {"prose/docstrings": 150_000, "tables/decimal": 150_000, "meta/record": 100_000, "tables/unicode": 150_000}


@cache
def labelled():
    return tuple(replace(one, text=one.text[:4000]) for one in installed_documents(CAPS))


@cache
def documents():
    return tuple(replace(one, label=None) for one in labelled())


@cache
def model():
    return ByCluster(k=4).prepare(documents())


def hard(model, documents):
    return [max(shares, key=shares.get) if shares else "" for shares in model.label(documents)]


def test_kinds_of_installed_text_are_found():
    verdict = judge(ByCluster(k=4), documents(), range(3), [one.label for one in labelled()])
    assert verdict.ari_s.min() > 0.6
    assert verdict.ari_s.mean() > verdict.plain_ari_s.mean()
    assert verdict.stability > 0.9


def test_three_topics_are_recovered():
    words = [
        line.split() for line in ("river boat water fish lake", "engine wheel motor oil gear", "flour sugar oven salt")
    ]
    rng = np.random.default_rng(0)
    topics = [Document(text=" ".join(rng.choice(words[i % 3], size=40))) for i in range(90)]
    verdict = judge(ByCluster(k=3), topics, range(3), [str(i % 3) for i in range(90)])
    assert verdict.ari_s.min() > 0.9


def test_names_are_distinct_words_of_the_cluster():
    names = model().names
    assert len(set(names)) == 4
    found = hard(model(), documents())
    for name in names:
        own = np.array([domain == name for domain in found])
        for word in name.split("-"):
            has = np.array([word in re.findall(r"[^\W\d_]+", one.text.casefold()) for one in documents()])
            assert has[own].mean() > 0.3
            assert has[own].mean() > 2.0 * has[~own].mean()
        assert "/" not in name


def test_a_document_has_its_domain_whatever_it_lies_beside():
    backwards = model().label(documents()[::-1])[::-1]
    assert backwards == model().label(documents())
    assert model().label(documents()[5:6]) == model().label(documents())[5:6]


def test_data_gives_the_same_labels():
    back = ByCluster().restore(json.loads(json.dumps(model().to_dict())))
    assert back.label(documents()) == model().label(documents())


def test_a_text_between_two_is_soft_and_heat_softens():
    between = [Document(text=documents()[0].text[:1000] + "\n" + documents()[-1].text[:1000])]
    sharp, soft = (ByCluster(k=4, temperature=heat).prepare(documents()).label(between)[0] for heat in (0.0, 5.0))
    assert list(sharp.values()) == [1.0]
    assert len(soft) > 1
    assert sum(soft.values()) == pytest.approx(1.0, abs=0.005)


def test_fine_clusters_are_merged_to_k():
    fine = ByCluster(k=4, fine=12).prepare(documents())
    assert len(fine.centre_jp) == 12
    assert sorted(set(fine.group_j.tolist())) == [0, 1, 2, 3]
    assert len(fine.names) == 4


def test_small_clusters_are_pruned():
    size = sorted(hard(model(), documents()).count(name) for name in model().names)
    pruned = ByCluster(k=4, least=(size[0] + 0.5) / len(documents())).prepare(documents())
    assert len(pruned.names) == 3
    assert hard(pruned, documents()).count("") == size[0]
    assert all(sum(shares.values()) <= 1.0 for shares in pruned.label(documents()))


def test_clusters_of_low_quality_are_pruned():
    scored = [replace(one, scores=(("worth", float(one.label != "meta/record")),)) for one in labelled()]
    kept = ByCluster(k=4, score="worth", floor=0.5).prepare(scored)
    gone = {one.label for one, domain in zip(scored, hard(kept, scored), strict=True) if not domain}
    assert gone == {"meta/record"}
    with pytest.raises(NotEnoughEvidence, match="every cluster is pruned"):
        ByCluster(k=4, score="worth", floor=2.0).prepare(scored)


def test_bad_settings_and_small_samples_are_refused():
    with pytest.raises(InputError, match="`k`"):
        ByCluster(k=1)
    with pytest.raises(NotEnoughEvidence, match="too few documents"):
        ByCluster(k=40).prepare(documents()[:20])


@pytest.mark.slow
def test_clusters_of_installed_text_agree_with_its_labels():
    """CLIMB's must: mean ARI over ten starts above .4, on eight domains of which three are Python code."""
    caps = dict.fromkeys(["code/tests", "code/library", "tables/decimal", "prose/docstrings"], 400_000)
    caps |= {"meta/record": 300_000, "tables/unicode": 250_000, "code/stubs": 200_000, "code/c": 120_000}
    found = list(installed_documents(caps))
    verdict = judge(
        ByCluster(k=8), [replace(one, label=None) for one in found], range(10), [one.label for one in found]
    )
    assert verdict.ari_s.mean() > 0.6
    assert verdict.ari_s.mean() > verdict.plain_ari_s.mean()
    assert verdict.stability > verdict.plain_stability


def test_hdbscan_finds_how_many_topics_there_are_and_gives_every_text_a_domain():
    rng = np.random.default_rng(0)
    topics = [
        line.split() for line in ("river boat water fish lake", "engine wheel motor oil gear", "flour sugar oven salt")
    ]
    texts = [Document(text=" ".join(rng.choice(topics[i % 3], size=40))) for i in range(120)]
    texts += [Document(text=" ".join(rng.choice([w for words in topics for w in words], size=40))) for _ in range(6)]
    splitter = ByCluster(method="hdbscan", k=20, min_cluster_size=10)
    found = splitter.prepare(texts)
    assert len(found.names) == 3
    shares = found.label(texts)
    assert all(shares), "noise has the domain it lies nearest to"
    domains = np.array([max(one, key=one.get) for one in shares])[:120]
    assert all(len(set(domains[i::3])) == 1 for i in range(3))
    assert max(len(one) for one in shares[120:]) > 1, "what lies between topics is soft"
    back = ByCluster().restore(json.loads(json.dumps(found.to_dict())))
    assert back.label(texts) == shares
    assert splitter.prepare(texts).label(texts) == shares
    assert len(ByCluster(method="hdbscan", k=2, min_cluster_size=10).prepare(texts).names) == 2


def test_hdbscan_says_where_no_place_is_dense():
    rng = np.random.default_rng(0)
    alike = [Document(text=" ".join(rng.choice(["stone", "wind", "grass", "light", "rain"], 40))) for _ in range(60)]
    with pytest.raises(NotEnoughEvidence, match="no dense places"):
        ByCluster(method="hdbscan", min_cluster_size=25).prepare(alike)
    with pytest.raises(NotEnoughEvidence, match="too few documents"):
        ByCluster(method="hdbscan", min_cluster_size=40).prepare(alike)
    with pytest.raises(InputError, match="did you mean `hdbscan`"):
        ByCluster(method="hdbscn")
