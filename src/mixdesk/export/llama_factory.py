"""LLaMA-Factory: `dataset_info.json`, and the YAML that `llamafactory-cli train` reads.

    num_samples_d = w_d T / ℓ_d

w_d share of tokens, T tokens of the run, ℓ_d mean tokens of a row. `num_samples` takes so many rows at random, further
ones with replacement once a dataset is used up; `mix_strategy: concat` joins them and no share is lost to a stopping
rule. Probabilities, in files of others, are those of rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, Realised, Verification
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import RunPlan
from mixdesk.export import prepared
from mixdesk.export.apart import run_apart
from mixdesk.export.configs import header, merged, no_file, quoted, read_yaml, repeats, schedule

INFO = "dataset_info.json"
# What LLaMA-Factory imports beside its own code, and does not use to read a data set.
_ABSENT = ("torch", "transformers", "peft", "torchaudio", "modelscope", "omegaconf", "av", "librosa", "trl")
_CODE = """
import json
import numpy as np
from types import SimpleNamespace
from llamafactory.data.loader import _get_merged_dataset
from llamafactory.hparams.data_args import DataArguments

out = []
for config in given["configs"]:
    np.random.seed(42)
    arguments = DataArguments(**config)
    model = SimpleNamespace(cache_dir=None, hf_hub_token=None)
    training = SimpleNamespace(local_process_index=0, dataloader_num_workers=0, seed=42)
    found = _get_merged_dataset(arguments.dataset, model, arguments, training, "pt", return_dict=True)
    out.append({name: [len(row["_prompt"][0]["content"]) for row in rows] for name, rows in found.items()})
open(given["answer"], "w").write(json.dumps(out))
"""
_KEYS = ("dataset", "dataset_dir", "mix_strategy", "interleave_probs", "cutoff_len", "packing")
_RULES = {
    "interleave_under": "It stops when the first dataset is used up.",
    "interleave_over": "It goes on until every dataset was used up; the others are repeated.",
    "interleave_once": "Every row comes once, so the whole run has the natural mixture.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaFactory:
    """`prepared`: a script writes the rows of each stage and LLaMA-Factory takes them all; else `num_samples`."""

    title: ClassVar[str] = "LLaMA-Factory: dataset_info.json and YAML"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "llamafactory==0.9.5"
    data: ClassVar[str] = "rows"

    prepared: bool = True

    def export(self, order: Order, out: Path) -> Export:
        """Write `dataset_info.json`, `stage0.yaml`, … and `run.sh`; with `prepared` the script of the rows.

        Raises:
            InputError: without `prepared`, a name with a comma, or a weight under half a row.
        """
        if not self.prepared:
            return _counted(order, out)
        sentence = (
            "mixture.py selects the rows by tokens; LLaMA-Factory takes all of them, once, and applies no weight."
        )
        names = [f"stage{i}" for i in range(len(order.plan.schedule.stages))]
        export = prepared.export_prepared(
            order, out, "llama_factory", sentence, lambda i: _config([names[i]], order), _command
        )
        _write_info({name: {"file_name": prepared.prepared_file(i)} for i, name in enumerate(names)}, out)
        return replace(export, files=(INFO, *export.files))

    def read(self, path: Path) -> Imported:
        """The mixture of a YAML with its `dataset_info.json`, of the latter alone, or of the folder of an export."""
        if path.name == INFO:
            return _read(path, {"dataset": ",".join(_info(path))}, path)
        found = []
        for file in prepared.stage_files(path, "stage*.yaml"):
            config = read_yaml(file)
            if not isinstance(config, dict) or "dataset" not in config:
                raise no_file(file, "no `dataset`", "a YAML of LLaMA-Factory with `dataset`")
            info = _info_of(file, config)
            texts = [str(_info(info).get(name, {}).get("file_name", "")) for name in _names(config)]
            script = prepared.script_beside(file, texts)
            if script is not None:
                return prepared.read_script(script)
            found.append(_read(file, config, info))
        return prepared.in_stages(path, found)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Shares of tokens of the rows that LLaMA-Factory's loader takes; the whole run, however large n is.

        Raises:
            ModuleNotFoundError: LLaMA-Factory or `datasets` is not installed.
            InputError: the files or the data are not whole.
        """
        is_prepared = prepared.SCRIPT in export.files
        found: list[Realised] = []
        with prepared.bench(out, export) as bench:
            if is_prepared:
                bench.prepare()
            configs = [read_yaml(bench.folder / f"stage{i}.yaml") for i in range(len(export.stages))]
            wanted = [{key: one[key] for key in _KEYS if key in one} for one in configs]
            drawn = run_apart(_CODE, {"configs": wanted}, bench.folder, absent=_ABSENT)
            for i, stage in enumerate(export.stages):
                lengths = [length for one in drawn[i].values() for length in one]
                if is_prepared:
                    found.append(bench.realised(stage, _domains(bench.folder, i), lengths))
                    continue
                names = [_plain(name) for name, one in drawn[i].items() for _ in one]
                found.append(bench.realised(stage, names, lengths, whole=True, again=True))
        return Verification(
            stages=tuple(found),
            how=f"llamafactory {version('llamafactory')} read the files with its DataArguments and loaded the rows "
            "with its own loader (stand-ins for models, sound and hubs): every row, its text counted in characters and "
            "scaled by the tokens per character of its domain." + prepared.about_chance(found),
        )


def _counted(order: Order, out: Path) -> Export:
    sentence = "num_samples counts rows: LLaMA-Factory takes so many of each dataset at random and joins them."
    arithmetic = "num_samples = weight x tokens of the stage / mean tokens of a row"
    for name in order.names:
        if "," in name or name != name.strip() or "@" in name:
            raise InputError(
                f"LLaMA-Factory cannot name `{name}`", value=name, bound="a name without commas, @ and outer spaces",
                remedy="export with prepared=true, or rename the domain",
            )  # fmt: skip
    amounts = prepared.whole_rows(order)
    losses, files = list[str](), list[str]()
    info: dict[str, dict[str, Any]] = {}
    for i, rows in enumerate(amounts):
        names = {name: name if len(amounts) == 1 else f"{name}@{i}" for name in rows}
        info |= {
            names[name]: {"file_name": f"{order.data}/{name}.jsonl", "columns": {"prompt": "text"}, "num_samples": n}
            for name, n in rows.items()
        }
        files.append(f"stage{i}.yaml")
        text = "\n".join(header(order, sentence, arithmetic)) + "\n" + _config(list(names.values()), order)
        write_text(out / files[-1], text)
        more = [name for name, n in rows.items() if n > order.domain(name).n_docs]
        if more:
            losses.append(f"Rows beyond one pass are drawn with replacement, not pass by pass: {', '.join(more)}.")
    _write_info(info, out)
    write_text(out / prepared.RUN, prepared.run_lines(order, [_command(i) for i in range(len(files))]))
    stages = prepared.rows_as_stages(order, amounts, files)
    return Export(
        target="llama_factory", unit="rows", sentence=sentence, arithmetic=arithmetic, stages=tuple(stages),
        order=order, files=(INFO, *files, prepared.RUN),
        losses=(
            *prepared.row_losses(order, stages), *losses, *repeats(order), *prepared.restarts(len(files)),
            "num_samples is not applied to streams.",
        ),
    )  # fmt: skip


def _config(names: list[str], order: Order) -> str:
    """Keys of the data, and those for one pass of plain text in which no token is cut off."""
    lines = [
        "stage: pt", "do_train: true", "dataset_dir: .", f"dataset: {quoted(','.join(names))}", "mix_strategy: concat",
        "packing: true", "num_train_epochs: 1",
    ]  # fmt: skip
    if order.seq_len:
        lines.append(f"cutoff_len: {order.seq_len}")
    return "\n".join(lines) + "\n"


def _command(i: int) -> str:
    model = '"$1"' if i == 0 else f"out/stage{i - 1}"
    return f"llamafactory-cli train stage{i}.yaml model_name_or_path={model} output_dir=out/stage{i}"


def _write_info(info: dict[str, dict[str, Any]], out: Path) -> None:
    filled = {name: {"columns": {"prompt": "text"}, **one} for name, one in info.items()}
    write_text(out / INFO, json.dumps(filled, indent=2, ensure_ascii=False) + "\n")


def _info(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path)) if path.is_file() else {}
    except ValueError as error:
        raise no_file(path, str(error), "JSON") from None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise no_file(path, "no object of datasets", f"a {INFO}")
    return found


def _info_of(path: Path, config: dict[str, Any]) -> Path:
    folder = Path(str(config.get("dataset_dir", "data")))
    beside = path.parent / folder / INFO
    return beside if beside.is_file() else path.parent / INFO


def _names(config: dict[str, Any]) -> list[str]:
    given = config["dataset"]
    parts = given if isinstance(given, list) else str(given).split(",")
    return [str(one).strip() for one in parts]


def _read(path: Path, config: dict[str, Any], info_path: Path) -> Imported:
    names, info, notes = _names(config), _info(info_path), list[str]()
    rule = str(config.get("mix_strategy", "concat"))
    if rule == "concat":
        if config.get("interleave_probs"):
            raise no_file(
                path, "interleave_probs with concat", "interleave_under or interleave_over, as the trainer wants"
            )
        amounts: list[float | None] = []
        for name in names:
            entry = info.get(name, {})
            there = prepared.count_rows(info_path.parent / str(entry.get("file_name", "")))
            amounts.append(entry.get("num_samples", there))
        if None in amounts:
            lacking = names[amounts.index(None)]
            raise no_file(
                path, f"`{lacking}` without num_samples", "num_samples, or a file that is there to be counted"
            )
        if len(set(names)) < len(names):
            notes.append("LLaMA-Factory 0.9.5 takes a dataset that is named twice once only.")
            kept = {name: amount for name, amount in zip(names, amounts, strict=True)}
            names, amounts = list(kept), list(kept.values())
        notes.append("All rows are joined: the weights are numbers of rows.")
    else:
        notes.append(_RULES.get(rule, f"`{rule}` is no mix_strategy of LLaMA-Factory."))
        given = str(config.get("interleave_probs") or "")
        amounts = [_number(path, one) for one in given.split(",")] if given else [1.0] * len(names)
        if len(amounts) != len(names):
            raise no_file(path, f"{len(amounts)} probabilities of {len(names)} datasets", "one for each")
        if given and abs(sum(one or 0.0 for one in amounts) - 1.0) > 1e-8:
            notes.append("The probabilities do not sum to 1, which datasets refuses. They are scaled here.")
    plain = [_plain(name) for name in names]
    weights = merged(plain, [_number(path, one) for one in amounts], notes)
    plan = RunPlan(schedule=schedule(path, [(1.0, weights)]))
    return Imported(plan=plan, unit="rows", notes=tuple(notes))


def _plain(name: str) -> str:
    """The domain of a dataset: its name without the stage that we may have added."""
    head, _, tail = name.rpartition("@")
    return head if head and tail.isdigit() else name


def _number(path: Path, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise no_file(path, f"{value!r}", "numbers") from None


def _domains(folder: Path, i: int) -> list[str]:
    lines = read_text(folder / prepared.prepared_file(i)).splitlines()
    return [json.loads(line)[prepared.DOMAIN] for line in lines]
