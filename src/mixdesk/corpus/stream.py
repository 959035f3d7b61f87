"""The deterministic mixture stream: which sequence of which domain is sample i of a run.

Between domains. Let C_d(t) = ∫ w_d be the sequences that domain d should have had after t of them; w changes where a
stage ends. The j-th sequence of d (j = 0, 1, …) may come once C_d reaches j + δ and must come before C_d passes
j + 1 − δ, with δ = 1 / (2 D − 2) for D domains with weight; of those that may come, the most urgent comes next. Then
over any prefix |count_d − C_d| ≤ 1 − δ < 1: Tijdeman's theorem, which holds for weights that change too. The plain
rule "largest deficit next" breaks the bound of one from six domains on (a test shows where).
So within a stage, or any other block, a domain differs from its weight by less than two.

Inside a domain. Its text is one token stream of hash-ordered documents; window v is tokens [v T, v T + T]. Epoch e
passes over all windows in an order drawn from (seed, name of the domain, e) alone, so two mixtures with one seed see
the same sequences of a domain in the same order. `unique_share` keeps the first windows of the unshuffled order.

Reference: tijdeman1980, theorem 1. We widen "may come" by 1e-6 against rounding.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, put
from mixdesk.core.errors import InputError
from mixdesk.core.files import fingerprint
from mixdesk.core.mixture import Schedule
from mixdesk.corpus.shards import TokenStore

# Cumulative weights of 1e7 sequences are exact to 2e-9; δ is above 1e-3 up to 500 domains.
ROUNDING = 1e-6


class TokenSource(Protocol):
    """Ids of one domain, however they are stored."""

    def __len__(self) -> int:
        """Tokens in all."""

    def __getitem__(self, where: slice, /) -> NDArray[np.int64]:
        """Those of a slice."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MixtureStream:
    """The sequences of a run.

    Fields: `names` of the domains in axis order; `tokens` of each; `schedule` of mixtures; `n_sequences` of the run;
    `seq_len` tokens trained per sequence (a sequence has one more: the last target); `seed`; `unique_share` in (0, 1]
    of each domain's windows that may be used.

    Raises:
        InputError: a domain with weight has less text than one sequence, or the schedule names an unknown domain.
    """

    names: tuple[str, ...]
    tokens: tuple[TokenSource, ...]
    schedule: Schedule
    n_sequences: int
    seq_len: int
    seed: int = 0
    unique_share: float = 1.0
    _domain_i: NDArray[np.int64] = field(init=False, repr=False)
    _visit_i: NDArray[np.int64] = field(init=False, repr=False)
    _windows_d: NDArray[np.int64] = field(init=False, repr=False)
    _orders: dict[int, tuple[int, NDArray[np.int64]]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        checks.count("n_sequences", self.n_sequences, 1)
        checks.count("seq_len", self.seq_len, 1)
        share = checks.finite("unique_share", self.unique_share, 0.0, 1.0, open_low=True)
        W_sd = np.array([stage.mixture.over(self.names) for stage in self.schedule.stages])
        until_s = np.array([stage.until for stage in self.schedule.stages])
        all_d = np.array([max(len(source) - 1, 0) // self.seq_len for source in self.tokens])
        for name, n_windows, source, weight in zip(self.names, all_d, self.tokens, W_sd.max(0), strict=True):
            if weight > 0.0 and n_windows == 0:
                raise InputError(
                    f"the domain `{name}` has too little text for one sequence",
                    value=f"{len(source)} tokens",
                    bound=f"at least {self.seq_len + 1}",
                    remedy="shorten the sequences, add text or give the domain no weight",
                )
        # The 1e-9 undoes rounding: 0.29 of 100 windows are 29.
        kept_d = np.maximum(np.floor(all_d * share + 1e-9).astype(np.int64), np.minimum(all_d, 1))
        domain_i = interleave(W_sd, until_s * self.n_sequences, self.n_sequences)
        put(self, _domain_i=domain_i, _visit_i=_visits(domain_i), _windows_d=kept_d)

    def __len__(self) -> int:
        return self.n_sequences

    def sequence(self, i: int) -> tuple[NDArray[np.int64], int]:
        """Sample i: its ids, (seq_len + 1,), and the position of its domain in `names`."""
        assert 0 <= i < self.n_sequences, "the run has no such sequence"
        domain = int(self._domain_i[i])
        epoch, place = divmod(int(self._visit_i[i]), int(self._windows_d[domain]))
        start = int(self._order(domain, epoch)[place]) * self.seq_len
        return self.tokens[domain][start : start + self.seq_len + 1], domain

    def batch(self, start: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples start … start + n − 1: ids (n, seq_len + 1) and domains (n,)."""
        return np.stack([self.sequence(i)[0] for i in range(start, start + n)]), self._domain_i[start : start + n]

    def counts(self, n: int | None = None) -> NDArray[np.int64]:
        """Sequences per domain, (d,), among the first n; None: all."""
        return np.bincount(self._domain_i[:n], minlength=len(self.names))

    def domain_tokens(self, n: int | None = None) -> Pairs:
        """Trained tokens per domain among the first n sequences."""
        return checks.pairs("tokens", zip(self.names, (self.counts(n) * self.seq_len).tolist(), strict=True))

    def epochs(self, n: int | None = None) -> Pairs:
        """Passes over the usable windows of each domain among the first n sequences."""
        passes_d = self.counts(n) / np.maximum(self._windows_d, 1)
        return checks.pairs("epochs", zip(self.names, passes_d.tolist(), strict=True))

    def _order(self, domain: int, epoch: int) -> NDArray[np.int64]:
        """The windows of a domain in the order of an epoch. Raw PCG64 numbers: numpy keeps them for ever."""
        held = self._orders.get(domain)
        if held is None or held[0] != epoch:
            key = fingerprint("stream", str(self.seed), self.names[domain], str(epoch))
            numbers = np.random.PCG64(int(key, 16)).random_raw(int(self._windows_d[domain]))
            held = (epoch, np.argsort(numbers, kind="stable"))
            self._orders[domain] = held
        return held[1]


def stream_of(
    store: TokenStore,
    schedule: Schedule,
    n_sequences: int,
    seq_len: int,
    seed: int = 0,
    unique_share: float = 1.0,
) -> MixtureStream:
    """The stream of a run over the training split of a corpus; see MixtureStream."""
    names = store.corpus.names
    return MixtureStream(
        names=names,
        tokens=tuple(store.tokens(name, "train") for name in names),
        schedule=schedule,
        n_sequences=n_sequences,
        seq_len=seq_len,
        seed=seed,
        unique_share=unique_share,
    )


def interleave(W_sd: NDArray[np.float64], until_s: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """The domain of each of n sequences, (n,): over any prefix each count is within one of its cumulative weight.

    Args:
        W_sd: weights of the stages.
        until_s: sequences (need not be whole) at which each stage ends; the last is n.
        n: sequences.
    """
    # Mixtures sum to 1 ± 1e-9; over a long run that would leave a sequence without a domain.
    W_sd = W_sd / W_sd.sum(axis=1, keepdims=True)
    used = np.flatnonzero(W_sd.max(axis=0) > 0.0)
    if len(used) == 1:
        return np.full(n, used[0], dtype=np.int64)
    delta = 1.0 / (2 * len(used) - 2)
    starts_s = np.array([0.0, *until_s[:-1]])
    release, deadline, owner = [], [], []
    for d in used:
        target_s = np.array([0.0, *np.cumsum(W_sd[:, d] * (until_s - starts_s))])
        numbers = np.arange(np.floor(target_s[-1] - delta + ROUNDING) + 1.0)
        release.append(np.ceil(_when(numbers + delta - ROUNDING, target_s, starts_s, W_sd[:, d])))
        deadline.append(_when(numbers + 1.0 - delta, target_s, starts_s, W_sd[:, d]))
        owner.append(np.full(len(numbers), d))
    release_j, deadline_j, owner_j = (np.concatenate(one) for one in (release, deadline, owner))
    urgency_j = np.empty(len(owner_j), dtype=np.int64)
    by_urgency = np.lexsort((owner_j, deadline_j))
    urgency_j[by_urgency] = np.arange(len(owner_j))
    coming = np.argsort(release_j, kind="stable")
    upto_i = np.searchsorted(release_j[coming], np.arange(1, n + 1), side="right").tolist()
    urgencies = urgency_j[coming].tolist()
    ready: list[int] = []
    chosen, seen = np.empty(n, dtype=np.int64), 0
    for i, upto in enumerate(upto_i):
        for urgency in urgencies[seen:upto]:
            heapq.heappush(ready, urgency)
        seen = upto
        chosen[i] = heapq.heappop(ready)
    return np.asarray(owner_j[by_urgency[chosen]], dtype=np.int64)


def _when(
    level: NDArray[np.float64], target_s: NDArray[np.float64], starts_s: NDArray[np.float64], w_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The first time at which the cumulative weight (0 at the start, target_s[s + 1] after stage s) reaches each level,
    as if the last stage went on for ever; infinite where it never does.
    """
    stage = np.minimum(np.searchsorted(target_s[1:], level, side="left"), len(w_s) - 1)
    with np.errstate(divide="ignore", over="ignore"):
        times: NDArray[np.float64] = starts_s[stage] + (level - target_s[stage]) / w_s[stage]
    return times


def _visits(domain_i: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier samples came from the same domain, (n,)."""
    by_domain = np.argsort(domain_i, kind="stable")
    sizes = np.bincount(domain_i)
    firsts = np.cumsum(sizes) - sizes
    visits = np.empty(len(domain_i), dtype=np.int64)
    visits[by_domain] = np.arange(len(domain_i)) - np.repeat(firsts, sizes)
    return visits
