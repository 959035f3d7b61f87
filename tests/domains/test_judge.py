"""Judging a split: known numbers for known partitions."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.domains.by_label import ByLabel
from mixdesk.domains.judge import accuracy, judge

TOPICS = ("river boat water fish", "engine wheel motor oil", "flour sugar oven bread")
RNG = np.random.default_rng(0)
TRUTH = [f"t{i % 3}" for i in range(60)]
DOCUMENTS = [
    Document(text=" ".join(RNG.choice(TOPICS[i % 3].split(), size=30)), label=TRUTH[i], source=str(i))
    for i in range(60)
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dice:
    """A splitter that throws a die per document."""

    seed: int = 0

    def prepare(self, sample):
        return self

    def label(self, documents):
        return [{str(face): 1.0} for face in np.random.default_rng(self.seed).integers(3, size=len(documents))]


def test_the_truth_is_perfect_and_stable():
    verdict = judge(ByLabel(), DOCUMENTS, [0, 1, 2], TRUTH)
    for got in (verdict.ari_s, verdict.nmi_s, verdict.accuracy_s):
        np.testing.assert_allclose(got, [1.0, 1.0, 1.0])
    assert verdict.stability == pytest.approx(1.0)
    np.testing.assert_array_equal(verdict.domains_s, [3, 3, 3])
    assert verdict.plain_ari_s.mean() > 0.5


def test_dice_are_chance_and_unstable():
    verdict = judge(Dice(), DOCUMENTS, range(8), TRUTH)
    assert abs(verdict.ari_s.mean()) < 0.06
    assert abs(verdict.stability) < 0.06
    assert 0.3 < verdict.accuracy_s.mean() < 0.6


def test_documents_without_domain_are_counted():
    class Half(Dice):
        def label(self, documents):
            return [{"a": 1.0} if i % 2 else {} for i in range(len(documents))]

    verdict = judge(Half(), DOCUMENTS, [0])
    assert verdict.nowhere_s.tolist() == [0.5]
    assert np.isnan(verdict.ari_s).all()
    assert np.isnan(verdict.stability)


def test_accuracy_matches_one_to_one():
    assert accuracy(["a", "b", "c"], ["x", "x", "x"]) == pytest.approx(1 / 3)
    assert accuracy(["a", "b", "a", "b"], [1, 2, 3, 4]) == pytest.approx(0.5)


def test_labels_must_be_as_many_as_documents():
    with pytest.raises(InputError, match="nothing to compare"):
        judge(ByLabel(), DOCUMENTS, [0], TRUTH[:-1])
    with pytest.raises(InputError, match="nothing to compare"):
        judge(ByLabel(), [replace(one) for one in DOCUMENTS], [], TRUTH)
