"""Write docs/commands.md: the help of every command, and what it prints on a small real study made on the spot.

    python scripts/commands.py

A few minutes on two cores. `tests/e2e/test_docs.py` asserts that the help on the page is that of the command line.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import tempfile
from pathlib import Path

import typer
from transcript import WIDTH, Transcript, write_texts
from typer.testing import CliRunner

from mixdesk.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "commands.md"
LABELS = ("code/library", "meta/record", "prose/docstrings")

HEAD = """# Commands

Every command with its help and with what it printed on a small real study: three domains of text of this machine's
Python, models of 98 thousand parameters. Made by `scripts/commands.py`; numbers differ from machine to machine, and
progress lines are left out. Exit codes: 0 done, 1 user error, 2 usage, 3 refused (infeasible, evidence too weak, or no
recipe to train on), 130 interrupted (the same command goes on). Wherever a table is printed there is `--json`.
"""

STUDY = """name = "three"
corpus = "../corpus"

[objective.terms]
"bpb/set/manual" = 1.0

[constraints]
max_epochs = 4.0

[budget]
n_trials = 14

[trainer]
name = "builtin"

[[rungs]]
label = "proxy"
unique_share = 0.5
scale = { n_tokens = 20480 }
model = { n_layers = 2, d_model = 64, n_heads = 2, vocab_size = 2048, seq_len = 128 }
hyper = { lr = 0.02, batch_tokens = 512 }

[[rungs]]
label = "target"
scale = { n_tokens = 40960 }
model = { n_layers = 2, d_model = 64, n_heads = 2, vocab_size = 2048, seq_len = 128 }
hyper = { lr = 0.02, batch_tokens = 512 }
"""

BIG_RUN = """plan,bpb/set/manual
recipe,2.91
natural,3.05
uniform,3.02
"""

# In the order in which they are run; the page has them under their commands.
EXAMPLES = (
    "mixdesk list laws",
    "mixdesk papers parego",
    "mixdesk corpus build texts --eval manual=held-out --near 0.8 -o corpus",
    "mixdesk corpus show corpus --overlap",
    "mixdesk corpus check corpus",
    "mixdesk corpus split corpus by_cluster:k=4 -o clusters",
    "mixdesk corpus import data --format megatron --tokenizer tokenizer.json --n-tokens 1e6 -o imported",
    "mixdesk recipe start corpus --n-tokens 1M",
    "mixdesk study new my-study",
    "mixdesk study run my-study",
    "mixdesk study show my-study --next 16",
    "mixdesk study export my-study -o tables",
    "mixdesk study import --mixtures tables/mixtures.csv --scores tables/scores.csv -o again",
    "mixdesk law compare my-study --laws average,exponential,linear",
    "mixdesk law fit my-study --law exponential -o law.json",
    "mixdesk law predict law.json --weight code/library=0.2 --weight meta/record=0.2 --weight prose/docstrings=0.6",
    "mixdesk recipe make my-study",
    "mixdesk recipe show my-study --why 'prose/*'",
    "mixdesk recipe move my-study --gain 0.05",
    "mixdesk recipe pareto my-study --metrics bpb/set/manual --metrics bpb/domain/code/library",
    "mixdesk recipe confirm my-study --replicates 3",
    "mixdesk recipe check my-study",
    "mixdesk recipe score my-study --scores big-run.csv",
    "mixdesk study report my-study",
    "mixdesk study extend my-study --corpus clusters -o extended",
    "mixdesk study new asked",
    "mixdesk study ask asked -n 3 -o asked.jsonl",
    "mixdesk study tell asked answers.jsonl",
    "mixdesk demo --quick -o demo",
)


def leaves() -> list[str]:
    """Every command that does something, in the order of `--help`."""

    def under(command: object, path: tuple[str, ...]) -> list[str]:
        children = getattr(command, "commands", {})
        return [leaf for name, child in children.items() for leaf in under(child, (*path, name))] or [" ".join(path)]

    return under(typer.main.get_command(app), ("mixdesk",))


def helps() -> dict[str, str]:
    """The help of every command, as it is printed 110 characters wide."""
    shown = {}
    for command in leaves():
        words = command.split()[1:]
        done = CliRunner().invoke(app, [*words, "--help"], prog_name="mixdesk", terminal_width=WIDTH)
        shown[command] = done.output.strip() + "\n"
    return shown


def examples(folder: Path) -> dict[str, list[str]]:
    """What each example printed, by command. All run in this process, which loads the libraries once."""
    story = Transcript(folder)
    write_texts(folder, LABELS)
    _prepare(folder)
    printed: dict[str, list[str]] = {}
    with contextlib.chdir(folder):
        for line in EXAMPLES:
            command = max((one for one in leaves() if f"{line} ".startswith(f"{one} ")), key=len)
            done = CliRunner(env={"COLUMNS": str(WIDTH)}).invoke(app, shlex.split(line)[1:], prog_name="mixdesk")
            if done.exit_code:
                raise SystemExit(f"`{line}` ended with {done.exit_code}: {done.output}{done.exception or ''}")
            print(line, flush=True)
            printed.setdefault(command, []).append(f"```console\n$ {line}\n{story.clean(done.output)}```\n")
            if command == "mixdesk study ask":
                Path("answers.jsonl").write_text(_answers(Path("asked.jsonl")), encoding="utf-8")
    return printed


def page(shown: dict[str, str], printed: dict[str, list[str]]) -> str:
    """The whole page as Markdown."""
    parts, noun = [HEAD], ""
    for command, text in shown.items():
        words = command.split()
        if len(words) > 2 and words[1] != noun:
            noun = words[1]
            parts.append(f"## mixdesk {noun}\n")
        parts.append(f"{'###' if len(words) > 2 else '##'} `{command}`\n\n```text\n{text}```\n")
        parts += printed.get(command, [])
    return "\n".join(parts)


def _prepare(folder: Path) -> None:
    """Files that the examples read: studies, somebody's tokenised data, what a big run measured."""
    import mixdesk as mx

    mx.build_corpus([folder / "texts"], folder / "ours")
    mx.export_corpus(folder / "ours", folder / "data", "megatron")
    for path in (folder / "ours").glob("tokenizer-*.json"):
        shutil.copy(path, folder / "tokenizer.json")
    for name, text in (("my-study", STUDY), ("asked", STUDY.replace('[trainer]\nname = "builtin"\n', ""))):
        (folder / name).mkdir()
        (folder / name / "study.toml").write_text(text, encoding="utf-8")
    (folder / "big-run.csv").write_text(BIG_RUN, encoding="utf-8")


def _answers(asked: Path) -> str:
    """Answers of some trainer to the trials that were asked."""
    lines = []
    for line in asked.read_text(encoding="utf-8").splitlines():
        spec = json.loads(line)
        score = 3.3 - 0.2 * spec["mixture"]["prose/docstrings"]
        lines.append(json.dumps({"trial": spec["trial"], "metrics": {"bpb/set/manual": score}}) + "\n")
    return "".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = page(helps(), examples(Path(place) / "empty"))
    PAGE.write_text(made, encoding="utf-8")
    print(PAGE.relative_to(ROOT))
