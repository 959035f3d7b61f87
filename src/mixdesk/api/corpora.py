"""Corpora: build, cut anew, check and open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Document
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


def _plug(part: Plug | str) -> Plug:
    return part if isinstance(part, Plug) else Plug(name=part)
