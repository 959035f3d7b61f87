"""Weights alone, as methods pass them on: DoReMi's JSON, olmix's YAML; RegMix's YAML and plain lists are read too.

DoReMi: `train_domain_weights` and `eval_domain_weights`, domain → weight, normalised, over packed sequences, so they
are shares of tokens. olmix: `priors` (`relative_sizes` the natural mixture, `token_counts`) and `constraints`
(`target_tokens`, `repetition_factor`, how often a domain may be passed at most); `weights` beside them are the mixture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core import checks
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, ExportStage, Imported, Order, Realised, Share, Verification
from mixdesk.core.files import read_text, write_text
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import prepared
from mixdesk.export.configs import header, no_file, number, quoted, read_yaml, repeats, schedule

FORMS = ("doremi", "olmix")
_ENDINGS = {"doremi": "json", "olmix": "yaml"}
_TRAIN, _EVAL = "train_domain_weights", "eval_domain_weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """`form` is doremi or olmix; a file for each stage."""

    title: ClassVar[str] = "weights alone: DoReMi's JSON or olmix's YAML"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = ""
    data: ClassVar[str] = ""

    form: str = "doremi"

    def __post_init__(self) -> None:
        checks.one_of("form", self.form, FORMS)

    def export(self, order: Order, out: Path) -> Export:
        """Write `weights.json` or `weights.yaml`; of several stages `weights0.json`, … The run may be unknown."""
        sentence = "Whoever reads the file applies the weights: they are shares of training tokens, together one."
        plans = order.plan.schedule.stages
        ends = [stage.end for stage in order.stages()] if order.n_tokens else [None] * len(plans)
        stages, start = [], 0
        for i, (stage, end) in enumerate(zip(plans, ends, strict=True)):
            name = f"weights{i if len(plans) > 1 else ''}.{_ENDINGS[self.form]}"
            weights = {one: weight for one, weight in stage.mixture.as_dict().items() if weight > 0.0}
            text = _doremi(weights) if self.form == "doremi" else _olmix(order, weights, sentence)
            write_text(out / name, text)
            shares = []
            for one, weight in weights.items():
                size = order.domain(one).n_tokens
                epochs = weight * (end - start) / size if size and end else None
                shares.append(Share(domain=one, weight=weight, written=weight, realised=weight, epochs=epochs))
            stages.append(ExportStage(shares=tuple(shares), end=end, files=(name,)))
            start = end or 0
        losses = [] if len(plans) == 1 else ["The files do not say where a stage ends: whoever runs them must."]
        if self.form == "doremi":
            losses.append("The file has no limits on epochs, no sizes and no tokenizer.")
        if order.n_tokens:
            losses += repeats(order)
        return Export(
            target="weights", unit="tokens", sentence=sentence, arithmetic="written = weight", stages=tuple(stages),
            order=order, losses=tuple(losses), files=tuple(name for one in stages for name in one.files),
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """The weights of a file of DoReMi, olmix or RegMix, of a plain mapping, or of a folder of ours."""
        files = prepared.stage_files(path, "weights*.*")
        return prepared.in_stages(path, [_read(file) for file in files])

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """The files against the documented keys; nobody draws from them here.

        Raises:
            InputError: not such files.
        """
        found, start = [], 0
        for stage in export.stages:
            weights = _read(out / stage.files[0]).plan.schedule.stages[0].mixture.as_dict()
            asked = tuple((one.domain, one.weight) for one in stage.shares)
            found.append(Realised(asked=asked, realised=tuple(weights.items()), n_tokens=(stage.end or start) - start))
            start = stage.end or start
        return Verification(
            stages=tuple(found),
            how="The files were read back and checked against the documented keys by mixdesk's own reader; no "
            "trainer's code draws from them.",
        )


def _doremi(weights: Mapping[str, float]) -> str:
    return json.dumps({_TRAIN: dict(weights), _EVAL: dict(weights)}, indent=2, ensure_ascii=False) + "\n"


def _olmix(order: Order, weights: Mapping[str, float], sentence: str) -> str:
    lines = header(order, sentence, "written = weight")
    sizes = {name: order.domain(name).n_tokens for name in weights}
    if all(sizes.values()):
        counts = {name: size or 0 for name, size in sizes.items()}
        natural = Mixture.of({name: float(size) for name, size in counts.items()}, normalise=True).as_dict()
        lines += ["priors:", *_mapping("relative_sizes", natural, 2), *_mapping("token_counts", counts, 2)]
    if order.n_tokens:
        lines += ["constraints:", f"  target_tokens: {order.n_tokens}"]
        limits = {most for name, most in order.max_epochs if name in weights}
        lines += ["  enabled: true", f"  repetition_factor: {min(limits)!r}"] if limits else ["  enabled: false"]
    return "\n".join([*lines, *_mapping("weights", weights, 0)]) + "\n"


def _mapping(name: str, values: Mapping[str, float], indent: int) -> list[str]:
    pad = " " * indent
    return [f"{pad}{name}:", *(f"{pad}  {quoted(key)}: {number(value)}" for key, value in values.items())]


def _read(path: Path) -> Imported:
    if path.suffix == ".json":
        try:
            data = json.loads(read_text(path))
        except ValueError as error:
            raise no_file(path, str(error), "JSON") from None
    else:
        data = read_yaml(path)
    if (
        isinstance(data, list)
        and data
        and all(isinstance(one, dict) and {"domain", "weight"} <= set(one) for one in data)
    ):
        data = {str(one["domain"]): one["weight"] for one in data}
    if not isinstance(data, dict) or not data:
        raise no_file(path, "no object", "domain → weight, or a file of DoReMi, olmix or RegMix")
    notes = list[str]()
    weights, domains = data, tuple[Domain, ...]()
    if _TRAIN in data:
        weights = data[_TRAIN]
        if data.get(_EVAL) not in (None, weights):
            notes.append("The weights of evaluation differ and are left out.")
        notes.append("DoReMi's weights hold for the tokenizer that they were made with; the file does not name it.")
    elif "priors" in data or "weights" in data:
        return _from_olmix(path, data)
    elif isinstance(data.get("train"), dict):
        weights = {str(name).removeprefix("train_"): weight for name, weight in data["train"].items()}
        notes.append("RegMix: weights of training; names without their `train_`.")
    return _imported(path, weights, domains, notes)


def _from_olmix(path: Path, data: dict[str, Any]) -> Imported:
    priors, limits = data.get("priors") or {}, data.get("constraints") or {}
    notes = list[str]()
    if not isinstance(priors, dict) or not isinstance(limits, dict):
        raise no_file(path, "priors or constraints that are no objects", "a YAML of olmix")
    try:
        counts = {str(name): int(n) for name, n in (priors.get("token_counts") or {}).items()}
        factor = float(limits["repetition_factor"]) if limits.get("enabled") and "repetition_factor" in limits else None
        target = int(limits["target_tokens"]) if limits.get("target_tokens") else None
    except (TypeError, ValueError, AttributeError) as error:
        raise no_file(path, str(error), "numbers in priors and constraints") from None
    weights = data.get("weights")
    if weights is None:
        weights = priors.get("relative_sizes") or counts
        notes.append("The file has no `weights`: its priors are shown, which are the natural mixture.")
    domains = tuple(Domain(name=name, n_tokens=n) for name, n in counts.items())
    found = _imported(path, weights, domains, notes, target)
    names = found.plan.schedule.domains
    return Imported(
        plan=found.plan, domains=domains, notes=found.notes,
        limits=() if factor is None else tuple((name, factor) for name in names),
    )  # fmt: skip


def _imported(
    path: Path, weights: Any, domains: tuple[Domain, ...], notes: list[str], target: int | None = None
) -> Imported:
    if not isinstance(weights, dict) or not weights:
        raise no_file(path, "no weights", "domain → weight")
    try:
        numbers = {str(name): float(weight) for name, weight in weights.items()}
    except (TypeError, ValueError) as error:
        raise no_file(path, str(error), "weights that are numbers") from None
    total = sum(numbers.values())
    if abs(total - 1.0) > 1e-6:
        notes.append(f"The weights sum to {total:.6g}; they are scaled to one.")
    try:
        plan = RunPlan(schedule=schedule(path, [(1.0, numbers)]), scale=Scale(n_tokens=target))
    except InputError as error:
        raise no_file(path, str(error), "weights ≥ 0 and a sum above 0") from None
    return Imported(plan=plan, domains=domains, notes=tuple(notes))
