"""MaxText: a JSON of named components for grain's mix, a file for each stage.

    q_d ∝ w_d / ℓ_d, written = round(100 q_d / min q)

w_d share of tokens, ℓ_d mean tokens of a document: the mix draws records, which are documents. grain itself scales the
smallest weight to 100 and cuts the others down to whole numbers, so that written ones are whole already.
"""

from __future__ import annotations

import glob
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, OrderStage, Realised, Verification
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import configs
from mixdesk.export.units import as_stage, row_shares, token_shares, used

SENTENCE = "grain draws documents in a fixed pattern by these weights, before MaxText cuts and packs them."
ARITHMETIC = "weight = share of tokens / mean tokens of a document, as whole numbers with the smallest 100"
RUN = "run.sh"
SUFFIX = ".array_record*"
# grain scales the smallest weight to this whole number and cuts the others down to whole ones.
SMALLEST = 100
# Whole numbers are written larger by this part, as binary fractions of them could be cut to the one below.
NUDGE = 1e-9
# Documents drawn to verify: the pattern is fixed and holds to a document, so that more tell little.
MOST = 20_000
# How a stage's tokens are found again in run.sh.
_LINE = re.compile(r"^# (\S+\.json): (\d+) tokens$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maxtext:
    """`mix.json` for `grain_train_mixture_config_path`, or one for each stage, and `run.sh` with the settings it needs.

    The ArrayRecord files are whoever trains' own: records of whole documents.
    """

    title: ClassVar[str] = "MaxText: mixture for grain (JSON)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "grain==0.2.18"
    data: ClassVar[str] = ""

    def export(self, order: Order, out: Path) -> Export:
        """Write `mix.json`, or `stage1.json`, …, and `run.sh`.

        Raises:
            InputError: mean lengths, tokens or, for stages, the tokens of a step that are not known.
        """
        stages = list(order.stages())
        names = ["mix.json"] if len(stages) == 1 else [f"stage{i}.json" for i in range(1, len(stages) + 1)]
        found, texts = [], []
        for stage, name in zip(stages, names, strict=True):
            rows = _rounded(row_shares(order, used(stage)))
            realised = token_shares(order, _whole(rows))
            found.append(as_stage(order, stage, rows, realised, (name,)))
            texts.append(_json(order, rows))
        script = _script(order, stages, names)
        for name, text in zip(names, texts, strict=True):
            write_text(out / name, text)
        write_text(out / RUN, script)
        return Export(
            target="maxtext",
            unit="documents",
            sentence=SENTENCE,
            arithmetic=ARITHMETIC,
            stages=tuple(found),
            order=order,
            losses=tuple(_losses(stages)),
            files=(*names, RUN),
        )

    def read(self, path: Path) -> Imported:
        """The components in a JSON, the patterns in a YAML's `grain_train_files`, or the schedule in a folder."""
        files = _stage_files(path) if path.is_dir() else [path]
        beside = files[0].parent / RUN
        told = dict(_LINE.findall(read_text(beside))) if beside.is_file() else {}
        notes: list[str] = []
        ends: list[tuple[float, Mapping[str, float]]] = []
        end = 0.0
        for file in files:
            end += int(told.get(file.name, 1))
            ends.append((end, _components(file, notes)))
        if len(files) > 1 and not told:
            notes.append("How long each stage is stands in no file: they are taken as equally long.")
        n_tokens = int(end) if all(file.name in told for file in files) else None
        return Imported(
            plan=RunPlan(schedule=configs.schedule(path, ends), scale=Scale(n_tokens=n_tokens)),
            unit="documents",
            notes=tuple(notes),
        )

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Documents that grain's mix draws by the written weights: as many as n, each of its domain's mean length."""
        import grain.python as grain

        plain = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        found, n = [], min(n, MOST)
        for written in export.stages:
            weights = _components(out / written.files[0], [])
            total = math.fsum(weights.values())
            parts = {
                name: grain.MapDataset.source([name]).repeat(num_epochs=None).to_iter_dataset(read_options=plain)
                for name in weights
            }
            counts = dict.fromkeys(weights, 0)
            mix = grain.IterDataset.mix(parts, {name: weight / total for name, weight in weights.items()})
            for name, _ in zip(mix, range(n), strict=False):
                counts[name] += 1
            tokens = {name: k * export.order.mean_tokens(name) for name, k in counts.items()}
            drawn = math.fsum(tokens.values())
            found.append(
                Realised(
                    asked=tuple((one.domain, one.weight) for one in written.shares),
                    realised=tuple((name, one / drawn) for name, one in tokens.items()),
                    n_tokens=round(drawn),
                )
            )
        how = (
            f"Mixed by IterDataset.mix of {self.package}, as MaxText calls it: {n:,} documents a stage, each taken as "
            "long as its domain's mean. MaxText itself and its data were not read."
        )
        return Verification(stages=tuple(found), how=how)


def _rounded(weights: Mapping[str, float]) -> dict[str, float]:
    """The nearest whole numbers with the smallest at 100, as written."""
    least = min(weights.values())
    return {
        name: float(SMALLEST) if weight == least else round(SMALLEST * weight / least) * (1.0 + NUDGE)
        for name, weight in weights.items()
    }


def _whole(weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that grain makes of written weights."""
    total = math.fsum(weights.values())
    scaled = {name: weight / total for name, weight in weights.items()}
    factor = SMALLEST / min(scaled.values())
    return {name: int(weight * factor) for name, weight in scaled.items()}


def _json(order: Order, rows: Mapping[str, float]) -> str:
    lines = [
        f'  {configs.quoted(name)}: {{"path": {configs.quoted(glob.escape(f"{order.data}/{name}") + SUFFIX)}, '
        f'"weight": {weight!r}}}'
        for name, weight in rows.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _script(order: Order, stages: list[OrderStage], names: list[str]) -> str:
    """Commands for the stages, with steps where the tokens of a step are known.

    Raises:
        InputError: several stages, and steps are not known.
    """
    step = order.need("batch_tokens") if len(stages) > 1 else order.batch_tokens
    passes = math.ceil(max(order.epochs().values(), default=1.0)) + 1
    lines = ["#!/bin/sh", *configs.header(order, SENTENCE, ARITHMETIC)]
    lines += [f"# {name}: {stage.n_tokens} tokens" for name, stage in zip(names, stages, strict=True)]
    lines += [
        "# TRAIN is your command, such as `python3 -m MaxText.train base.yml run_name=mine`, one name for all stages:",
        "# they go on from its checkpoint. The weights count whole documents, which must not be cut (use_truncation),",
        "# and a domain that ends would end the run (num_epoch). Paths are relative to the folder this runs in.",
        "set -eu",
    ]
    for name, stage in zip(names, stages, strict=True):
        steps = f" steps={round(stage.end / step)}" if step else ""
        lines.append(
            f"$TRAIN dataset_type=grain grain_file_type=arrayrecord grain_train_mixture_config_path={name}"
            f" num_epoch={passes} use_truncation=False{steps}"
        )
    return "\n".join(lines) + "\n"


def _losses(stages: list[OrderStage]) -> list[str]:
    lines = [
        "Weights count documents by their mean length: a share of tokens holds over many of them, not in a batch.",
        "grain mixes by whole numbers of which the smallest is 100: a share is off by half a hundredth of it at most.",
    ]
    if len({tuple(sorted(used(stage))) for stage in stages}) > 1:
        lines.append(
            "A domain that a stage leaves out may begin anew when it comes back: MaxText keeps the places of the "
            "domains that a file names."
        )
    return lines


def _stage_files(folder: Path) -> list[Path]:
    """The files of an exported folder, in order.

    Raises:
        InputError: none.
    """
    staged = sorted(folder.glob("stage*.json"), key=lambda file: int("0" + re.sub(r"\D", "", file.stem)))
    found = staged or [file for file in [folder / "mix.json"] if file.is_file()]
    if not found:
        raise configs.no_file(folder, "no mix.json, no stage1.json", "a mixture for MaxText")
    return found


def _components(file: Path, notes: list[str]) -> dict[str, float]:
    """Weight of each component; adds notes.

    Raises:
        InputError: no such file, or weights that grain would refuse.
    """
    if file.suffix == ".json":
        try:
            data: Any = json.loads(read_text(file))
        except json.JSONDecodeError as error:
            raise configs.no_file(file, f"line {error.lineno}: {error.msg}", "JSON") from None
        known = {"path", "weight"}
        if not isinstance(data, dict) or not all(isinstance(one, dict) and set(one) == known for one in data.values()):
            raise configs.no_file(file, "other entries", '{"web": {"path": "…", "weight": 0.3}, …}')
        pairs = [(str(name), one["weight"]) for name, one in data.items()]
    else:
        data = configs.read_yaml(file)
        text = data.get("grain_train_files") if isinstance(data, dict) else None
        words = [one.split(",") for one in text.split(";")] if isinstance(text, str) else []
        if len(words) < 2 or any(len(one) != 2 for one in words):
            raise configs.no_file(file, f"grain_train_files: {text!r}", "patterns and weights, `a*,0.3;b*,0.7`")
        names = configs.names_of([one[0].strip().rstrip("*").removesuffix(SUFFIX[:-1]) for one in words], file.parent)
        pairs = list(zip(names, (one[1] for one in words), strict=True))
        notes.append("MaxText rounds these weights to 4 decimals.")
    try:
        weights = [float(weight) for _, weight in pairs]
    except (TypeError, ValueError) as error:
        raise configs.no_file(file, str(error), "weights as numbers") from None
    if not weights or not all(0.0 < weight < math.inf for weight in weights):
        raise InputError(
            f"`{file}` has a weight that grain refuses", value=min(weights, default=None), bound="numbers > 0",
            remedy="leave the component out",
        )  # fmt: skip
    return configs.merged([name for name, _ in pairs], weights, notes)
