"""Run commands in an empty folder and keep what they print, for scripts/journeys.py and scripts/commands.py."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

# Lines of progress on standard error, a tenth at a time.
PROGRESS = re.compile(r"^  .+: \d+ of \d+, \d+ s, about \d+ s left\n", re.MULTILINE)
WIDTH = 110


class Transcript:
    """A page of words, files and commands with what they printed, made in a folder.

    A command that ends with another exit code than expected is an error: a page shows only what works.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.parts, self.seconds = folder, [], 0.0
        folder.mkdir(parents=True, exist_ok=True)
        # `mixdesk` on these pages is the package that this Python imports, installed or not.
        self._bin = folder.parent / "bin"
        self._bin.mkdir(exist_ok=True)
        program = self._bin / "mixdesk"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mixdesk.cli "$@"\n')
        program.chmod(0o755)

    def say(self, text: str) -> None:
        """A paragraph of Markdown."""
        self.parts.append(text.strip() + "\n")

    def file(self, name: str, text: str) -> None:
        """Write a file and show it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        kind = path.suffix.lstrip(".") or "text"
        self.parts.append(f'```{kind} title="{name}"\n{text.strip()}\n```\n')

    def run(self, command: str, code: int = 0) -> str:
        """Run a command line of the shell and show it with what it printed and how long it took."""
        printed, spent = self.quiet(command, code)
        self.seconds += spent
        heading = f"$ {command}" + (f"    # {spent:.0f} s" if spent >= 1 else "")
        ending = f"(exit code {code})\n" if code else ""
        self.parts.append(f"```console\n{heading}\n{printed}{ending}```\n")
        return printed

    def quiet(self, command: str, code: int = 0) -> tuple[str, float]:
        """Run a command line without showing it; what it printed, and seconds on the clock."""
        env = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}", "COLUMNS": str(WIDTH), "NO_COLOR": "1"}
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        spent = time.monotonic() - began
        if done.returncode != code:
            raise SystemExit(f"`{command}` ended with {done.returncode}, not {code}:\n{done.stdout}")
        return self.clean(done.stdout), spent

    def page(self) -> str:
        """The page as Markdown."""
        return "\n".join(self.parts)

    def clean(self, text: str) -> str:
        """Without progress lines and without the folders of this machine."""
        text = PROGRESS.sub("", text).replace("python -m mixdesk.cli", "mixdesk")
        for place, name in ((str(self.folder.resolve()) + "/", ""), (str(self.folder) + "/", ""), (sys.prefix, "/usr")):
            text = text.replace(place, name)
        text = re.sub(r"[^\s'\"]*/site-packages/", "site-packages/", text)
        return text if not text or text.endswith("\n") else text + "\n"


def write_texts(folder: Path, labels: tuple[str, ...]) -> None:
    """Text of this Python and its packages as files, a folder per label, and the language manual in held-out/."""
    import mixdesk as mx

    counts: dict[str, int] = {}
    for document in mx.installed_documents(labels):
        label = document.label or "text"
        counts[label] = counts.get(label, 0) + 1
        path = folder / "texts" / label / f"{counts[label]:04d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document.text, encoding="utf-8")
    (folder / "held-out").mkdir()
    for i, document in enumerate(mx.manual_documents()):
        (folder / "held-out" / f"{i:04d}.txt").write_text(document.text, encoding="utf-8")
