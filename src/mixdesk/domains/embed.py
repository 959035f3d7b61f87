"""Vectors of documents by what they are written with: hashed 3-grams, tf-idf, truncated SVD. Nothing is downloaded.

    g     3-grams of the UTF-8 bytes of a text's first and middle `reach` / 2 characters; case folded, digits made one
    x_b   (1 + ln tf_b) · ln((1 + n) / (1 + df_b))     b = hash(g) mod 2^15, the N_KEPT buckets with the most energy
    v     x / |x| · A, then v / |v|                    A the right singular vectors 2 … p + 1 of the sample's x / |x|

The first singular vector of a matrix without negative numbers is what all texts share, so it is left out. On installed
text and on a corpus of 21 domains, adjusted Rand index of k-means against the labels, mean of 10 starts: .71 and .78
with it, all of the text from its start and 4096 buckets; .75 and .85 as it is here.

Reference: contrastivemoe (its TF-IDF baseline). What we do differently: no trained encoder; bytes in place of words; no
whitening, which lost much (.29 and .66 with a ridge of .1 mean eigenvalues); A is rounded to 8 bits a number, so that
an embedding is a fifth of a megabyte of JSON and comes back to the last bit.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Ints

Vectors = NDArray[np.float32]

BUCKET_BITS = 15
N_KEPT = 2048
# Documents in one sort: their number and the bucket share 32 bits, and the arrays of one stay within some megabytes.
N_TOGETHER = 1024
# Fibonacci hashing of the 24 bits of a 3-gram.
_MULTIPLIER = np.uint32(2654435769)
# What a byte counts as: letters without case, one digit, one blank.
_FOLD = bytes(
    ord("0") if 48 <= b <= 57 else b + 32 if 65 <= b <= 90 else 32 if b in (9, 10, 11, 12, 13) else b
    for b in range(256)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedder:
    """Settings of an embedding.

    Fields: `width` numbers per text, fewer where the sample has fewer directions; `reach` characters that are read of
    a text, half from its start and half from its middle; `seed` of the SVD's first vector.
    """

    width: int = 64
    reach: int = 2048
    seed: int = 0

    def fit(self, texts: Sequence[str]) -> Embedding:
        """Learn the weights of grams and the directions from a sample of texts; some thousands are enough.

        Raises:
            NotEnoughEvidence: fewer than three texts, or they have hardly a gram that is not in all of them.
        """
        counts = _counts(texts, self.reach)
        df_b = np.bincount(counts.indices, minlength=2**BUCKET_BITS)
        idf_b = np.log((1.0 + len(texts)) / (1.0 + df_b))
        weighted = counts.copy()
        weighted.data = (_sublinear(counts.data) * idf_b[counts.indices]).astype(np.float32)
        energy_b = np.bincount(counts.indices, weights=weighted.data**2.0, minlength=2**BUCKET_BITS)
        kept_f = np.sort(np.argsort(-energy_b, kind="stable")[:N_KEPT])
        kept_f = kept_f[energy_b[kept_f] > 0.0]
        rows = _unit_rows(weighted[:, kept_f])
        n_directions = min(self.width, min(rows.shape) - 2)
        if n_directions < 1:
            raise NotEnoughEvidence(
                "there are too few texts to learn an embedding from",
                value=f"{len(texts)} texts",
                bound="at least three that differ",
                remedy="give a larger sample",
            )
        map_fp = _directions(rows, n_directions, self.seed)
        scale_p = np.maximum(np.abs(map_fp).max(axis=0), 1e-30) / 127.0
        return Embedding(
            reach=self.reach,
            kept_f=kept_f.astype(np.int64),
            idf_f=np.round(idf_b[kept_f], 6),
            map_fp=np.round(map_fp / scale_p).astype(np.int8),
            scale_p=np.array([float(f"{scale:.6g}") for scale in scale_p]),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Embedding:
    """A learned map from texts to vectors; a text's vector does not depend on what it is asked beside.

    Fields: `reach` characters read of a text; axis f the kept buckets `kept_f` of grams with weights `idf_f`; `map_fp`
    × `scale_p` the directions.
    """

    reach: int
    kept_f: Ints
    idf_f: Floats
    map_fp: NDArray[np.int8]
    scale_p: Floats

    @property
    def width(self) -> int:
        """Numbers per text."""
        return len(self.scale_p)

    def of(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length one, (n, p); zero for a text in which no known gram is.

        Some 3,000 texts of 2 kB and more a second on one core.
        """
        column_b = np.full(2**BUCKET_BITS, -1)
        column_b[self.kept_f] = np.arange(len(self.kept_f))
        map_fp = (self.map_fp * self.scale_p).astype(np.float32)
        V_np = np.empty((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(texts), N_TOGETHER):
            counts = _counts(texts[start : start + N_TOGETHER], self.reach)
            column = column_b[counts.indices]
            data = np.where(column >= 0, _sublinear(counts.data) * self.idf_f[column], 0.0).astype(np.float32)
            shape = (counts.shape[0], len(self.kept_f))
            rows = csr_matrix((data, np.maximum(column, 0), counts.indptr), shape=shape)
            V_np[start : start + N_TOGETHER] = rows @ map_fp
        norm_n = np.linalg.norm(V_np, axis=1, keepdims=True)
        V_np /= np.where(norm_n > 0.0, norm_n, 1.0)
        return V_np

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, some 200 kB at most: the 8-bit directions are base64, row by row."""
        return {
            "reach": self.reach,
            "kept": self.kept_f.tolist(),
            "idf": self.idf_f.tolist(),
            "scale": self.scale_p.tolist(),
            "map": base64.b64encode(np.ascontiguousarray(self.map_fp).tobytes()).decode(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Embedding:
        """The embedding that `to_dict` wrote; its vectors are the same to the last bit."""
        scale_p = np.array(data["scale"], dtype=np.float64)
        map_fp = np.frombuffer(base64.b64decode(data["map"]), dtype=np.int8).reshape(-1, len(scale_p))
        return cls(
            reach=int(data["reach"]),
            kept_f=np.array(data["kept"], dtype=np.int64),
            idf_f=np.array(data["idf"], dtype=np.float64),
            map_fp=map_fp,
            scale_p=scale_p,
        )


def _counts(texts: Sequence[str], reach: int) -> Any:
    """How often each bucket is in each text, a sparse (n, 2^15) matrix, columns of a row in order."""
    columns, data, sizes = [], [], []
    for start in range(0, len(texts), N_TOGETHER):
        keys = _keys(texts[start : start + N_TOGETHER], reach)
        first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        columns.append((keys[first] & np.uint32(2**BUCKET_BITS - 1)).astype(np.int32))
        data.append(np.diff(first, append=len(keys)))
        n_texts = min(N_TOGETHER, len(texts) - start)
        sizes.append(np.bincount(keys[first] >> np.uint32(BUCKET_BITS), minlength=n_texts))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([*sizes, []]))]).astype(np.int64)
    parts = (np.concatenate([*data, []]), np.concatenate([*columns, []]).astype(np.int32), indptr)
    return csr_matrix(parts, shape=(len(texts), 2**BUCKET_BITS))


def _keys(texts: Sequence[str], reach: int) -> NDArray[np.uint32]:
    """Number of the text and bucket of each gram, sorted; every text stands between blanks."""
    raws = [f" {_read(text, reach)} ".encode("utf-8", "replace").translate(_FOLD) for text in texts]
    number = np.repeat(np.arange(len(raws), dtype=np.uint32), [len(raw) for raw in raws])
    byte = np.frombuffer(b"".join(raws), dtype=np.uint8).astype(np.uint32)
    gram = byte[:-2] | (byte[1:-1] << np.uint32(8)) | (byte[2:] << np.uint32(16))
    bucket = (gram * _MULTIPLIER) >> np.uint32(32 - BUCKET_BITS)
    keys = (number[:-2] << np.uint32(BUCKET_BITS)) | bucket
    return np.sort(keys[number[:-2] == number[2:]])


def _read(text: str, reach: int) -> str:
    """The text, or the first and the middle half of what may be read of it."""
    half = reach // 2
    middle = (len(text) - half) // 2
    return text if len(text) <= reach else text[:half] + text[middle : middle + half]


def _sublinear(counts: Any) -> Floats:
    return 1.0 + np.log(counts)  # type: ignore[no-any-return]


def _unit_rows(rows: Any) -> Any:
    norm_n = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)))
    return csr_matrix(rows.multiply(1.0 / np.where(norm_n > 0.0, norm_n, 1.0)))


def _directions(rows: Any, n_directions: int, seed: int) -> Floats:
    """Right singular vectors from the second on, strongest first, (f, p)."""
    start = np.random.default_rng(seed).standard_normal(min(rows.shape))
    _, sigma_p, right_pf = svds(rows.astype(np.float64), k=n_directions + 1, v0=start)
    right_pf = right_pf[np.argsort(-sigma_p)[1:]]
    # A singular vector's sign is nobody's choice: its largest entry is positive.
    sign_p = np.sign(right_pf[np.arange(n_directions), np.abs(right_pf).argmax(axis=1)])
    map_fp: Floats = (right_pf * sign_p[:, None]).T
    return map_fp
