"""Checkpoints: tensors in safetensors, the rest in JSON.

`checkpoint.json` is written last and names the tensor file it belongs to, so a checkpoint is either whole or the
previous one. Training draws no random numbers after the start (the stream is a pure function of its position), so
model, optimizer state and step are all there is: a resumed run equals an undisturbed one bit for bit on one machine.

The checkpoint that a trial leaves when it is done says so in its notes (`IS_FINAL`), with the model, the corpus and
where the weights started. Other trials may go on from it or average it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, file_sha256, read_data, to_data, write_json
from mixdesk.core.scale import ModelSpec
from mixdesk.engine.model import Transformer

INDEX = "checkpoint.json"
# The note that a checkpoint is a trial's last: what other trials may start from.
IS_FINAL = "is_final"

# The weights of parents are products of float64 mixtures.
SHARE_TOLERANCE = 1e-6

Weights = dict[str, Tensor]


def save(folder: Path, model: Transformer, optimizers: Sequence[Optimizer], step: int, notes: dict[str, Any]) -> None:
    """Write the state after `step` steps; `notes` is plain JSON that `load` gives back. Replaces what was there.

    Raises:
        InputError: the folder cannot be written; the previous checkpoint is then untouched.
    """
    tensors = {f"model/{name}": tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for o, optimizer in enumerate(optimizers):
        for p, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{o}/{p}/{key}": tensor.contiguous() for key, tensor in state.items()}
    path = folder / f"step-{step:08d}.safetensors"
    with atomic(path, "wb") as handle:
        handle.write(safetensors.torch.save(tensors))
    write_json(folder / INDEX, {"tensors": path.name, "sha256": file_sha256(path), "step": step, "notes": notes})
    for old in folder.glob("step-*.safetensors"):
        if old != path:
            old.unlink()


def load(folder: Path, model: Transformer, optimizers: Sequence[Optimizer]) -> tuple[int, dict[str, Any]] | None:
    """Put a checkpoint's state into model and optimizers; its step and notes, or None where the folder has none.

    Raises:
        InputError: the checkpoint is damaged or of another model.
    """
    found = _read(folder)
    if found is None:
        return None
    tensors, step, notes = found
    try:
        model.load_state_dict(_weights(tensors))
    except RuntimeError as error:
        raise InputError(
            f"`{folder}` is of another model", value=str(error), bound="the trial's model", remedy="delete the folder"
        ) from None
    for o, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, *place = name.split("/")
            if kind == "optimizer" and int(place[0]) == o:
                state.setdefault(int(place[1]), {})[place[2]] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return step, notes


def parent(folder: Path, trial: str, model: ModelSpec, corpus: str) -> tuple[Weights, dict[str, Any]]:
    """Final weights and notes of another trial.

    Args:
        folder: where that trial kept its model.
        trial: its id.
        model: the model it must be.
        corpus: fingerprint of the corpus it must have been trained on.

    Raises:
        InputError: it kept no final model, or one of another model or corpus.
    """
    found = _read(folder)
    if found is None or not found[2].get(IS_FINAL):
        raise InputError(
            f"the parent trial {trial} has left no final model",
            value=f"none in {folder}" if found is None else f"one of step {found[1]}, before its end",
            bound="a parent that is done and kept its model",
            remedy="set keep = true for the trainer, and train the parent before its children",
        )
    tensors, _, notes = found
    for what, here, there in (("model", to_data(model), notes["model"]), ("corpus", corpus, notes["corpus"])):
        if here != there:
            raise InputError(
                f"the parent trial {trial} has another {what}",
                value=there,
                bound=str(here),
                remedy=f"name parents of the trial's own {what}",
            )
    return _weights(tensors), notes


def average(parts: Sequence[Weights], shares: Sequence[float] | None = None) -> Weights:
    """Σ share × weights, tensor by tensor, in float64 and rounded to each tensor's own type.

    Equal parts give the part back, and the order of parts does not matter beyond the last bit. Where a loss is convex
    between the parts, the loss of the average is at most the average of their losses (Jensen).

    Args:
        parts: weights of models of one shape.
        shares: of each, ≥ 0 and summing to 1; default: equal.

    Raises:
        InputError: no part, shapes that differ, or shares that are no shares.

    Reference: ablationmerging, olmo2.
    """
    shares = [1.0 / max(len(parts), 1)] * len(parts) if shares is None else shares
    shapes = [{name: tuple(tensor.shape) for name, tensor in part.items()} for part in parts]
    if not parts or any(shape != shapes[0] for shape in shapes):
        raise InputError(
            "only models of one shape have an average",
            value="no model" if not parts else "names or shapes of tensors that differ",
            bound="at least one model, all of one shape",
            remedy="average trials of one rung",
        )
    if len(shares) != len(parts) or min(shares) < 0.0 or abs(sum(shares) - 1.0) > SHARE_TOLERANCE:
        raise InputError(
            "the weights of a merge do not sum to one",
            value=list(shares),
            bound="a weight ≥ 0 per parent, together 1",
            remedy="divide each by their sum",
        )
    return {
        name: sum(
            (share * part[name].to(torch.float64) for share, part in zip(shares, parts, strict=True)),
            start=torch.zeros(shape, dtype=torch.float64),
        ).to(parts[0][name].dtype)
        for name, shape in shapes[0].items()
    }


def _read(folder: Path) -> tuple[Weights, int, dict[str, Any]] | None:
    """All tensors, step and notes of the checkpoint in a folder; None where there is none."""
    if not (folder / INDEX).exists():
        return None
    index = read_data(folder / INDEX)
    path = folder / index["tensors"]
    if not path.exists() or file_sha256(path) != index["sha256"]:
        raise InputError(
            f"`{path}` is not the file its index describes",
            value="another sha256, or no file",
            bound=str(index["sha256"]),
            remedy="delete the checkpoint folder; the trial starts anew",
        )
    return safetensors.torch.load_file(path), int(index["step"]), dict(index["notes"])


def _weights(tensors: Weights) -> Weights:
    return {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")}
