"""Corpora: build and open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Document, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint
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
    form = registry.make("formats", plug if isinstance(plug, Plug) else Plug(name=plug))
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

    return importer.write_format(Path(folder), Path(out), format if isinstance(format, Plug) else Plug(name=format))
