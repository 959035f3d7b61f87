"""Levanter's and Marin's mixture: sequences in blocks, weights by name from a step on.

A block of b sequences holds floor(w_d b) of each domain, and what is left goes to the largest of these. Weights are
therefore written as whole parts of a block by largest remainder. A stage begins with a block: start in sequences mod b
is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, OrderStage, Verification
from mixdesk.core.files import write_text
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.configs import header, no_file, number, quoted, read_yaml, schedule, too_small
from mixdesk.export.megatron import batch_sequences
from mixdesk.export.units import as_realised, as_stage, sequences, used, whole

CONFIG = "levanter.yaml"
UNIT = "sequences: shares of tokens"
SENTENCE = (
    "Levanter's mixture data set applies the number: it normalises the weights and lays so many sequences of each "
    "domain in every block, so that a weight is a share of training tokens."
)
MOST_BLOCK = 65_535
# Parts of a block under which rounding is worth a word: it moves a weight by up to a half in so many.
FEW = 20
# Kept above the whole part, so that rounding down finds it.
ABOVE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Levanter:
    """`data` of a Levanter configuration, components and weights by step; schedules in one run, positions kept.

    Checked against the schema and the counting rule of marin-levanter 0.2.20.

    Fields: `block` sequences of a block, 0 for the largest that divides where stages begin; `key` that holds the
    domains: `components` (2026) or `configs` (up to 2025).
    """

    title: ClassVar[str] = "Levanter, Marin"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = ""
    data: ClassVar[str] = "rows"

    block: int = 0
    key: str = "components"

    def __post_init__(self) -> None:
        if self.key not in ("components", "configs"):
            raise InputError(
                "Levanter has no such key for its domains", value=self.key, bound="components or configs",
                remedy="components is the one of 2026",
            )  # fmt: skip

    def export(self, order: Order, out: Path) -> Export:
        """Write `levanter.yaml`.

        Raises:
            InputError: a domain that has no whole sequence in a block, no block that divides where the stages begin, or
                a number that it needs is not known.
        """
        stages = list(order.stages())
        block = self._block(order, stages)
        parts = [_parts(stage, block) for stage in stages]
        weights = [_weights(one, block) for one in parts]
        arithmetic = (
            f"written = sequences in a block of {block:,}, whole by largest remainder / {block:,} (+ {ABOVE:g})"
        )
        write_text(out / CONFIG, self._text(order, stages, weights, block, arithmetic))
        written = []
        for stage, one in zip(stages, weights, strict=True):
            counts = block_counts(list(one.values()), block)
            realised = {name: int(count) / block for name, count in zip(one, counts, strict=True)}
            written.append(as_stage(order, stage, one, realised, [CONFIG]))
        return Export(
            target="levanter", unit=UNIT, sentence=SENTENCE, arithmetic=arithmetic, stages=tuple(written), order=order,
            losses=tuple(_losses(order, parts, block)), files=(CONFIG,),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """`train_weights` of a Levanter configuration, constant or by step.

        Raises:
            InputError: not such a file, or steps whose run has no known length.
        """
        path = path / CONFIG if path.is_dir() else path
        found = _read(path)
        steps = found.steps
        if len(found.weights) > 1 and steps is None:
            raise no_file(path, "no trainer.num_train_steps", "where the last stage ends")
        ends = [*(float(start) for start, _ in found.weights[1:]), float(steps or 1)]
        stages = [(end, weights) for end, (_, weights) in zip(ends, found.weights, strict=True)]
        notes = [] if found.tokens is None or found.target is None else [
            f"Simulated epochs: each domain is cut to {found.tokens} of {found.target} of its length."
        ]  # fmt: skip
        scale = Scale(n_tokens=found.run_tokens)
        return Imported(plan=RunPlan(schedule=schedule(path, stages), scale=scale), notes=tuple(notes))

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Count the sequences of n by the rule of Levanter's blocks, from the file alone.

        Raises:
            InputError: the file is not as Levanter documents it.
        """
        found, length = _read(out / CONFIG), export.order.need("seq_len")
        stages, start = [], 0
        for (_, weights), written in zip(found.weights, export.stages, strict=True):
            n_stage = ((written.end or 0) - start) // length
            counts = block_counts(list(weights.values()), found.block)
            blocks = max(min(n, n_stage) // found.block, 1)
            tokens = int(counts.sum()) * blocks * length
            shares = {name: float(count) for name, count in zip(weights, counts, strict=True)}
            stages.append(as_realised(written, shares, tokens))
            start = written.end or 0
        how = (
            "Levanter installs with 174 packages and was not run: its file was checked against the documented fields, "
            f"and sequences counted by its documented rule in whole blocks of {found.block:,}."
        )
        return Verification(stages=tuple(stages), how=how)

    def _block(self, order: Order, stages: Sequence[OrderStage]) -> int:
        """Sequences of a block: as told, else the largest that divides where the stages begin."""
        length = order.need("seq_len")
        for stage in stages:
            sequences(order, stage)
        starts = [stage.start // length for stage in stages[1:]]
        if starts:
            batch_sequences(order)
        most = min(MOST_BLOCK, stages[-1].end // length)
        block = self.block or next(size for size in range(most, 0, -1) if all(start % size == 0 for start in starts))
        divided = ", ".join(f"{start:,}" for start in starts) or "nothing"
        late = next((start for start in starts if start % block), None)
        if not 1 <= block <= MOST_BLOCK or late is not None:
            raise InputError(
                "Levanter's stages begin with a block", value=f"block {block:,}, a stage at sequence {late or 0:,}",
                bound=f"a divisor of {divided}, at most {MOST_BLOCK:,}",
                remedy="leave `block` to mixdesk, or let the stage begin at a rounder step",
            )  # fmt: skip
        return block

    def _text(
        self, order: Order, stages: Sequence[OrderStage], weights: Sequence[Mapping[str, float]], block: int, how: str
    ) -> str:
        lines = [*header(order, SENTENCE, how), f"# The run ends at {order.need('n_tokens')} tokens.", "data:"]
        if order.tokenizer is not None:
            lines.append(f"  tokenizer: {quoted(order.tokenizer.name)}")
        lines.append(f"  {self.key}:")
        for name in order.names:
            urls = f"train_urls: [{quoted(f'{order.data}/{name}.jsonl')}]"
            source = f"{{source: {{type: url, {urls}}}}}" if self.key == "components" else f"{{{urls}}}"
            lines.append(f"    {quoted(name)}: {source}")
        if len(stages) == 1:
            lines += ["  train_weights:", *(f"    {quoted(name)}: {number(one)}" for name, one in weights[0].items())]
        else:
            lines.append("  train_weights:")
            for stage, one in zip(stages, weights, strict=True):
                inner = ", ".join(f"{quoted(name)}: {number(weight)}" for name, weight in one.items())
                lines.append(f"  - [{stage.start // order.need('batch_tokens')}, {{{inner}}}]")
        lines += [f"  mixture_block_size: {block}", "  stop_strategy: restart"]
        if order.batch_tokens is not None:
            batch, length = batch_sequences(order), order.need("seq_len")
            steps = order.need("n_tokens") // order.batch_tokens
            lines += ["trainer:", f"  train_batch_size: {batch}", f"  num_train_steps: {steps}"]
            lines.append(f"train_seq_len: {length}")
        return "\n".join([*lines, ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """The documented keys of `data` that concern a mixture; others are left alone."""

    train_weights: Any
    components: Any = None
    configs: Any = None
    mixture_block_size: int = 2048
    stop_strategy: str = "restart"
    target_budget: Any = None
    experiment_budget: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A file as read: weights from a step on, sequences of a block, and what the run is told."""

    weights: list[tuple[int, dict[str, float]]]
    block: int
    steps: int | None = None
    run_tokens: int | None = None
    tokens: Any = None
    target: Any = None


def block_counts(weights: Sequence[float], block: int) -> NDArray[np.int64]:
    """Sequences of each domain in a block: whole parts, and what is left goes to the first of the largest.

    >>> block_counts([0.8, 0.1, 0.1], 64).tolist()
    [52, 6, 6]
    """
    total = sum(weights)
    counts = np.array([int(weight / total * block) for weight in weights], dtype=np.int64)
    counts[int(np.argmax(counts))] += block - int(counts.sum())
    return counts


def _parts(stage: OrderStage, block: int) -> dict[str, int]:
    weights = used(stage)
    parts = whole(weights, block)
    for name, part in parts.items():
        if not part:
            raise too_small(name, weights[name], 1.0 / block, f"no sequence in a block of {block:,}")
    return parts


def _weights(parts: Mapping[str, int], block: int) -> dict[str, float]:
    """Weights that make the parts: each a little above its own, but the largest, which takes what is left.

    Where the largest is not ahead of all others by two it would not be found: then as they are.
    """
    largest = max(parts, key=lambda name: parts[name])
    others = [part for name, part in parts.items() if name != largest]
    above = ABOVE if parts[largest] > max(others, default=0) + 1 else 0.0
    return {name: part / block + (above if name != largest else -above * len(others)) for name, part in parts.items()}


def _losses(order: Order, parts: Sequence[Mapping[str, int]], block: int) -> list[str]:
    losses = [f"Weights are whole parts of a block of {block:,} sequences: each moves by at most {1.0 / block:.2g}."]
    few = sorted({name for one in parts for name, part in one.items() if part < FEW})
    if few:
        losses.append(
            f"`{few[0]}`{f' and {len(few) - 1} more' if len(few) > 1 else ''} have under {FEW} sequences in a block: "
            "the rounding is up to a fortieth of their weight or more."
        )
    if order.tokenizer is not None:
        losses.append(
            f"Levanter tokenises the texts itself: shares and epochs hold for the tokenizer `{order.tokenizer.name}`, "
            "which must be a path or a name on the hub."
        )
    return losses


def _read(path: Path) -> _Read:
    whole_file = read_yaml(path)
    try:
        said = whole_file["data"]
        known = {one.name for one in fields(_Data)}
        data = _Data(**{key: value for key, value in said.items() if key in known})
        domains = data.components if data.components is not None else data.configs
        weights = data.train_weights if isinstance(data.train_weights, list) else [[0, data.train_weights]]
        found = [(int(start), {str(name): float(one) for name, one in each.items()}) for start, each in weights]
        trainer = whole_file.get("trainer") or {}
        steps, batch = trainer.get("num_train_steps"), trainer.get("train_batch_size")
        length = whole_file.get("train_seq_len") or (whole_file.get("model") or {}).get("seq_len")
        n_tokens = int(steps) * int(batch) * int(length) if steps and batch and length else None
        unknown = sorted({name for _, one in found for name in one} - set(domains or {}))
        block = int(data.mixture_block_size)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_file(path, f"{type(error).__name__}: {error}", "`data` with components and train_weights") from None
    if unknown or not found:
        raise no_file(path, f"weights of {unknown or 'nothing'}", "weights of its components")
    starts = [start for start, _ in found]
    late = steps is not None and starts[-1] >= int(steps)
    if starts[0] != 0 or starts != sorted(set(starts)) or late or not 1 <= block <= MOST_BLOCK:
        raise no_file(path, f"stages from the steps {starts}, block {block}", "steps that rise from 0")
    if batch and any(start * int(batch) % block for start in starts):
        raise no_file(path, f"stages from the steps {starts}", f"starts at multiples of {block:,} sequences")
    return _Read(
        weights=found, block=block, steps=None if steps is None else int(steps), run_tokens=n_tokens,
        tokens=data.experiment_budget, target=data.target_budget,
    )  # fmt: skip
