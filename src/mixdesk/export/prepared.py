"""Rows prepared for trainers that draw rows: a script that selects them so that shares of tokens hold, and its numbers.

    w_d T tokens of domain d are w_d T / N_d passes of its file: whole passes, each in its own order, then a part

A place in that endless order is counted in characters of the text, which stand for tokens within a domain, so lengths
of documents do not matter; a stage begins where the last one ended, and the text at a boundary is cut. w_d share of
tokens, T tokens of the run, N_d unique tokens.
"""

from __future__ import annotations

import ast
import json
import math
import re
import runpy
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, ExportStage, Imported, Order, Realised
from mixdesk.core.files import read_text, write_text
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.configs import header, names_of, no_file, schedule, too_small
from mixdesk.export.units import as_realised, as_stage, resolution, rows, token_shares, used, whole

SCRIPT, FOLDER, RUN = "mixture.py", "prepared", "run.sh"
_ENDING = re.compile(r"\.(jsonl?|ndjson|parquet|csv|tsv|txt|arrow)(\.(gz|zst))?$")
# The column of the rows that are written in which the domain stands.
DOMAIN, TEXT = "domain", "text"

_SCRIPT = '''{header}
"""Rows of each stage, selected so that shares of tokens are as asked: `python {name}` writes them under `{folder}/`.

Or in Python: `from mixture import stage; rows = stage(0)`, and `rows.to_iterable_dataset()` for a stream of them.
"""

import json
import math
from pathlib import Path

import numpy as np
from datasets import {imports}

HERE = Path(__file__).resolve().parent
DATA = HERE / {data}
TEXT = "{text}"
SEED = 0
# Training tokens of each domain: those of the file DATA/DOMAIN.jsonl.
SIZES = {sizes}
# Tokens of each domain in each stage.
STAGES = {stages}


def part(name, start, end):
    """Rows of a domain between two places of its order, both in passes of its file; rows without TEXT stay whole."""
    data = Dataset.from_json(str(DATA / f"{{name}}.jsonl"))
    has_text = TEXT in data.column_names
    if has_text:
        data = data.select_columns([TEXT])
    sizes = np.array([len(row[TEXT] if has_text else json.dumps(row)) for row in data])
    found = []
    for i in range(int(start), math.ceil(end)):
        order = np.random.default_rng([SEED, i]).permutation(len(data))
        ends = np.cumsum(sizes[order])
        starts = ends - sizes[order]
        low, high = (round(min(max(place - i, 0.0), 1.0) * int(ends[-1])) for place in (start, end))
        if not has_text:
            middles = starts + sizes[order] / 2
            found.append(data.select(order[(middles >= low) & (middles < high)]))
        elif low < high:
            first, last = int(np.searchsorted(ends, low, side="right")), int(np.searchsorted(ends, high, side="left"))
            edges = [
                data[int(order[j])][TEXT][max(low - int(starts[j]), 0) : high - int(starts[j])]
                for j in sorted({{first, last}})
            ]
            found.append(data.select(order[first + 1 : last]))
            found.append(Dataset.from_dict({{TEXT: edges}}, features=data.features))
    rows = concatenate_datasets(found)
    return rows.add_column("{domain}", [name] * len(rows))


def stage(k):
    """All rows of stage k, shuffled; each domain goes on where the stage before left it."""
    parts = []
    for name, tokens in STAGES[k].items():
        before = sum(one.get(name, 0) for one in STAGES[:k])
        parts.append(part(name, before / SIZES[name], (before + tokens) / SIZES[name]))
    return concatenate_datasets(parts).shuffle(seed=SEED + k)
{more}

if __name__ == "__main__":
    for k in range(len(STAGES)):
        (HERE / "{folder}").mkdir(exist_ok=True)
        stage(k).to_json(str(HERE / "{folder}" / f"stage{{k}}.jsonl"), force_ascii=False)
'''


def prepared_file(i: int) -> str:
    """The file of the rows of stage i, relative to the script."""
    return f"{FOLDER}/stage{i}.jsonl"


def tokens_of(order: Order) -> list[dict[str, int]]:
    """Whole tokens of each domain in each stage.

    Raises:
        InputError: a weight under one token, or a domain whose tokens are not counted.
    """
    found = []
    for stage in order.stages():
        weights = used(stage)
        for name, weight in weights.items():
            if not order.domain(name).n_tokens:
                raise InputError(
                    f"the tokens of `{name}` are not known", value="none counted",
                    bound="a count: rows are selected by passes of the domain",
                    remedy="name the corpus with --corpus",
                )  # fmt: skip
            if weight * stage.n_tokens < 1.0:
                raise InputError(
                    f"the weight of `{name}` is under one token", value=weight, bound=f"≥ {1.0 / stage.n_tokens:.3g}",
                    remedy="leave the domain out or take a longer run",
                )  # fmt: skip
        found.append(whole(weights, stage.n_tokens))
    return found


def write_script(
    order: Order, out: Path, sentence: str, more: str = "", imports: Sequence[str] = ()
) -> list[ExportStage]:
    """Write the script, with functions `more` that use `imports` of datasets in it; the stages as it makes them.

    Raises:
        InputError: as in `tokens_of`.
    """
    tokens = tokens_of(order)
    sizes = {name: order.domain(name).n_tokens for name in order.names}
    imported = ", ".join(sorted(["Dataset", "concatenate_datasets", *imports], key=lambda one: (one != "Dataset", one)))
    text = _SCRIPT.format(
        header="\n".join(header(order, sentence, "tokens = weight x tokens of the stage")),
        name=SCRIPT, folder=FOLDER, data=json.dumps(order.data), text=TEXT, domain=DOMAIN,
        sizes=_literal(sizes), stages="[\n" + "".join(f"    {_literal(one, 4)},\n" for one in tokens) + "]",
        more=more, imports=imported,
    )  # fmt: skip
    write_text(out / SCRIPT, text)
    return [
        as_stage(order, stage, amounts, {name: n / stage.n_tokens for name, n in amounts.items()}, (SCRIPT,))
        for stage, amounts in zip(order.stages(), tokens, strict=True)
    ]


def read_script(path: Path) -> Imported:
    """The mixture in a script that `write_script` wrote, or that somebody changed, with the counts in it.

    Raises:
        InputError: no such script.
    """
    sizes, stages = (literal_in(path, name) for name in ("SIZES", "STAGES"))
    if not isinstance(sizes, dict) or not isinstance(stages, list) or not all(isinstance(one, dict) for one in stages):
        raise no_file(path, "no SIZES or no STAGES", f"a {SCRIPT} that was exported")
    ends, end = [], 0.0
    try:
        for one in stages:
            end += sum(one.values())
            ends.append((end, one))
        domains = tuple(Domain(name=name, n_tokens=size) for name, size in sizes.items())
    except TypeError as error:
        raise no_file(path, str(error), "numbers of tokens") from None
    plan = RunPlan(schedule=schedule(path, ends), scale=Scale(n_tokens=int(end) or None))
    return Imported(plan=plan, domains=domains)


def literal_in(path: Path, name: str) -> Any:
    """The value of a variable that a Python file sets to plain data; None where it does not.

    Raises:
        InputError: not Python.
    """
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            try:
                return ast.literal_eval(node.value)
            except (ValueError, TypeError):
                return None
    return None


def tree(path: Path) -> ast.Module:
    """A Python file as its syntax tree; it is not run.

    Raises:
        InputError: not Python.
    """
    try:
        return ast.parse(read_text(path))
    except (SyntaxError, ValueError) as error:
        raise no_file(path, str(error), "Python") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A folder to try an export in: its files beside its data, apart from the export.

    `rows` tokens of each row, by domain; `tokens_per_character` of them. `datasets` keeps what it caches in the folder.
    """

    folder: Path
    rows: Mapping[str, NDArray[np.float64]]
    tokens_per_character: Mapping[str, float]

    def script(self) -> dict[str, Any]:
        """What the export's script defines, by name."""
        return runpy.run_path(str(self.folder / SCRIPT), run_name="mixture")

    def prepare(self) -> None:
        """Run the script: `prepared/` has the rows of every stage."""
        runpy.run_path(str(self.folder / SCRIPT), run_name="__main__")

    def realised(
        self,
        stage: ExportStage,
        names: Iterable[str],
        characters: Iterable[int],
        *,
        whole: bool = False,
        again: bool = False,
    ) -> Realised:
        """Shares of tokens of the rows drawn, of which these are the domains and the characters of their texts.

        Args:
            stage: as it was written.
            names: domain of each row.
            characters: of each row.
            whole: rows are taken whole: what rounding to them and the chance of their lengths make is allowed.
            again: rows beyond a pass are drawn with replacement.
        """
        spent = {one.domain: 0.0 for one in stage.shares}
        drawn = dict.fromkeys(spent, 0)
        for name, n in zip(names, characters, strict=True):
            spent[name] += n * self.tokens_per_character[name]
            drawn[name] += 1
        total = round(sum(spent.values()))
        found = as_realised(stage, spent, total)
        if not whole:
            return found
        halves = {name: float(self.rows[name].mean()) / 2.0 for name in drawn}
        spread = {name: _spread(self.rows[name], n, again=again) for name, n in drawn.items()}
        both = math.fsum(one**2 for one in spread.values())
        chance = max(
            math.sqrt((1.0 - 2.0 * one.weight) * spread[one.domain] ** 2 + one.weight**2 * both) for one in stage.shares
        )
        return replace(found, chance=chance / total, resolution=resolution(stage, halves, total))


def _spread(tokens: NDArray[np.float64], n: int, *, again: bool) -> float:
    """Standard deviation of the tokens of n rows: whole passes and a part at random, or one and draws with replacement.

    >>> tokens = np.array([10.0, 20.0, 30.0, 40.0])
    >>> [round(_spread(tokens, n, again=again), 6) for n, again in ((2, False), (4, False), (6, False), (6, True))]
    [12.909944, 0.0, 12.909944, 15.811388]
    """
    if again and n > len(tokens):
        return math.sqrt((n - len(tokens)) * float(tokens.var()))
    part = n % len(tokens)
    return math.sqrt(part * (1.0 - part / len(tokens)) * float(tokens.var(ddof=1))) if part else 0.0


def about_chance(found: Sequence[Realised]) -> str:
    """What rows taken whole may miss, as the end of a sentence on a verification; nothing where none are."""
    most = max(one.allowed for one in found)
    return f" Rows are whole and their lengths chance, which may move a share by {most:.2g}." if found[0].chance else ""


@contextmanager
def bench(out: Path, export: Export, *, marked: bool = False) -> Iterator[Bench]:
    """A folder to try an export in, for as long as it is tried; `marked`: its rows have the domain in them.

    Raises:
        ModuleNotFoundError: `datasets` is not installed.
        InputError: the data are not there or not whole.
    """
    import datasets

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        kept, bars = datasets.config.HF_DATASETS_CACHE, datasets.are_progress_bars_disabled()
        datasets.config.HF_DATASETS_CACHE = str(folder / "cache")
        datasets.disable_progress_bars()
        try:
            for name in export.files:
                if (out / name).is_file():
                    write_text(folder / name, read_text(out / name))
            rows, ratios = _lay_data(out, folder, export.order, marked=marked)
            yield Bench(folder=folder, rows=rows, tokens_per_character=ratios)
        finally:
            datasets.config.HF_DATASETS_CACHE = kept
            if not bars:
                datasets.enable_progress_bars()


def _lay_data(
    out: Path, folder: Path, order: Order, *, marked: bool
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Put the data beside the files; of each domain the tokens of its rows, and tokens per character."""
    rows, ratios = {}, {}
    for name in order.names:
        path = out / order.data / f"{name}.jsonl"
        if not path.is_file():
            raise InputError(
                f"the rows of `{name}` are not there", value=str(path), bound="JSON lines of texts",
                remedy="put them there, or export with the corpus",
            )  # fmt: skip
        found_rows = [json.loads(line) for line in read_text(path).splitlines() if line.strip()]
        lengths = np.array([len(row[TEXT]) for row in found_rows if TEXT in row], dtype=np.float64)
        n = int(lengths.sum())
        size = order.domain(name).n_tokens
        if not n or not size:
            raise InputError(
                f"tokens of `{name}` cannot be told from its rows", value=f"{n} characters, {size or 'no'} tokens",
                bound=f"rows with `{TEXT}` and a count of tokens", remedy="verify with such rows",
            )  # fmt: skip
        ratios[name] = size / n
        rows[name] = lengths * ratios[name]
        if not Path(order.data).is_absolute():
            there = folder / order.data / f"{name}.jsonl"
            there.parent.mkdir(parents=True, exist_ok=True)
            if marked:
                lines = (json.dumps({**row, DOMAIN: name}, ensure_ascii=False) for row in found_rows)
                write_text(there, "\n".join(lines) + "\n")
            else:
                there.symlink_to(path.resolve())
    return rows, ratios


def repeated(order: Order) -> list[str]:
    """Domains that the run passes more than once, in plain words."""
    found = [f"`{name}` {passes:.3g} times" for name, passes in order.epochs().items() if passes > 1.0 + 1e-9]
    return [f"Passed more than once, each time in another order: {', '.join(found)}."] if found else []


def export_prepared(
    order: Order,
    out: Path,
    target: str,
    sentence: str,
    config: Callable[[int], str],
    command: Callable[[int], str],
) -> Export:
    """Write the script, a configuration `stage0.yaml`, … that reads each stage's rows, and `run.sh`.

    Args:
        order: as given.
        out: folder.
        target: name of the exporter.
        sentence: who applies the numbers.
        config: text of the configuration of stage i.
        command: shell line that trains stage i.

    Raises:
        InputError: as in `tokens_of`.
    """
    stages = write_script(order, out, sentence)
    n = len(stages)
    configs = [f"stage{i}.yaml" for i in range(n)]
    head = header(order, sentence, "rows: so many tokens of each domain, see mixture.py")
    for i, name in enumerate(configs):
        write_text(out / name, "\n".join(head) + "\n" + config(i))
    write_text(out / RUN, run_lines(order, [f"python {SCRIPT}", *(command(i) for i in range(n))]))
    return Export(
        target=target,
        unit="tokens",
        sentence=sentence,
        arithmetic="written = weight x tokens of the stage",
        stages=tuple(stages),
        order=order,
        losses=(*repeated(order), *restarts(n), "One document of each domain is cut at each end of a stage."),
        files=(SCRIPT, *configs, RUN),
    )


def restarts(n: int) -> list[str]:
    """What a trainer without stages does at the next one, in plain words; nothing where there is one stage."""
    if n == 1:
        return []
    return [
        f"This trainer has no stages: {RUN} trains {n} times, and optimizer and learning rate begin anew each time."
    ]


def run_lines(order: Order, commands: Sequence[str]) -> str:
    """A shell script: each stage goes on from what the last one left; the first argument is the model."""
    lines = [
        "#!/bin/sh",
        *header(order, "In this folder: sh run.sh MODEL", "each stage begins with the last one's model"),
    ]
    return "\n".join([*lines, "set -eu", *commands]) + "\n"


def whole_rows(order: Order) -> list[dict[str, int]]:
    """Whole rows of each domain in each stage, for trainers that take so many rows.

    Raises:
        InputError: a weight under half a row, or a mean length that is not known.
    """
    found = []
    for stage in order.stages():
        for name, weight in used(stage).items():
            least = 0.5 * order.mean_tokens(name) / stage.n_tokens
            if weight < least:
                raise too_small(name, weight, least, "rows are taken whole")
        found.append(rows(order, stage))
    return found


def rows_as_stages(order: Order, amounts: Sequence[Mapping[str, int]], files: Sequence[str]) -> list[ExportStage]:
    """Stages of whole rows, with the shares of tokens that they are on average; a file for each."""
    return [
        as_stage(order, stage, {n: float(a) for n, a in one.items()}, token_shares(order, one), (file,))
        for stage, one, file in zip(order.stages(), amounts, files, strict=True)
    ]


def row_losses(order: Order, stages: Sequence[ExportStage]) -> list[str]:
    """What rows taken whole and not by their length lose, in plain words."""
    worst = max((abs(one.weight - one.realised), one.domain) for stage in stages for one in stage.shares)
    found = ["Rows are taken whole, whatever their length: shares of tokens hold for rows of mean length."]
    if worst[0] > 1e-3:
        found.append(f"Whole rows move the share of `{worst[1]}` by {worst[0]:.2g}.")
    return found


def in_stages(path: Path, found: Sequence[Imported]) -> Imported:
    """Imports of one file per stage as one; stages are taken as equally long, since no such file says how long."""
    if len(found) == 1:
        return found[0]
    ends = [(i + 1.0, one.plan.schedule.stages[0].mixture.as_dict()) for i, one in enumerate(found)]
    notes = list(dict.fromkeys(note for one in found for note in one.notes))
    notes.append("The files do not say how long each stage is: equal lengths are shown.")
    plan = RunPlan(schedule=schedule(path, ends))
    domains = {one.name: one for part in found for one in part.domains}
    return Imported(plan=plan, unit=found[0].unit, domains=tuple(domains.values()), notes=tuple(notes))


def stage_files(path: Path, pattern: str) -> list[Path]:
    """A file, or the files of the stages in a folder in order.

    Raises:
        InputError: none in the folder.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(pattern), key=lambda one: (len(one.name), one.name))
    if not found:
        raise no_file(path, "nothing of that name", pattern)
    return found


def script_beside(path: Path, texts: Sequence[str]) -> Path | None:
    """The script whose rows the paths in `texts` are, where a configuration at `path` reads prepared rows."""
    script = (path if path.is_dir() else path.parent) / SCRIPT
    return script if script.is_file() and texts and all(text.startswith(FOLDER + "/") for text in texts) else None


def domain_names(paths: Sequence[str], beside: Path) -> list[str]:
    """Names of domains for paths of files of rows: without their endings."""
    return names_of([_ENDING.sub("", path) for path in paths], beside)


def count_rows(path: Path) -> int | None:
    """Rows of a file of JSON lines; None where it is not there."""
    if not path.is_file():
        return None
    return sum(1 for line in read_text(path).splitlines() if line.strip())


def _literal(values: Mapping[str, Any], indent: int = 0) -> str:
    pad = " " * indent
    return "{\n" + "".join(f"{pad}    {name!r}: {value!r},\n" for name, value in values.items()) + pad + "}"
