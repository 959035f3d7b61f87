"""The process contract: `spec.json` in, `result.json` out. `docs/contract.md` says it to those who keep it.

`spec.json`:

    {"schema": 1, "id": trial id, "mixture": {domain: weight}, "n_tokens": int or null, "replicate": int,
     "spec": the whole TrialSpec}

`mixture` is the token average of the run; `spec.plan.schedule` has its stages where there is more than one.

`result.json`, short or long:

    {"metrics": {name: number}}
    {"state": "done", "points": [{"n_tokens": int, "metrics": {name: number}}, ...], "domain_tokens": {domain: number},
     "flops": number, "seconds": number, "message": text}

The short form may carry every key of the long one but `points`. `state` is "done" where left out, "diverged" (an answer
too) or "failed". A done trial has at least one point; points are in the order of their tokens. Every number is finite.
What breaks this is a WorkerError that names the key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixdesk.core.errors import MixdeskError, WorkerError
from mixdesk.core.files import from_data, write_json
from mixdesk.core.plan import TrialSpec, question
from mixdesk.core.trial import Result

LOG_TAIL = 200  # characters of a log that an error message shows


def write_spec(spec: TrialSpec, out: Path) -> Path:
    """Write `out/spec.json`; its absolute path.

    Raises:
        InputError: the folder cannot be written.
    """
    path = out.resolve() / "spec.json"
    write_json(path, question(spec))
    return path


def read_result(path: Path, spec: TrialSpec) -> Result:
    """The result in a `result.json`, short or long.

    Raises:
        WorkerError: the file is missing or breaks the contract.
    """
    try:
        raw = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkerError(
            f"trial {spec.id} left no readable result",
            value=str(error),
            bound=f"a JSON file at {path}",
            remedy="let the program write it, to the path it is given",
        ) from None
    try:
        return parse_result(json.loads(raw, parse_constant=_refuse), spec)
    except json.JSONDecodeError as error:
        raise WorkerError(
            f"the result of trial {spec.id} is not JSON",
            value=f"line {error.lineno}: {error.msg}",
            bound="one JSON object with finite numbers",
            remedy="correct what the program writes",
        ) from None


def parse_result(data: Any, spec: TrialSpec) -> Result:
    """The result in plain JSON data, short or long.

    Raises:
        WorkerError: the data break the contract.
    """
    if not isinstance(data, dict):
        raise _broken(spec, "it is not an object", type(data).__name__, "an object with `metrics` or `points`")
    data = {key: value for key, value in data.items() if key != "schema"}
    if "metrics" in data:
        if "points" in data:
            raise _broken(spec, "it has both `metrics` and `points`", "both", "one of the two")
        data["points"] = [{"n_tokens": spec.plan.scale.n_tokens or 0, "metrics": data.pop("metrics")}]
    _check_numbers(data, spec)
    try:
        result = from_data(Result, {"state": "done", **data}, where="result")
    except MixdeskError as error:
        raise _broken(spec, error.wrong, error.value, error.bound) from None
    n_tokens = [point.n_tokens for point in result.points]
    if n_tokens != sorted(set(n_tokens)):
        raise _broken(spec, "`n_tokens` does not grow from point to point", n_tokens, "strictly increasing counts")
    if result.state == "done" and not (result.points and result.points[-1].metrics):
        raise _broken(spec, "the trial is done but nothing was measured", "no metric", "at least one metric")
    return result


def log_tail(path: Path) -> str:
    """The end of a log on one line, or "an empty log"."""
    try:
        text = path.read_bytes()[-4000:].decode("utf-8", errors="replace")
    except OSError:
        text = ""
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())[-LOG_TAIL:] or "an empty log"


def _check_numbers(data: dict[str, Any], spec: TrialSpec) -> None:
    """Metrics and counts are JSON numbers: text that looks like one is refused."""
    points = data.get("points", [])
    places = [("domain_tokens", data.get("domain_tokens"))]
    if isinstance(points, list):
        places += [(f"points[{i}].metrics", p.get("metrics")) for i, p in enumerate(points) if isinstance(p, dict)]
    for place, mapping in places:
        for name, value in mapping.items() if isinstance(mapping, dict) else ():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _broken(spec, f"`{place}` of `{name}` is not a number", value, "a finite number")


def _refuse(word: str) -> float:
    raise json.JSONDecodeError(f"the number {word}", word, 0)


def _broken(spec: TrialSpec, wrong: str, value: object, bound: str) -> WorkerError:
    return WorkerError(
        f"the result of trial {spec.id} breaks the contract: {wrong}",
        value=value,
        bound=bound,
        remedy="correct what the program writes (docs/contract.md)",
    )
