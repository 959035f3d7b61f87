"""Mosaic Streaming through llm-foundry: a YAML with a stream for each domain, whole samples counted out.

    choose_d = w_d T / L by largest remainder

w_d share of the stage's T tokens, L tokens of a sample: every sample holds as many, so that a share of samples is
one of tokens.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import registry
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, OrderStage, Realised, Verification
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import configs
from mixdesk.export.units import as_stage, used, whole

SENTENCE = "Streaming chooses so many samples of each stream in an epoch, the stage; one too small is repeated."
ARITHMETIC = "choose = share of tokens x tokens of the stage / tokens of a sample, by largest remainder"
RUN = "run.sh"
# How our own files say that samples are of one length.
_LENGTH = re.compile(r"^# Every sample holds (\d+) tokens\.$", re.MULTILINE)
_WEIGHTS = ("proportion", "repeat", "choose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """`train_loader` of llm-foundry for each stage, over MDS whose samples have one length."""

    title: ClassVar[str] = "Mosaic Streaming: llm-foundry's train_loader (YAML)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "mosaicml-streaming==0.13.0"
    data: ClassVar[str] = "mds:seq_len={seq_len}"

    def export(self, order: Order, out: Path) -> Export:
        """Write `train_loader.yaml`, or `stage1.yaml`, … and `run.sh`.

        Raises:
            InputError: a weight under one sample, or a number that is not known.
        """
        stages, length = list(order.stages()), order.need("seq_len")
        names = ["train_loader.yaml"] if len(stages) == 1 else [f"stage{i}.yaml" for i in range(1, len(stages) + 1)]
        found, texts = [], []
        for i, (stage, name) in enumerate(zip(stages, names, strict=True), 1):
            counts = _samples(stage, length)
            total = sum(counts.values())
            realised = {one: n / total for one, n in counts.items()}
            found.append(as_stage(order, stage, counts, realised, (name,)))
            texts.append(_yaml(order, counts, f"{i} of {len(stages)}"))
        for name, text in zip(names, texts, strict=True):
            write_text(out / name, text)
        if len(stages) > 1:
            write_text(out / RUN, _script(order, stages, names))
            names.append(RUN)
        losses = [
            "What a domain has beyond whole samples is left out; one passed more than once gets whole passes and a "
            "random part."
        ]
        if len(stages) > 1:
            losses.append("Streaming has no stages: each file is a run that goes on from the checkpoint before it.")
            losses += configs.repeats(order)
        return Export(
            target="streaming",
            unit="samples",
            sentence=SENTENCE,
            arithmetic=ARITHMETIC,
            stages=tuple(found),
            order=order,
            losses=tuple(losses),
            files=tuple(names),
        )

    def read(self, path: Path) -> Imported:
        """The streams in a YAML of llm-foundry, or the schedule in a folder that was exported."""
        files = _stage_files(path) if path.is_dir() else [path]
        notes: list[str] = []
        domains: dict[str, Domain] = {}
        ends: list[tuple[float, Mapping[str, float]]] = []
        lengths: set[int | None] = set()
        end = 0.0
        for file in files:
            streams, options = _streams(file)
            counted = {name: _counts(file.parent, name, stream) for name, stream in streams.items()}
            domains |= {name: one for name, one in counted.items() if one is not None}
            weights = _shares(file, streams, counted)
            length = _LENGTH.search(read_text(file))
            lengths.add(int(length[1]) if length is not None else _one_length(counted))
            end += sum(weights.values()) if all("choose" in one for one in streams.values()) else 1.0
            ends.append((end, weights))
            if not options.get("epoch_size") and any(one.get("proportion") is not None for one in streams.values()):
                notes.append("`epoch_size` is missing: an epoch is as many samples as all streams have together.")
            if not options.get("shuffle"):
                notes.append("`shuffle` is off: streams are read one after another, so that these are no shares.")
        known = lengths.pop() if len(lengths) == 1 else None
        is_counted = known is not None and end > len(files)
        return Imported(
            plan=RunPlan(
                schedule=configs.schedule(path, ends),
                scale=Scale(n_tokens=round(end * (known or 0)) if is_counted else None),
            ),
            unit="tokens" if known is not None else "samples",
            domains=tuple(one for _, one in sorted(domains.items())),
            notes=tuple(dict.fromkeys(notes)),
        )

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Samples of an epoch of Streaming's own data set over the files: all, or the first n."""
        found, drawn = [], 0
        length = export.order.need("seq_len")
        with _package() as package:
            for written in export.stages:
                streams, _ = _streams(out / written.files[0])
                try:
                    counts, total = _drawn(package, out, streams, length, n)
                except (RuntimeError, ValueError, FileNotFoundError, KeyError) as error:
                    raise InputError(
                        "Streaming refuses the files", value=str(error), bound="data as the export names them",
                        remedy="export again, with the corpus that has the tokens",
                    ) from None  # fmt: skip
                size = int(counts.sum())
                drawn += size
                part = max(math.sqrt(one.weight * (1.0 - one.weight) / size) for one in written.shares)
                found.append(
                    Realised(
                        asked=tuple((one.domain, one.weight) for one in written.shares),
                        realised=tuple(zip(streams, (counts / size).tolist(), strict=True)),
                        n_tokens=size * length,
                        chance=part if size < total else 0.0,
                    )
                )
        how = f"Streams drawn by StreamingDataset of {self.package}: {drawn:,} samples of {length:,} tokens."
        return Verification(stages=tuple(found), how=how)


def _drawn(
    package: Any, out: Path, streams: Mapping[str, Mapping[str, Any]], length: int, n: int
) -> tuple[NDArray[np.int64], int]:
    """Samples of each stream among the first n of an epoch, and the samples of the epoch.

    Raises:
        ValueError: a sample of another length.
    """

    class Numbered(package.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: int) -> tuple[int, Any]:
            return at, super().__getitem__(at)

    package.clean_stale_shared_memory()
    data = Numbered(
        streams=[package.Stream(**{**one, "local": str(out / one["local"])}) for one in streams.values()],
        shuffle=True, batch_size=1, num_canonical_nodes=1, predownload=n,
    )  # fmt: skip
    owners = []
    for _, (at, sample) in zip(range(n), data, strict=False):
        if len(sample["tokens"]) != length:
            raise ValueError(f"a sample of {len(sample['tokens'])} tokens, not {length}")
        owners.append(int(np.searchsorted(data.sample_offset_per_stream, at, side="right")) - 1)
    data._iterator.exit()
    return np.bincount(owners, minlength=len(streams)), int(data.epoch_size)


@contextmanager
def _package() -> Iterator[Any]:
    """Streaming's stream and data set, without its two `__init__`: they import data sets of pictures and tokenizers.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "streaming"}
    spec = importlib.util.find_spec("streaming")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("no module named streaming", name="streaming")
    root = next(iter(spec.submodule_search_locations))
    for name, place in (("streaming", root), ("streaming.base", str(Path(root) / "base"))):
        bare = types.ModuleType(name)
        bare.__path__ = [place]
        sys.modules[name] = bare
    try:
        yield types.SimpleNamespace(
            StreamingDataset=importlib.import_module("streaming.base.dataset").StreamingDataset,
            Stream=importlib.import_module("streaming.base.stream").Stream,
            clean_stale_shared_memory=importlib.import_module("streaming.base.util").clean_stale_shared_memory,
        )
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "streaming"]:
            del sys.modules[name]
        sys.modules.update(before)


def _samples(stage: OrderStage, length: int) -> dict[str, int]:
    """Samples of each domain.

    Raises:
        InputError: a domain would get none.
    """
    total = max(stage.n_tokens // length, 1)
    counts = whole(used(stage), total)
    for name, n in counts.items():
        if n == 0:
            raise configs.too_small(name, used(stage)[name], 1.0 / total, f"it is under one sample of {total:,}")
    return counts


def _yaml(order: Order, counts: Mapping[str, int], which: str) -> str:
    length = order.need("seq_len")
    lines = configs.header(order, SENTENCE, ARITHMETIC)
    lines += [
        f"# Stage {which}: one epoch.", f"# Every sample holds {length} tokens.",
        "train_loader:", "  name: text", "  dataset:", f"    max_seq_len: {length}", "    shuffle: true",
        "    streams:",
    ]  # fmt: skip
    for name, n in counts.items():
        place = configs.quoted(f"{order.data}/{name}")
        lines.append(f"      {configs.quoted(name)}: {{local: {place}, remote: null, split: null, choose: {n}}}")
    return "\n".join([*lines, "  drop_last: true"]) + "\n"


def _script(order: Order, stages: list[OrderStage], names: list[str]) -> str:
    lines = ["#!/bin/sh", *configs.header(order, SENTENCE, ARITHMETIC)]
    lines += [
        "# TRAIN is your command. It is given a stage's file, the tokens at which it ends, and the number of the",
        "# stage: from the second on it loads the last checkpoint and leaves out the saved state of the data loader.",
        "set -eu",
    ]
    lines += [f"$TRAIN {name} {stage.end} {i}" for i, (name, stage) in enumerate(zip(names, stages, strict=True), 1)]
    return "\n".join(lines) + "\n"


def _stage_files(folder: Path) -> list[Path]:
    """The files of an exported folder, in order.

    Raises:
        InputError: none.
    """
    staged = sorted(folder.glob("stage*.yaml"), key=lambda file: int("0" + re.sub(r"\D", "", file.stem)))
    found = staged or [file for file in [folder / "train_loader.yaml"] if file.is_file()]
    if not found:
        raise configs.no_file(folder, "no train_loader.yaml, no stage1.yaml", "a train_loader of llm-foundry")
    return found


def _streams(file: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The streams by name, and all that is said of the data set.

    Raises:
        InputError: none there, or weights that Streaming would refuse.
    """
    data = configs.read_yaml(file)
    for key in ("train_loader", "dataset"):
        data = data.get(key, data) if isinstance(data, dict) else data
    streams = data.get("streams") if isinstance(data, dict) else None
    if not isinstance(streams, dict) or not streams or not all(isinstance(one, dict) for one in streams.values()):
        raise configs.no_file(file, "no mapping `streams`", "a train_loader of llm-foundry")
    kinds = set()
    for name, one in streams.items():
        given = [key for key in _WEIGHTS if one.get(key) is not None]
        if len(given) > 1:
            raise configs.no_file(file, f"`{name}` with {' and '.join(given)}", "one of " + ", ".join(_WEIGHTS))
        for key in given:
            if isinstance(one[key], bool) or not isinstance(one[key], int | float) or one[key] < 0:
                raise configs.no_file(file, f"{key}: {one[key]!r}", "a number ≥ 0")
        kinds.add("proportion" if given == ["proportion"] else "repeat or choose")
    if len(kinds) > 1:
        raise configs.no_file(file, "proportion beside repeat or choose", "all streams of one kind")
    return {str(name): one for name, one in streams.items()}, data


def _counts(folder: Path, name: str, stream: Mapping[str, Any]) -> Domain | None:
    """Samples of a stream as documents, and their tokens; None where they are not here or no tokens."""
    place = folder / str(stream.get("local") or "") / str(stream.get("split") or "")
    try:
        parts = registry.make("formats", Plug(name="mds")).read(place).parts
    except InputError:
        return None
    n_docs = sum(len(part.lengths) for part in parts)
    return Domain(name=name, n_tokens=sum(int(part.lengths.sum()) for part in parts), n_docs=n_docs)


def _one_length(counted: Mapping[str, Domain | None]) -> int | None:
    """Mean tokens of a sample where all streams have the same, as samples of one length do."""
    means = {(one.n_tokens or 0) / one.n_docs if one is not None and one.n_docs else None for one in counted.values()}
    mean = means.pop() if len(means) == 1 else None
    return int(mean) if mean is not None and mean.is_integer() and mean > 0 else None


def _shares(
    file: Path, streams: Mapping[str, Mapping[str, Any]], counted: Mapping[str, Domain | None]
) -> dict[str, float]:
    """Samples of each stream, or their proportion."""
    out = {}
    for name, one in streams.items():
        found = counted[name]
        if one.get("proportion") is not None:
            out[name] = float(one["proportion"])
        elif one.get("choose") is not None:
            out[name] = float(one["choose"])
        elif found is not None:
            out[name] = float(one["repeat"] if one.get("repeat") is not None else 1.0) * found.n_docs
        else:
            raise configs.no_file(file, f"`{name}` by passes, and its data are not here", "data, or choose")
    return out
