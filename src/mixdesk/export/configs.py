"""What the configuration files of trainers have in common: a comment at their top, paths and names, YAML, repeats."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mixdesk.core.errors import InputError
from mixdesk.core.export import SIDECAR, Export, Order
from mixdesk.core.files import read_json, read_text
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.plan import Plug
from mixdesk.export.units import used


def header(order: Order, sentence: str, arithmetic: str) -> list[str]:
    """Lines of a comment, each with its `#`: source, who applies the number, arithmetic, and limits on epochs."""
    lines = [f"# mixdesk{': ' + order.source if order.source else ''}", f"# {sentence}", f"# {arithmetic}"]
    epochs = order.epochs()
    limits = [
        f"{name} {epochs.get(name, 0.0):.4g} of {most:g}" for name, most in order.max_epochs if name in order.names
    ]
    if limits:
        lines.append(f"# Epochs over the run, within the limits that mixdesk checked: {', '.join(limits)}")
    return [line.replace("\n", " ") for line in lines]


def layout(order: Order, *, fresh: bool) -> Plug:
    """How data are laid out: each domain once or, where there are stages, each with documents of its own."""
    return Plug(name="stages" if fresh and len(order.plan.schedule.stages) > 1 else "domains")


def stage_data(order: Order, i: int, *, fresh: bool) -> str:
    """Folder of the data of stage i, by that layout."""
    return f"{order.data}/stage{i}" if layout(order, fresh=fresh).name == "stages" else order.data


def repeats(order: Order) -> list[str]:
    """What a loader repeats that starts every domain anew at each stage, though unseen tokens remain."""
    passes: dict[str, list[float]] = {}
    for stage in order.stages():
        for name, weight in used(stage).items():
            size = order.domain(name).n_tokens
            if size:
                passes.setdefault(name, []).append(weight * stage.n_tokens / size)
    lines = []
    for name, one in passes.items():
        early = min(1.0, sum(one)) - min(1.0, max(one))
        most = dict(order.max_epochs).get(name)
        if early > 1e-6:
            seen = sum(math.ceil(passes_of) for passes_of in one)
            limit = f" Some is read {seen} times, where the limit is {most:g}." if most and seen > most else ""
            lines.append(
                f"This loader starts `{name}` anew at each stage: {early:.3g} epochs of it are repeated while as much "
                f"stays unseen.{limit}"
            )
    return lines


def names_of(paths: Sequence[str], beside: Path) -> list[str]:
    """A domain name for each path: the one that an export in the folder `beside` gave it, else the path below the
    folder that all share.
    """
    known: tuple[str, ...] = ()
    if (beside / SIDECAR).is_file():
        known = read_json(beside / SIDECAR, Export).order.names
    folders = [str(PurePosixPath(path).parent) for path in paths]
    try:
        shared = os.path.commonpath(folders) if folders else ""
    except ValueError:
        shared = ""
    found = []
    for path in paths:
        fits = [name for name in known if path.endswith("/" + name)]
        plain = path if shared in ("", ".") else PurePosixPath(path).relative_to(shared).as_posix()
        found.append(max(fits, key=len) if fits else plain)
    return found


def named(order: Order, path: str) -> str:
    """The domain of an order whose data lie at a path; the path where there is none."""
    return max((name for name in order.names if path.endswith("/" + name)), key=len, default=path)


def merged(names: Sequence[str], weights: Sequence[float], notes: list[str]) -> dict[str, float]:
    """Domain → weight where one name may stand for several paths; adds a note where it does."""
    out: dict[str, float] = {}
    for name, weight in zip(names, weights, strict=True):
        out[name] = out.get(name, 0.0) + weight
    if len(out) < len(names):
        notes.append(f"{len(names) - len(out)} paths name a domain again: their weights are added.")
    return out


def schedule(path: Path, stages: Sequence[tuple[float, Mapping[str, float]]]) -> Schedule:
    """Stages of (where it ends, weights on any scale), the ends on any scale too.

    Raises:
        InputError: no stage, ends that do not rise, or weights that make no mixture.
    """
    try:
        last = stages[-1][0]
        return Schedule(
            stages=tuple(
                Stage(mixture=Mixture.of(dict(weights), normalise=True), until=1.0 if end == last else end / last)
                for end, weights in stages
            )
        )
    except (InputError, IndexError, ZeroDivisionError, TypeError, AttributeError) as error:
        raise no_file(path, str(error) or "no stage", "weights ≥ 0 with a sum above 0, in stages that follow") from None


def read_yaml(path: Path) -> Any:
    """The data in a YAML file.

    Raises:
        InputError: unreadable, or not YAML.
        MissingExtra: PyYAML is not installed.
    """
    from mixdesk.core import registry

    registry.require("yaml")
    import yaml

    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise no_file(path, str(error).replace("\n", " "), "YAML") from None


def quoted(text: str) -> str:
    """A text as JSON and YAML both read it."""
    return json.dumps(text, ensure_ascii=False)


def number(value: float) -> str:
    """All digits of a number as JSON and YAML 1.1 both read one: `5e-05` would be a text in the latter.

    >>> number(5e-05), number(0.25), number(3)
    ('5.0e-05', '0.25', '3')
    """
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa


def listed(values: Sequence[str] | Sequence[float]) -> str:
    """A list as JSON and YAML both read it, numbers with all their digits."""
    return "[" + ", ".join(quoted(one) if isinstance(one, str) else number(one) for one in values) + "]"


def no_file(path: Path, value: str, bound: str) -> InputError:
    """The error of a file that is not what the target reads."""
    return InputError(f"`{path}` could not be understood", value=value, bound=bound, remedy="check the path and form")


def too_small(name: str, weight: float, least: float, why: str) -> InputError:
    """The error of a weight that the target would round to nothing or nearly so."""
    return InputError(
        f"the weight of `{name}` is under what this target can hold", value=weight, bound=f"0 or at least {least:.4g}",
        remedy=f"{why}: give it more (in a study: `lower` under [constraints]) or nothing, or take a longer run",
    )  # fmt: skip
