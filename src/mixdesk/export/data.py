"""The tokens or texts of a corpus as a target reads them, a file or folder per domain, and who is to be named for them.

Domains are written one after the other; what a list beside them says is done is not written again, so a broken export
goes on. Texts come back from the tokens and are checked against their hashes.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import registry
from mixdesk.core.corpus import Domain, TokenPart
from mixdesk.core.errors import InputError, MissingExtra
from mixdesk.core.files import atomic, read_data, write_json, write_text
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress
from mixdesk.corpus import licenses
from mixdesk.corpus.documents import read_tables
from mixdesk.corpus.importer import shard_part
from mixdesk.corpus.shards import TokenStore

# Name of the data format that is JSON lines of texts.
ROWS = "rows"
DONE = ".done.json"
ATTRIBUTION, SOURCES = "ATTRIBUTION.md", "attribution.csv"


def write_data(
    store: TokenStore, form: str, out: Path, names: Sequence[str], share: float = 1.0, progress: Progress | None = None
) -> None:
    """Write the training documents of the domains `names` under `out` in a format of `formats`, or as `rows`.

    Args:
        store: a corpus with tokens.
        form: the format, with options: `megatron`.
        out: folder.
        names: domains.
        share: the first documents that hold so much of each domain's tokens; all of them at 1.
        progress: called with (what, done, total).

    Raises:
        InputError: a name or id that the format cannot hold, a corpus without tokens, or a disk that is full.
    """
    keys = {"corpus": store.corpus.fingerprint, "form": form, "share": share}
    for name in _undone(out, keys, names, progress):
        part = shard_part(store, name)
        _write_part(store, form, part, out, np.arange(len(head(part, share).lengths)))


def write_stages(
    store: TokenStore,
    form: str,
    out: Path,
    stages: Sequence[Mapping[str, float]],
    share: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the training documents of each stage under `out/stage0`, …: no document is in two of them.

    The documents of a domain are dealt to the stages that use it, whole, in proportion to what each reads of it.

    Args:
        store: a corpus with tokens.
        form: name of the format.
        out: folder.
        stages: domain → tokens that the stage reads, above zero.
        share: as in `write_data`.
        progress: called with (what, done, total).

    Raises:
        InputError: as in `write_data`, or a domain with fewer documents than stages.
    """
    asked = [dict(stage) for stage in stages]
    keys = {"corpus": store.corpus.fingerprint, "form": form, "share": share, "stages": asked}
    for name in _undone(out, keys, sorted({name for stage in asked for name in stage}), progress):
        part = shard_part(store, name)
        users = [i for i, stage in enumerate(asked) if name in stage]
        lengths = head(part, share).lengths
        dealt = deal(lengths, [asked[i][name] for i in users])
        for k, i in enumerate(users):
            picked = np.flatnonzero(dealt == k)
            if not len(picked):
                raise InputError(
                    f"`{name}` has too few documents to give every stage its own", value=f"{len(lengths)} documents",
                    bound=f"at least one for each of {len(users)} stages", remedy="export without `fresh`",
                )  # fmt: skip
            _write_part(store, form, part, out / f"stage{i}", picked)


def deal(lengths: NDArray[np.int64], amounts: Sequence[float]) -> NDArray[np.int64]:
    """Who gets each document (n,), in order: the one that is furthest behind its part of `amounts`, in tokens.

    >>> deal(np.array([10, 10, 10, 10]), [3.0, 1.0]).tolist()
    [0, 0, 1, 0]
    """
    if len(amounts) == 1:
        return np.zeros(len(lengths), dtype=np.int64)
    total = math.fsum(amounts)
    parts, behind = [amount / total for amount in amounts], [0.0] * len(amounts)
    out = np.empty(len(lengths), dtype=np.int64)
    for i, n in enumerate(lengths.tolist()):
        behind = [one + part * n for one, part in zip(behind, parts, strict=True)]
        first = behind.index(max(behind))
        behind[first] -= n
        out[i] = first
    return out


def _undone(out: Path, keys: Mapping[str, Any], names: Sequence[str], progress: Progress | None) -> Iterator[str]:
    """The names that a list beside the data does not name yet; each is added once it is written."""
    done: dict[str, Any] = read_data(out / DONE) if (out / DONE).is_file() else {}
    if {key: done.get(key) for key in keys} != keys:
        done = {**keys, "names": []}
    for i, name in enumerate(names):
        if progress is not None:
            progress("data", i, len(names))
        if name not in done["names"]:
            yield name
            done["names"].append(name)
            write_json(out / DONE, done)
    if progress is not None:
        progress("data", len(names), len(names))


def _write_part(store: TokenStore, form: str, part: TokenPart, out: Path, picked: NDArray[np.int64]) -> None:
    """Write the documents `picked` of a domain, in order, under `out`."""
    if form == ROWS:
        _write_rows(store, part.domain, out / f"{part.domain}.jsonl", picked)
        return
    own = {"dtype": store.manifest.dtype, "separator": store.separator, "tokenizer": store.corpus.tokenizer.name}
    chosen = replace(part, lengths=part.lengths[picked], ids=lambda k: part.ids(int(picked[k])))
    registry.make("formats", Plug.parse(form), **own).write([chosen], out)


def counts(store: TokenStore, share: float = 1.0) -> tuple[Domain, ...]:
    """Counts of the domains, or of the documents that `write_data` takes of them at a share below one."""
    if share == 1.0:
        return store.corpus.domains
    found = []
    for domain in store.corpus.domains:
        part = head(shard_part(store, domain.name), share)
        found.append(replace(domain, n_tokens=int(part.lengths.sum()), n_docs=len(part.lengths)))
    return tuple(found)


def write_attribution(store: TokenStore, out: Path, names: Sequence[str]) -> list[str]:
    """Licences per domain in `ATTRIBUTION.md`; in `attribution.csv` each document whose source, author or licence is
    known; the files' names.
    """
    rows = list(_sources(store, names))
    lines = [
        "# Attribution", "",
        "Licences as the sources state them; this is no clearance and no legal advice.", "",
        "| domain | tier | licences (training tokens) |", "| --- | --- | --- |",
    ]  # fmt: skip
    try:
        tiers = licenses.tiers(store.corpus)
    except MissingExtra:
        tiers = {}
    for domain in store.corpus.domains:
        if domain.name in names:
            stated = ", ".join(f"{name} ({int(n):,})" for name, n in domain.licenses) or "none stated"
            lines.append(f"| {_cell(domain.name)} | {tiers.get(domain.name, 'not judged')} | {_cell(stated)} |")
    if rows:
        lines += ["", f"Documents and their sources: `{SOURCES}`, {len(rows):,} rows."]
        with atomic(out / SOURCES) as handle:
            writer = csv.DictWriter(handle, ["domain", "license", "author", "url", "source"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    write_text(out / ATTRIBUTION, "\n".join(lines) + "\n")
    return [ATTRIBUTION, SOURCES] if rows else [ATTRIBUTION]


def _sources(store: TokenStore, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    for name in names:
        for batch in read_tables(store, name, "train"):
            keys = ("license", "author", "url", "source")
            for values in zip(*(batch[key] for key in keys), strict=True):
                if any(values[:3]):
                    yield {"domain": name, **{key: value or "" for key, value in zip(keys, values, strict=True)}}


def head(part: TokenPart, share: float) -> TokenPart:
    """The first documents of a part that hold a share of its tokens, at least one; all of them at 1."""
    if share == 1.0:
        return part
    ends = np.cumsum(part.lengths)
    n = max(int(np.searchsorted(ends, share * ends[-1], side="right")), 1) if len(ends) else 0
    return replace(part, lengths=part.lengths[:n])


def _write_rows(store: TokenStore, name: str, path: Path, picked: NDArray[np.int64]) -> None:
    if any(step in ("", ".", "..") for step in name.split("/")):
        raise InputError(
            f"the domain `{name}` cannot name a file", value=name, bound="a path of names", remedy="rename the domain"
        )
    wanted, last = set(picked.tolist()), int(picked[-1]) if len(picked) else -1
    with atomic(path) as handle:
        for i, document in enumerate(store.documents(name)):
            if i > last:
                break
            if i in wanted:
                handle.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
