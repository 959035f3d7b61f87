"""NeMo, Megatron-Bridge and GPT-NeoX: Megatron's blend in YAML, with the keys of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core.errors import InputError
from mixdesk.core.export import Each, Export, Imported, Order, Snippet, Verification
from mixdesk.core.files import write_text
from mixdesk.export.configs import header, layout, no_file, quoted, read_yaml
from mixdesk.export.megatron import (
    ARITHMETIC,
    SENTENCE,
    UNIT,
    blend_losses,
    blend_prefixes,
    blend_stage,
    check_blend,
    least_weight,
    read_blends,
    verify_blends,
)

RESTART = (
    "One file per stage: the next stage is a run of its own from the last checkpoint, with its samples counted anew."
)
# What GPT-NeoX says of stages and asks for, and the domains that its index of bytes can tell apart.
NEOX_RESTART = (
    "GPT-NeoX has no stages: each file is a run that goes on from the last checkpoint, in the middle of its own blend, "
    "as sequences are counted from the first step of all; shares hold from there on, each domain in another order."
)
NEOX_OTHERS = (
    "GPT-NeoX wants valid_data_paths and test_data_paths, with weights, beside these: put them in a file of yours."
)
NEOX_MOST = 254
# Quoted prefixes → the parts of a file that hold them and their weights.
_Form = Callable[[list[str]], tuple[str | Each, ...]]
_ENDS = re.compile(r"^# Sequences of stages: ([\d ]+); tokens of a sequence: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nemo:
    """NeMo's `model.data.data_prefix`, a YAML file per stage; NeMo 2.0 takes the same list as `paths`.

    Fields: `fresh` gives each stage documents that no other stage reads.
    """

    title: ClassVar[str] = "NeMo"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "megatron-core==0.16.1"
    data: ClassVar[str] = "megatron"

    fresh: bool = False

    def export(self, order: Order, out: Path) -> Export:
        """Write `stage0.yaml`, ….

        Raises:
            InputError: a weight under two sequences, too many domains, or a number that it needs is not known.
        """
        return _export("nemo", order, out, _nemo, fresh=self.fresh)

    def snippet(self, order: Order) -> Snippet:
        """`stage0.yaml` with holes for the weights.

        Raises:
            InputError: too many domains, or a number that it needs is not known.
        """
        return _blend(order, 0, _nemo, fresh=self.fresh)

    def read(self, path: Path) -> Imported:
        """`data_prefix` of a YAML file, or the list of `paths` (its `train` where there is one).

        Raises:
            InputError: no such list.
        """
        return _read(path, _of_nemo)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """As `megatron`: NeMo calls the same parser and builder.

        Raises:
            ModuleNotFoundError: megatron-core is not installed.
            InputError: the files or the data are not there.
        """
        return verify_blends(out, export, [_words(out / stage.files[0], _of_nemo) for stage in export.stages], n)


@dataclass(frozen=True, slots=True, kw_only=True)
class MegatronBridge:
    """Megatron-Bridge's `dataset.blend`, prefixes and weights, in a YAML file per stage.

    Fields: `fresh` gives each stage documents that no other stage reads.
    """

    title: ClassVar[str] = "Megatron-Bridge"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "megatron-core==0.16.1"
    data: ClassVar[str] = "megatron"

    fresh: bool = False

    def export(self, order: Order, out: Path) -> Export:
        """Write `stage0.yaml`, ….

        Raises:
            InputError: a weight under two sequences, too many domains, or a number that it needs is not known.
        """
        return _export("megatron_bridge", order, out, _bridge, fresh=self.fresh)

    def snippet(self, order: Order) -> Snippet:
        """`stage0.yaml` with holes for the weights.

        Raises:
            InputError: too many domains, or a number that it needs is not known.
        """
        return _blend(order, 0, _bridge, fresh=self.fresh)

    def read(self, path: Path) -> Imported:
        """`dataset.blend`, or `dataset.data_path` in Megatron's form.

        Raises:
            InputError: no such key.
        """
        return _read(path, _of_bridge)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """As `megatron`: the bridge calls the same parser and builder.

        Raises:
            ModuleNotFoundError: megatron-core is not installed.
            InputError: the files or the data are not there.
        """
        return verify_blends(out, export, [_words(out / stage.files[0], _of_bridge) for stage in export.stages], n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neox:
    """GPT-NeoX's `train_data_paths` and `train_data_weights`, in a YAML file per stage to be given beside one's own."""

    title: ClassVar[str] = "GPT-NeoX"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "megatron-core==0.16.1"
    data: ClassVar[str] = "megatron"

    def export(self, order: Order, out: Path) -> Export:
        """Write `stage0.yaml`, ….

        Raises:
            InputError: a weight under two sequences, too many domains, or a number that it needs is not known.
        """
        _check_neox(order)
        export = _export("neox", order, out, _neox, fresh=None, restart=NEOX_RESTART)
        return replace(export, losses=(*export.losses, NEOX_OTHERS))

    def snippet(self, order: Order) -> Snippet:
        """`stage0.yaml` with holes for the weights.

        Raises:
            InputError: too many domains, or a number that it needs is not known.
        """
        _check_neox(order)
        return _blend(order, 0, _neox, fresh=False)

    def read(self, path: Path) -> Imported:
        """`train_data_paths` and `train_data_weights`, with hyphens too.

        Raises:
            InputError: no such keys, or weights that `weight_by_num_documents` overrides.
        """
        return _read(path, _of_neox)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """As `megatron`: GPT-NeoX, which is no package, has a copy of the rule.

        Raises:
            ModuleNotFoundError: megatron-core is not installed.
            InputError: the files or the data are not there.
        """
        found = verify_blends(out, export, [_words(out / stage.files[0], _of_neox) for stage in export.stages], n)
        return replace(found, how=f"GPT-NeoX was not run: it blends by Megatron's rule. {found.how}")


def _check_neox(order: Order) -> None:
    if len(order.names) > NEOX_MOST:
        raise InputError(
            "GPT-NeoX cannot blend so many domains", value=len(order.names), bound=f"at most {NEOX_MOST}",
            remedy="merge domains",
        )  # fmt: skip


def _export(target: str, order: Order, out: Path, form: _Form, *, fresh: bool | None, restart: str = RESTART) -> Export:
    stages = list(order.stages())
    blends = [_blend(order, i, form, fresh=bool(fresh)) for i in range(len(stages))]
    for stage in stages:
        check_blend(order, stage)
    for blend, stage in zip(blends, stages, strict=True):
        write_text(out / blend.file, blend.text(stage.mixture))
    files = [blend.file for blend in blends]
    losses = [*blend_losses(order, stages, fresh=fresh), *([restart] if len(stages) > 1 else [])]
    return Export(
        target=target, unit=UNIT, sentence=SENTENCE, arithmetic=ARITHMETIC, order=order, losses=tuple(losses),
        stages=tuple(blend_stage(order, stage, file) for stage, file in zip(stages, files, strict=True)),
        files=tuple(files), layout=layout(order, fresh=bool(fresh)),
    )  # fmt: skip


def _blend(order: Order, i: int, form: _Form, *, fresh: bool) -> Snippet:
    prefixes, length = blend_prefixes(order, i, fresh=fresh), order.need("seq_len")
    ends = " ".join(str(stage.end // length) for stage in order.stages())
    head = [*header(order, SENTENCE, ARITHMETIC), f"# Sequences of stages: {ends}; tokens of a sequence: {length}", ""]
    return Snippet(
        file=f"stage{i}.yaml", sentence=SENTENCE, domains=tuple(prefixes), least=least_weight(order),
        parts=("\n".join(head), *form([quoted(prefix) for prefix in prefixes.values()])),
    )  # fmt: skip


def _nemo(prefixes: list[str]) -> tuple[str | Each, ...]:
    rows = Each(pieces=tuple(("    - ", f"\n    - {prefix}\n") for prefix in prefixes))
    return ("model:\n  data:\n    data_prefix:\n", rows)


def _bridge(prefixes: list[str]) -> tuple[str | Each, ...]:
    return _two_lists("dataset:\n  blend:\n  - [", prefixes, "]\n  - [")


def _neox(prefixes: list[str]) -> tuple[str | Each, ...]:
    return _two_lists("train_data_paths: [", prefixes, "]\ntrain_data_weights: [")


def _two_lists(head: str, prefixes: list[str], middle: str) -> tuple[str | Each, ...]:
    paths = Each(pieces=tuple((prefix,) for prefix in prefixes), between=", ")
    weights = Each(pieces=(("", ""),) * len(prefixes), between=", ")
    return (head, paths, middle, weights, "]\n")


def _of_nemo(data: Any) -> list[str]:
    """The words in a file of NeMo's, as Megatron's parser takes them."""
    found = data if isinstance(data, list) else _at(data, "model", "data", "data_prefix") or _at(data, "paths")
    if isinstance(found, dict):
        found = found.get("train")
    if not isinstance(found, list):
        raise ValueError("no model.data.data_prefix and no paths")
    return [str(word) for word in found]


def _of_bridge(data: Any) -> list[str]:
    """The words in a file of the bridge's, as Megatron's parser takes them."""
    blend, listed_path = _at(data, "dataset", "blend"), _at(data, "dataset", "data_path")
    if isinstance(blend, list) and blend and isinstance(blend[0], list):
        if len(blend) == 1 or blend[1] is None:
            return [str(word) for word in blend[0]]
        if not isinstance(blend[1], list) or len(blend[1]) != len(blend[0]):
            raise ValueError("dataset.blend with another number of weights than of prefixes")
        return [str(word) for pair in zip(blend[1], blend[0], strict=True) for word in pair]
    if isinstance(listed_path, str):
        return listed_path.split()
    if isinstance(listed_path, list):
        return [str(word) for word in listed_path]
    raise ValueError("no dataset.blend and no dataset.data_path")


def _of_neox(data: Any) -> list[str]:
    """The words in a file of GPT-NeoX's, as Megatron's parser takes them."""
    known = {str(key).replace("-", "_"): value for key, value in data.items()} if isinstance(data, dict) else {}
    paths, weights = known.get("train_data_paths"), known.get("train_data_weights")
    if known.get("weight_by_num_documents"):
        raise ValueError("weight_by_num_documents, which overrides the weights")
    if not isinstance(paths, list) or not isinstance(weights, list) or len(paths) != len(weights):
        raise ValueError("no train_data_paths with as many train_data_weights")
    return [str(word) for pair in zip(weights, paths, strict=True) for word in pair]


def _read(path: Path, words: Callable[[Any], list[str]]) -> Imported:
    if not path.is_dir():
        return read_blends([(path, _words(path, words))], [1.0], None)
    files: Sequence[Path] = sorted(path.glob("stage*.yaml"), key=lambda one: int(re.sub(r"\D", "", one.stem) or 0))
    if not files:
        raise no_file(path, "no stage0.yaml", "a folder that was exported")
    said = _ENDS.search(files[0].read_text(encoding="utf-8"))
    ends = [float(one) for one in said[1].split()] if said else [1.0]
    if len(ends) != len(files):
        raise no_file(path, f"{len(files)} files of stages", f"{len(ends)}, by the comment in the first")
    return read_blends(
        [(file, _words(file, words)) for file in files], ends, int(ends[-1]) * int(said[2]) if said else None
    )


def _words(path: Path, words: Callable[[Any], list[str]]) -> list[str]:
    data = read_yaml(path)
    try:
        return words(data)
    except ValueError as error:
        raise no_file(path, str(error), "a blend of prefixes and weights") from None


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data
