"""The pipeline: read and clean, deduplicate, label, split, tokenise, count.

Each step writes under `work/` what the next needs, whole or not at all, so a build that was stopped goes on and ends
byte for byte as an undisturbed one. The manifest comes last; an older corpus in the folder stays usable until then.
Memory holds one row per document and one batch of texts per process. Of the copies of a document the first stays: in
the order the sources are given, inside a folder or glob by path, whatever the labels of the copies are.
"""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import core_type
from mixdesk.core.corpus import Corpus, Document
from mixdesk.core.errors import InputError
from mixdesk.core.files import canonical, file_sha256, fingerprint, read_json, write_json, write_text
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Map, Progress, Splitter
from mixdesk.corpus.cleaning import NamedStep, merge_counts
from mixdesk.corpus.dedup import first_copies
from mixdesk.corpus.encode import BATCH_BYTES, Encoding, Place, place_of, sample_texts
from mixdesk.corpus.labelling import Labels, OwnLabel, label_all
from mixdesk.corpus.read import Skipped, SourceFile, Sources, find_files
from mixdesk.corpus.shards import MANIFEST, Manifest, TokenStore, open_store
from mixdesk.corpus.spool import PartTask, Spool, fill_part, lefts, merge_lefts, write_part
from mixdesk.corpus.tokens import Encoder, bytes_encoder, read_tokenizer, train_bpe

if TYPE_CHECKING:
    from mixdesk.corpus.near import Near
    from mixdesk.corpus.screen import Screen

# Input bytes read by one task: small files share one, and there are not many more than N_PARTS of them.
PART_BYTES = 8_000_000
N_PARTS = 250
# Part of every key: raise it when the same inputs give other files.
BUILD = 2


@core_type
class Done:
    """What a completed build was made from, and the sha256 of the manifest it wrote."""

    key: str
    manifest: str


def build(  # noqa: PLR0913  (the one door to the room; all but two are keywords)
    sources: Sources,
    out: Path,
    *,
    name: str,
    tokenizer: str | Path | Encoder = "bpe",
    vocab_size: int = 2048,
    evals: Mapping[str, Sources] | None = None,
    steps: Sequence[NamedStep] = (),
    near: Near | None = None,
    decontaminate: bool = False,
    splitter: tuple[Plug, Splitter] | None = None,
    valid_share: float = 0.1,
    min_tokens: int = 1024,
    on_error: str = "raise",
    map: Map = builtins.map,
    progress: Progress | None = None,
) -> Corpus:
    """Texts to a counted corpus in the folder `out`; interrupted builds go on, completed ones are left alone.

    Args:
        sources: files, folders and globs, or documents.
        out: corpus folder, made if need be.
        name: of the corpus.
        tokenizer: "bpe" (byte-level, trained on the training split), "bytes", or a `tokenizer.json` or what it holds.
        vocab_size: ids of the trained BPE, the separator included.
        evals: evaluation set → its sources. Texts in one are removed from training.
        steps: cleaning of the training documents, in order, each with its name and options.
        near: settings of what counts as a near-duplicate, of which the first stays; None: only equal texts go.
        decontaminate: remove training documents that hold an item of an evaluation set.
        splitter: who names the domains, with its name and options; None: the label each document came with.
        valid_share: part of each domain's documents, by hash, that is kept for validation; at least one document.
        min_tokens: training tokens every domain must have.
        on_error: "raise", or "skip" to count broken inputs in the manifest.
        map: runs the tasks that read and label files; answers in the order of the tasks.
        progress: called with (what, done, total).

    Raises:
        InputError: a broken input, a domain with too little text, or files that cannot be written.
        NotEnoughEvidence: the splitter needs more documents.
        MissingExtra: the tokenizer needs a package that is not installed.
    """
    checks.finite("valid_share", valid_share, 0.0, 0.5, open_low=True)
    checks.unique("evals", evals or ())
    found = Skipped(on_error=on_error)
    _make_folder(out)
    named = splitter or (Plug(name="own_label"), OwnLabel())
    inputs = {key: _resolve(one, found) for key, one in [("", sources), *sorted((evals or {}).items())]}
    settings = [str(one) for one in (BUILD, name, vocab_size, valid_share, min_tokens, on_error, near, decontaminate)]
    settings += [canonical(plug) for plug in (*(plug for plug, _ in steps), named[0])]
    tokenizer = _known(tokenizer)
    settings.append(tokenizer.reference.sha256 if isinstance(tokenizer, Encoder) else str(tokenizer))
    key = _key(settings, inputs)
    if (done := _completed(out, key)) is not None:
        return done
    reader = _Reader(folder=out / "work" / "parts", on_error=on_error, map=map, progress=progress)
    spools = {k: reader.spool(k, one) for k, one in inputs.items() if k}
    screen = _screen(spools, near, decontaminate)
    train = reader.spool("", inputs[""], tuple(steps), screen)
    content = fingerprint(*settings, train.content, *(part for k in sorted(spools) for part in (k, spools[k].content)))
    key = key or content
    if (done := _completed(out, key)) is not None:
        return done
    curated = _curate(train, spools, screen)
    model = out / "work" / f"splitter-{fingerprint(content, length=12)}.json"
    labels = label_all(train, curated.kept, named, model, on_error, reader.tracked("label", len(train.parts)))
    places = _places(train, curated, labels, spools)
    encoder = _make_encoder(tokenizer, vocab_size, places, valid_share, progress)
    encoding = Encoding(out=out, name=name, encoder=encoder, valid_share=valid_share, min_tokens=min_tokens)
    parts = [part for one in (train, *spools.values()) for part in one.parts]
    manifest = replace(
        encoding.manifest(places, progress),
        skipped=merge_lefts([lefts(found), *(part.skipped for part in parts), labels.skipped]),
        **curated.counts,
        steps=merge_counts([part.steps for part in train.parts]),
        splitter=_keep_model(model, out) if splitter is not None else None,
    )
    return _finish(out, key, manifest)


def rebuild(
    store: TokenStore,
    out: Path,
    *,
    splitter: tuple[Plug, Splitter],
    map: Map = builtins.map,
    progress: Progress | None = None,
) -> Corpus:
    """The documents of a built corpus, cut into other domains, as a new corpus under the same tokenizer in `out`.

    A document's label is the domain it was in; evaluation sets are carried over.

    Raises:
        InputError: `out` is the corpus's own folder, a text does not come back from its tokens, or as `build`.
    """
    if out.resolve() == store.root.resolve():
        raise InputError(
            "a corpus cannot be split into its own folder", value=str(out), bound="another folder",
            remedy="choose another one",
        )  # fmt: skip
    places = [(name, split) for name in store.corpus.names for split in ("train", "valid")]
    return build(
        (document for place in places for document in store.documents(*place)),
        out,
        name=out.resolve().name,
        tokenizer=store.encoder(),
        evals={one.name: store.documents(one.name, "set") for one in store.corpus.evals},
        splitter=splitter,
        valid_share=store.manifest.valid_share,
        map=map,
        progress=progress,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    """Inputs to parts: files through the caller's `map`, documents here."""

    folder: Path
    on_error: str
    map: Map
    progress: Progress | None

    def spool(
        self,
        name: str,
        source: _Files | Iterable[Document],
        steps: tuple[NamedStep, ...] = (),
        screen: Screen | None = None,
    ) -> Spool:
        """The parts of one source, written now or before."""
        if isinstance(source, _Files):
            tasks = self.tasks(source, steps, screen)
            return Spool(folder=self.folder, parts=tuple(self.tracked("read", len(tasks))(fill_part, tasks)))
        skipped = Skipped(on_error=self.on_error)
        key = fingerprint("documents", name)
        part = write_part(self.folder, key, self.counted(source), skipped, steps, screen)
        return Spool(folder=self.folder, parts=(part,))

    def tasks(self, source: _Files, steps: tuple[NamedStep, ...], screen: Screen | None) -> list[PartTask]:
        """Runs of files of about PART_BYTES, so that small files do not make a task each."""
        settings = [str(BUILD), self.on_error, *(canonical(plug) for plug, _ in steps), screen.key if screen else ""]
        sizes = [file.path.stat().st_size for file in source.files]
        most = max(PART_BYTES, sum(sizes) // N_PARTS)
        groups: list[list[SourceFile]] = []
        room = 0
        for file, size in zip(source.files, sizes, strict=True):
            if not groups or size > room:
                groups.append([])
                room = most
            groups[-1].append(file)
            room -= size
        return [
            PartTask(
                folder=self.folder, key=fingerprint(*settings, _Files(tuple(group)).stamp()), files=tuple(group),
                steps=steps, screen=screen, on_error=self.on_error,
            )
            for group in groups
        ]  # fmt: skip

    def counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents; says how many came so far."""
        for n, document in enumerate(documents):
            if self.progress is not None and n % 200 == 0:
                self.progress("read", n, 0)
            yield document

    def tracked(self, what: str, total: int) -> Map:
        """The caller's `map`; says how many tasks are done."""

        def run(task: Any, items: Iterable[Any]) -> Iterator[Any]:
            for n, answer in enumerate(self.map(task, items), 1):
                if self.progress is not None:
                    self.progress(what, n, total)
                yield answer

        return run


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Curated:
    """Positions of the documents that stay, of the training documents (`kept`) and of each set; and as fields of the
    manifest how many went for each reason by label, and what the training documents hold of the evaluation sets.
    """

    kept: NDArray[np.int64]
    sets: dict[str, NDArray[np.int64]]
    counts: dict[str, Any]


def _screen(evals: Mapping[str, Spool], near: Near | None, decontaminate: bool) -> Screen | None:
    """What to look for in every training document; None for nothing."""
    if near is None and not decontaminate:
        return None
    from mixdesk.corpus.decontaminate import Index
    from mixdesk.corpus.screen import Screen

    def texts(spool: Spool) -> Iterator[str]:
        for _, documents in spool.batches(np.arange(len(spool)), BATCH_BYTES):
            yield from (document.text for document in documents)

    index = Index.build({name: texts(spool) for name, spool in sorted(evals.items())}) if decontaminate else None
    return Screen(near=near, index=index)


def _curate(train: Spool, evals: Mapping[str, Spool], screen: Screen | None) -> _Curated:
    """Each content once in a set; of training documents the first copy of each content that is in no set, then, where
    asked for, those without an item of a set, then the first of those that are near each other.
    """
    keys = {name: one.column("key") for name, one in sorted(evals.items())}
    sets = {name: np.flatnonzero(first_copies(one) == np.arange(len(one))) for name, one in keys.items()}
    held = np.concatenate([*keys.values(), np.empty((0, 2), dtype=np.uint64)])
    first = first_copies(np.concatenate([held, train.column("key")]))[len(held) :]
    is_held = first < len(held)
    is_copy = ~is_held & (first != np.arange(len(held), len(held) + len(train)))
    is_gone = is_held | is_copy
    gone = {"held_out": is_held, "duplicates": is_copy}
    counts: dict[str, Any] = {}
    if screen is not None and screen.index is not None:
        found = screen.leaks(train)
        counts["leaks"] = tuple(sorted(screen.report(train, found).items()))
        is_hit = np.zeros(len(train), dtype=bool)
        is_hit[found["row"]] = True
        gone["contaminated"] = is_hit & ~is_gone
        is_gone |= is_hit
    if screen is not None and screen.near is not None:
        kept = np.flatnonzero(~is_gone)
        is_near = np.zeros(len(train), dtype=bool)
        is_near[kept[screen.copies(train, kept)]] = True
        gone["near_duplicates"] = is_near
        is_gone |= is_near
    names, number = train.numbers("label")

    for why, one in gone.items():
        n_of = np.bincount(number[one], minlength=len(names)).tolist()
        counts[why] = checks.pairs(why, {name or "(no label)": n for name, n in zip(names, n_of, strict=True) if n})
    return _Curated(kept=np.flatnonzero(~is_gone), sets=sets, counts=counts)


def _places(train: Spool, curated: _Curated, labels: Labels, evals: Mapping[str, Spool]) -> list[Place]:
    """Every domain and evaluation set.

    Raises:
        InputError: a domain has no document to train on or none to validate on, or a set has none at all.
    """
    if not labels.domains:
        raise InputError("the sources hold no training text", value="0 documents", bound="two", remedy="add text")
    places = [place_of("domain", name, train, labels.of(i), labels) for i, name in enumerate(labels.domains)]
    places = [one for one in places if len(one.where)]
    places += [place_of("set", name, spool, curated.sets[name]) for name, spool in sorted(evals.items())]
    for one in places:
        least = 2 if one.kind == "domain" else 1
        if len(one.where) < least:
            n_bytes = int(one.n_bytes.sum())
            what = "domain" if one.kind == "domain" else "evaluation set"
            raise InputError(
                f"the {what} `{one.name}` has too little text",
                value=f"{len(one.where)} documents with {n_bytes} bytes, so at most {n_bytes + len(one.where)} tokens",
                bound=f"at least {least} different documents" + (", one for validation" if least == 2 else ""),
                remedy=f"add text to `{one.name}`, cut long texts into documents, or leave it out",
            )
    return places


@dataclass(frozen=True, slots=True)
class _Files:
    """Sources that are files."""

    files: tuple[SourceFile, ...]

    def stamp(self) -> str:
        """Path, size and time of change of each file."""
        stats = ((file, file.path.stat()) for file in self.files)
        return "\n".join(
            f"{str(file.path)!a}\t{file.label!a}\t{stat.st_size}\t{stat.st_mtime_ns}" for file, stat in stats
        )


def _resolve(sources: Sources, skipped: Skipped) -> _Files | Iterable[Document]:
    """Paths as the files behind them; documents as they are."""
    if isinstance(sources, str | Path):
        sources = [sources]
    if not isinstance(sources, Sequence):
        return sources
    documents = [one for one in sources if isinstance(one, Document)]
    paths = [one for one in sources if not isinstance(one, Document)]
    if documents and paths:
        raise InputError(
            "the sources mix paths and documents", value=f"{len(paths)} paths, {len(documents)} documents",
            bound="one kind", remedy="read the paths with find_files and read_files, and give documents only",
        )  # fmt: skip
    return documents or _Files(tuple(find_files(paths, skipped)))


def _key(settings: Sequence[str], inputs: Mapping[str, _Files | Iterable[Document]]) -> str:
    """Of a build that reads files alone: they are known by their stamps. Documents from a program leave none: they are
    read again, and known by their content; the key is empty then.
    """
    stamps = [one.stamp() for one in inputs.values() if isinstance(one, _Files)]
    return fingerprint(*settings, *inputs, *stamps) if len(stamps) == len(inputs) else ""


def _make_folder(out: Path) -> None:
    try:
        (out / "work").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"`{out}` cannot be a corpus folder", value=error.strerror or str(error), bound="a writable folder",
            remedy="choose another one",
        ) from None  # fmt: skip


def _known(tokenizer: str | Path | Encoder) -> str | Encoder:
    """A tokenizer that was given, or the name of one that is made here."""
    if isinstance(tokenizer, Encoder):
        return tokenizer
    return str(tokenizer) if str(tokenizer) in ("bpe", "bytes") else read_tokenizer(Path(tokenizer))


def _make_encoder(
    tokenizer: str | Encoder,
    vocab_size: int,
    places: Sequence[Place],
    valid_share: float,
    progress: Progress | None,
) -> Encoder:
    if isinstance(tokenizer, Encoder):
        return tokenizer
    if tokenizer == "bytes":
        return bytes_encoder()
    if progress is not None:
        progress("train the tokenizer", 0, 1)
    return train_bpe(sample_texts(places, valid_share), vocab_size)


def _keep_model(model: Path, out: Path) -> str:
    """The splitter's model beside the manifest, under a name that is its content's."""
    name = f"splitter-{file_sha256(model)[:12]}.json"
    write_text(out / name, model.read_text(encoding="utf-8"))
    return name


def _finish(out: Path, key: str, manifest: Manifest) -> Corpus:
    """Write the manifest, mark the build as done, remove the scratch files."""
    write_json(out / MANIFEST, manifest)
    write_json(out / "build.json", Done(key=key, manifest=file_sha256(out / MANIFEST)))
    _tidy(out, manifest)
    return manifest.corpus


def _completed(out: Path, key: str) -> Corpus | None:
    """The corpus in the folder if it was made from `key` and is whole."""
    try:
        done = read_json(out / "build.json", Done)
        if done.key != key or done.manifest != file_sha256(out / MANIFEST):
            return None
        store = open_store(out)
    except (InputError, OSError):
        return None
    _tidy(out, store.manifest)
    return store.corpus


def _tidy(out: Path, manifest: Manifest) -> None:
    """Remove the scratch folder and what earlier builds and cut-off writes left."""
    shutil.rmtree(out / "work", ignore_errors=True)
    ours = [*out.glob("token-bytes-*.npy"), *out.glob("tokenizer-*.json"), *out.glob("splitter-*.json")]
    ours += [*(out / "shards").glob("*.bin"), *(out / "documents").glob("*.parquet"), *out.glob(".*.part")]
    ours += [*(out / "shards").glob(".*.part"), *(out / "documents").glob(".*.part")]
    for path in ours:
        if path.relative_to(out).as_posix() not in manifest.files:
            path.unlink(missing_ok=True)
