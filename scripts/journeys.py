"""Walk the four journeys as a new user in an empty folder and write docs/journeys/*.md from what was printed.

    python scripts/journeys.py [a b c d]

Data are made on the spot from text of this Python and its packages. A command that ends otherwise than it should stops
the script. Numbers differ from machine to machine.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

from transcript import Transcript, write_texts

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("code/library", "meta/record", "prose/docstrings", "tables/decimal")

PROXY_AND_TARGET = """
[[rungs]]
label = "proxy"
unique_share = 0.25           # a proxy sees a quarter of each domain, as its run is a quarter of the target's
scale = { n_tokens = 40960 }
model = { n_layers = 2, d_model = 64, n_heads = 2, vocab_size = 2048, seq_len = 128 }
hyper = { lr = 0.02, batch_tokens = 512 }

[[rungs]]
label = "target"
scale = { n_tokens = 163840 }
model = { n_layers = 2, d_model = 64, n_heads = 2, vocab_size = 2048, seq_len = 128 }
hyper = { lr = 0.02, batch_tokens = 512 }
"""


def lab(story: Transcript) -> None:
    """A: tokenised data and a trainer of one's own."""
    story.say("""
# A. A lab with a cluster and its own trainer

You have domains tokenised as Megatron's `.bin/.idx`, a trainer that is not ours, and room for some dozens of small
runs. Here the data are small, and the trainer is thirty lines that know nothing of mixdesk.
""")
    _six_sets(story.folder)
    _megatron(story.folder)
    story.say("## What is there: counted by its index, no text read")
    story.run("ls data")
    story.run("mixdesk corpus import data --format megatron --tokenizer tokenizer.json --n-tokens 3e5 -o corpus")
    story.say("""
Natural weights, and how often the target run would pass each domain. Now the question: the model shall read mail and
HTTP well, and no text more than four times. A trainer of one's own needs no `[trainer]`: the study asks, you answer.
""")
    story.file(
        "my-study/study.toml",
        """name = "lab"
corpus = "../corpus"

[objective.terms]
"bpb/domain/email" = 1.0      # names of what your trainer reports, and how much each counts
"bpb/domain/http" = 1.0

[constraints]
max_epochs = 4.0
lower = { "*" = 0.01 }        # two sequences of a proxy: a blend gives no domain less

[budget]
n_trials = 32

[[rungs]]
label = "proxy"
scale = { n_params = 1000000, n_tokens = 40000 }

[[rungs]]
label = "target"
scale = { n_params = 8000000, n_tokens = 300000 }
""",
    )
    story.run("mixdesk study new my-study")
    story.say("## Ask: files that your trainer reads")
    story.run(
        "mixdesk study ask my-study -n 32 --as megatron --seq-len 128 --batch-tokens 2048 \\\n"
        "    --data ../../data -o asked | head -8"
    )
    story.say("A folder per trial. Words beside each other, as `--data-args-path` reads them; flags in `run.sh`:")
    story.run("cd asked/$(ls asked | head -1) && ls && cat phase0.txt")
    story.say("The same trials as lines of JSON, for a trainer that reads nothing of Megatron's:")
    story.run("mixdesk study ask my-study -n 32 -o asked.jsonl | head -1; head -1 asked.jsonl | cut -c1-400")
    story.say("## Train, and tell")
    story.file("train.sh", _TRAIN)
    shutil.copy(ROOT / "examples" / "train_anything.py", story.folder / "train_anything.py")
    story.run("bash train.sh asked.jsonl answers.jsonl && head -c 300 answers.jsonl")
    story.run("mixdesk study tell my-study answers.jsonl")
    story.run("mixdesk study show my-study")
    story.say("## Law, recipe, and the file that the big run reads")
    story.run("mixdesk law compare my-study --laws average,exponential,trees --quiet")
    story.run("mixdesk recipe make my-study")
    story.run("mixdesk recipe check my-study && echo train on it")
    story.say("""
To be surer before the big run, `mixdesk study ask my-study -n 20 --confirm -o asked.jsonl` asks fresh runs of the
recipe and its rivals at the target's size. Train and tell them as above; `mixdesk recipe confirm my-study` judges them.
""")
    story.run(
        "mixdesk recipe export my-study --to megatron --seq-len 128 --batch-tokens 4096 \\\n"
        "    --data ../data -o out --verify"
    )
    story.run("ls out && cat out/phase0.txt out/run.sh")
    story.run("mixdesk study report my-study && du -h my-study/desk.html")
    story.say("""
The question was changed twice before this walk: its first forms ended in *no different* and in *uniform is better*. The
page shows how the commands go together, not how often a gain is found.
""")


def academic(story: Transcript) -> None:
    """B: raw text to recipe on a laptop."""
    story.say("""
# B. From raw text to a recipe, on a laptop

You have folders of text, two cores, and a question: in what proportions should a model read them to be good at a text
that it never sees? Here the folders hold text of this machine's Python and its packages, and the held-out text is
Python's language manual. `mixdesk demo` walks the same way by itself with eight domains.

```
pip install -c constraints.txt '.[all]'
```
""")
    write_texts(story.folder, LABELS)
    story.run("ls texts/* | head -8; du -sh texts held-out")
    story.say("""
## A corpus

A folder names a domain. Copies and near copies go out, and so does what stands in the held-out set.
""")
    story.run("mixdesk corpus build texts --eval manual=held-out --near 0.8 -o corpus")
    story.say("Sizes, natural weights, licences (unknown here). What could one train on without any evidence?")
    story.run("mixdesk recipe start corpus --n-tokens 2M")
    story.say("""
## A study

The question is a file. Small models (98 thousand parameters, 41 thousand tokens, seconds each) stand for a target of
four times their FLOPs.
""")
    story.file(
        "my-study/study.toml",
        """name = "which text teaches the manual"
corpus = "../corpus"

[objective.terms]
"bpb/set/manual" = 1.0        # bits per byte of the held-out text: smaller is better

[constraints]
max_epochs = 4.0              # at the target no text is read more than four times

[budget]
n_trials = 24

[trainer]
name = "builtin"
"""
        + PROXY_AND_TARGET,
    )
    story.run("mixdesk study new my-study")
    story.run("mixdesk study run my-study --trials 8")
    story.say("""
The first trials are the natural and the uniform mixture with repeats: they measure the noise. The spread over mixtures
is many times the noise, so there is something to find. Go on (Ctrl-C at any time; the same command goes on):
""")
    story.run("mixdesk study run my-study | tail -6")
    story.say("## How far can a law be trusted?")
    story.run("mixdesk law compare my-study --laws average,exponential,trees --quiet")
    story.say("## The answer")
    story.run("mixdesk recipe make my-study")
    story.say("What does the largest weight rest on?")
    story.run("mixdesk recipe show my-study --why 'prose/*'")
    story.say("Recipe and rivals, trained at the target with fresh replicates and compared in pairs:")
    story.run("mixdesk recipe confirm my-study --replicates 3 --quiet")
    story.run("mixdesk recipe check my-study && echo train on it")
    story.say("## The page")
    story.run("mixdesk study report my-study && du -h my-study/desk.html")
    story.say("[The desk](../desk.md) is that page: one file, no network, ready to be sent.")


def tuning(story: Transcript) -> None:
    """C: six fine-tuning sets."""
    story.say("""
# C. Six sets for fine-tuning

You have six JSONL files and a LoRA trainer (LLaMA-Factory here). Which of them belong in, how much of each, and what
does it cost the old skills? Here the sets are six kinds of text of this machine, and the answers come from
`examples/train_anything.py`, in place of an hour of GPU.
""")
    _six_sets(story.folder)
    story.run("wc -l sets/*.jsonl")
    story.say("## What is in them")
    story.run("mixdesk corpus build sets --near 0.8 -o corpus")
    story.run("mixdesk corpus show corpus --overlap | tail -12")
    story.say("## Weights before any evidence")
    story.run("mixdesk recipe start corpus --n-tokens 300k --max-epochs 4")
    story.say("""
## Short runs

Each set alone, all but each, and mixtures between: `modomodo`. A *guard* keeps an old skill: what `json` measures may
get worse than under the natural mixture by no more than 0.05 bits per byte.
""")
    story.file(
        "my-study/study.toml",
        """name = "six sets"
corpus = "../corpus"

[objective]
guards = [{ metric = "bpb/domain/json", than = "natural", slack = 0.05 }]

[objective.terms]
"bpb/domain/http" = 1.0       # what the model shall learn
"bpb/domain/logging" = 1.0

[constraints]
max_epochs = 4.0

[budget]
n_trials = 24

[strategy]
name = "modomodo"

[trainer]
name = "command"
options = { command = "python train_anything.py {spec} {result}" }

[[rungs]]
label = "short"
scale = { n_params = 1000000, n_tokens = 100000 }

[[rungs]]
label = "full"                # the run that the recipe is for
scale = { n_params = 1000000, n_tokens = 300000 }
""",
    )
    shutil.copy(ROOT / "examples" / "train_anything.py", story.folder / "train_anything.py")
    story.run("mixdesk study new my-study")
    story.run("mixdesk study run my-study --quiet")
    story.run("mixdesk law compare my-study --laws average,quadratic,linear --quiet")
    story.run("mixdesk recipe make my-study")
    story.say("Recipe and rivals, trained at the full length with fresh replicates and compared in pairs:")
    story.run("mixdesk recipe confirm my-study --replicates 5 --quiet")
    story.say("## Files that the trainer reads")
    story.run("mixdesk recipe export my-study --to llama_factory -o out --verify")
    story.run("ls out && cat out/stage0.yaml out/run.sh")
    story.say("""
The question was changed twice before this walk: its first forms ended in *no different* and in *uniform is better*. The
page shows how the commands go together, not how often a gain is found.
""")


def tables(story: Transcript) -> None:
    """D: two CSVs to recipe."""
    story.say("""
# D. From two CSVs to a recipe

You have the runs of somebody else, or your own from last year: a table of mixtures and a table of scores, joined by a
run id. No text, no model, no torch. Here they are the bundled `examples/swarm`: 38 real runs over eight domains.
""")
    for name in ("mixtures.csv", "scores.csv"):
        shutil.copy(ROOT / "examples" / "swarm" / name, story.folder / name)
    natural = (story.folder / "mixtures.csv").read_text(encoding="utf-8").splitlines()[:2]
    names, shares = (line.split(",")[2:] for line in natural)
    story.run("head -3 mixtures.csv | cut -c1-100; head -3 scores.csv | cut -c1-100")
    story.say("""
## A study of runs that exist

Which column is which is guessed from names and values, and said. One score is the objective. The first run is the
natural mixture of that corpus; given as such it becomes a rival that the recipe must beat.
""")
    told = " \\\n    ".join(f"--natural {name}={float(share):.3f}" for name, share in zip(names, shares, strict=True))
    story.run(
        "mixdesk study import --mixtures mixtures.csv --scores scores.csv --objective bpb/set/manual \\\n"
        f"    {told} -o my-study"
    )
    story.say("""
## Which law, and is there enough?

Mixtures are left out and predicted; the last line says what more runs would bring.
""")
    story.run("mixdesk law compare my-study --laws average,exponential,trees,linear --quiet")
    story.run("mixdesk study show my-study --next 40 | tail -2")
    story.say("## The answer, its rivals, and the reasons to doubt it")
    story.run("mixdesk recipe make my-study")
    story.say("Not one best mixture only: the smallest step from the natural mixture that gains 0.2 bits per byte.")
    story.run("mixdesk recipe move my-study --gain 0.2 --from natural")
    story.say("""
A metric may be kept from getting worse. With a guard on code the answer changes:
""")
    story.run("mixdesk recipe make my-study --guard 'bpb/domain/code/library<=natural+0.02' -o guarded.json | head -24")
    story.say("""
Tables hold no token counts. Where a set may run short, its tokens are told with the question: here a run of 1B tokens,
and 100M of docstrings that no reader should see more than four times.
""")
    story.run(
        "mixdesk recipe make my-study --max-epochs 4 --n-tokens 1B --tokens prose/docstrings=100M \\\n"
        "    -o capped.json | head -20"
    )
    story.say("## Weak evidence is said to be weak")
    story.run("head -8 mixtures.csv > few.csv")
    story.run("mixdesk study import --mixtures few.csv --scores scores.csv --objective bpb/set/manual -o few | head -2")
    story.run("mixdesk recipe make few", code=3)
    story.say("Exit code 3 stops a script that would have trained on it.\n\n## A page to send")
    story.run("mixdesk study report my-study && du -h my-study/desk.html")


JOURNEYS = {"a": ("lab", lab), "b": ("text", academic), "c": ("tuning", tuning), "d": ("tables", tables)}
END = """
Made by `scripts/journeys.py {letter}` on two cores: {minutes:.1f} minutes of commands. Progress
lines are left out.
"""

_TRAIN = """#!/bin/bash
# Each line of asked.jsonl is the spec of a trial; each result becomes a line of answers.jsonl.
split --lines=1 --numeric-suffixes=1 --suffix-length=4 --additional-suffix=.spec "$1" trial-
for spec in trial-*.spec; do
  python train_anything.py "$spec" "${spec%.spec}.result"
  jq --slurp --compact-output '{trial: .[0].trial} + .[1]' "$spec" "${spec%.spec}.result"
done > "$2"
"""


def _megatron(folder: Path) -> None:
    """The sets as somebody's `.bin/.idx`, and the tokenizer they were made with."""
    import mixdesk as mx

    mx.build_corpus([folder / "sets"], folder / "ours")
    mx.export_corpus(folder / "ours", folder / "data", "megatron")
    for path in (folder / "ours").glob("tokenizer-*.json"):
        shutil.copy(path, folder / "tokenizer.json")
    for name in ("ours", "sets"):
        shutil.rmtree(folder / name)


def _six_sets(folder: Path) -> None:
    """Six JSONL files: functions and classes of six standard packages, one a record."""
    (folder / "sets").mkdir()
    for package in ("asyncio", "email", "http", "json", "logging", "unittest"):
        records = []
        for path in sorted(Path(importlib.util.find_spec(package).origin).parent.rglob("*.py")):
            source = path.read_text(encoding="utf-8", errors="replace")
            for node in ast.parse(source).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    doc = ast.get_docstring(node) or node.name
                    text = f"Write Python: {doc}\n\n{ast.get_source_segment(source, node)}"
                    records.append(json.dumps({"text": text, "label": package}))
        (folder / "sets" / f"{package}.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")


def main(letters: list[str]) -> None:
    """Walk the named journeys, each in a folder of its own, and write their pages."""
    for letter in letters:
        name, walk = JOURNEYS[letter]
        with tempfile.TemporaryDirectory() as place:
            story = Transcript(Path(place) / "empty")
            walk(story)
        story.say(END.format(letter=letter, minutes=story.seconds / 60))
        page = ROOT / "docs" / "journeys" / f"{letter}-{name}.md"
        page.write_text(story.page(), encoding="utf-8")
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main([word.lower() for word in sys.argv[1:]] or list(JOURNEYS))
