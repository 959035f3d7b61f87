"""Builds that kill themselves at their k-th write, in children of this process; prints what became of each as JSON.

Run as `python killed_builds.py SOURCES FOLDER STEP`: kills at write 1, 1 + STEP, … until a build gets through.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from mixdesk.corpus import tokens
from mixdesk.corpus.build import build


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    text = "".join(f"{p.relative_to(folder)} {hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in files)
    return hashlib.sha256(text.encode()).hexdigest()


def child(sources: Path, out: Path, kill_at: int) -> bool:
    """Build in a child that dies at write `kill_at` (0: never); whether it lived."""
    pid = os.fork()
    if pid == 0:
        sync, n_writes = os.fsync, 0

        def fsync(handle: int) -> None:
            nonlocal n_writes
            n_writes += 1
            if n_writes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)

        os.fsync = fsync
        build([sources / "train"], out, name="c", vocab_size=300, evals={"exam": [sources / "exam"]})
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def main(sources: Path, folder: Path, step: int) -> None:
    tokens._tokenizers()
    assert child(sources, folder / "calm", 0)
    found = {"calm": digest(folder / "calm"), "killed": [], "left": []}
    kill_at = 1
    while not child(sources, folder / str(kill_at), kill_at):
        found["left"].append((folder / str(kill_at) / "manifest.json").exists())
        assert child(sources, folder / str(kill_at), 0)
        found["killed"].append(digest(folder / str(kill_at)))
        kill_at += step
    # Killed again and again: each life gets one write further than what it need not do again.
    lives = 1
    while not child(sources, folder / "again", 7):
        lives += 1
    found |= {"again": digest(folder / "again"), "lives": lives}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
