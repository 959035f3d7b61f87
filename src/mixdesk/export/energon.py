"""Megatron-Energon: a metadataset in YAML, a file for each stage.

    weight = (w_d / ℓ_d) / Σ_j (w_j / ℓ_j)

w_d share of tokens, ℓ_d mean tokens of a document: Energon draws samples, which are documents before it packs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.export import Export, Imported, Order, Verification, digits
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.configs import (
    header,
    merged,
    named,
    names_of,
    no_file,
    quoted,
    read_yaml,
    repeats,
    schedule,
)
from mixdesk.export.prepared import stage_files
from mixdesk.export.units import as_realised, as_stage, row_shares, token_shares, used, wobble

SENTENCE = "Energon draws samples at random by these weights, and packs them after: they count documents, not tokens."
ARITHMETIC = "weight = (share of tokens / mean tokens of a document), together one"
_TOKENS = re.compile(r"^# Tokens of this stage: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Energon:
    """`metadataset0.yaml`, …, a blend of data sets that whoever trains has prepared, a document a sample."""

    title: ClassVar[str] = "Megatron-Energon: metadataset (YAML)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = ""
    data: ClassVar[str] = ""

    def export(self, order: Order, out: Path) -> Export:
        """Write `metadataset0.yaml`, ….

        Raises:
            InputError: mean lengths or the tokens of the run are not known.
        """
        stages = list(order.stages())
        weights = [row_shares(order, used(stage)) for stage in stages]
        files = [f"metadataset{i}.yaml" for i in range(len(stages))]
        for stage, one, file in zip(stages, weights, files, strict=True):
            lines = [
                *header(order, SENTENCE, ARITHMETIC), f"# Tokens of this stage: {stage.n_tokens}",
                "__module__: megatron.energon", "__class__: MetadatasetV2", "splits:", "  train:", "    blend:",
            ]  # fmt: skip
            for name, weight in one.items():
                lines.append(f"      - {{weight: {digits(weight)}, path: {quoted(f'{order.data}/{name}')}}}")
            write_text(out / file, "\n".join(lines) + "\n")
        losses = [
            f"Documents are drawn at random: a share of tokens differs by about {100 * wobble(order):.2g} % of a stage "
            "(a standard deviation).",
            "The data sets are yours to prepare (`energon prepare`), a document a sample, where the file says.",
        ]
        if len(stages) > 1:
            losses.append("Energon has no stages: each file is a run that goes on from the checkpoint before it.")
            losses += repeats(order)
        return Export(
            target="energon", unit="documents", sentence=SENTENCE, arithmetic=ARITHMETIC, order=order,
            stages=tuple(
                as_stage(order, stage, one, files=(file,))
                for stage, one, file in zip(stages, weights, files, strict=True)
            ),
            losses=tuple(losses), files=tuple(files),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """The blend of the training split, by weights or by repetitions, of a file or of the stages in a folder.

        Raises:
            InputError: no such file, or a blend within a blend.
        """
        files = stage_files(path, "metadataset*.yaml")
        told = [_TOKENS.search(read_text(file)) for file in files]
        notes, units, ends, end = list[str](), set[str](), list[tuple[float, dict[str, float]]](), 0.0
        for file, tokens in zip(files, told, strict=True):
            unit, paths, amounts = _blend(file)
            units.add(unit)
            end += float(tokens[1]) if tokens else 1.0
            ends.append((end, merged(names_of(paths, file.parent), amounts, notes)))
        if len(files) > 1 and None in told:
            notes.append("The files do not say how long each stage is: equal lengths are shown.")
        if len(units) > 1:
            raise no_file(path, "weights in one file, repetitions in another", "all stages of one kind")
        scale = Scale(n_tokens=None if None in told else int(end))
        plan = RunPlan(schedule=schedule(path, ends), scale=scale)
        return Imported(plan=plan, unit=units.pop(), notes=tuple(notes))

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """The weights of the files times the mean length of a document; nothing is drawn.

        Raises:
            InputError: the files are not as Energon documents them.
        """
        stages = []
        for stage, written in zip(export.order.stages(), export.stages, strict=True):
            _, paths, amounts = _blend(out / written.files[0])
            weights = {named(export.order, one): amount for one, amount in zip(paths, amounts, strict=True)}
            stages.append(as_realised(written, token_shares(export.order, weights), stage.n_tokens))
        return Verification(
            stages=tuple(stages),
            how="Energon was not run: the files were read by mixdesk, by the documented keys, and each weight counted "
            "with the mean length of its domain's documents.",
        )


def _blend(file: Path) -> tuple[str, list[str], list[float]]:
    """Unit, paths and numbers of the data sets of the training split."""
    data: Any = read_yaml(file)
    bound = "splits: {train: {blend: [{weight: 5, path: ./web}, …]}}"
    try:
        train = data["splits"]["train"]
        unit, key = ("passes", "repetitions") if "blend_epochized" in train else ("documents", "weight")
        entries = train.get("blend_epochized") or train.get("blend") or train.get("datasets") or [train]
        paths = [str(one["path"]).removeprefix("./") for one in entries]
        amounts = [float(one.get(key, 1.0)) for one in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_file(file, f"{type(error).__name__}: {error}", bound) from None
    return unit, paths, amounts
