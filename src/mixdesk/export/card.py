"""The recipe as a card: Markdown for people, JSON for programs, CSV for tables; each alone is enough to train it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, ExportStage, Imported, Order, Share, Verification
from mixdesk.core.files import read_data, read_text, to_data, write_json, write_text
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Comparison
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale

MARKDOWN, JSON, CSV = "card.md", "card.json", "card.csv"
# The heading of a stage in the Markdown; read back by the same words.
_STAGE = re.compile(r"^## Stage \d+: until (\S+) of the run$")
_RUN = re.compile(r"^Tokens of the run: ([\d,]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Verdict, weights, epochs, rivals, limits, provenance: all to rebuild the mixture and to doubt it."""

    title: ClassVar[str] = "a card: Markdown, JSON and CSV"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = ""
    data: ClassVar[str] = ""

    def export(self, order: Order, out: Path) -> Export:
        """Write `card.md`, `card.json` and `card.csv`. The tokens of the run may be unknown."""
        stages = _stages(order)
        write_text(out / MARKDOWN, _markdown(order, stages))
        recipe = None if order.recipe is None else to_data(order.recipe, lean=True)
        counts = [to_data(order.domain(name), lean=True) for name in order.names]
        write_json(
            out / JSON,
            {"plan": to_data(order.plan, lean=True), "domains": counts, "source": order.source, "recipe": recipe},
        )
        lines = ["stage,until,domain,weight,epochs\n"]
        for i, (stage, written) in enumerate(zip(order.plan.schedule.stages, stages, strict=True), 1):
            for share in written.shares:
                epochs = "" if share.epochs is None else repr(share.epochs)
                lines.append(f"{i},{stage.until!r},{_quoted(share.domain)},{share.weight!r},{epochs}\n")
        write_text(out / CSV, "".join(lines))
        return Export(
            target="card",
            unit="tokens",
            sentence="Nobody applies a card: its weights are shares of training tokens, for whoever sets up the run.",
            arithmetic="written = weight",
            stages=tuple(stages),
            order=order,
            files=(MARKDOWN, JSON, CSV),
        )

    def read(self, path: Path) -> Imported:
        """The plan in a card of any of the three forms, or in the folder of one."""
        path = path / MARKDOWN if path.is_dir() else path
        if path.suffix == ".json":
            return Imported(plan=_from_json(path))
        return Imported(plan=_from_csv(path) if path.suffix == ".csv" else _from_markdown(path))

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Not for a card: no target draws from it.

        Raises:
            InputError: always.
        """
        raise InputError(
            "nothing draws samples from a card", value="card", bound="a trainer's files", remedy="export to a trainer"
        )


def _stages(order: Order) -> list[ExportStage]:
    found = []
    tokens = list(order.stages()) if order.n_tokens else None
    for i, stage in enumerate(order.plan.schedule.stages):
        shares = []
        for name, weight in stage.mixture.as_dict().items():
            size = order.domain(name).n_tokens
            epochs = weight * tokens[i].n_tokens / size if size and tokens else None
            shares.append(Share(domain=name, weight=weight, written=weight, realised=weight, epochs=epochs))
        found.append(ExportStage(shares=tuple(shares), end=tokens[i].end if tokens else None, files=(MARKDOWN,)))
    return found


def _markdown(order: Order, stages: list[ExportStage]) -> str:
    recipe = order.recipe
    lines = [f"# Mixture card{': ' + order.source if order.source else ''}", ""]
    if recipe is not None:
        verdict = recipe.verdict
        lines += [f"**{verdict.headline}** {verdict.reason}", "", f"Next: {verdict.remedy}", ""]
    lines += ["Weights are shares of training tokens.", ""]
    if order.n_tokens:
        lines += [f"Tokens of the run: {order.n_tokens:,}", ""]
    if order.tokenizer is not None:
        one = order.tokenizer
        lines += [f"Tokenizer: {one.name}, {one.vocab_size:,} entries, sha256 {one.sha256 or 'unknown'}", ""]
    natural = (
        None if recipe is None else next((r.mixture.as_dict() for r in recipe.rivals if r.name == "natural"), None)
    )
    for i, (stage, written) in enumerate(zip(order.plan.schedule.stages, stages, strict=True), 1):
        lines += [f"## Stage {i}: until {stage.until!r} of the run", ""]
        lines += ["| domain | weight | epochs | against natural |", "| --- | ---: | ---: | ---: |"]
        for share in sorted(written.shares, key=lambda one: -one.weight):
            epochs = "" if share.epochs is None else f"{share.epochs:.3g}"
            change = "" if natural is None else f"{100.0 * (share.weight - natural.get(share.domain, 0.0)):+.2f} pt"
            lines.append(f"| {_escaped(share.domain)} | {share.weight!r} | {epochs} | {change} |")
        lines.append("")
    if recipe is not None:
        lines += _evidence(order)
    return "\n".join(lines)


def _evidence(order: Order) -> list[str]:
    recipe = order.recipe
    assert recipe is not None
    lines = [f"## Evidence for: {recipe.objective.title}", ""]
    lines += ["| against | difference | 95 % interval | basis | verdict |", "| --- | ---: | --- | --- | --- |"]
    found = [recipe.against(rival.name) for rival in recipe.rivals]
    lines += [_row(one) for one in found if one is not None]
    lines += ["", "Negative: the recipe is better.", ""]
    lines += [f"- Held by: {text}" for text in recipe.binding] + [f"- Mind: {text}" for text in recipe.warnings]
    origin = recipe.provenance
    lines += [
        "", "## Provenance", "",
        f"- Study {origin.study}, record sha256 {origin.record_sha256}",
        f"- {origin.n_trials} trials of {origin.n_mixtures} mixtures; law {origin.law}; strategy {origin.strategy}",
        f"- seed {origin.seed}; mixdesk {origin.version}; corpus {origin.corpus or 'unknown'}", "",
    ]  # fmt: skip
    return lines


def _row(one: Comparison) -> str:
    interval = f"{one.low:+.4f} to {one.high:+.4f}"
    return f"| {one.rival} | {one.difference:+.4f} | {interval} | {one.basis} at {one.rung} | {one.verdict} |"


def _from_markdown(path: Path) -> RunPlan:
    found: list[tuple[float, dict[str, float]]] = []
    n_tokens = None
    for line in read_text(path).splitlines():
        if head := _STAGE.match(line):
            found.append((float(head[1]), {}))
        elif line.startswith("## "):
            break
        elif run := _RUN.match(line):
            n_tokens = int(run[1].replace(",", ""))
        elif found and line.startswith("|") and not line.startswith(("| domain", "| ---")):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found[-1][1][cells[0].replace("\\|", "|")] = float(cells[1])
    return _plan(path, found, n_tokens)


def _from_csv(path: Path) -> RunPlan:
    found: dict[float, dict[str, float]] = {}
    try:
        for row in csv.DictReader(read_text(path).splitlines()):
            found.setdefault(float(row["until"]), {})[row["domain"]] = float(row["weight"])
    except (KeyError, ValueError) as error:
        raise _no_card(path, str(error)) from None
    return _plan(path, list(found.items()), None)


def _from_json(path: Path) -> RunPlan:
    from mixdesk.core.files import from_data

    data: dict[str, Any] = read_data(path)
    if "plan" not in data:
        raise _no_card(path, ", ".join(data) or "nothing")
    return from_data(RunPlan, data["plan"], where="plan")


def _plan(path: Path, found: list[tuple[float, dict[str, float]]], n_tokens: int | None) -> RunPlan:
    ends = [until for until, _ in found]
    if not found or any(a >= b for a, b in pairwise(ends)) or not all(weights for _, weights in found):
        raise _no_card(path, f"{len(found)} stages")
    stages = tuple(Stage(mixture=Mixture.of(weights, normalise=True), until=until) for until, weights in found)
    return RunPlan(schedule=Schedule(stages=stages), scale=Scale(n_tokens=n_tokens))


def _no_card(path: Path, value: str) -> InputError:
    return InputError(
        f"`{path}` is no card", value=value, bound="a card.md, card.json or card.csv", remedy="check the path"
    )


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace('\\"', '""') if any(c in text for c in ',"') else text
