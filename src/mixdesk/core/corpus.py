"""What exists: documents, domains, evaluation sets and the corpus they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint


@core_type
class Document:
    """One text as it was read.

    Fields: `text`; `label` the domain its source gives it; `license` SPDX expression; `source` where it was found
    (file and line), for error messages; `url` and `author` as the source states them, for attributions; `language`
    ISO 639-1 code; `scores` quality scores by name, larger is better, that the source came with or a step gave.
    """

    text: str
    label: str | None = None
    license: str | None = None
    source: str = ""
    url: str = ""
    author: str = ""
    language: str | None = None
    scores: Pairs = ()


@core_type
class Domain:
    """A leaf slice of a corpus, named by a slash path.

    Fields: `n_tokens` unique training tokens after deduplication, under the corpus tokenizer, None where unknown
    (imported runs); `n_bytes` UTF-8 bytes of the training texts; `n_docs`; `licenses` SPDX expression → training
    tokens; `fingerprint` of the content: it is the identity, the name is a label.
    """

    name: str
    n_tokens: int | None = None
    n_bytes: int = 0
    n_docs: int = 0
    licenses: Pairs = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        put(
            self,
            name=checks.label("domain", self.name),
            n_tokens=None if self.n_tokens is None else checks.count("n_tokens", self.n_tokens),
            n_bytes=checks.count("n_bytes", self.n_bytes),
            n_docs=checks.count("n_docs", self.n_docs),
            licenses=checks.pairs("licenses", self.licenses),
        )


@core_type
class EvalSet:
    """Held-out text that need not be a training domain; its metric is `bpb/set/<name>`."""

    name: str
    n_tokens: int = 0
    n_bytes: int = 0
    fingerprint: str = ""

    def __post_init__(self) -> None:
        put(self, name=checks.label("evaluation set", self.name))


@core_type
class Shard:
    """One file of tokens. `path` is relative to the corpus folder; `split` is train, valid (of a domain) or set."""

    path: str
    domain: str
    split: str
    n_tokens: int
    sha256: str

    def __post_init__(self) -> None:
        checks.one_of("split", self.split, ("train", "valid", "set"))
        checks.count("n_tokens", self.n_tokens)


@core_type
class Tokenizer:
    """Reference to a tokenizer: `name` (bytes, bpe, or a file's stem), `vocab_size`, `sha256` of its definition."""

    name: str
    vocab_size: int
    sha256: str


@core_type
class Corpus:
    """A counted set of domains under one tokenizer. The order of `domains` (by name) *is* axis d."""

    name: str
    tokenizer: Tokenizer
    domains: tuple[Domain, ...]
    evals: tuple[EvalSet, ...] = ()
    shards: tuple[Shard, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.domains:
            raise InputError(
                "the corpus has no domain", value="nothing", bound="at least one domain", remedy="add text"
            )
        put(
            self,
            domains=tuple(sorted(self.domains, key=lambda domain: domain.name)),
            evals=tuple(sorted(self.evals, key=lambda one: one.name)),
        )
        checks.unique("domains", self.names)
        checks.unique("evals", (one.name for one in self.evals))

    @property
    def names(self) -> tuple[str, ...]:
        """Domain names in axis order."""
        return tuple(domain.name for domain in self.domains)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the tokenizer's sha256 and the (name, fingerprint) of each domain.

        Shards and evaluation sets are not in it: re-sharding changes no trial id.
        """
        parts = [self.tokenizer.sha256]
        for domain in self.domains:
            parts += [domain.name, domain.fingerprint]
        return fingerprint(*parts)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenPart:
    """Token documents of one domain and split: `lengths` (n,) tokens of each, and their ids when asked for.

    `ids(i)` gives the ids of document i; it reads only those. `split` is train, valid (of a domain) or set.
    """

    domain: str
    split: str
    lengths: NDArray[np.int64]
    ids: Callable[[int], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tokenised:
    """Somebody's tokenised data, known by its index: `parts`, type of the ids on disk, and the end-of-document id.

    `separator` is None where the data has none or does not say; then lengths count every token, else separators too.
    """

    parts: tuple[TokenPart, ...]
    dtype: str
    separator: int | None = None
