"""TRL: a mixture of datasets (`DatasetMixtureConfig`) in the YAML that `trl sft --config` reads.

    fraction_d = (w_d / ℓ_d) / Σ_j (w_j / ℓ_j)

w_d share of tokens, ℓ_d mean tokens of a row. TRL normalises fractions, which count rows; the total is the largest in
which no dataset repeats, and of each the first rows are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Imported, Order, OrderStage, Realised, Verification, digits
from mixdesk.core.files import write_text
from mixdesk.core.plan import RunPlan
from mixdesk.export import prepared
from mixdesk.export.configs import header, merged, no_file, quoted, read_yaml, repeats, schedule, too_small
from mixdesk.export.units import as_stage, row_shares, used


@dataclass(frozen=True, slots=True, kw_only=True)
class Trl:
    """`prepared`: a script writes the rows of each stage and TRL takes them all; else fractions of rows."""

    title: ClassVar[str] = "TRL: DatasetMixtureConfig in YAML"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "trl==1.16.0"
    data: ClassVar[str] = "rows"

    prepared: bool = True

    def export(self, order: Order, out: Path) -> Export:
        """Write `stage0.yaml`, … and `run.sh`; with `prepared` the script of the rows.

        Raises:
            InputError: without `prepared`, a domain that is passed more than once in a stage.
        """
        if not self.prepared:
            return _fractions(order, out)
        sentence = "mixture.py selects the rows by tokens; TRL takes all of them, once, and applies no weight."

        def config(i: int) -> str:
            return f"datasets:\n  - path: json\n    data_files: {prepared.prepared_file(i)}\n{_training(order)}"

        return prepared.export_prepared(order, out, "trl", sentence, config, _command)

    def read(self, path: Path) -> Imported:
        """The mixture of a YAML of ours or of anyone, or of the folder of an export."""
        found = []
        for file in prepared.stage_files(path, "stage*.yaml"):
            entries = _entries(file)
            script = prepared.script_beside(file, [_source(one) for one in entries])
            if script is not None:
                return prepared.read_script(script)
            found.append(_read(file, entries))
        return prepared.in_stages(path, found)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Shares of tokens of the mixture that `trl.get_dataset` makes of each file; the whole run, however large n."""
        from trl.scripts.utils import DatasetMixtureConfig, get_dataset

        found: list[Realised] = []
        is_prepared = prepared.SCRIPT in export.files
        with prepared.bench(out, export, marked=not is_prepared) as bench, contextlib.chdir(bench.folder):
            if is_prepared:
                bench.prepare()
            for i, stage in enumerate(export.stages):
                known = {"datasets", "streaming", "test_split_size"}
                data = read_yaml(bench.folder / f"stage{i}.yaml")
                config = DatasetMixtureConfig(**{key: value for key, value in data.items() if key in known})
                rows = get_dataset(config)["train"]
                lengths = map(len, rows[prepared.TEXT])
                found.append(bench.realised(stage, rows[prepared.DOMAIN], lengths, whole=not is_prepared))
        return Verification(
            stages=tuple(found),
            how=f"trl {version('trl')} read the files with DatasetMixtureConfig and made the mixture with get_dataset: "
            "every row, its text counted in characters and scaled by the tokens per character of its domain."
            + prepared.about_chance(found),
        )


def _fractions(order: Order, out: Path) -> Export:
    sentence = "TRL normalises the fractions and counts rows with them, after which no dataset is passed twice."
    arithmetic = "fraction = (weight / mean tokens of a row), together one"
    stages, texts = [], []
    for i, stage in enumerate(order.stages()):
        shares = row_shares(order, used(stage))
        _check(order, stage, shares)
        lines = [*header(order, sentence, arithmetic), "datasets:"]
        for name, share in shares.items():
            lines += [
                "  - path: json", f"    data_files: {quoted(f'{order.data}/{name}.jsonl')}",
                f"    fraction: {digits(share)}",
            ]  # fmt: skip
        texts.append("\n".join(lines) + "\n" + _training(order))
        stages.append(as_stage(order, stage, shares, files=(f"stage{i}.yaml",)))
    files = [name for one in stages for name in one.files]
    for name, text in zip(files, texts, strict=True):
        write_text(out / name, text)
    write_text(out / prepared.RUN, prepared.run_lines(order, [_command(i) for i in range(len(files))]))
    return Export(
        target="trl", unit="rows", sentence=sentence, arithmetic=arithmetic, stages=tuple(stages), order=order,
        losses=(
            "The first rows of each file are taken: shuffle the files before.",
            "Rows are taken whole, whatever their length: shares of tokens hold for rows of mean length.",
            "TRL takes as many rows as it can without repeating one, which may be more than the run: set max_steps.",
            *repeats(order), *prepared.restarts(len(files)),
        ),
        files=(*files, prepared.RUN),
    )  # fmt: skip


def _check(order: Order, stage: OrderStage, shares: Mapping[str, float]) -> None:
    """Whether TRL passes no domain of a stage twice, and none gets no row.

    Raises:
        InputError: it does, or one gets none.
    """
    n_rows = min(order.domain(name).n_docs / share for name, share in shares.items())
    for name, weight in used(stage).items():
        passes = weight * stage.n_tokens / (order.domain(name).n_tokens or 1)
        if passes > 1.0 + 1e-9:
            raise InputError(
                f"TRL passes no dataset twice, and `{name}` is to be", value=f"{passes:.4g} epochs", bound="≤ 1",
                remedy="export with prepared=true, which repeats rows, or shorten the run",
            )  # fmt: skip
        if shares[name] * n_rows < 0.5:
            raise too_small(name, weight, weight * 0.5 / (shares[name] * n_rows), f"of {n_rows:,.0f} rows it gets none")


def _training(order: Order) -> str:
    """Keys for one pass in which no token is cut off."""
    lines = ["num_train_epochs: 1", "packing: true", "packing_strategy: bfd_split"]
    if order.seq_len:
        lines.append(f"max_length: {order.seq_len}")
    return "\n".join(lines) + "\n"


def _command(i: int) -> str:
    model = '"$1"' if i == 0 else f"out/stage{i - 1}"
    return f"trl sft --config stage{i}.yaml --model_name_or_path {model} --output_dir out/stage{i}"


def _entries(path: Path) -> list[dict[str, Any]]:
    data = read_yaml(path)
    found = data.get("datasets") if isinstance(data, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise no_file(path, "no list of datasets", "`datasets:` with `path` and `fraction`")
    return found


def _read(path: Path, entries: list[dict[str, Any]]) -> Imported:
    texts = [_source(one) for one in entries]
    names, notes = prepared.domain_names(texts, path.parent), list[str]()
    shares = [one.get("fraction") for one in entries]
    if all(share is None for share in shares):
        counted = [prepared.count_rows(path.parent / text) for text in texts]
        if None in counted:
            raise no_file(path, "no fractions", "fractions, or files of rows that are there to be counted")
        shares = counted
        notes.append("Without fractions TRL takes all rows of every dataset: the weights are their rows.")
    elif None in shares:
        raise no_file(path, "fractions of some datasets only", "fractions of all datasets or of none, as TRL wants it")
    else:
        notes.append("TRL takes as many rows as it can without repeating one: no dataset is passed twice.")
    try:
        weights = merged(names, [float(share) for share in shares if share is not None], notes)
    except (TypeError, ValueError) as error:
        raise no_file(path, str(error), "fractions that are numbers") from None
    plan = RunPlan(schedule=schedule(path, [(1.0, weights)]))
    return Imported(plan=plan, unit="rows", notes=tuple(notes))


def _source(entry: dict[str, Any]) -> str:
    files = entry.get("data_files")
    first = files[0] if isinstance(files, list) and files else files
    return str(first or entry.get("name") or entry.get("data_dir") or entry.get("path") or "")
