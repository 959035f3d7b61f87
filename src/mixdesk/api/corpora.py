"""Corpora: build, cut anew, check and open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mixdesk.core import checks, registry
from mixdesk.core.corpus import Corpus, Document, Tokenizer
from mixdesk.core.errors import InputError, MissingExtra
from mixdesk.core.files import fingerprint, read_data, to_data, write_json
from mixdesk.core.machine import n_cores
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Map, Progress

Sources = Sequence[Path | str] | Iterable[Document]
# What domains share, beside the manifest; documents of a domain that are read for it.
OVERLAP, OVERLAP_DOCUMENTS = "overlap.json", 20_000


def build_corpus(  # noqa: PLR0913  (one parameter per option of the command)
    sources: Sources,
    out: Path | str,
    *,
    tokenizer: str = "bpe",
    vocab_size: int = 2048,
    evals: Mapping[str, Sources] | None = None,
    steps: Sequence[Plug | str] = (),
    near: float | None = None,
    decontaminate: bool = True,
    splitter: Plug | str = "by_label",
    on_error: str = "raise",
    jobs: int | None = None,
    runner: str = "local",
    address: str | None = None,
    overlap: bool = True,
    progress: Progress | None = None,
) -> Corpus:
    """Texts → cleaned, deduplicated, counted token shards with a manifest in the folder `out`.

    Args:
        sources: files, folders or globs; or documents.
        out: folder to make. A build that was interrupted goes on; one that is complete is left alone.
        tokenizer: `bpe` (trained here), `bytes`, or the path of a `tokenizer.json`.
        vocab_size: of the trained BPE.
        evals: name → sources of texts held out whole.
        steps: cleaning of the training documents, in order; "clean": the pipeline for text of any kind.
        near: remove documents whose sets of 5-word n-grams have at least this Jaccard similarity with an earlier one.
        decontaminate: remove training documents that hold an item of an evaluation set.
        splitter: who names the domain of a document.
        on_error: `raise`, or `skip` broken inputs (counted in the manifest).
        jobs: processes that read and label files; default: one per core, and none for few inputs.
        runner: "local", this machine; "ray", a Ray cluster, each node of which sees the sources and `out`.
        address: of the cluster; default: the one that this machine is part of, else one that is started here.
        overlap: measure how much text domains share, and what of the evaluation sets stands in them.
        progress: called with (what, done, total).
    """
    from mixdesk.corpus.build import build

    settings = None
    if near is not None:
        registry.require("rensa")
        from mixdesk.corpus.near import Near

        settings = Near(threshold=near)
    plugs = [plug for one in steps for plug in _steps(one)]
    with _tasks(jobs, runner, address) as tasks:
        corpus = build(
            sources,
            Path(out),
            name=Path(out).resolve().name,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            evals=evals or {},
            steps=[(plug, registry.make("steps", plug)) for plug in plugs],
            near=settings,
            decontaminate=decontaminate and bool(evals),
            splitter=(_plug(splitter), registry.make("splitters", _plug(splitter))),
            on_error=on_error,
            map=tasks,
            progress=progress,
        )
    if overlap:
        measure_overlap(out, progress=progress)
    return corpus


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
    corpus = rebuild(
        open_store(Path(folder)),
        Path(out),
        splitter=(plug, registry.make("splitters", plug)),
        map=processes(jobs),
        progress=progress,
    )
    measure_overlap(out, progress=progress)
    return corpus


def measure_overlap(folder: Path | str, *, progress: Progress | None = None) -> dict[str, Any]:
    """How much text the domains of a built corpus share, and what of its evaluation sets stands in them: plain data.

    It is kept as `overlap.json` in the folder, with the fingerprint of the corpus that it is of. Of a domain the first
    20,000 documents by hash are read, which is a random sample: beyond it, text in common is found in part only.

    Raises:
        InputError: no corpus with documents there.
    """
    from mixdesk.corpus.documents import read_documents
    from mixdesk.corpus.shards import open_store
    from mixdesk.domains.overlap import overlap

    store = open_store(Path(folder))
    path = store.root / OVERLAP
    known = read_overlap(store.root)
    if known is not None:
        return known

    def told(i: int, name: str) -> Iterator[Document]:
        if progress is not None:
            progress("overlap", i, len(store.corpus.domains))
        yield from islice(read_documents(store, name, "train"), OVERLAP_DOCUMENTS)

    found = overlap(
        {name: told(i, name) for i, name in enumerate(store.corpus.names, 1)},
        {
            one.name: [document.text for document in read_documents(store, one.name, "set")]
            for one in store.corpus.evals
        },
    ).to_dict()
    write_json(path, {"schema": 1, "corpus": store.corpus.fingerprint, **found})
    return found


def read_overlap(folder: Path | str) -> dict[str, Any] | None:
    """What `measure_overlap` found of the corpus as it is now; None where it was not measured."""
    path = Path(folder) / OVERLAP
    if not path.is_file():
        return None
    data = dict(read_data(path))
    return data if data.pop("corpus", None) == open_corpus(folder).fingerprint else None


def show_corpus(folder: Path | str, *, samples: int = 0) -> dict[str, Any]:
    """What is in a built corpus, as plain data; read from the manifest and the tables of documents.

    Args:
        folder: of a corpus.
        samples: documents of each domain to show, the first by hash, which is a random choice.

    Returns:
        `name`, `tokenizer`, `domains` (counts, natural weight, bytes per token, licences with their tokens, worst tier,
        tokens of a document at the 10th, 50th and 90th percentile and a histogram over powers of two), `sets`, `steps`
        (seen, changed, removed by rule, examples), `removed` (reason, domain, documents), `skipped`, `leaks`,
        `overlap` where it was measured, `samples`.

    Raises:
        InputError: no corpus there.
    """
    from mixdesk.corpus import documents
    from mixdesk.corpus.shards import open_store

    store = open_store(Path(folder))
    try:
        registry.require("license_expression")
        from mixdesk.corpus import licenses

        tiers = licenses.tiers(store.corpus)
    except MissingExtra:
        tiers = {}
    manifest, corpus = store.manifest, store.corpus
    total = sum(domain.n_tokens or 0 for domain in corpus.domains)
    rows = []
    for domain in corpus.domains:
        sizes = documents.lengths(store, domain.name, "train")
        tenth, middle, most = np.quantile(sizes, (0.1, 0.5, 0.9)) if len(sizes) else (None, None, None)
        rows.append(
            {
                "domain": domain.name,
                "documents": domain.n_docs,
                "bytes": domain.n_bytes,
                "tokens": domain.n_tokens,
                "natural": (domain.n_tokens or 0) / total if total else None,
                "bytes per token": domain.n_bytes / domain.n_tokens if domain.n_tokens and domain.n_bytes else None,
                "licences": dict(domain.licenses),
                "tier": tiers.get(domain.name),
                "tokens of a document": [tenth, middle, most],
                "histogram": np.bincount(np.log2(np.maximum(sizes, 1)).astype(int)).tolist() if len(sizes) else [],
            }
        )
    removed = (
        ("exact copy", manifest.duplicates),
        ("near copy", manifest.near_duplicates),
        ("evaluation text", manifest.held_out),
        ("holds evaluation text", manifest.contaminated),
    )
    return {
        "name": corpus.name,
        "tokenizer": to_data(corpus.tokenizer),
        "domains": rows,
        "sets": [{"evaluation set": s.name, "bytes": s.n_bytes, "tokens": s.n_tokens} for s in corpus.evals],
        "steps": [to_data(step) for step in manifest.steps],
        "removed": [
            {"reason": reason, "label": label, "documents": int(n)} for reason, found in removed for label, n in found
        ],
        "skipped": [to_data(one) for one in manifest.skipped],
        "leaks": dict(manifest.leaks),
        "overlap": read_overlap(store.root),
        "samples": {
            name: [to_data(one) for one in islice(documents.read_documents(store, name, "train"), samples)]
            for name in (corpus.names if samples else ())
        },
    }


@contextmanager
def _tasks(jobs: int | None, runner: str, address: str | None) -> Iterator[Map]:
    """Where the files of a corpus are read."""
    checks.one_of("runner", runner, ("local", "ray"))
    if runner == "local":
        yield processes(jobs)
        return
    registry.require("ray")
    from mixdesk.study.cluster import ray_map

    with ray_map(address) as tasks:
        yield tasks


def _steps(step: Plug | str) -> list[Plug]:
    """A step; or the steps of the pipeline `clean`."""
    if step != "clean":
        return [_plug(step)]
    from mixdesk.corpus.steps import CLEAN

    return [Plug(name=name, options=tuple(options.items())) for name, options in CLEAN.items()]


def check_corpus(folder: Path | str, *, progress: Progress | None = None) -> list[str]:
    """What is wrong with a built corpus, in words; nothing where every file is as it was written.

    Raises:
        InputError: no corpus there.
    """
    from mixdesk.corpus.check import check

    return check(Path(folder), progress)


def processes(jobs: int | None = None) -> Map:
    """A `map` over that many processes (default: one per core) that answers in order; in this one where one is enough.

    Its workers do not import the caller's script, so it needs no `if __name__ == "__main__"`.
    """
    n_jobs = jobs or n_cores()

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
        format: `megatron`, `mds`, `olmo_npy`, `datatrove` or `litdata`.

    Raises:
        InputError: no corpus with tokens there, or a domain's name or an id that the format cannot hold.
    """
    from mixdesk.corpus import importer

    return importer.write_format(Path(folder), Path(out), _plug(format))


def _plug(part: Plug | str) -> Plug:
    return part if isinstance(part, Plug) else Plug.parse(part)
