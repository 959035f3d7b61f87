"""ms-swift: `--dataset FILE#ROWS` of its command line.

    rows r_d = w_d T / ℓ_d, written as `data/web.jsonl#150`

w_d share of tokens, T tokens of the run, ℓ_d mean tokens of a row. ms-swift takes whole passes and a random part of so
many rows, and joins them. Its `--interleave_prob`, in files of others, is a probability of rows.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from mixdesk.core.export import Export, Imported, Order, Verification
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import RunPlan
from mixdesk.export import prepared
from mixdesk.export.apart import run_apart
from mixdesk.export.configs import merged, no_file, repeats, schedule
from mixdesk.export.prepared import RUN, SCRIPT

_ROWS = re.compile(r"^(?:(?:hf|ms)::)?(?P<path>.*?)(?:#(?P<rows>\d+))?$")
_BARE = ("swift", "swift.dataset")
_ABSENT = (
    "torch", "transformers", "modelscope", "swift.utils", "swift.hub", "swift.template", "swift.dataset.preprocessor",
    "swift.dataset.register",
)  # fmt: skip
_CODE = """
import json
import logging
import numpy as np
import datasets
import swift.utils

swift.utils.get_logger = lambda *a, **k: logging.getLogger()

from swift.dataset.dataset_meta import BaseDatasetLoader
from swift.dataset.dataset_syntax import DatasetSyntax

out = []
for words in given["stages"]:
    seed, parts = np.random.RandomState(42), []
    for word in words:
        one = DatasetSyntax.parse(word)
        rows = datasets.load_dataset("json", data_files=one.dataset, split="train")
        parts.append(BaseDatasetLoader.post_process(
            rows, dataset_sample=one.dataset_sample, split_dataset_ratio=0.0, streaming=False, shuffle=True,
            random_state=seed,
        )[0])
    rows = BaseDatasetLoader.concat_datasets(parts)
    out.append([rows["domain"][:], [len(text) for text in rows["text"]]])
open(given["answer"], "w").write(json.dumps(out))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MsSwift:
    """`prepared`: a script writes the rows of each stage and ms-swift takes all; else so many rows of each file."""

    title: ClassVar[str] = "ms-swift: the datasets of its command line"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "ms-swift==4.6.0"
    data: ClassVar[str] = "rows"

    prepared: bool = True

    def export(self, order: Order, out: Path) -> Export:
        """Write `run.sh`; with `prepared` the script of the rows.

        Raises:
            InputError: without `prepared`, a weight under half a row.
        """
        if not self.prepared:
            return _counted(order, out)
        sentence = "mixture.py selects the rows by tokens; ms-swift takes all of them, once, and applies no weight."
        stages = prepared.write_script(order, out, sentence)
        n = len(stages)
        commands = [_command(order, i, [prepared.prepared_file(i)]) for i in range(n)]
        write_text(out / RUN, prepared.run_lines(order, [f"python {SCRIPT}", *commands]))
        return Export(
            target="ms_swift", unit="tokens", sentence=sentence, arithmetic="written = weight x tokens of the stage",
            stages=tuple(stages), order=order, files=(SCRIPT, RUN),
            losses=(
                *prepared.repeated(order), *prepared.restarts(n),
                "One document of each domain is cut at each end of a stage.",
            ),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """The mixture of a shell script with `--dataset`, one stage per command, or of the folder of an export."""
        path = path / RUN if path.is_dir() else path
        commands = _commands(path)
        script = prepared.script_beside(path, [word for words, _ in commands for word in words])
        if script is not None:
            return prepared.read_script(script)
        return prepared.in_stages(path, [_read(path, words, shares) for words, shares in commands])

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Shares of tokens of the rows that ms-swift's own sampling takes; the whole run, however large n is.

        Raises:
            ModuleNotFoundError: ms-swift or `datasets` is not installed.
            InputError: the files or the data are not whole.
        """
        is_prepared = SCRIPT in export.files
        with prepared.bench(out, export, marked=not is_prepared) as bench:
            if is_prepared:
                bench.prepare()
            words = [words for words, _ in _commands(bench.folder / RUN)]
            drawn = run_apart(_CODE, {"stages": words}, bench.folder, absent=_ABSENT, bare=_BARE)
            found = [
                bench.realised(stage, names, lengths, whole=not is_prepared)
                for stage, (names, lengths) in zip(export.stages, drawn, strict=True)
            ]
        return Verification(
            stages=tuple(found),
            how=f"ms-swift {version('ms-swift')} parsed the words with DatasetSyntax, sampled and joined the rows with "
            "its own code (stand-ins for models and hubs): every row, its text counted in characters and scaled by the "
            "tokens per character of its domain." + prepared.about_chance(found),
        )


def _counted(order: Order, out: Path) -> Export:
    sentence = (
        "The number after # counts rows: ms-swift takes whole passes of the file and a random part, and joins them."
    )
    arithmetic = "rows = weight x tokens of the stage / mean tokens of a row"
    amounts = prepared.whole_rows(order)
    commands = [
        _command(order, i, [f"{order.data}/{name}.jsonl#{n}" for name, n in rows.items()])
        for i, rows in enumerate(amounts)
    ]
    write_text(out / RUN, prepared.run_lines(order, commands))
    stages = prepared.rows_as_stages(order, amounts, [RUN] * len(amounts))
    return Export(
        target="ms_swift", unit="rows", sentence=sentence, arithmetic=arithmetic, stages=tuple(stages), order=order,
        losses=(*prepared.row_losses(order, stages), *repeats(order), *prepared.restarts(len(stages))), files=(RUN,),
    )  # fmt: skip


def _command(order: Order, i: int, words: list[str]) -> str:
    """A command for one pass of plain text in which long rows are split and none is dropped."""
    model = '"$1"' if i == 0 else f"out/stage{i - 1}/last"
    length = f" --max_length {order.seq_len}" if order.seq_len else ""
    return (
        f"swift pt --model {model} --dataset {' '.join(shlex.quote(word) for word in words)} --num_train_epochs 1 "
        f"--truncation_strategy split{length} --add_version false --create_checkpoint_symlink true "
        f"--output_dir out/stage{i}"
    )


def _commands(path: Path) -> list[tuple[list[str], list[float]]]:
    """Of each command the words after `--dataset` and the numbers after `--interleave_prob`."""
    text = read_text(path).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        try:
            words = list(takewhile(lambda word: not word.startswith("#"), shlex.split(line)))
        except ValueError as error:
            raise no_file(path, str(error), "a shell script") from None
        given: dict[str, list[str]] = {}
        key = ""
        for word in words:
            if word.startswith("--"):
                key, _, value = word[2:].partition("=")
                given[key] = [value] if value else []
            elif key:
                given[key].append(word)
        if given.get("dataset"):
            try:
                found.append((given["dataset"], [float(one) for one in given.get("interleave_prob", [])]))
            except ValueError as error:
                raise no_file(path, str(error), "probabilities that are numbers") from None
    if not found:
        raise no_file(path, "no --dataset", "a shell script with `swift … --dataset FILE#ROWS …`")
    return found


def _read(path: Path, words: list[str], shares: list[float]) -> Imported:
    parsed = [_ROWS.match(word) for word in words]
    files = [one["path"] if one else "" for one in parsed]
    notes = list[str]()
    amounts: list[float] = shares
    if shares and len(shares) != len(words):
        raise no_file(path, f"{len(shares)} probabilities of {len(words)} datasets", "one for each")
    if shares:
        notes.append("--interleave_prob is a probability of rows; by default it stops when one dataset is used up.")
    else:
        for file, one in zip(files, parsed, strict=True):
            rows = int(one["rows"]) if one and one["rows"] else prepared.count_rows(path.parent / file)
            if rows is None:
                raise no_file(path, f"`{file}` without #ROWS", "FILE#ROWS, or a file that is there to be counted")
            amounts = [*amounts, float(rows)]
    names = prepared.domain_names(files, path.parent)
    plan = RunPlan(schedule=schedule(path, [(1.0, merged(names, amounts, notes))]))
    return Imported(plan=plan, unit="rows", notes=tuple(notes))
