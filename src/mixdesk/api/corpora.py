"""Corpora: build, cut anew, check and open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Document, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress

Sources = Sequence[Path | str] | Iterable[Document]


def build_corpus(  # noqa: PLR0913  (one parameter per option of the command)
    sources: Sources,
    out: Path | str,
    *,
    tokenizer: str = "bpe",
    vocab_size: int = 2048,
    evals: Mapping[str, Sources] | None = None,
    steps: Sequence[Plug | str] = (),
    near: float | None = None,
    decontaminate: bool = False,
    splitter: Plug | str = "by_label",
    on_error: str = "raise",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Texts → cleaned, deduplicated, counted token shards with a manifest in the folder `out`.

    Args:
        sources: files, folders or globs; or documents.
        out: folder to make. A build that was interrupted goes on; one that is complete is left alone.
        tokenizer: `bpe` (trained here), `bytes`, or the path of a `tokenizer.json`.
        vocab_size: of the trained BPE.
        evals: name → sources of texts held out whole.
        steps: cleaning of the training documents, in order.
        near: remove documents whose sets of 5-word n-grams have at least this Jaccard similarity with an earlier one.
        decontaminate: remove training documents that hold an item of an evaluation set.
        splitter: who names the domain of a document.
        on_error: `raise`, or `skip` broken inputs (counted in the manifest).
        jobs: processes that read and label files; default: one per core, and none for few inputs.
        progress: called with (what, done, total).
    """
    from mixdesk.corpus.build import build

    settings = None
    if near is not None or decontaminate:
        registry.require("rensa")
        from mixdesk.corpus.near import Near

        settings = None if near is None else Near(threshold=near)
    plugs = [_plug(one) for one in steps]
    return build(
        sources,
        Path(out),
        name=Path(out).resolve().name,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        evals=evals or {},
        steps=[(plug, registry.make("steps", plug)) for plug in plugs],
        near=settings,
        decontaminate=decontaminate,
        splitter=(_plug(splitter), registry.make("splitters", _plug(splitter))),
        on_error=on_error,
        map=processes(jobs),
        progress=progress,
    )


def split_corpus(
    folder: Path | str,
    out: Path | str,
    splitter: Plug | str,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """The documents of a built corpus in other domains: a new corpus in `out` under the same tokenizer.

    Texts are decoded from the shards; a document's label is the domain it was in. Evaluation sets are carried over.

    Args:
        folder: a built corpus.
        out: another folder, made if need be.
        splitter: who names the domain of a document.
        jobs: processes that label; default: one per core.
        progress: called with (what, done, total).

    Raises:
        InputError: no corpus there, `out` is the same folder, or texts do not come back from their tokens.
    """
    from mixdesk.corpus.build import rebuild
    from mixdesk.corpus.shards import open_store

    plug = _plug(splitter)
    return rebuild(
        open_store(Path(folder)),
        Path(out),
        splitter=(plug, registry.make("splitters", plug)),
        map=processes(jobs),
        progress=progress,
    )


def check_corpus(folder: Path | str, *, progress: Progress | None = None) -> list[str]:
    """What is wrong with a built corpus, in words; nothing where every file is as it was written.

    Raises:
        InputError: no corpus there.
    """
    from mixdesk.corpus.check import check

    return check(Path(folder), progress)


def processes(jobs: int | None = None) -> Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]:
    """A `map` over that many processes (default: one per core) that answers in order; in this one where one is enough.

    Its workers do not import the caller's script, so it needs no `if __name__ == "__main__"`.
    """
    n_jobs = jobs or len(os.sched_getaffinity(0))

    def run(task: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        waiting = list(items)
        if min(n_jobs, len(waiting)) < 2:
            return map(task, waiting)
        registry.require("joblib")
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=min(n_jobs, len(waiting)), return_as="generator", batch_size=1, max_nbytes=None)
        answers: Iterable[Any] = parallel(delayed(task)(item) for item in waiting)
        return answers

    return run


def open_corpus(folder: Path | str) -> Corpus:
    """The counted corpus in a folder.

    Raises:
        InputError: no complete corpus there.
    """
    from mixdesk.corpus.shards import open_store

    return open_store(Path(folder)).corpus


def installed_documents(domains: Sequence[str] | None = None) -> Iterable[Document]:
    """Text of this Python and its installed packages as labelled documents: the demo's corpus.

    Args:
        domains: which of the eight; default: all, with sizes ten-fold apart.
    """
    from mixdesk.corpus import installed

    caps = installed.CAPS if domains is None else {name: installed.CAPS[name] for name in domains}
    return installed.installed_documents(caps)


def manual_documents() -> Iterable[Document]:
    """The Python language manual, topic by topic: the demo's held-out set."""
    from mixdesk.corpus import installed

    return installed.manual_documents()


def import_corpus(
    sources: Mapping[str, Path | str] | Path | str,
    out: Path | str,
    *,
    tokenizer: str,
    format: Plug | str | None = None,
    vocab_size: int = 0,
) -> Corpus:
    """Somebody's tokenised data, by its index alone, as a corpus of counts in the folder `out`.

    It has natural weights (`Mixture.natural`) and epochs at a scale (`Mixture.epochs`) and cannot be trained on.

    Args:
        sources: domain → path of its data; or a path whose parts name their domains.
        out: new folder.
        tokenizer: path of the `tokenizer.json` that the ids are of, or its name, which is then all that is known.
        format: who wrote the data; default: by the names of its files.
        vocab_size: of a tokenizer known by name; 0 is unknown.

    Raises:
        InputError: a source that cannot be read, several formats or types, or a folder that holds a corpus.
    """
    from mixdesk.corpus import importer
    from mixdesk.corpus.tokens import read_tokenizer

    paths = {n: Path(p) for n, p in sources.items()} if isinstance(sources, Mapping) else Path(sources)
    first = next(iter(paths.values()), None) if isinstance(paths, dict) else paths
    if first is None:
        raise InputError("there is nothing to import", value="no source", bound="one or more", remedy="name a source")
    plug = format or importer.guess_format(first)
    form = registry.make("formats", _plug(plug))
    counted = importer.import_index(paths, form)
    if Path(tokenizer).is_file():
        reference = read_tokenizer(Path(tokenizer)).reference
    else:
        reference = Tokenizer(name=tokenizer, vocab_size=vocab_size, sha256=fingerprint("by name", tokenizer))
    return importer.write_import(counted, Path(out), reference)


def export_corpus(folder: Path | str, out: Path | str, format: Plug | str) -> list[Path]:
    """The training shards of a built corpus in the format of a trainer, a file or folder per domain; the files.

    Args:
        folder: a built corpus.
        out: folder to write into.
        format: `megatron`, `mds`, `olmo_npy` or `datatrove`.

    Raises:
        InputError: no corpus with tokens there, or a domain's name or an id that the format cannot hold.
    """
    from mixdesk.corpus import importer

    return importer.write_format(Path(folder), Path(out), _plug(format))


def _plug(part: Plug | str) -> Plug:
    return part if isinstance(part, Plug) else Plug.parse(part)
