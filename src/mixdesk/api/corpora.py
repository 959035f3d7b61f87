"""Corpora: build and open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Document
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress

Sources = Sequence[Path | str] | Iterable[Document]


def build_corpus(
    sources: Sources,
    out: Path | str,
    *,
    tokenizer: str = "bpe",
    vocab_size: int = 2048,
    evals: Mapping[str, Sources] | None = None,
    splitter: Plug | str = "by_label",
    on_error: str = "raise",
    progress: Progress | None = None,
) -> Corpus:
    """Texts → deduplicated, counted token shards with a manifest in the folder `out`.

    Args:
        sources: files, folders or globs; or documents.
        out: folder to make. A build that was interrupted goes on; one that is complete is left alone.
        tokenizer: `bpe` (trained here), `bytes`, or the path of a `tokenizer.json`.
        vocab_size: of the trained BPE.
        evals: name → sources of texts held out whole.
        splitter: who names the domain of a document.
        on_error: `raise`, or `skip` broken inputs (counted in the manifest).
        progress: called with (what, done, total).
    """
    from mixdesk.corpus.build import build

    plug = splitter if isinstance(splitter, Plug) else Plug(name=splitter)
    model = registry.make("splitters", plug).prepare(())
    return build(
        sources,
        Path(out),
        name=Path(out).resolve().name,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        evals=evals or {},
        label=model.label,
        on_error=on_error,
        progress=progress,
    )


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
