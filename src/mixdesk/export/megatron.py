"""Megatron's blend: weights and prefixes of `.bin`/`.idx` files in a list, one list per phase, and the run's arguments.

    n = T / L sequences of a phase, filled greedily so that each domain is always within one sequence of n w_d

T tokens of the phase, L of a sequence, packed over documents: weights are shares of tokens. Its parser takes an
even-length list whose every other word is a number for weights and prefixes, and any other list for prefixes alone.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mixdesk.core import registry
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import (
    SIDECAR,
    Each,
    Export,
    ExportStage,
    Imported,
    Order,
    OrderStage,
    Snippet,
    Verification,
)
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.configs import (
    header,
    layout,
    merged,
    named,
    names_of,
    no_file,
    quoted,
    repeats,
    schedule,
    stage_data,
    too_small,
)
from mixdesk.export.units import as_realised, as_stage, sequences, used, whole

RUN = "run.sh"
UNIT = "sequences of fixed length, packed: shares of tokens"
SENTENCE = (
    "Megatron's blended data set applies the number: it normalises the weights and fills sequences of fixed length, "
    "packed over documents, so that a weight is a share of training tokens."
)
ARITHMETIC = "written = weight"
MOST_DOMAINS = 32_767
# A domain with fewer sequences than this may be left out by the filling.
LEAST_SEQUENCES = 2
# The end of the JSON: no data but those to train on.
_NO_MORE = '\n ],\n "valid": null,\n "test": null\n}\n'
# What Megatron's preprocessing adds to a name.
_SUFFIX = re.compile(r"_text_(document|sentence)$")
_RUN_ARGUMENT = re.compile(r"--(seq-length|train-samples|global-batch-size|phase-transition-iterations)[ =](\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Megatron:
    """Megatron-LM's `--data-args-path`, a file per phase, and `run.sh` with the arguments that go with it.

    Each phase begins every domain anew. Checked against megatron-core 0.16.1.

    Fields: `per_split` writes `--per-split-data-args-path` (JSON) in place of words, for prefixes with blanks and
    validation data of one's own; `fresh` gives each phase documents that no other phase reads, so that limits on epochs
    hold over the run (the data are then ours to write).
    """

    title: ClassVar[str] = "Megatron-LM, Megatron-Core"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "megatron-core==0.16.1"
    data: ClassVar[str] = "megatron"

    per_split: bool = False
    fresh: bool = False

    def export(self, order: Order, out: Path) -> Export:
        """Write `phase0.txt`, … (or `.json`) and `run.sh`.

        Raises:
            InputError: a blank in a prefix, a weight under two sequences, too many domains, a batch that is not whole
                sequences, or a number that it needs is not known.
        """
        stages = list(order.stages())
        blends = [self._blend(order, i) for i in range(len(stages))]
        for stage in stages:
            check_blend(order, stage)
        files = [blend.file for blend in blends]
        written = [blend_stage(order, stage, file) for stage, file in zip(stages, files, strict=True)]
        run = self._run(order, stages)
        for blend, stage in zip(blends, stages, strict=True):
            write_text(out / blend.file, blend.text(stage.mixture))
        write_text(out / RUN, run)
        losses = blend_losses(order, stages, fresh=self.fresh)
        if len(stages) > 1:
            losses.append(
                "A phase ends with the job: Megatron saves and exits, `run.sh` starts it again with the next blend. "
                "--phase-transition-iterations is in Megatron-LM since January 2026; without it, samples are lost."
            )
        return Export(
            target="megatron", unit=UNIT, sentence=SENTENCE, arithmetic=ARITHMETIC, stages=tuple(written), order=order,
            losses=tuple(losses), files=(*files, RUN), layout=layout(order, fresh=self.fresh),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """The blend in a file of words or of JSON, or the phases in a folder with `run.sh`.

        Where the indices lie beside it, the domains are counted; a list without weights follows their lengths.

        Raises:
            InputError: no blend, or a list without weights whose data are not there to be counted.
        """
        if not path.is_dir():
            return read_blends([(path, _words(path))], [1.0], None)
        files = sorted(path.glob("phase*.*"), key=lambda one: int(re.sub(r"\D", "", one.stem) or 0))
        if not files:
            raise no_file(path, "no phase0.txt or phase0.json", "a folder of `megatron`")
        ends, n_tokens = _read_run(path / RUN, len(files))
        return read_blends([(file, _words(file)) for file in files], ends, n_tokens)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Build each phase by megatron-core's parser, index and builder, and count the tokens of n sequences.

        Raises:
            ModuleNotFoundError: megatron-core is not installed.
            InputError: the files or the data are not there.
        """
        return verify_blends(out, export, [_words(out / stage.files[0]) for stage in export.stages], n)

    def snippet(self, order: Order) -> Snippet:
        """`phase0.txt` (or `.json`) with holes for the weights; the run's length may be unknown.

        Raises:
            InputError: a blank in a prefix, too many domains, or a run without a whole sequence.
        """
        return replace(self._blend(order, 0), least=least_weight(order))

    def _blend(self, order: Order, i: int) -> Snippet:
        prefixes = blend_prefixes(order, i, fresh=self.fresh)
        blend = Snippet(file=f"phase{i}.txt", sentence=SENTENCE, domains=tuple(prefixes), parts=())
        if self.per_split:
            pieces = tuple(('"', f'",\n  {quoted(prefix)}') for prefix in prefixes.values())
            parts = ('{\n "train": [\n  ', Each(pieces=pieces, between=",\n  "), _NO_MORE)
            return replace(blend, file=f"phase{i}.json", parts=parts)
        blank = next((prefix for prefix in prefixes.values() if re.search(r"\s", prefix)), None)
        if blank is not None:
            raise InputError(
                "a blank ends a word in Megatron's list of prefixes", value=blank, bound="a path without blanks",
                remedy="export with `--to megatron:per_split=true`, whose JSON holds it",
            )  # fmt: skip
        return replace(blend, parts=(Each(pieces=tuple(("", f" {prefix}\n") for prefix in prefixes.values())),))

    def _run(self, order: Order, stages: Sequence[OrderStage]) -> str:
        length = order.need("seq_len")
        option = "--per-split-data-args-path" if self.per_split else "--data-args-path"
        end = "json" if self.per_split else "txt"
        arguments = [f"--seq-length {length}", f"--train-samples {stages[-1].end // length}"]
        if len(stages) > 1 or order.batch_tokens is not None:
            batch = batch_sequences(order)
            arguments.append(f"--global-batch-size {batch}")
        if len(stages) > 1:
            steps = ",".join(str(stage.end // order.need("batch_tokens")) for stage in stages[:-1])
            arguments.append(f"--phase-transition-iterations {steps}")
        if not self.per_split:
            arguments.append("--split 1,0,0")
        return "\n".join(
            [
                "#!/bin/sh",
                *header(order, SENTENCE, ARITHMETIC),
                "# In this folder, as prefixes are relative: sh run.sh torchrun … pretrain_gpt.py --save … --load … …",
                "# To go on in a later phase: PHASES='1 2' sh run.sh …",
                "set -eu",
                f"for phase in ${{PHASES:-{' '.join(str(i) for i in range(len(stages)))}}}; do",
                f'  "$@" {option} "phase$phase.{end}" \\',
                "    " + " ".join(arguments),
                "done",
                "",
            ]
        )


def blend_prefixes(order: Order, i: int, *, fresh: bool) -> dict[str, str]:
    """Domain → prefix of its data in stage i; domains without weight are left out, as zero stops Megatron.

    Raises:
        InputError: too many domains.
    """
    names = tuple(used(order.plan.schedule.stages[i]))
    if len(names) > MOST_DOMAINS:
        raise InputError(
            "Megatron cannot blend so many domains", value=len(names), bound=f"at most {MOST_DOMAINS:,}",
            remedy="merge domains",
        )  # fmt: skip
    folder = stage_data(order, i, fresh=fresh)
    return {name: f"{folder}/{name}" for name in names}


def check_blend(order: Order, stage: OrderStage) -> None:
    """Whether each domain has its sequences.

    Raises:
        InputError: a weight under two of them.
    """
    n = sequences(order, stage)
    for name, weight in used(stage).items():
        if weight * n < LEAST_SEQUENCES:
            raise too_small(name, weight, LEAST_SEQUENCES / n, f"under {LEAST_SEQUENCES} of {n:,} sequences")


def least_weight(order: Order) -> float:
    """The weight of two sequences of the first stage; 0 where the run or a sequence is of unknown length."""
    if order.n_tokens is None or order.seq_len is None:
        return 0.0
    return LEAST_SEQUENCES / sequences(order, next(order.stages()))


def blend_stage(order: Order, stage: OrderStage, file: str) -> ExportStage:
    """The stage as Megatron fills it: whole sequences."""
    weights, n = used(stage), sequences(order, stage)
    realised = {name: count / n for name, count in whole(weights, n).items()}
    return as_stage(order, stage, weights, realised, [file])


def blend_losses(order: Order, stages: Sequence[OrderStage], *, fresh: bool | None) -> list[str]:
    """What Megatron does with the blend that its numbers do not say; `fresh` None: not an option of this target."""
    losses = [] if fresh else repeats(order)
    if losses and fresh is not None:
        losses.append(
            "With `fresh=true` and a corpus, each stage has documents of its own, and nothing is repeated early."
        )
    length = order.need("seq_len")
    for name, passes in order.epochs().items():
        size = order.domain(name).n_tokens or 0
        # A pass over N tokens has (N - 1) / L sequences, as each reads one token more than it holds.
        most = (size - 1) // length * length / size
        if most < passes <= 1.0:
            losses.append(
                f"`{name}` is planned at {passes:.4g} epochs, and one pass has only {most:.4g} of its tokens in whole "
                "sequences: the last sequences are of a second pass."
            )
    if fresh and len(stages) > 1:
        losses.append(
            "Documents are dealt to the phases whole: a phase's part is right to one document of each domain."
        )
    return losses


def batch_sequences(order: Order) -> int:
    """Sequences of a step.

    Raises:
        InputError: the tokens of a step are no whole sequences.
    """
    batch, length = order.need("batch_tokens"), order.need("seq_len")
    if batch % length:
        raise InputError(
            "a step is no whole number of sequences", value=f"{batch:,} tokens", bound=f"a multiple of {length:,}",
            remedy="give another --batch-tokens or --seq-len",
        )  # fmt: skip
    return batch // length


def read_blends(found: Sequence[tuple[Path, list[str]]], ends: Sequence[float], n_tokens: int | None) -> Imported:
    """The blends of (file, words) that end at `ends`, on any scale.

    Raises:
        InputError: not a blend, or a list without weights whose data are not there to be counted.
    """
    notes: list[str] = []
    domains: dict[str, Domain] = {}
    stages = []
    for end, (path, words) in zip(ends, found, strict=True):
        weights, prefixes = split_words(path, words)
        bare = prefixes if (path.parent / SIDECAR).is_file() else [_SUFFIX.sub("", one) for one in prefixes]
        names = names_of(bare, path.parent)
        counts = [_counted(path.parent, prefix, name) for prefix, name in zip(prefixes, names, strict=True)]
        if weights is None:
            missing = [prefix for prefix, one in zip(prefixes, counts, strict=True) if one is None]
            if missing:
                raise no_file(path, f"no weights, and no {missing[0]}.idx", "weights and prefixes, or data to count")
            weights = [float((one.n_tokens if one else 0) or 0) for one in counts]
            notes.append("The list has no weights: Megatron blends by the lengths of the data, which were counted.")
        for one in counts:
            if one is not None:
                domains[one.name] = one
        stages.append((end, merged(names, weights, notes)))
    plan = RunPlan(schedule=schedule(found[0][0], stages), scale=Scale(n_tokens=n_tokens))
    return Imported(plan=plan, domains=tuple(domains.values()), notes=tuple(dict.fromkeys(notes)))


def split_words(path: Path, words: Sequence[str]) -> tuple[list[float] | None, list[str]]:
    """Weights, None where there are none, and prefixes, by the rule of Megatron's parser.

    Raises:
        InputError: nothing, some weights that are no numbers, or a weight that is not above zero.
    """
    if not words:
        raise no_file(path, "nothing", "weights and prefixes")
    weights = [_number(word) for word in words[::2]]
    if len(words) % 2 or all(weight is None for weight in weights):
        return None, list(words)
    bad = next((word for word, weight in zip(words[::2], weights, strict=True) if not weight or weight < 0), None)
    if bad is not None:
        raise no_file(path, bad, "a weight above 0 before each prefix: Megatron stops at others")
    return [weight for weight in weights if weight is not None], list(words[1::2])


def verify_blends(out: Path, export: Export, blends: Sequence[list[str]], n: int) -> Verification:
    """What megatron-core makes of the words of each stage.

    Raises:
        ModuleNotFoundError: megatron-core is not installed.
        InputError: the data are not there, or Megatron refuses them.
    """
    from importlib.metadata import version

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of kernels that drawing samples does not need
        from megatron.core.datasets.utils import get_blend_from_list

    length = export.order.need("seq_len")
    stages, start = [], 0
    for words, stage in zip(blends, export.stages, strict=True):
        end = stage.end or 0
        prefixes, weights = get_blend_from_list(words)
        index = _drawn(out, export.order, (prefixes, weights), (end - start) // length)[:n]
        tokens = np.bincount(index, minlength=len(prefixes)) * length
        shares = {named(export.order, prefix): float(one) for prefix, one in zip(prefixes, tokens, strict=True)}
        stages.append(as_realised(stage, shares, int(tokens.sum())))
        start = end
    how = (
        f"megatron-core {version('megatron-core')}: its parser, index and blended data set, the first "
        f"{sum(one.n_tokens for one in stages) // length:,} sequences of {length:,} tokens."
    )
    return Verification(stages=tuple(stages), how=how)


def _drawn(out: Path, order: Order, blend: tuple[list[str], list[float]], n: int) -> Any:
    """The domain of each of n sequences, as Megatron's builder orders them; the first of each is read."""
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    for prefix in blend[0]:
        if not (out / f"{prefix}.idx").is_file():
            raise InputError(
                f"`{out}` has no data for Megatron to read", value=f"no {prefix}.idx", bound="`.bin` and `.idx`",
                remedy="export with a corpus of tokens, or name the folder of the data with --data",
            )  # fmt: skip
    length = order.need("seq_len")
    # That it keeps its indices nowhere is a warning to it, and as it should be here.
    logging.getLogger("megatron.core.datasets").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as own:
        # Megatron keeps its indices beside the data it is given: links, so that the export stays as it is.
        links = [Path(own) / str(i) for i in range(len(blend[0]))]
        for link, prefix in zip(links, blend[0], strict=True):
            for end in (".bin", ".idx"):
                link.with_suffix(end).symlink_to((out / f"{prefix}{end}").absolute())
        config = GPTDatasetConfig(
            random_seed=1234, sequence_length=length, blend=([str(link) for link in links], blend[1]), split="1,0,0",
            tokenizer=_Tokenizer(order), reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
            create_attention_mask=False,
        )  # fmt: skip
        built = BlendedMegatronDatasetBuilder(GPTDataset, [n, 0, 0], lambda: True, config).build()[0]
        index = np.asarray(built.dataset_index)[:n].astype(np.int64)
        for first in np.unique(index, return_index=True)[1]:
            found = len(built[int(first)]["tokens"])
            if found != length:
                raise InputError(
                    "Megatron reads sequences of another length", value=found, bound=f"{length} tokens",
                    remedy="export again",
                )  # fmt: skip
    return index


class _Tokenizer:
    """What Megatron's builder asks of a tokenizer."""

    def __init__(self, order: Order) -> None:
        self.vocab_size = order.tokenizer.vocab_size if order.tokenizer is not None else 1 << 16
        self.eod, self.pad = 0, self.vocab_size - 1
        self.unique_identifiers = {"class": "mixdesk", "name": "" if order.tokenizer is None else order.tokenizer.name}


def _words(path: Path) -> list[str]:
    text = read_text(path)
    if path.suffix != ".json":
        return text.split()
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise no_file(path, f"line {error.lineno}: {error.msg}", "JSON with `train`, `valid` and `test`") from None
    train = found.get("train") if isinstance(found, dict) else found
    if isinstance(train, str):
        return train.split()
    if not isinstance(train, list):
        raise no_file(path, repr(train), "a list `train` of weights and prefixes")
    return [str(word).strip() for word in train]


def _read_run(path: Path, n_stages: int) -> tuple[list[float], int | None]:
    """Ends of the stages in samples, and tokens of the run, by the arguments of the run."""
    text = " ".join(shlex.split(read_text(path), comments=True)) if path.is_file() else ""
    said = dict(_RUN_ARGUMENT.findall(text))
    try:
        samples = int(said["train-samples"]) if "train-samples" in said else None
        tokens = None if samples is None or "seq-length" not in said else samples * int(said["seq-length"])
        if n_stages == 1:
            return [1.0], tokens
        steps = [int(one) for one in said["phase-transition-iterations"].split(",")]
        ends = [float(step * int(said["global-batch-size"])) for step in steps]
    except (KeyError, ValueError) as error:
        raise no_file(path, f"{error} of {n_stages} phases", "--phase-transition-iterations and batch size") from None
    if samples is None or len(ends) != n_stages - 1:
        raise no_file(path, f"{len(ends)} transitions", f"{n_stages - 1}, and --train-samples")
    return [*ends, float(samples)], tokens


def _counted(folder: Path, prefix: str, name: str) -> Domain | None:
    """Counts by the index, beside the file or where the path leads; None where it is not there."""
    for base in (folder, Path()):
        index = base / f"{prefix}.idx"
        if index.is_file():
            parts = registry.make("formats", Plug(name="megatron")).read(index).parts
            lengths = np.concatenate([part.lengths for part in parts])
            return Domain(name=name, n_tokens=int(lengths.sum()), n_docs=len(lengths))
    return None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
