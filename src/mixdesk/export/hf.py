"""Hugging Face datasets: a script that selects, joins and shuffles rows, and draws them as a stream.

    rows r_d = w_d T / ℓ_d, probability of a row q_d = (w_d / ℓ_d) / Σ_j (w_j / ℓ_j)

w_d share of tokens, T tokens of the run, ℓ_d mean tokens of a document. No stopping rule of `interleave_datasets` gives
T tokens with shares w: the first ends with the scarcest domain, the others repeat or drop the rest. So rows are
selected, and the stream, which draws at random, is cut after as many rows.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import ClassVar

from mixdesk.core.export import Export, Imported, Order, Verification
from mixdesk.core.plan import RunPlan
from mixdesk.export import prepared
from mixdesk.export.configs import merged, no_file, schedule
from mixdesk.export.prepared import SCRIPT
from mixdesk.export.units import row_shares, used, wobble

_STREAM = '''
# Share of rows of each domain in each stage, w_d / l_d together one, and rows of the stage: what `stream` draws.
PROBABILITIES = {probabilities}
ROWS = {rows}


def stream(k, buffer_size=10_000):
    """Rows of stage k drawn at random and whole, as many as it has on average; nothing is written before."""
    parts = [
        load_dataset("json", data_files=str(DATA / f"{{name}}.jsonl"), split="train", streaming=True)
        .shuffle(seed=SEED + k, buffer_size=buffer_size)
        .repeat(None)
        for name in PROBABILITIES[k]
    ]
    shares = list(PROBABILITIES[k].values())
    drawn = interleave_datasets(parts, probabilities=shares, seed=SEED + k, stopping_strategy="all_exhausted")
    return drawn.take(ROWS[k])
'''
_RULES = {
    "first_exhausted": "It stops when the first dataset is used up: the rest of the others is never seen.",
    "all_exhausted": "It goes on until every dataset was used up once; the others are repeated in the same order.",
    "all_exhausted_without_replacement": "Every row comes once, so the whole run has the natural mixture, and the "
    "shares of the file hold only until the first dataset is used up.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFace:
    """A script for `datasets`: `stage(k)` gives the rows of a stage, `stream(k)` draws them at random."""

    title: ClassVar[str] = "Hugging Face datasets: a script that selects rows so that shares of tokens hold"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "datasets==5.2.0"
    data: ClassVar[str] = "rows"

    def export(self, order: Order, out: Path) -> Export:
        """Write `mixture.py`."""
        sentence = (
            "The script applies the numbers: it selects so many tokens of each domain's rows, by passes of the domain; "
            "datasets itself knows no weights."
        )
        shares = [row_shares(order, used(stage)) for stage in order.stages()]
        rows = [
            max(1, round(math.fsum(w * stage.n_tokens / order.mean_tokens(n) for n, w in used(stage).items())))
            for stage in order.stages()
        ]
        more = _STREAM.format(probabilities=_listed(shares), rows=rows)
        stages = prepared.write_script(order, out, sentence, more, ("interleave_datasets", "load_dataset"))
        losses = [
            *prepared.repeated(order),
            "`stage` cuts one document of each domain at each end of a stage, so that shares of tokens are exact.",
            f"`stream` draws rows at random: shares of tokens differ by about {100 * wobble(order):.2g} % of the run; "
            "it starts every domain anew at each stage.",
        ]
        return Export(
            target="hf",
            unit="tokens",
            sentence=sentence,
            arithmetic="written = weight x tokens of the stage; rows of `stream` by weight / mean tokens of a document",
            stages=tuple(stages),
            order=order,
            losses=tuple(losses),
            files=(SCRIPT,),
        )

    def read(self, path: Path) -> Imported:
        """The mixture of a script of ours, or of the first call of `interleave_datasets` in a Python file."""
        path = path / SCRIPT if path.is_dir() else path
        if prepared.literal_in(path, "STAGES") is not None:
            return prepared.read_script(path)
        return _from_call(path)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Run the script and count what it selects; the whole run, however large n is."""
        with prepared.bench(out, export) as bench:
            stage = bench.script()["stage"]
            drawn = [stage(k) for k in range(len(export.stages))]
            found = [
                bench.realised(one, rows[prepared.DOMAIN], map(len, rows[prepared.TEXT]))
                for one, rows in zip(export.stages, drawn, strict=True)
            ]
        return Verification(
            stages=tuple(found),
            how=f"datasets {version('datasets')} ran the script: every row it selects, its text counted in characters "
            "and scaled by the tokens per character of its domain.",
        )


def _from_call(path: Path) -> Imported:
    module = prepared.tree(path)
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call) and _called(node) == "interleave_datasets"]
    bound = "a call of interleave_datasets with a list of datasets"
    if not calls:
        raise no_file(path, "no interleave_datasets", bound)
    call, notes = calls[0], [f"The first of {len(calls)} calls is read."] if len(calls) > 1 else []
    given = {key.arg: key.value for key in call.keywords if key.arg}
    listed = _value(module, call.args[0] if call.args else given.get("datasets"))
    if not isinstance(listed, ast.List | ast.Tuple) or not listed.elts:
        raise no_file(path, "datasets that are no list", bound)
    names = [_name(module, one) for one in listed.elts]
    node = _value(module, given.get("probabilities", call.args[1] if len(call.args) > 1 else None))
    try:
        shares = [1.0] * len(names) if node is None else [float(one) for one in ast.literal_eval(node)]
    except (ValueError, TypeError):
        raise no_file(path, "probabilities that are no numbers", "probabilities=[0.6, …] as numbers") from None
    if len(shares) != len(names):
        raise no_file(path, f"{len(shares)} probabilities of {len(names)} datasets", "one for each")
    if node is None:
        notes.append("Without probabilities rows are taken in turn, one from each dataset.")
    elif abs(math.fsum(shares) - 1.0) > 1e-8:
        notes.append(
            f"The probabilities sum to {math.fsum(shares):g}; datasets refuses all but 1. They are scaled here."
        )
    rule = given.get("stopping_strategy")
    notes.append(_RULES.get(str(getattr(rule, "value", "first_exhausted")), _RULES["first_exhausted"]))
    stages = [(1.0, merged(names, shares, notes))]
    return Imported(plan=RunPlan(schedule=schedule(path, stages)), unit="rows", notes=tuple(notes))


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


def _value(module: ast.Module, node: ast.expr | None) -> ast.expr | None:
    """A node, or what the variable that it names was last set to."""
    if not isinstance(node, ast.Name):
        return node
    found = [
        one.value for one in ast.walk(module)
        if isinstance(one, ast.Assign) and any(getattr(target, "id", None) == node.id for target in one.targets)
    ]  # fmt: skip
    return found[-1] if found else None


def _name(module: ast.Module, node: ast.expr) -> str:
    """What a dataset in the list is called: its variable, or the file or name that it is loaded from."""
    if isinstance(node, ast.Name):
        return node.id
    texts = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    files = [text for text in texts if PurePosixPath(text).suffix in (".jsonl", ".json", ".parquet", ".csv", ".txt")]
    return PurePosixPath(files[0]).stem if files else texts[0] if texts else ast.unparse(node)


def _listed(shares: list[dict[str, float]]) -> str:
    return "[\n" + "".join(f"    {one!r},\n" for one in shares) + "]"
