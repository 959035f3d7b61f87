"""Checkpoints: tensors in safetensors, the rest in JSON.

`checkpoint.json` is written last and names the tensor file it belongs to, so a checkpoint is either whole or the
previous one. Training draws no random numbers after the start (the stream is a pure function of its position), so
model, optimizer state and step are all there is: a resumed run equals an undisturbed one bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor
from torch.optim import Optimizer

from mixdesk.core.errors import InputError
from mixdesk.core.files import atomic, file_sha256, read_data, write_json
from mixdesk.engine.model import Transformer

INDEX = "checkpoint.json"


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
    tensors = safetensors.torch.load_file(path)
    try:
        model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")})
    except RuntimeError as error:
        raise InputError(
            f"`{path}` is of another model", value=str(error), bound="the trial's model", remedy="delete the folder"
        ) from None
    for o, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, *place = name.split("/")
            if kind == "optimizer" and int(place[0]) == o:
                state.setdefault(int(place[1]), {})[place[2]] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(index["step"]), dict(index["notes"])
