"""Cleaning steps in a row, and what each of them did: counts by rule, and examples of what went and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type
from mixdesk.core.corpus import Document
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Step

# A step and the name and options by which it is known.
NamedStep = tuple[Plug, Step]
# Examples kept of each rule and of the changes, and the characters shown of one.
N_EXAMPLES = 5
SHOWN = 160


@core_type
class Example:
    """A document that a step removed by `rule`, or changed (`rule` empty), from where its text first differs."""

    rule: str
    source: str
    before: str
    after: str = ""


@core_type
class StepCount:
    """What a step did: `n_seen` documents came in, `n_changed` left with another text; those that went are counted by
    rule in `removed` and by the label they came with in `lost`.
    """

    step: Plug
    n_seen: int = 0
    n_changed: int = 0
    removed: Pairs = ()
    lost: Pairs = ()
    examples: tuple[Example, ...] = ()


@dataclass(kw_only=True)
class _Tally:
    """A step, its counts so far."""

    plug: Plug
    step: Step
    n_seen: int = 0
    n_changed: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def apply(self, document: Document) -> Document | None:
        self.n_seen += 1
        after = self.step.apply(document)
        if after is document:
            return document
        if isinstance(after, str):
            n_before = self.removed.get(after, 0)
            self.removed[after] = n_before + 1
            if document.label:
                self.lost[document.label] = self.lost.get(document.label, 0) + 1
            if n_before < N_EXAMPLES:
                self.examples.append(_example(after, document, ""))
            return None
        if after.text != document.text:
            if self.n_changed < N_EXAMPLES:
                self.examples.append(_example("", document, after.text))
            self.n_changed += 1
        return after


class Cleaner:
    """Steps in the order given; a document that one removes does not come to the next."""

    def __init__(self, steps: Sequence[NamedStep]) -> None:
        self._tallies = [_Tally(plug=plug, step=step) for plug, step in steps]

    def clean(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents that no step removed, as the steps left them."""
        if not self._tallies:
            yield from documents
            return
        for document in documents:
            for tally in self._tallies:
                left = tally.apply(document)
                if left is None:
                    break
                document = left
            else:
                yield document

    def counts(self) -> tuple[StepCount, ...]:
        """What each step did so far."""
        return tuple(
            StepCount(
                step=one.plug,
                n_seen=one.n_seen,
                n_changed=one.n_changed,
                removed=checks.pairs("removed", one.removed),
                lost=checks.pairs("lost", one.lost),
                examples=tuple(one.examples),
            )
            for one in self._tallies
        )


def merge_counts(counts: Sequence[tuple[StepCount, ...]]) -> tuple[StepCount, ...]:
    """The counts of the same steps over several files, added up; the examples of the first files stay."""
    merged = []
    for same in zip(*counts, strict=True):
        removed: dict[str, float] = {}
        lost: dict[str, float] = {}
        examples: list[Example] = []
        n_kept: dict[str, int] = {}
        for one in same:
            for rule, n in one.removed:
                removed[rule] = removed.get(rule, 0) + n
            for label, n in one.lost:
                lost[label] = lost.get(label, 0) + n
            for example in one.examples:
                n_kept[example.rule] = n_kept.get(example.rule, 0) + 1
                if n_kept[example.rule] <= N_EXAMPLES:
                    examples.append(example)
        merged.append(
            StepCount(
                step=same[0].step,
                n_seen=sum(one.n_seen for one in same),
                n_changed=sum(one.n_changed for one in same),
                removed=checks.pairs("removed", removed),
                lost=checks.pairs("lost", lost),
                examples=tuple(examples),
            )
        )
    return tuple(merged)


def _example(rule: str, document: Document, after: str) -> Example:
    """Both texts from shortly before their first difference."""
    before, start = document.text, 0
    if after:
        ends = zip(before, after, strict=False)
        differs = next((i for i, (a, b) in enumerate(ends) if a != b), min(len(before), len(after)))
        start = max(differs - SHOWN // 4, 0)
    cut, changed = (writable(one[start : start + SHOWN]) for one in (before, after))
    return Example(rule=rule, source=writable(document.source), before=cut, after=changed)


def writable(text: str) -> str:
    """The text with what UTF-8 cannot write (a file name's stray bytes) as escapes."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
