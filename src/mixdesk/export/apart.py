"""A trainer's own code in a process of its own, with stand-ins for the packages that its reading of data does not use.

Trainers import models, sound and hubs when they only read a data set. Here those packages, where they are not installed,
are modules whose every name is an empty class, so that the parser and the sampler run as they are; if either did use one
of them, it would fail. No network is used.
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

_START = '''
import importlib.machinery, importlib.util, json, sys, types

class StandIn(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *a, **k: None, "__class_getitem__": classmethod(lambda c, i: c)})
        setattr(self, name, made)
        return made

class Finder:
    def __init__(self, roots):
        self.roots = {root for root in roots if importlib.util.find_spec(root) is None}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.roots:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = StandIn(spec.name)
        module.__path__ = []
        return module
    def exec_module(self, module):
        pass

given = json.load(sys.stdin)
sys.meta_path.append(Finder(given.pop("absent")))
try:
    exec(compile(given.pop("code"), "apart", "exec"), {"given": given})
except ModuleNotFoundError as error:
    open(given["answer"], "w").write(json.dumps({"missing": error.name}))
'''


def run_apart(code: str, absent: Sequence[str], given: Mapping[str, Any], folder: Path) -> Any:
    """What `code` writes as JSON to the file `given["answer"]`; it runs in `folder`.

    Raises:
        ModuleNotFoundError: a package is not installed and not in `absent`.
        InputError: the trainer's code fails on the files.
    """
    answer = folder / "answer.json"
    data = {**given, "code": code, "absent": list(absent), "answer": str(answer)}
    quiet = {
        "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "DISABLE_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _START], input=json.dumps(data), text=True, cwd=folder, capture_output=True,
        env={**os.environ, **quiet}, check=False,
    )  # fmt: skip
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None
    if isinstance(found, dict) and "missing" in found:
        raise ModuleNotFoundError(f"no module {found['missing']}", name=found["missing"])
    if done.returncode or found is None:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise InputError(
            "the trainer's own code fails on these files", value=last, bound="files that it reads",
            remedy="export again; if it stays, the trainer changed",
        )  # fmt: skip
    return found
