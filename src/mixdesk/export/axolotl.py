"""Axolotl: the `datasets` of its YAML.

    rows r_d = w_d T / ℓ_d: r_d // D_d times the whole file, then `split: train[:r_d % D_d]`

w_d share of tokens, T tokens of the run, ℓ_d mean tokens of a row, D_d rows. Axolotl 0.19 has no weights: a key
`weight` is accepted and ignored. It joins the entries of a file and shuffles; with `curriculum_sampling` it keeps their
order, which carries a schedule in one run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, Realised, Verification
from mixdesk.core.files import write_text
from mixdesk.core.plan import RunPlan
from mixdesk.export import prepared
from mixdesk.export.apart import run_apart
from mixdesk.export.configs import header, merged, no_file, quoted, read_yaml, schedule
from mixdesk.export.prepared import RUN, SCRIPT

CONFIG = "axolotl.yaml"
_SPLIT = re.compile(r"^\w+\[:(\d+)(%?)\]$")
_BARE = ("axolotl", "axolotl.utils", "axolotl.utils.data", "axolotl.utils.schemas")
# What Axolotl imports beside its schema, its loader of data sets and its merging.
_ABSENT = (
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "colorama", "axolotl.telemetry",
    "axolotl.utils.trainer", "axolotl.utils.samplers", "axolotl.utils.logging", "axolotl.utils.chat_templates",
)  # fmt: skip
_CODE = """
import json
import logging
import axolotl.utils.logging

axolotl.utils.logging.get_logger = lambda *a, **k: logging.getLogger()
from axolotl.utils.schemas.datasets import SFTDataset
from axolotl.utils.dict import DictDefault
from axolotl.utils.data.shared import datasets_with_name_generator, load_dataset_with_config, merge_datasets

config = DictDefault({"seed": 42, "shuffle_merged_datasets": True, **given["config"]})
entries = [DictDefault(SFTDataset(**one).model_dump(exclude_none=True)) for one in given["config"]["datasets"]]
parts = [load_dataset_with_config(one, False) for one in datasets_with_name_generator(entries)]
parts = [part["train"] if isinstance(part, dict) else part for part in parts]
rows = merge_datasets(parts, config)
open(given["answer"], "w").write(json.dumps([rows["domain"][:], [len(text) for text in rows["text"]]]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axolotl:
    """`prepared`: a script writes the rows of each stage and Axolotl takes them all in order; else repeated entries."""

    title: ClassVar[str] = "Axolotl: the datasets of its YAML"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "axolotl==0.19.0"
    data: ClassVar[str] = "rows"

    prepared: bool = True

    def export(self, order: Order, out: Path) -> Export:
        """Write `axolotl.yaml` and `run.sh`; with `prepared` the script of the rows.

        Raises:
            InputError: without `prepared`, a schedule, or a weight under half a row.
        """
        if not self.prepared:
            return _repeated(order, out)
        sentence = "mixture.py selects the rows by tokens; Axolotl takes all of them, once, and applies no weight."
        stages = prepared.write_script(order, out, sentence)
        n = len(stages)
        lines = [*header(order, sentence, "rows: so many tokens of each domain, see mixture.py"), "datasets:"]
        for i in range(n):
            lines += [f"  - path: {prepared.prepared_file(i)}", "    ds_type: json", "    type: completion"]
        write_text(out / CONFIG, "\n".join(lines) + "\n" + _training(order, n))
        write_text(out / RUN, prepared.run_lines(order, [f"python {SCRIPT}", _COMMAND]))
        losses = [*prepared.repeated(order), "One document of each domain is cut at each end of a stage."]
        if n > 1:
            losses.append(
                "The stages follow each other in one run by the order of their files: it must stay one epoch, and "
                "sample_packing moves rows between packs near a boundary."
            )
        return Export(
            target="axolotl", unit="tokens", sentence=sentence, arithmetic="written = weight x tokens of the stage",
            stages=tuple(stages), order=order, losses=tuple(losses), files=(SCRIPT, CONFIG, RUN),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """The mixture of a YAML of ours or of anyone, or of the folder of an export."""
        path = path / CONFIG if path.is_dir() else path
        data = read_yaml(path)
        entries = data.get("datasets") if isinstance(data, dict) else None
        if (
            not isinstance(entries, list)
            or not entries
            or not all(isinstance(e, dict) and "path" in e for e in entries)
        ):
            raise no_file(path, "no list of datasets", "`datasets:` with `path`")
        script = prepared.script_beside(path, [str(one["path"]) for one in entries])
        return prepared.read_script(script) if script is not None else _read(path, entries)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Shares of tokens of the rows that Axolotl's loader joins; the whole run, however large n is.

        Raises:
            ModuleNotFoundError: Axolotl, addict or `datasets` is not installed.
            InputError: the files or the data are not whole.
        """
        is_prepared = SCRIPT in export.files
        found: list[Realised] = []
        with prepared.bench(out, export, marked=not is_prepared) as bench:
            if is_prepared:
                bench.prepare()
            config = read_yaml(bench.folder / CONFIG)
            names, lengths = run_apart(_CODE, {"config": config}, bench.folder, absent=_ABSENT, bare=_BARE)
            ends = [len(names)]
            if is_prepared:
                ends = [
                    prepared.count_rows(bench.folder / prepared.prepared_file(i)) or 0
                    for i in range(len(export.stages))
                ]
            start = 0
            for stage, n_rows in zip(export.stages, ends, strict=True):
                own = slice(start, start + n_rows)
                found.append(bench.realised(stage, names[own], lengths[own], whole=not is_prepared))
                start += n_rows
        return Verification(
            stages=tuple(found),
            how=f"axolotl {version('axolotl')} checked the entries with SFTDataset and joined the rows with its own "
            "loader (stand-ins for models): every row in its order, its text counted in characters and scaled by the "
            "tokens per character of its domain." + prepared.about_chance(found),
        )


_COMMAND = 'axolotl train axolotl.yaml --base-model "$1" --output-dir out'


def _training(order: Order, n_stages: int) -> str:
    """Keys for one pass; rows longer than a sequence are split by type completion, none is dropped."""
    lines = ["num_epochs: 1"]
    if n_stages > 1:
        lines += ["shuffle_merged_datasets: false", "curriculum_sampling: true"]
    if order.seq_len:
        lines.append(f"sequence_len: {order.seq_len}")
    return "\n".join(lines) + "\n"


def _repeated(order: Order, out: Path) -> Export:
    sentence = "Axolotl has no weights and joins what is listed: an entry is a pass of a file or its first rows."
    arithmetic = "rows = weight x tokens of the run / mean tokens of a row, as whole passes and a part"
    if len(order.plan.schedule.stages) > 1:
        raise InputError(
            "entries of Axolotl are joined and shuffled, so they carry no schedule",
            value=f"{len(order.plan.schedule.stages)} stages", bound="one stage",
            remedy="export with prepared=true, where files are read in order",
        )  # fmt: skip
    amounts = prepared.whole_rows(order)
    lines = [*header(order, sentence, arithmetic), "datasets:"]
    for name, n_rows in amounts[0].items():
        passes, rest = divmod(n_rows, order.domain(name).n_docs)
        for split in ["train"] * passes + ([f"train[:{rest}]"] if rest else []):
            lines += [
                f"  - path: {quoted(f'{order.data}/{name}.jsonl')}", "    ds_type: json", "    type: completion",
                f"    split: {quoted(split)}",
            ]  # fmt: skip
    write_text(out / CONFIG, "\n".join(lines) + "\n" + _training(order, 1))
    write_text(out / RUN, prepared.run_lines(order, [_COMMAND]))
    stages = prepared.rows_as_stages(order, amounts, [CONFIG])
    losses = [*prepared.row_losses(order, stages), "Parts of a file are its first rows: shuffle the files before."]
    return Export(
        target="axolotl", unit="rows", sentence=sentence, arithmetic=arithmetic, stages=tuple(stages), order=order,
        losses=tuple(losses), files=(CONFIG, RUN),
    )  # fmt: skip


def _read(path: Path, entries: list[dict[str, Any]]) -> Imported:
    names = prepared.domain_names([str(one["path"]) for one in entries], path.parent)
    parts = [_part(path, one) for one in entries]
    counted = [prepared.count_rows(path.parent / str(one["path"])) for one in entries]
    notes = list[str]()
    if any("weight" in one for one in entries):
        notes.append("Axolotl 0.19 accepts the key `weight` and ignores it: every entry counts as it is.")
    if all(rows is not None for rows, _ in parts):
        unit, amounts = "rows", [float(rows or 0) for rows, _ in parts]
    elif all(rows is not None or there is not None for (rows, _), there in zip(parts, counted, strict=True)):
        unit = "rows"
        amounts = [
            float(rows) if rows is not None else share * (there or 0)
            for (rows, share), there in zip(parts, counted, strict=True)
        ]
    elif all(rows is None for rows, _ in parts):
        unit, amounts = "passes", [share for _, share in parts]
        notes.append("The entries are passes of files whose rows are not known.")
    else:
        raise no_file(path, "rows of some entries and shares of others", "files that are there to be counted")
    plan = RunPlan(schedule=schedule(path, [(1.0, merged(names, amounts, notes))]))
    return Imported(plan=plan, unit=unit, notes=tuple(notes))


def _part(path: Path, entry: dict[str, Any]) -> tuple[int | None, float]:
    """Rows of an entry where its split says them, else its part of the file."""
    share = 1.0 / int(entry["shards"]) if entry.get("shards") else 1.0
    split = str(entry.get("split") or "train")
    if "[" not in split:
        return None, share
    found = _SPLIT.match(split)
    if found is None:
        raise no_file(path, split, "a split such as train, train[:60%] or train[:150]")
    return (None, share * int(found[1]) / 100) if found[2] else (round(int(found[1]) * share), share)
