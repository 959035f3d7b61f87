"""`mixdesk corpus`: texts → manifest → domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

import mixdesk
from mixdesk.cli.completion import FORMATS, RUNNERS, SPLITTERS, STEPS, TOKENIZERS
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, cut, lines, say, say_json, say_table
from mixdesk.core.errors import InputError
from mixdesk.study.sizes import told

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Texts to a counted corpus of domains.")
SPLITTER = "Who names the domain of a document, e.g. by_label, by_cluster:k=20; see `mixdesk list splitters`."
JOBS = typer.Option(None, "--jobs", help="Processes; default: one per core.")
BARS = " ▁▂▃▄▅▆▇█"
# A share of common text that the table would print as zero is left out of it.
LEAST_SHOWN = 0.00005


@app.command()
def build(  # noqa: PLR0913  (its parameters are the command line)
    sources: list[Path] = typer.Argument(
        None, help="Files, folders or globs: text, HTML, JSONL, Parquet, Arrow, WARC."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the corpus."),
    eval_sets: list[str] = typer.Option([], "--eval", help="NAME=PATH of texts held out whole; may be repeated."),
    tokenizer: str = typer.Option(
        "bpe", help="bpe (trained here), bytes, or the path of a tokenizer.json.", autocompletion=TOKENIZERS
    ),
    vocab_size: int = typer.Option(2048, help="Vocabulary of the trained BPE."),
    clean: bool = typer.Option(False, "--clean", help="The cleaning steps for text of any kind."),
    steps: list[str] = typer.Option(
        [], "--step", help="A cleaning step, e.g. c4:terminal=false; may be repeated.", autocompletion=STEPS
    ),
    near: float | None = typer.Option(None, help="Remove near copies from this Jaccard similarity on, e.g. 0.8."),
    keep_leaks: bool = typer.Option(False, "--keep-leaks", help="Keep documents that hold evaluation items."),
    splitter: str = typer.Option("by_label", help=SPLITTER, autocompletion=SPLITTERS),
    installed: bool = typer.Option(False, "--installed", help="The demo's text: this Python and its packages."),
    skip_broken: bool = typer.Option(False, "--skip-broken", help="Count broken inputs, do not stop."),
    jobs: int | None = JOBS,
    runner: str = typer.Option("local", help="local: this machine; ray: a Ray cluster.", autocompletion=RUNNERS),
    address: str | None = typer.Option(None, help="Of the Ray cluster, HOST:PORT or auto."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """Clean, deduplicate, tokenise and count texts; the folder of a text (or its record's label) names its domain.

    Interrupted, the same command goes on. `--clean` comes before each `--step`.

    Example: mixdesk corpus build texts/ --eval manual=held-out.txt --clean --near 0.8 -o corpus
    """
    evals: dict[str, Any] = {}
    for pair in eval_sets:
        name, equals, path = pair.partition("=")
        if not equals:
            raise InputError(
                "--eval needs a name", value=pair, bound="NAME=PATH", remedy="e.g. --eval manual=manual.txt"
            )
        evals[name] = [Path(path)]
    if installed == bool(sources):
        raise InputError(
            "a corpus needs one kind of source",
            value="sources and --installed" if installed else "no source",
            bound="files and folders, or --installed",
            remedy="name a folder of texts",
        )
    if installed:
        evals["manual"] = mixdesk.manual_documents()
    with lines(quiet) as progress:
        mixdesk.build_corpus(
            mixdesk.installed_documents() if installed else sources,
            out,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            evals=evals,
            steps=[*(["clean"] if clean else []), *steps],
            near=near,
            decontaminate=not keep_leaks,
            splitter=splitter,
            on_error="skip" if skip_broken else "raise",
            jobs=jobs,
            runner=runner,
            address=address,
            progress=progress,
        )
    _say(mixdesk.show_corpus(out), as_json=as_json)


@app.command(name="import")
def import_(
    sources: list[str] = typer.Argument(
        ..., help="NAME=PATH of a domain's data, or one folder whose files are domains."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the corpus."),
    tokenizer: str = typer.Option(..., help="Path of the tokenizer.json that the ids are of, or its name."),
    format: str | None = typer.Option(
        None, help="megatron, mds, olmo_npy, datatrove or litdata; default: by the files.", autocompletion=FORMATS
    ),
    n_tokens: str | None = typer.Option(
        None, help="Tokens of a run, for the epochs of each domain, such as 2T or 1e9."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Somebody's tokenised data by its index alone: counts, natural weights, epochs. No text or token is read.

    Example: mixdesk corpus import web=data/web code=data/code --tokenizer tokenizer.json -o corpus --n-tokens 10B
    """
    pairs = [one.partition("=") for one in sources]
    named = {name: path for name, equals, path in pairs if equals}
    if (named and len(named) < len(pairs)) or (not named and len(pairs) != 1):
        raise InputError(
            "the sources are of two kinds",
            value=", ".join(sources),
            bound="NAME=PATH for each domain, or one folder",
            remedy="name every source",
        )
    corpus = mixdesk.import_corpus(named or sources[0], out, tokenizer=tokenizer, format=format)
    natural = mixdesk.Mixture.natural(corpus)
    n_run = None if n_tokens is None else told("n_tokens", n_tokens)
    epochs = dict(natural.epochs(corpus, mixdesk.Scale(n_tokens=n_run)))
    weights = natural.as_dict()
    rows = [
        {
            "domain": domain.name,
            "documents": domain.n_docs,
            "tokens": domain.n_tokens,
            "natural": weights[domain.name],
            **({"epochs": epochs[domain.name]} if epochs else {}),
        }
        for domain in corpus.domains
    ]
    if as_json:
        say_json(rows)
        return
    say(f"{corpus.name}: {sum(domain.n_tokens or 0 for domain in corpus.domains):,} tokens, counted by their index")
    say_table(rows)


@app.command()
def split(
    folder: Path = typer.Argument(..., help="Folder of a built corpus."),
    splitter: str = typer.Argument(..., help=SPLITTER, autocompletion=SPLITTERS),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the new corpus."),
    jobs: int | None = JOBS,
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """The same documents in other domains, under the same tokenizer; the model that names them is kept.

    Example: mixdesk corpus split corpus by_cluster:k=20 -o clusters
    """
    with lines(quiet) as progress:
        mixdesk.split_corpus(folder, out, splitter, jobs=jobs, progress=progress)
    _say(mixdesk.show_corpus(out), as_json=as_json)


@app.command()
def check(
    folder: Path = typer.Argument(..., help="Folder of a built corpus."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """Verify every shard, table and count against the manifest; exit code 1 where something is wrong.

    Example: mixdesk corpus check corpus
    """
    with lines(quiet) as progress:
        wrong = mixdesk.check_corpus(folder, progress=progress)
    if as_json:
        say_json({"wrong": wrong})
    else:
        say("\n".join(wrong) if wrong else "every file is as it was written")
    if wrong:
        raise typer.Exit(1)


@app.command()
def show(
    folder: Path = typer.Argument(..., help="Folder of a corpus."),
    samples: int = typer.Option(0, help="Documents of each domain to show, and what each step removed and changed."),
    overlap: bool = typer.Option(False, "--overlap", help="Text that domains share with each other and with the sets."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Domains with documents, tokens, natural weight, sizes, licences and tier; what was left out and why.

    Example: mixdesk corpus show corpus --samples 2
    """
    facts = mixdesk.show_corpus(folder, samples=samples)
    _say(facts, as_json=as_json)
    if as_json:
        return
    if samples:
        _say_samples(facts)
    if overlap:
        _say_overlap(facts)


def _say(facts: dict[str, Any], *, as_json: bool = False) -> None:
    """What `corpus show` shows."""
    if as_json:
        say_json(facts)
        return
    tokenizer, domains = facts["tokenizer"], facts["domains"]
    total = sum(row["tokens"] or 0 for row in domains)
    say(f"{facts['name']}: {total:,} training tokens, tokenizer {tokenizer['name']} ({tokenizer['vocab_size']:,})")
    say_table(
        [
            {
                **{key: row[key] for key in ("domain", "documents")},
                "bytes": row["bytes"] or None,
                **{key: row[key] for key in ("tokens", "natural", "bytes per token")},
                "tokens of a document (median)": None
                if (size := row["tokens of a document"][1]) is None
                else round(size),
                "sizes, by factors of 2": _bars(row["histogram"]),
                "licences": cut(", ".join(row["licences"]) or "unknown", 48),
                "tier": row["tier"] or "",
            }
            for row in domains
        ]
    )
    if facts["sets"]:
        say()
        say_table(facts["sets"])
    steps = [
        {
            "step": step["step"]["name"],
            "documents in": step["n_seen"],
            "changed": step["n_changed"],
            "removed": int(sum(dict(step["removed"]).values())),
            "by rule": ", ".join(f"{rule} {int(n)}" for rule, n in dict(step["removed"]).items()),
        }
        for step in facts["steps"]
    ]
    if steps:
        say()
        say_table(steps)
    left: dict[str, int] = {}
    for one in facts["removed"]:
        left[one["reason"]] = left.get(one["reason"], 0) + one["documents"]
    for one in facts["skipped"]:
        left[f"skipped: {one['reason']}"] = one["n"]
    if left:
        say()
        say_table([{"left out": reason, "documents": n} for reason, n in left.items()])
    _say_leaks(facts["leaks"])
    lost: dict[str, int] = {}
    for step in facts["steps"]:
        for label, n in dict(step["lost"]).items():
            lost[label] = lost.get(label, 0) + int(n)
    kept = {row["domain"]: row["documents"] for row in domains}
    for label, n in lost.items():
        if n > kept.get(label, 0):
            say(f"warning: cleaning removed {n} documents of `{label}` and left {kept.get(label, 0)}: see --samples")


def _say_leaks(leaks: dict[str, Any]) -> None:
    """What the texts, as they were read, held of each evaluation set, and in which domains."""
    rows = []
    for name, found in leaks.get("sets", {}).items():
        hits = {label: of_set[name] for label, of_set in leaks["documents"].items() if name in of_set}
        rows.append(
            {
                "evaluation set": name,
                "items": found["items"],
                "n-grams found in the texts": found["leaked"],
                "documents with an item": sum(hits.values()),
                "in": ", ".join(f"{label} {n:,}" for label, n in sorted(hits.items(), key=lambda pair: -pair[1])),
            }
        )
    if rows:
        say_table(rows, title="\nHits against evaluation sets, before anything was removed:")


def _bars(counts: list[int]) -> str:
    """A histogram in one line, from the first bin that holds something."""
    first = next((i for i, n in enumerate(counts) if n), 0)
    most = max(counts, default=0)
    shown = "".join(BARS[-(-n * (len(BARS) - 1) // most)] for n in counts[first:]) if most else ""
    return f"{2**first:,} {shown} {2 ** len(counts):,}" if shown else ""


def _say_samples(facts: dict[str, Any]) -> None:
    for step in facts["steps"]:
        for one in step["examples"]:
            said = f"removed by {one['rule']}" if one["rule"] else "changed"
            say(f"\n{step['step']['name']}, {said} ({one['source']}):\n  {one['before']!r}")
            if one["after"]:
                say(f"  → {one['after']!r}")
    for name, documents in facts["samples"].items():
        for one in documents:
            say(f"\n{name} ({one.get('source', '')}, {one.get('license') or 'licence unknown'}):")
            say("  " + cut(" ".join(one["text"].split()), 320))


def _say_overlap(facts: dict[str, Any]) -> None:
    found = facts["overlap"]
    if found is None:
        say("\nOverlap was not measured: the corpus was built without it.")
        return
    names, most = found["names"], []
    for i, row in enumerate(found["windows"]):
        most += [(share, names[i], names[j]) for j, share in enumerate(row) if j != i and share >= LEAST_SHOWN]
    for name, row in zip(found["sets"], found["leaked"], strict=True):
        most += [(share, f"set {name}", names[j]) for j, share in enumerate(row) if share >= LEAST_SHOWN]
    say(f"\nShared {found['window_words']}-word windows, the most first")
    say_table([{"of": a, "found in": b, "share": share} for share, a, b in sorted(most, reverse=True)[:20]])
    for warning in found["warnings"]:
        say(f"warning: {warning}")
