"""A trainer's own code in a process of its own, with stand-ins for the packages that its reading of data does not use.

Trainers import torch, models, sound and hubs when they only read a data set. Here those packages are modules whose
every name is an empty class, so that the parser and the sampler run as they are, in a second and without them; if
either did use one, it would fail. No network is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.core.errors import InputError

_START = """
import importlib.machinery, importlib.util, json, sys, types

class Empty(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty(name, (), {})
    def __iter__(cls):
        return iter(())
    def __call__(cls, *a, **k):
        return type.__call__(cls)

class StandIn(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = Empty(name, (), {"__class_getitem__": classmethod(lambda c, i: c)})
        setattr(self, name, made)
        return made

class Finder:
    def find_spec(self, name, path=None, target=None):
        if any(name == root or name.startswith(root + ".") for root in given["absent"]):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = StandIn(spec.name)
        module.__path__ = []
        return module
    def exec_module(self, module):
        pass

given = json.load(sys.stdin)
try:
    for name in given["bare"]:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(name, name=name)
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = list(spec.submodule_search_locations)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    sys.meta_path.insert(0, Finder())
    exec(compile(given["code"], "apart", "exec"), {"given": given})
except ModuleNotFoundError as error:
    open(given["answer"], "w").write(json.dumps({"missing": error.name}))
"""


def run_apart(
    code: str, given: Mapping[str, Any], folder: Path, *, absent: Sequence[str], bare: Sequence[str] = ()
) -> Any:
    """What `code` writes as JSON to the file `given["answer"]`; it runs in `folder`.

    Args:
        code: Python that has `given`.
        given: plain data.
        folder: working folder; what `datasets` caches goes there too.
        absent: packages that get a stand-in, with all that is in them.
        bare: packages of the trainer whose `__init__` is not run, since it imports all of the trainer.

    Raises:
        ModuleNotFoundError: a package that is not in `absent` is not installed.
        InputError: the trainer's code fails on the files.
    """
    answer = folder / "answer.json"
    data = {**given, "code": code, "absent": list(absent), "bare": list(bare), "answer": str(answer)}
    quiet = {
        "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "DISABLE_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _START], input=json.dumps(data), text=True, cwd=folder, capture_output=True,
        env={**os.environ, **quiet}, check=False,
    )  # fmt: skip
    if done.returncode or not answer.is_file():
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise InputError(
            "the trainer's own code fails on these files", value=last, bound="files that it reads",
            remedy="export again; if it stays, the trainer changed",
        )  # fmt: skip
    found = json.loads(answer.read_text(encoding="utf-8"))
    if isinstance(found, dict) and "missing" in found:
        raise ModuleNotFoundError(f"no module {found['missing']}", name=found["missing"])
    return found
