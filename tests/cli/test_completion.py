"""Completion by the protocol that a shell speaks: environment variables in, candidates out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mixdesk.core import registry

# The command by its own name, without an installation; says at the end what heavy modules were loaded.
SCRIPT = """
import sys
sys.argv[0] = "mixdesk"
from mixdesk.cli.main import run
try:
    run()
finally:
    heavy = ("torch", "scipy", "sklearn", "pandas", "lightgbm", "plotly", "tokenizers", "ray")
    print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def completed(line: str, shell: str = "bash") -> list[str]:
    """The candidates for the last word of a line, which may be empty."""
    words = line.split(" ")
    variables = (
        {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        if shell == "bash"
        else {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **variables, "_MIXDESK_COMPLETE": f"complete_{shell}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[]"), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "kind"),
    [("mixdesk law fit s --law ", "laws"), ("mixdesk recipe make s --strategy ", "strategies"),
     ("mixdesk corpus split c ", "splitters"), ("mixdesk corpus build t --step ", "steps"),
     ("mixdesk corpus import x --format ", "formats"), ("mixdesk recipe export s --to ", "exporters"),
     ("mixdesk recipe show s --from ", "exporters"), ("mixdesk study ask s --as ", "exporters")],
)  # fmt: skip
def test_names_of_parts_are_those_of_their_table(line: str, kind: str) -> None:
    assert completed(line) == list(registry.names(kind))


def test_what_was_begun_is_completed_and_files_are_left_to_the_shell() -> None:
    assert completed("mixdesk study ru") == ["run"]
    assert completed("mixdesk law compare s --laws gp,tr") == ["gp,trees", "gp,transfer"]
    assert completed("mixdesk study run s --runner r") == ["ray"]
    assert completed("mixdesk list la") == ["laws"]
    # Nothing of ours: the shell's own files, by `-o default` and `_files`.
    assert completed("mixdesk study show my") == []
    assert completed("mixdesk study show my", "zsh") == ["_files"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_the_same_names(shell: str) -> None:
    found = " ".join(completed("mixdesk law fit s --law g", shell))
    assert "gp" in found
    assert "gated" in found
    assert "ridge" not in found


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_with_the_script_that_is_installed(tmp_path: Path) -> None:
    command = tmp_path / "mixdesk"
    command.write_text(f"#!{sys.executable}\n{SCRIPT}")
    command.chmod(0o755)
    home = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    # Its shell is that of the process above it: bash.
    done = subprocess.run(
        ["bash", "-c", "mixdesk --install-completion; true"], env=home, capture_output=True, text=True, check=False
    )
    assert "bash completion installed" in done.stdout, done.stderr
    (tmp_path / "desk").mkdir()
    typed = (
        "source ~/.bash_completions/mixdesk.sh; COMP_WORDS=(mixdesk law fit desk --law g); COMP_CWORD=5; "
        '_mixdesk_completion mixdesk; echo "${COMPREPLY[@]}"; complete -p mixdesk'
    )
    done = subprocess.run(["bash", "-c", typed], env=home, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "gp gated"
    assert "-o default" in done.stdout
