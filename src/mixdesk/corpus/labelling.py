"""Which document belongs to which domain: a splitter learns from a sample, then names the domains of every document.

The model is written down before it labels anything, and what labels is always the model read back: so documents that
come later are labelled by the same model. Probabilities are kept; the most probable domain gets the document, the first
by name among equals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, canonical, file_sha256, fingerprint, read_data, read_json, write_json
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Map, SplitModel, Splitter
from mixdesk.corpus.read import Skipped
from mixdesk.corpus.shards import Left
from mixdesk.corpus.spool import PartInfo, Spool, lefts, merge_lefts, placed

# What a splitter learns from: at most this many documents, and this much text.
SAMPLE_DOCUMENTS = 20_000
SAMPLE_BYTES = 200_000_000
# Documents labelled at once: about this much text, few enough to hold, many enough for array arithmetic.
BATCH_BYTES = 4_000_000
# One probability of one document; those of a document lie together, the most probable first.
SHARE = np.dtype([("row", "<i8"), ("domain", "<u4"), ("share", "<f4")])
# How a caller runs tasks: in this process, in several, on a cluster. Answers come in the order of the tasks.


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnLabel:
    """The label each document came with, as its domain: what a build does without a splitter."""

    title: ClassVar[str] = "the label each document comes with"
    reference: ClassVar[str] = ""

    def prepare(self, sample: Iterable[Document]) -> OwnLabel:
        """Itself; the sample is not read."""
        return self

    def restore(self, data: dict[str, Any]) -> OwnLabel:
        """Itself."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """The label of each document with probability one.

        Raises:
            InputError: one has none.
        """
        for document in documents:
            if not document.label:
                where = document.source or document.text[:40]
                raise InputError(f"`{where}` has no label", value="nothing", bound="a domain", remedy="label it")
        return [{str(document.label): 1.0} for document in documents]


@core_type
class LabelInfo:
    """What the labels of a part were made from (`key`), their `domains` by number, and the documents without one."""

    key: str
    domains: tuple[str, ...]
    skipped: tuple[Left, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelTask:
    """The documents at `rows` of a part, to be labelled by the model in the file `model`."""

    folder: Path
    part: PartInfo
    rows: NDArray[np.int64]
    splitter: Splitter
    model: Path
    on_error: str

    @property
    def key(self) -> str:
        """Of all that the labels depend on."""
        return fingerprint(canonical(self.part), self.rows.tobytes(), file_sha256(self.model), self.on_error)


def read_model(path: Path, splitter: Splitter) -> SplitModel:
    """The model in a `splitter-<hash>.json`, made by the splitter it names."""
    return splitter.restore(read_data(path)["model"])


def label_part(task: LabelTask) -> LabelInfo:
    """Label the documents of a part, now or before; writes `<stem>.shares` (SHARE) and its marker.

    Raises:
        InputError: a document that the model refuses (or it is counted), or files that cannot be written.
    """
    marker = task.folder / f"{task.part.stem}.labels.json"
    key = task.key
    try:
        info = read_json(marker, LabelInfo)
        if info.key == key:
            return info
    except InputError:
        marker.unlink(missing_ok=True)
    model, skipped = read_model(task.model, task.splitter), Skipped(on_error=task.on_error)
    domains: dict[str, int] = {}
    with atomic(task.folder / f"{task.part.stem}.shares", "wb") as handle:
        for place, documents in Spool(folder=task.folder, parts=(task.part,)).batches(task.rows, BATCH_BYTES):
            found: list[tuple[int, int, float]] = []
            shares = _label(model, documents, skipped)
            for row, document, one in zip(task.rows[place].tolist(), documents, shares, strict=True):
                for name, share in _ordered(one, document, domains, skipped):
                    found.append((row, domains.setdefault(name, len(domains)), share))
            handle.write(np.array(found, dtype=SHARE).tobytes())
    info = LabelInfo(key=key, domains=tuple(domains), skipped=lefts(skipped))
    write_json(marker, info)
    return info


def _label(model: SplitModel, documents: Sequence[Document], skipped: Skipped) -> list[dict[str, float] | None]:
    """The model's answer for each document; None where it refused one."""
    try:
        return list(model.label(documents))
    except InputError as error:
        if len(documents) == 1:
            skipped.refuse("no label", placed(error, documents[0].source or documents[0].text[:40]))
            return [None]
    return [one for document in documents for one in _label(model, [document], skipped)]


def _ordered(
    shares: dict[str, float] | None, document: Document, known: dict[str, int], skipped: Skipped
) -> list[tuple[str, float]]:
    """Domains with a share above 0, the most probable first; none where the document belongs nowhere."""
    if shares is None:
        return []
    where = document.source or document.text[:40]
    try:
        for name in shares:
            if name not in known:
                checks.label("domain", name)
    except InputError as error:
        skipped.refuse("no label", placed(error, where))
        return []
    found = sorted(((name, share) for name, share in shares.items() if share > 0), key=lambda one: (-one[1], one[0]))
    if not found:
        skipped.count("no domain", f"`{where}` belongs to no domain")
    return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Labels:
    """Who belongs where: `domains` sorted by name, the `shares` of all labelled documents (SHARE, by position), where
    each document's `first` lies among them, and what was left out.
    """

    domains: tuple[str, ...]
    shares: NDArray[np.void]
    first: NDArray[np.int64]
    skipped: tuple[Left, ...]

    def of(self, domain: int) -> NDArray[np.int64]:
        """Positions of the documents of a domain."""
        best = self.shares[self.first]
        rows: NDArray[np.int64] = best["row"][best["domain"] == domain]
        return rows

    def shares_of(self, where: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """The shares of the documents at the positions: how many each has, and all of them one after another."""
        ends = np.append(self.first[1:], len(self.shares))
        at = np.searchsorted(self.shares["row"][self.first], where)
        n = ends[at] - self.first[at]
        inside = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        return n, self.shares[np.repeat(self.first[at], n) + inside]


def sample(spool: Spool, kept: NDArray[np.int64], n_documents: int = SAMPLE_DOCUMENTS) -> Iterator[Document]:
    """Kept documents to learn from: of each label about as many, those with the lowest hashes of content.

    A label with few documents leaves its share to the others. The same whatever the order of the inputs.
    """
    names, number = spool.numbers("label")
    number, heads = number[kept], spool.column("key")[kept, 0]
    left, chosen = n_documents, []
    sizes = np.bincount(number, minlength=len(names))
    for i, label in enumerate(np.argsort(sizes, kind="stable").tolist()):
        n = min(int(sizes[label]), left // (len(names) - i))
        mine = np.flatnonzero(number == label)
        chosen.append(kept[mine[np.argsort(heads[mine], kind="stable")[:n]]])
        left -= n
    where = np.concatenate([*chosen, np.empty(0, dtype=np.int64)])
    where = where[np.argsort(spool.rows(where)["hash"], kind="stable")]
    n_bytes = 0
    for _, documents in spool.batches(where, BATCH_BYTES):
        for document in documents:
            n_bytes += len(document.text)
            if n_bytes > SAMPLE_BYTES:
                return
            yield document


def label_all(
    spool: Spool, kept: NDArray[np.int64], named: tuple[Plug, Splitter], model: Path, on_error: str, map: Map
) -> Labels:
    """Write the model that the splitter learns from a sample of the kept documents to the file `model` (one that is
    there stays), and label the kept documents of every part by it.

    Raises:
        InputError: as `label_part`.
        NotEnoughEvidence: the splitter needs more documents.
    """
    plug, splitter = named
    if not model.is_file():
        learnt = splitter.prepare(sample(spool, kept)).to_dict()
        write_json(model, {"splitter": {"name": plug.name, "options": dict(plug.options)}, "model": learnt})
    cuts = np.searchsorted(kept, spool.starts)
    tasks = [
        LabelTask(
            folder=spool.folder, part=part, rows=kept[cuts[p] : cuts[p + 1]] - spool.starts[p],
            splitter=splitter, model=model, on_error=on_error,
        )
        for p, part in enumerate(spool.parts)
    ]  # fmt: skip
    infos: list[LabelInfo] = list(map(label_part, tasks))
    names = tuple(sorted({name for info in infos for name in info.domains}))
    number = {name: i for i, name in enumerate(names)}
    pieces = [np.empty(0, dtype=SHARE)]
    for start, part, info in zip(spool.starts.tolist(), spool.parts, infos, strict=False):
        shares = np.fromfile(spool.folder / f"{part.stem}.shares", dtype=SHARE)
        if len(shares):
            shares["domain"] = np.array([number[name] for name in info.domains], dtype=np.uint32)[shares["domain"]]
            shares["row"] += start
            pieces.append(shares)
    shares = np.concatenate(pieces)
    first = np.flatnonzero(np.diff(shares["row"], prepend=-1))
    return Labels(domains=names, shares=shares, first=first, skipped=merge_lefts(info.skipped for info in infos))
