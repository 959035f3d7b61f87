"""nanotron's `data_stages`: folders of datatrove's tokens and their weights, each stage from a step on.

    sequences n_d = w_d T / L, filled so that each domain is always within one sequence of its share

A window has L + 1 tokens and windows do not overlap, so that a pass over N tokens has floor(N / (L + 1)) of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import registry
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import Each, Export, ExportStage, Imported, Order, OrderStage, Snippet, Verification
from mixdesk.core.files import write_text
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.configs import (
    header,
    merged,
    named,
    names_of,
    no_file,
    quoted,
    read_yaml,
    schedule,
)
from mixdesk.export.megatron import check_blend, least_weight
from mixdesk.export.units import as_realised, as_stage, filled, sequences, used, whole

CONFIG = "nanotron.yaml"
UNIT = "sequences: shares of tokens"
SENTENCE = (
    "nanotron's loader of tokenised bytes applies the number: it normalises the weights of a stage and fills sequences "
    "of fixed length, so that a weight is a share of training tokens."
)
ARITHMETIC = "written = weight; a stage starts at tokens / tokens of a step + 1"
# Largest vocabulary whose ids take two bytes.
SMALL = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Nanotron:
    """`data_stages` of a nanotron configuration, to be put into one's own; schedules in one run.

    The loader keeps the position of each folder across stages. nanotron is not run: 0.4 could not be imported where
    this was written, without an accelerator. Its fields and its rule are mixdesk's reading of its documentation; its
    data are read by datatrove 0.10.1.

    Fields: `seed` of the loader.
    """

    title: ClassVar[str] = "nanotron"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "datatrove==0.10.1"
    data: ClassVar[str] = "datatrove"

    seed: int = 42

    def export(self, order: Order, out: Path) -> Export:
        """Write `nanotron.yaml`.

        Raises:
            InputError: a domain inside another's folder, a weight under two sequences, or a number that it needs is
                not known.
        """
        stages = list(order.stages())
        head, blocks = _head(order), [self._block(order, i, stage) for i, stage in enumerate(stages)]
        for stage in stages:
            check_blend(order, stage)
        written = [_stage(order, stage) for stage in stages]
        texts = (block.text(stage.mixture) for block, stage in zip(blocks, stages, strict=True))
        write_text(out / CONFIG, head + "".join(texts))
        return Export(
            target="nanotron", unit=UNIT, sentence=SENTENCE, arithmetic=ARITHMETIC, stages=tuple(written), order=order,
            losses=tuple(_losses(order)), files=(CONFIG,),
        )  # fmt: skip

    def snippet(self, order: Order) -> Snippet:
        """`nanotron.yaml` with holes for the weights.

        Raises:
            InputError: a domain inside another's folder, or a number that it needs is not known.
        """
        head, block = _head(order), self._block(order, 0, next(order.stages()))
        return replace(block, parts=(head, *block.parts), least=least_weight(order))

    def read(self, path: Path) -> Imported:
        """`data_stages` of a nanotron configuration, with the counts of the folders that are there.

        Where a stage ends in tokens is known from `tokens.train_steps`; a last stage of unknown length is a note.

        Raises:
            InputError: not such a file, or stages whose length cannot be known.
        """
        path = path / CONFIG if path.is_dir() else path
        data = read_yaml(path)
        found = [_read_stage(path, one) for one in _stages_of(path, data)]
        notes: list[str] = []
        domains: dict[str, Domain] = {}
        every = [folder for stage in found for folder in stage.folders]
        names = dict(zip(every, names_of(every, path.parent), strict=True))
        ends, n_tokens = _ends(path, data, [stage.start for stage in found], notes)
        stages = []
        for end, stage in zip(ends, found, strict=True):
            for folder in stage.folders:
                one = _counted(path.parent, folder, names[folder])
                domains |= {} if one is None else {one.name: one}
            stages.append((end, merged([names[folder] for folder in stage.folders], stage.weights, notes)))
        plan = RunPlan(schedule=schedule(path, stages), scale=Scale(n_tokens=n_tokens))
        return Imported(plan=plan, domains=tuple(domains.values()), notes=tuple(dict.fromkeys(notes)))

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Fill n sequences of each stage by nanotron's documented rule, each read by datatrove.

        Raises:
            ModuleNotFoundError: datatrove is not installed.
            InputError: the file or the data are not there.
        """
        from importlib.metadata import version

        from datatrove.utils.dataset import DatatroveFolderDataset

        path, length = out / CONFIG, export.order.need("seq_len")
        found = [_read_stage(path, one) for one in _stages_of(path, read_yaml(path))]
        readers: dict[str, Any] = {}
        position: dict[str, int] = {}
        stages, start = [], 0
        for stage, written in zip(found, export.stages, strict=True):
            tokens = dict.fromkeys(stage.folders, 0)
            n_stage = ((written.end or 0) - start) // length
            for k in filled([one / sum(stage.weights) for one in stage.weights], n_stage)[:n]:
                folder = stage.folders[k]
                if folder not in readers:
                    readers[folder] = _reader(DatatroveFolderDataset, out / folder, length, stage.width)
                at = position.get(folder, 0)
                tokens[folder] += len(readers[folder][at % len(readers[folder])]["input_ids"]) - 1
                position[folder] = at + 1
            shares = {named(export.order, folder): float(count) for folder, count in tokens.items()}
            stages.append(as_realised(written, shares, sum(tokens.values())))
            start = written.end or 0
        how = (
            "nanotron was not run. mixdesk checked its file against the documented fields and filled sequences by the "
            f"documented rule; each was read by datatrove {version('datatrove')}."
        )
        return Verification(stages=tuple(stages), how=how)

    def _block(self, order: Order, i: int, stage: OrderStage) -> Snippet:
        names, known = tuple(used(stage)), order.tokenizer
        step = 1 if stage.start == 0 else stage.start // order.need("batch_tokens") + 1
        lines = [
            f"- name: stage{i}",
            f"  start_training_step: {step}",
            "  data:",
            f"    seed: {self.seed}",
            "    num_loading_workers: 1",
            "    dataset:",
            "      dataset_folder: [",
        ]
        tail = ["]"]
        if known is not None:
            tail.append(f"      tokenizer_name: {quoted(known.name)}")
            tail.append(f"      token_size_in_bytes: {2 if known.vocab_size <= SMALL else 4}")
            tail.append(f"      vocab_size: {known.vocab_size}")
        folders = Each(pieces=tuple((quoted(f"{order.data}/{name}"),) for name in names), between=", ")
        weights = Each(pieces=(("", ""),) * len(names), between=", ")
        middle = "]\n      dataset_weights: ["
        return Snippet(
            file=CONFIG, sentence=SENTENCE, domains=names,
            parts=("\n".join(lines), folders, middle, weights, "\n".join([*tail, ""])),
        )  # fmt: skip


def _head(order: Order) -> str:
    """The file as far as its stages.

    Raises:
        InputError: a domain inside another's folder, or a number that it needs is not known.
    """
    length, n_tokens = order.need("seq_len"), order.need("n_tokens")
    _check_folders(order.names)
    lines = [
        *header(order, SENTENCE, ARITHMETIC),
        f"# The run ends at {n_tokens} tokens.",
        "tokens:",
        f"  sequence_length: {length}",
        *([f"  train_steps: {n_tokens // order.batch_tokens}"] if order.batch_tokens is not None else []),
        "data_stages:",
        "",
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadStage:
    """A stage as a file says it: first step, counted from 1; folders, weights as written, bytes of an id."""

    start: int
    folders: list[str]
    weights: list[float]
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dataset:
    """The documented keys of a data set of tokenised bytes."""

    dataset_folder: Any
    dataset_weights: Any = None
    dataset_read_path: Any = None
    dataset_max_tokens: Any = None
    dataloader_type: Any = None
    pad_samples_to_global_batch_size: Any = None
    tokenizer_name: Any = None
    token_size_in_bytes: Any = 2
    vocab_size: Any = None
    return_positions: Any = None
    eos_token_id: Any = None
    skip_in_stream: Any = None
    use_old_brrr_dataloader: Any = None
    shuffle_files: Any = None


def _stage(order: Order, stage: OrderStage) -> ExportStage:
    weights, length = used(stage), order.need("seq_len")
    n = sequences(order, stage)
    realised = {name: count / n for name, count in whole(weights, n).items()}
    found = as_stage(order, stage, weights, realised, [CONFIG])
    # A window takes one token more than it trains on.
    shares = (
        replace(one, epochs=None if one.epochs is None else one.epochs * (length + 1) / length) for one in found.shares
    )
    return replace(found, shares=tuple(shares))


def _losses(order: Order) -> list[str]:
    length, total = order.need("seq_len"), order.need("n_tokens")
    losses = [
        f"Windows of {length + 1} tokens do not overlap: passes are 1/{length} more than tokens trained on, and are "
        "shown so."
    ]
    sizes = [order.domain(name).n_tokens for name in order.names]
    if all(sizes) and total > sum(size or 0 for size in sizes):
        losses.append(
            "The run is longer than its data. nanotron up to 0.4 (`Nanoset`) then repeats one and the same index, and "
            "never shows the rest of a domain with a small weight: use the loader of tokenised bytes."
        )
    return losses


def _check_folders(names: Sequence[str]) -> None:
    """Whether no folder lies in another one, as a folder is read with all below it.

    Raises:
        InputError: one does.
    """
    for name in names:
        inside = next((other for other in names if other.startswith(name + "/")), None)
        if inside is not None:
            raise InputError(
                f"nanotron reads the folder of `{name}` with all below it", value=f"`{inside}` inside it",
                bound="folders that do not hold each other", remedy="rename one of the domains",
            )  # fmt: skip


def _stages_of(path: Path, data: Any) -> list[Any]:
    found = data.get("data_stages") if isinstance(data, dict) else None
    if not isinstance(found, list) or not found:
        raise no_file(path, "no data_stages", "a nanotron configuration with `data_stages`")
    return found


def _read_stage(path: Path, stage: Any) -> _ReadStage:
    try:
        said: Mapping[str, Any] = stage["data"]["dataset"]
        start = int(stage.get("start_training_step", 1))
        unknown = next((key for key in said if key not in {one.name for one in fields(_Dataset)}), None)
        if unknown is not None:
            raise no_file(path, f"the key `{unknown}`", "the keys of nanotron's data set of tokenised bytes")
        one = _Dataset(**said)
        folder, weights = one.dataset_folder, one.dataset_weights
        if isinstance(folder, dict):
            weights, folder = list(folder.values()), list(folder)
        folders = [folder] if isinstance(folder, str) else [str(each) for each in folder]
        numbers = [1.0] * len(folders) if weights is None else [float(weight) for weight in weights]
        if len(numbers) != len(folders) or (weights is None and len(folders) > 1):
            raise no_file(path, f"{len(folders)} folders without as many weights", "`dataset_weights`, one for each")
        return _ReadStage(start=start, folders=folders, weights=numbers, width=int(one.token_size_in_bytes or 2))
    except (KeyError, TypeError, AttributeError) as error:
        raise no_file(
            path, f"{type(error).__name__}: {error}", "stages with `data: {dataset: {dataset_folder: …}}`"
        ) from None


def _ends(path: Path, data: Any, starts: Sequence[int], notes: list[str]) -> tuple[list[float], int | None]:
    """Last steps of the stages, and tokens of the run where steps, batch and sequence are told."""
    tokens = data.get("tokens") or {}
    steps, length = tokens.get("train_steps"), tokens.get("sequence_length")
    if steps is None and len(starts) > 1:
        raise no_file(path, "no tokens.train_steps", "where the last stage ends")
    said = next((line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# The run ")), "")
    n_tokens = int(said.split()[5]) if said.startswith("# The run ends at ") else None
    batch: list[Any] = [tokens.get(key) for key in ("micro_batch_size", "batch_accumulation_per_replica")]
    if n_tokens is None and steps and length and all(batch):
        copies = (data.get("parallelism") or {}).get("dp", 1)
        n_tokens = math.prod(int(one) for one in (steps, length, *batch, copies))
    if list(starts) != sorted(set(starts)) or starts[0] != 1 or (steps is not None and starts[-1] > steps):
        raise no_file(path, f"stages from the steps {list(starts)} of {steps}", "steps that rise from 1")
    return [*(float(start - 1) for start in starts[1:]), float(steps or 1)], n_tokens


def _counted(folder: Path, name: str, domain: str) -> Domain | None:
    """Counts by datatrove's index, beside the file or where the path leads; None where it is not there."""
    for base in (folder, Path()):
        if (base / name).is_dir() and next((base / name).rglob("*.ds.index"), None) is not None:
            parts = registry.make("formats", Plug(name="datatrove")).read(base / name).parts
            lengths = np.concatenate([part.lengths for part in parts])
            return Domain(name=domain, n_tokens=int(lengths.sum()), n_docs=len(lengths))
    return None


def _reader(kind: Any, folder: Path, length: int, width: int) -> Any:
    if next(folder.rglob("*.ds"), None) is None:
        raise InputError(
            f"`{folder}` has no data for nanotron to read", value="no *.ds", bound="datatrove's tokens",
            remedy="export with a corpus, or verify where the data are",
        )  # fmt: skip
    return kind(str(folder), seq_len=length, filename_pattern="*.ds", token_size=width)
