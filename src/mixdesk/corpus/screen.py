"""What is noted of every document while it is read, to compare it later: near-duplicate signatures, evaluation text.

Beside a part lie then `<stem>.bands`, a signature per row; `<stem>.leaks`, a record (LEAK) per row and evaluation set
of which it holds an item; and `<stem>.grams`, the positions in the index of the n-grams found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.files import atomic, fingerprint
from mixdesk.corpus.decontaminate import Index
from mixdesk.corpus.near import Near, duplicates, signatures
from mixdesk.corpus.spool import Spool

LEAK = np.dtype([("row", "<i8"), ("set", "<u4"), ("n", "<u4")])
BATCH_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Screen:
    """What to look for: documents `near` each other, items of the evaluation sets in `index`; None: not that."""

    near: Near | None = None
    index: Index | None = None

    @property
    def key(self) -> str:
        """Of all that its files depend on."""
        one = self.index
        if one is None:
            return repr(self.near)
        parts = (one.hash_g, one.item_g, one.set_i, one.need_i, one.order_i)
        return fingerprint(repr(self.near), *one.sets, *(part.tobytes() for part in parts))

    def open(self, folder: Path, stem: str) -> ScreenWriter:
        """A writer of what is found in the part `stem`."""
        return ScreenWriter(self, folder, stem)

    def leaks(self, spool: Spool) -> NDArray[np.void]:
        """What evaluation text stands where: LEAK records by position in the spool."""
        found = [np.empty(0, dtype=LEAK)]
        for start, part in zip(spool.starts.tolist(), spool.parts, strict=False):
            leaks = np.fromfile(spool.folder / f"{part.stem}.leaks", dtype=LEAK)
            leaks["row"] += start
            found.append(leaks)
        return np.concatenate(found)

    def report(self, spool: Spool, leaks: NDArray[np.void]) -> dict[str, Any]:
        """How much of the evaluation sets stands in the spool, by set, and by the documents' labels and set."""
        if self.index is None:
            return {}
        grams = [np.fromfile(spool.folder / f"{part.stem}.grams", dtype=np.int64) for part in spool.parts]
        names, number = spool.numbers("label")
        hits = ((names[number[row]] or "(no label)", {self.index.sets[k]: n}) for row, k, n in leaks.tolist())
        return self.index.report(np.unique(np.concatenate(grams)), hits)

    def copies(self, spool: Spool, kept: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the documents at the positions are near an earlier one of them that stays."""
        if self.near is None:
            return np.zeros(len(kept), dtype=bool)
        width = self.near.n_bands
        files = (spool.folder / f"{part.stem}.bands" for part in spool.parts)
        bands = np.concatenate([np.fromfile(file, dtype="<u8").reshape(-1, width) for file in files])
        first = duplicates(bands[kept].astype(np.uint64, copy=False), self.near)
        is_copy: NDArray[np.bool_] = first != np.arange(len(kept))
        return is_copy


class ScreenWriter:
    """Looks at texts in batches; a context manager: its files appear at its end."""

    def __init__(self, screen: Screen, folder: Path, stem: str) -> None:
        self._screen, self._start = screen, folder / stem
        self._texts: list[str] = []
        self._n_waiting = self._n_rows = 0
        self._grams = [np.empty(0, dtype=np.int64)]

    def __enter__(self) -> ScreenWriter:
        self._stack = ExitStack()
        self._files: Mapping[str, Any] = {
            kind: self._stack.enter_context(atomic(self._start.with_name(f"{self._start.name}.{kind}"), "wb"))
            for kind in ("bands", "leaks", "grams")
        }
        return self

    def add(self, text: str) -> None:
        """The text of the next row."""
        self._texts.append(text)
        self._n_waiting += len(text)
        if self._n_waiting > BATCH_BYTES:
            self._flush()

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self._stack.__exit__(*error)
            return
        with self._stack:
            self._flush()
            self._files["grams"].write(np.unique(np.concatenate(self._grams)).tobytes())

    def _flush(self) -> None:
        texts: Sequence[str] = self._texts
        near, index = self._screen.near, self._screen.index
        if near is not None and texts:
            self._files["bands"].write(signatures(texts, near).astype("<u8").tobytes())
        if index is not None and texts:
            scan = index.scan(texts)
            hits = enumerate(scan.hits, self._n_rows)
            found = [(row, index.sets.index(name), n) for row, one in hits for name, n in one.items()]
            self._files["leaks"].write(np.array(found, dtype=LEAK).tobytes())
            self._grams.append(scan.grams)
        self._n_rows += len(texts)
        self._texts, self._n_waiting = [], 0
