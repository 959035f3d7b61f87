"""OLMo-core: a source mixture in YAML, a file for each stage, and the Python that makes data sets of them.

    n_d = w_d T / L by largest remainder, max_repetition_ratio_d = max(1, limit_d or e_d)

w_d share of the stage's T tokens, L tokens of a sequence, e_d = w_d T / N_d epochs of the N_d unique tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core import checks, registry
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import (
    EPOCHS_TOLERANCE,
    Export,
    ExportStage,
    Imported,
    Order,
    OrderStage,
    Realised,
    Verification,
    digits,
)
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import configs
from mixdesk.export.units import as_stage, used, whole

CODE = "dataset.py"
SENTENCE = (
    "OLMo-core applies target_ratio: a share of the tokens it requests, kept to the sequence; what it asks of a source "
    "beyond max_repetition_ratio it refuses."
)
ARITHMETIC = "target_ratio = share of tokens; sequences = target_ratio x tokens / sequence length, by largest remainder"
# How a stage is found again in its own comment.
_TOKENS = re.compile(r"^# Tokens of this stage: (\d+)$", re.MULTILINE)
# numpy's own test of the sum, as SourceMixtureList has it.
_SUM = {"rel_tol": 1e-5, "abs_tol": 1e-8}
# Types of ids, and their bytes.
TYPES = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class OlmoCore:
    """A `SourceMixtureList` for each stage; `paths` are raw ids named `.npy`, in a folder of each domain.

    Field: `dtype` of the ids, to count tokens of files read back that have no `.csv.gz` beside them.
    """

    title: ClassVar[str] = "OLMo-core: source mixture (YAML)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "ai2-olmo-core==3.0.0"
    data: ClassVar[str] = "olmo_npy"

    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            checks.one_of("dtype", self.dtype, tuple(TYPES))

    def export(self, order: Order, out: Path) -> Export:
        """Write `mixture.yaml`, or `stage1.yaml`, …, and `dataset.py`."""
        stages = list(order.stages())
        names = ["mixture.yaml"] if len(stages) == 1 else [f"stage{i}.yaml" for i in range(1, len(stages) + 1)]
        _check(order)
        found = []
        for i, (stage, name) in enumerate(zip(stages, names, strict=True), 1):
            counts = _sequences(order, stage)
            realised = None if counts is None else {one: n / sum(counts.values()) for one, n in counts.items()}
            found.append(as_stage(order, stage, used(stage), realised, (name,)))
            write_text(out / name, _yaml(order, found[-1], stage, f"{i} of {len(stages)}"))
        write_text(out / CODE, _code(order, stages, names))
        return Export(
            target="olmo_core",
            unit="tokens",
            sentence=SENTENCE,
            arithmetic=ARITHMETIC,
            stages=tuple(found),
            order=order,
            losses=tuple(_losses(order, found)),
            files=(*names, CODE),
        )

    def read(self, path: Path) -> Imported:
        """The mixture in a source mixture file, or the schedule in the folder of several."""
        files = _stage_files(path) if path.is_dir() else [path]
        notes: list[str] = []
        limits: dict[str, float] = {}
        domains: dict[str, Domain] = {}
        ends: list[tuple[float, Mapping[str, float]]] = []
        counted, end = True, 0.0
        for file in files:
            weights: dict[str, float] = {}
            for source in _sources(file):
                name = str(source["source_name"])
                weights[name] = weights.get(name, 0.0) + source["target_ratio"]
                limits[name] = source.get("max_repetition_ratio", 1.0) * source.get("max_source_fraction", 1.0)
                domains[name] = Domain(name=name, n_tokens=self._count(file.parent, source["paths"]))
            tokens = _TOKENS.search(read_text(file))
            counted = counted and tokens is not None
            end += int(tokens[1]) if tokens is not None else 1.0
            ends.append((end, weights))
        if not counted and len(files) > 1:
            notes.append("The files do not say how long each stage is: they are taken as equally long.")
        unknown = [one.name for one in domains.values() if one.n_tokens is None]
        if unknown:
            notes.append(f"The tokens of `{unknown[0]}` could not be counted: its files are not here, or give `dtype`.")
        scale = Scale(n_tokens=int(end) if counted else None)
        return Imported(
            plan=RunPlan(schedule=configs.schedule(path, ends), scale=scale),
            domains=tuple(one for _, one in sorted(domains.items()) if one.n_tokens is not None),
            limits=tuple(limits.items()),
            notes=tuple(notes),
        )

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Sequences of OLMo-core's own data set over the files, as many as `n` of each stage, evenly spread."""
        import numpy as np
        from olmo_core.data.numpy_dataset import NumpyFSLDatasetMixture
        from olmo_core.data.source_mixture import SourceMixtureDatasetConfig, SourceMixtureList
        from olmo_core.exceptions import OLMoConfigurationError

        order = export.order
        length, found, drawn = order.need("seq_len"), [], 0
        kind = getattr(np, _dtype(out, order))
        vocabulary = order.tokenizer.vocab_size if order.tokenizer is not None else np.iinfo(kind).max
        for stage, written in zip(order.stages(), export.stages, strict=True):
            sources = SourceMixtureList.from_yaml(str(out / written.files[0]))
            try:
                for source in sources.sources:
                    source.paths = [str(out / one) for one in source.paths]
                    source.validate()
                config = SourceMixtureDatasetConfig(
                    source_list=sources, requested_tokens=stage.n_tokens, render_tables=False, quiet=True,
                    global_batch_size=order.need("batch_tokens"),
                )  # fmt: skip
                mixture = config.build(npdtype=kind, sequence_length=length)
            except (FileNotFoundError, OLMoConfigurationError) as error:
                raise InputError(
                    "OLMo-core refuses the files", value=str(error), bound="data as the export names them",
                    remedy="export again, with the corpus that has the tokens",
                ) from None  # fmt: skip
            data = NumpyFSLDatasetMixture(
                *mixture.to_paths(), path_offset_index=mixture.to_index(), seed=config.seed, sequence_length=length,
                pad_token_id=0, eos_token_id=0, vocab_size=vocabulary, dtype=kind,
            )  # fmt: skip
            owners = [one.name for one in mixture.sources for _ in one.path_tokens]
            ends, tokens = [end for _, end in data.offsets], dict.fromkeys(owners, 0)
            for i in np.unique(np.linspace(0, len(data) - 1, num=min(n, len(data))).astype(np.int64)):
                owner = owners[int(np.searchsorted(ends, i, side="right"))]
                tokens[owner] += len(data[int(i)]["input_ids"])
            total = sum(tokens.values())
            drawn += total // length
            asked = tuple((one.domain, one.weight) for one in written.shares)
            realised = tuple((name, count / total) for name, count in tokens.items())
            found.append(Realised(asked=asked, realised=realised, n_tokens=total))
        how = (
            "Read by SourceMixtureList, selected by SourceMixtureDatasetConfig, drawn from NumpyFSLDatasetMixture of "
            f"{self.package}: {drawn:,} sequences."
        )
        return Verification(stages=tuple(found), how=how)

    def _count(self, folder: Path, paths: list[str]) -> int | None:
        """Tokens of the files that paths and patterns name; None where they are not there or of unknown type."""
        total = 0
        for one in paths:
            files = sorted(folder.glob(one)) if not Path(one).is_absolute() else sorted(Path("/").glob(one[1:]))
            if not files:
                return None
            try:
                for file in files:
                    if self.dtype is not None:
                        total += file.stat().st_size // TYPES[self.dtype]
                    else:
                        parts = registry.make("formats", Plug(name="olmo_npy")).read(file).parts
                        total += sum(int(part.lengths.sum()) for part in parts)
            except InputError:
                return None
        return total


def _check(order: Order) -> None:
    """Whether names are no patterns, and steps hold whole sequences.

    Raises:
        InputError: they are or do not.
    """
    for name in order.names:
        if "*" in name:
            raise InputError(
                f"the domain `{name}` would be a pattern of files", value=name, bound="a name without `*`",
                remedy="rename the domain",
            )  # fmt: skip
    if order.seq_len and order.batch_tokens and order.batch_tokens % order.seq_len:
        raise InputError(
            "the tokens of a step are no whole sequences", value=order.batch_tokens,
            bound=f"a multiple of {order.seq_len}", remedy="give another --batch-tokens or --seq-len",
        )  # fmt: skip


def _sequences(order: Order, stage: OrderStage) -> dict[str, int] | None:
    """Sequences of each domain in whole steps; None without the length of one.

    Raises:
        InputError: a domain would get none.
    """
    if order.seq_len is None:
        return None
    step = order.batch_tokens or order.seq_len
    total = math.ceil(stage.n_tokens / step) * step // order.seq_len
    counts = whole(used(stage), total)
    for name, n in counts.items():
        if n == 0:
            raise configs.too_small(name, used(stage)[name], 1.0 / total, f"it is under one sequence of {total:,}")
    return counts


def _yaml(order: Order, written: ExportStage, stage: OrderStage, which: str) -> str:
    lines = configs.header(order, SENTENCE, ARITHMETIC)
    lines += [f"# Stage {which}.", f"# Tokens of this stage: {stage.n_tokens}"]
    lines.append(f"# Paths are relative to the folder that {CODE} is run in; ids are raw, without numpy's header.")
    lines.append("sources:")
    limits = dict(order.max_epochs)
    for one in written.shares:
        # OLMo-core checks the tokens asked for, before it rounds them to sequences.
        asked = one.weight * stage.n_tokens / (order.domain(one.domain).n_tokens or math.inf)
        epochs = max(one.epochs or 0.0, asked)
        limit = limits.get(one.domain, 0.0)
        passes = max(1.0, limit if limit >= epochs else epochs * (1.0 + EPOCHS_TOLERANCE))
        lines += [
            f"- source_name: {configs.quoted(one.domain)}",
            f"  target_ratio: {digits(one.written)}",
            f"  paths: [{configs.quoted(f'{order.data}/{one.domain}/*.npy')}]",
            f"  max_repetition_ratio: {digits(passes)}",
        ]
    return "\n".join(lines) + "\n"


def _code(order: Order, stages: list[OrderStage], names: list[str]) -> str:
    header = "\n".join(configs.header(order, SENTENCE, ARITHMETIC))
    listed = "\n".join(
        f"    ({configs.quoted(name)}, {stage.n_tokens})," for name, stage in zip(names, stages, strict=True)
    )
    step, length = order.batch_tokens or "None", order.seq_len or "None"
    return f'''{header}
"""The data set of a stage of the run: give it to the trainer's data loader; each stage but the first goes on from a
checkpoint of the one before, with the data loader's state left out.
"""

from olmo_core.data import NumpyFSLDatasetConfig
from olmo_core.data.source_mixture import SourceMixtureDatasetConfig, SourceMixtureList

# File and tokens of each stage.
STAGES = [
{listed}
]


def dataset(stage, tokenizer, work_dir, sequence_length={length}, global_batch_size={step}, seed=42):
    """Stage 0, 1, …; a TokenizerConfig of the tokenizer the data have; lengths in tokens."""
    path, n_tokens = STAGES[stage]
    mixture = SourceMixtureDatasetConfig(
        source_list=SourceMixtureList.from_yaml(path),
        requested_tokens=n_tokens,
        global_batch_size=global_batch_size,
        seed=seed,
    )
    return NumpyFSLDatasetConfig(
        source_mixture_config=mixture, sequence_length=sequence_length, tokenizer=tokenizer, work_dir=work_dir
    )
'''


def _losses(order: Order, stages: list[ExportStage]) -> list[str]:
    lines = [
        "Less than a pass of a domain is the head of each of its files, and the order inside files stays: shuffle "
        "documents before they are written."
    ]
    if len(stages) > 1:
        lines.append(
            "OLMo-core has no stages: each file is a run of its own that goes on from the checkpoint before it, and "
            "max_repetition_ratio holds within a stage; the limit over the run is mixdesk's."
        )
        lines += configs.repeats(order)
    if order.seq_len is None:
        lines.append("The sequence length is not known: how target_ratio is rounded to sequences is not shown.")
    return lines


def _dtype(out: Path, order: Order) -> str:
    """Type of the ids: as the data say, else as the vocabulary has it."""
    try:
        return str(registry.make("formats", Plug(name="olmo_npy")).read(out / order.data).dtype)
    except InputError:
        known = order.tokenizer
        return "uint16" if known is None or known.vocab_size <= 1 << 16 else "uint32"


def _stage_files(folder: Path) -> list[Path]:
    """The files of an exported folder, in order.

    Raises:
        InputError: none.
    """
    staged = sorted(folder.glob("stage*.yaml"), key=lambda file: int("0" + re.sub(r"\D", "", file.stem)))
    found = staged or [file for file in [folder / "mixture.yaml"] if file.is_file()]
    if not found:
        raise configs.no_file(folder, "no mixture.yaml, no stage1.yaml", "a source mixture of OLMo-core")
    return found


def _sources(file: Path) -> list[dict[str, Any]]:
    """Entries of a source mixture, with numbers that OLMo-core accepts.

    Raises:
        InputError: not such a file, or one that OLMo-core would refuse.
    """
    data = configs.read_yaml(file)
    sources = data.get("sources") if isinstance(data, dict) else None
    known = {"source_name", "target_ratio", "paths", "max_repetition_ratio", "max_source_fraction"}
    if not isinstance(sources, list) or not sources or not all(isinstance(one, dict) for one in sources):
        raise configs.no_file(file, "no list `sources`", "a source mixture of OLMo-core")
    for one in sources:
        strange = sorted(set(one) - known) or sorted({"source_name", "target_ratio", "paths"} - set(one))
        if strange:
            raise configs.no_file(file, f"`{strange[0]}`", "the keys of a source: " + ", ".join(sorted(known)))
        for key in known - {"source_name", "paths"}:
            if key in one and (isinstance(one[key], bool) or not isinstance(one[key], int | float)):
                raise configs.no_file(file, f"{key}: {one[key]!r}", "a number, such as 5.0e-05")
        if not isinstance(one["paths"], list) or not one["paths"]:
            raise configs.no_file(file, f"paths: {one['paths']!r}", "a list of files or patterns")
    total = math.fsum(one["target_ratio"] for one in sources)
    if not math.isclose(total, 1.0, **_SUM) or min(one["target_ratio"] for one in sources) <= 0:
        raise configs.no_file(file, f"target_ratio, a sum of {total!r}", "ratios > 0 that sum to 1")
    return sources
