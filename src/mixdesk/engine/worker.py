"""The process boundary: trials in on stdin, events out on stdout, one JSON object per line each way.

    python -m mixdesk.engine.worker --corpus DIR

A request is {"spec": TrialSpec, "out": folder, "checkpoint_every": steps, "keep": bool}; the last two may be left out.
Answers, in this order:

    {"event": "point", "point": Point}            each curve point as it is measured
    {"event": "result", "result": Result}         the answer; or, where the request cannot be served,
    {"event": "refused", "wrong": ..., "value": ..., "bound": ..., "remedy": ...}

then the next request is read: torch is imported once for many trials. Whatever libraries print goes to `out/log`, never
between the events. Any other exception ends the process with its traceback in the log. The end of stdin ends the
process at once, in the middle of a trial too: a parent that was killed leaves no orphan.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Any

from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data, to_data
from mixdesk.core.plan import TrialSpec
from mixdesk.corpus.shards import TokenStore, open_store


def main() -> None:
    """Serve trials until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m mixdesk.engine.worker", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of a built corpus")
    corpus: Path = parser.parse_args().corpus
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch  # only now, so that nothing an import prints can reach the events

    from mixdesk.engine.loop import train
    from mixdesk.engine.merge import merge

    torch.set_num_threads(1)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    store: TokenStore | None = None
    while True:
        line = requests.get()
        try:
            request = json.loads(line)
            out = Path(request["out"])
            _log_to(out / "log")
            store = store or open_store(corpus)
            spec, keep = from_data(TrialSpec, request["spec"]), request.get("keep", False)
            if spec.method == "merge":
                result = merge(spec, store, out, keep=keep)
            else:
                result = train(
                    spec,
                    store,
                    out,
                    lambda point: _send(events, event="point", point=to_data(point)),
                    checkpoint_every=request.get("checkpoint_every", 0),
                    keep=keep,
                )
        except InputError as error:
            parts = {"wrong": error.wrong, "value": str(error.value), "bound": error.bound, "remedy": error.remedy}
            _send(events, event="refused", **parts)
        else:
            _send(events, event="result", result=to_data(result))


def _listen(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _log_to(path: Path) -> None:
    """Send stdout and stderr of this process, C libraries included, to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _send(events: IO[str], **event: Any) -> None:
    events.write(json.dumps(event, allow_nan=False) + "\n")
    events.flush()


if __name__ == "__main__":
    main()
