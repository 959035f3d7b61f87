"""torchtitan 0.3.0: the data loader of each stage in Python; mixes of the pipeline after it are read, not written.

    weight = w_d, of packed rows of L tokens

w_d share of tokens: every domain is packed before rows are drawn, so that a share of rows is one of tokens.
"""

from __future__ import annotations

import ast
import math
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Each, Export, Imported, Order, OrderStage, Realised, Snippet, Verification
from mixdesk.core.files import write_text
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import configs, python
from mixdesk.export.units import as_stage, used

CODE = "torchtitan_data.py"
SENTENCE = "torchtitan packs each domain into rows and draws rows at random by weight; a domain that ends begins again."
ARITHMETIC = "weight = share of tokens"
# The file after its list of shares.
_TAIL = '''\
]


def _load(path):
    return load_dataset("json", data_files=path, split="train")


def _text(row):
    return row["text"]


DATASETS["jsonl"] = DatasetConfig(path="", loader=_load, sample_processor=_text)


def stage(k, seed=42):
    """The loader of stage k, from 0."""
    sources = [
        HFDataSource(dataset="jsonl", dataset_path=str(DATA / f"{name}.jsonl"), weight=weight, infinite=True)
        for name, weight in STAGES[k][1]
    ]
    return InterleavedHuggingFaceTextDataLoader.Config(sources=sources, seed=seed)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Torchtitan:
    """`torchtitan_data.py`: `stage(k)` is the loader's configuration, over JSON lines of texts of each domain.

    The order of rows is random, and a domain that ends begins again, shuffled anew.
    """

    title: ClassVar[str] = "torchtitan 0.3.0: interleaved loader (Python)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "torchtitan==0.3.0"
    data: ClassVar[str] = "rows"

    def export(self, order: Order, out: Path) -> Export:
        """Write `torchtitan_data.py`.

        Raises:
            InputError: a weight under one row, or a number that is not known.
        """
        stages, length = list(order.stages()), order.need("seq_len")
        for stage in stages:
            for name, weight in used(stage).items():
                if weight * stage.n_tokens < length:
                    least = length / stage.n_tokens
                    raise configs.too_small(name, weight, least, "it is under one row of the stage")
        found = [as_stage(order, stage, used(stage), files=(CODE,)) for stage in stages]
        blocks = "".join(_block(stage).text(stage.mixture) for stage in stages)
        write_text(out / CODE, _head(order) + blocks + _TAIL)
        wobble = max(
            math.sqrt(weight * (1.0 - weight) * length / stage.n_tokens)
            for stage in stages
            for weight in used(stage).values()
        )
        losses = [
            f"Rows are drawn at random: a share of tokens differs by about {100 * wobble:.2g} % of a stage (a standard "
            "deviation)."
        ]
        if len(stages) > 1:
            losses.append(
                "torchtitan has no stages: each is a run that goes on from the checkpoint before it, with the data "
                "loader's state left out."
            )
            losses += configs.repeats(order)
        return Export(
            target="torchtitan",
            unit="rows of tokens",
            sentence=SENTENCE,
            arithmetic=ARITHMETIC,
            stages=tuple(found),
            order=order,
            losses=tuple(losses),
            files=(CODE,),
        )

    def snippet(self, order: Order) -> Snippet:
        """`torchtitan_data.py` with holes for the weights.

        Raises:
            InputError: a number that is not known.
        """
        head, stage = _head(order), next(order.stages())
        block = _block(stage)
        return replace(block, parts=(head, *block.parts, _TAIL), least=order.need("seq_len") / stage.n_tokens)

    def read(self, path: Path) -> Imported:
        """The schedule of our own file, or the first mix in another: `HFDataSource` or `WeightedDataset` calls."""
        path = path / CODE if path.is_dir() else path
        tree = python.parsed(path)
        known = python.assigned(tree)
        if "STAGES" in known:
            return _ours(path, python.literal(path, known["STAGES"], "a list of (tokens, shares)"))
        unit, notes = "tokens", list[str]()
        # Sources take names alone, mixed sets a weight in the second place too.
        pairs, place = [(_name(path, call, known), call) for call in python.calls(tree, "HFDataSource")], 99
        if not pairs:
            mixed = python.calls(tree, "WeightedDataset")
            sets = [python.argument(call, "dataset", 0, known) for call in mixed]
            packed = [isinstance(one, ast.Call) and "Packing" in ast.unparse(one.func) for one in sets]
            if not all(packed):
                unit = "documents"
                notes.append("What is mixed is not packed before: the weights count documents.")
            named = [python.argument(call, "dataset", 0, {}) or call for call in mixed]
            pairs, place = [(ast.unparse(one), call) for one, call in zip(named, mixed, strict=True)], 1
        if not pairs:
            raise configs.no_file(path, "no HFDataSource, no WeightedDataset", "a mix of torchtitan")
        weights = []
        for _, call in pairs:
            node = python.argument(call, "weight", place, known)
            weight = 1.0 if node is None else python.literal(path, node, "weights as numbers")
            if not isinstance(weight, int | float):
                raise configs.no_file(path, f"a weight of {weight!r}", "weights as numbers")
            weights.append(float(weight))
        mixture = configs.merged([name for name, _ in pairs], weights, notes)
        plan = RunPlan(schedule=configs.schedule(path, [(1.0, mixture)]), scale=Scale())
        return Imported(plan=plan, unit=unit, notes=tuple(notes))

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Rows that torchtitan's own loader yields from the written file: the stage's, or n of them."""
        from torchtitan.hf_datasets.text_datasets import InterleavedHuggingFaceTextDataLoader

        length, found, drawn = export.order.need("seq_len"), [], 0
        stages = list(export.order.stages())
        code: dict[str, Any] = runpy.run_path(str(out / CODE))
        for k, (stage, written) in enumerate(zip(stages, export.stages, strict=True)):
            names = [one.domain for one in written.shares]
            total = max(min(stage.n_tokens // length, n), 1)
            try:
                loader = InterleavedHuggingFaceTextDataLoader(
                    code["stage"](k), dp_world_size=1, dp_rank=0, tokenizer=_Words(), seq_len=length,
                    local_batch_size=1,
                )  # fmt: skip
            except FileNotFoundError as error:
                raise InputError(
                    "torchtitan cannot read the data", value=str(error), bound="data as the export names them",
                    remedy="export again, with the corpus that has the texts",
                ) from None  # fmt: skip
            mix = loader.dataset
            mix._datasets = [_Named(name, one) for name, one in zip(names, mix._datasets, strict=True)]
            counts = dict.fromkeys(names, 0)
            for (name, (inputs, _)), _ in zip(mix, range(total), strict=False):
                counts[name] += len(inputs["input"])
            tokens = sum(counts.values())
            drawn += total
            found.append(
                Realised(
                    asked=tuple((one.domain, one.weight) for one in written.shares),
                    realised=tuple((name, k / tokens) for name, k in counts.items()),
                    n_tokens=tokens,
                    chance=max(math.sqrt(one.weight * (1.0 - one.weight) / total) for one in written.shares),
                )
            )
        how = (
            f"Run with {self.package}: its InterleavedHuggingFaceTextDataLoader drew {drawn:,} rows, packed from words "
            "instead of the tokenizer's ids."
        )
        return Verification(stages=tuple(found), how=how)


@dataclass(frozen=True, slots=True)
class _Named:
    """A data set whose rows say whose they are."""

    name: str
    rows: Any

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((self.name, row) for row in self.rows)


class _Words:
    """A tokenizer with an id a word: rows are as long whatever the ids are."""

    def encode(self, text: str, *, add_bos: bool, add_eos: bool) -> list[int]:
        """As many ids as words, and the two that are asked for."""
        return [1] * (len(text.split()) + add_bos + add_eos)


def _head(order: Order) -> str:
    lines = "\n".join(configs.header(order, SENTENCE, ARITHMETIC))
    return f'''{lines}
"""Data loaders of the stages: set `config.dataloader = stage(0)`, and seq_len {order.need("seq_len")}. The texts are
JSON lines, a file of each domain, in a folder beside this file.
"""

from pathlib import Path

from datasets import load_dataset
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets.text_datasets import DATASETS, HFDataSource, InterleavedHuggingFaceTextDataLoader

DATA = Path(__file__).resolve().parent / {configs.quoted(order.data)}
# Tokens of each stage, and the shares of its domains.
STAGES = [
'''


def _block(stage: OrderStage) -> Snippet:
    names = tuple(used(stage))
    shares = Each(pieces=tuple((f"        ({configs.quoted(name)}, ", "),\n") for name in names))
    parts = (f"    ({stage.n_tokens}, [\n", shares, "    ]),\n")
    return Snippet(file=CODE, sentence=SENTENCE, domains=names, parts=parts)


def _ours(path: Path, rows: Any) -> Imported:
    """The schedule in STAGES.

    Raises:
        InputError: other rows.
    """
    ends, total = [], 0
    try:
        for n_tokens, shares in rows:
            total += n_tokens
            ends.append((float(total), dict(shares)))
    except (TypeError, ValueError) as error:
        raise configs.no_file(path, str(error), "a list of (tokens, shares)") from None
    return Imported(plan=RunPlan(schedule=configs.schedule(path, ends), scale=Scale(n_tokens=total)))


def _name(path: Path, call: ast.Call, known: Mapping[str, ast.expr]) -> str:
    """What a source is called: its path, where it has one, else the registered name."""
    for key in ("dataset_path", "dataset"):
        node = python.argument(call, key, 99, dict(known))
        if node is not None:
            return str(python.literal(path, node, f"{key} as a text"))
    raise configs.no_file(path, ast.unparse(call), "a source with a dataset")
