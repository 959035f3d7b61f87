"""`mixdesk corpus`: texts → manifest → domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

import mixdesk
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, lines, say, say_table
from mixdesk.core.errors import InputError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Texts to a counted corpus of domains.")


@app.command()
def build(
    sources: list[Path] = typer.Argument(None, help="Files, folders, globs: text, JSONL, HTML, WARC, Parquet, Arrow."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the corpus."),
    eval_sets: list[str] = typer.Option([], "--eval", help="NAME=PATH of texts held out whole; may be repeated."),
    tokenizer: str = typer.Option("bpe", help="bpe (trained here), bytes, or the path of a tokenizer.json."),
    vocab_size: int = typer.Option(2048, help="Vocabulary of the trained BPE."),
    installed: bool = typer.Option(False, "--installed", help="The demo's text: this Python and its packages."),
    skip_broken: bool = typer.Option(False, "--skip-broken", help="Count broken inputs, do not stop."),
    quiet: bool = QUIET_OPTION,
) -> None:
    """Deduplicate, tokenise and count texts; the folder of a text (or its JSONL label) names its domain.

    Example: mixdesk corpus build texts/ --eval manual=held-out.txt -o corpus
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
            on_error="skip" if skip_broken else "raise",
            progress=progress,
        )
    show(out, as_json=False)


@app.command()
def show(folder: Path = typer.Argument(..., help="Folder of a corpus."), as_json: bool = JSON_OPTION) -> None:
    """Domains with documents, bytes, tokens, natural weight and licences; evaluation sets.

    Example: mixdesk corpus show corpus
    """
    corpus = mixdesk.open_corpus(folder)
    total = sum(domain.n_tokens or 0 for domain in corpus.domains)
    rows = [
        {
            "domain": domain.name,
            "documents": domain.n_docs,
            "bytes": domain.n_bytes,
            "tokens": domain.n_tokens,
            "natural": (domain.n_tokens or 0) / total,
            "bytes per token": domain.n_bytes / domain.n_tokens if domain.n_tokens else None,
            "licences": ", ".join(name for name, _ in domain.licenses) or "unknown",
        }
        for domain in corpus.domains
    ]
    if as_json:
        say_table(rows, as_json=True)
        return
    say(
        f"{corpus.name}: {total:,} training tokens, tokenizer {corpus.tokenizer.name} ({corpus.tokenizer.vocab_size:,})"
    )
    say_table(rows)
    sets = [{"evaluation set": one.name, "bytes": one.n_bytes, "tokens": one.n_tokens} for one in corpus.evals]
    if sets:
        say_table(sets)
