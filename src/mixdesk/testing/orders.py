"""Orders that every exporter is tried with, and the data that they speak of, made on the spot.

The first is the test vector of three domains whose documents are of unequal length, where shares of tokens handed to a
sampler of rows train something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import registry
from mixdesk.core.checks import Pairs
from mixdesk.core.corpus import Domain, Tokenizer, TokenPart
from mixdesk.core.export import Order
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale

VOCABULARY, SEPARATOR = 500, 0
VECTOR = {"web": (600_000, 750), "code": (60_000, 150), "books": (40_000, 10)}
THREE = {"web": 0.6, "code": 0.3, "books": 0.1}


def order(
    sizes: Mapping[str, tuple[int, int]],
    *stages: tuple[float, Mapping[str, float]],
    n_tokens: int = 200_000,
    max_epochs: Pairs = (),
) -> Order:
    """An order over domains of (tokens, documents), with stages of (until, weights); L = 100, 2,000 tokens a step."""
    plan = RunPlan(
        schedule=Schedule(stages=tuple(Stage(until=until, mixture=Mixture.of(dict(w))) for until, w in stages)),
        scale=Scale(n_tokens=n_tokens),
    )
    return Order(
        plan=plan,
        domains=tuple(Domain(name=name, n_tokens=n, n_docs=docs) for name, (n, docs) in sizes.items()),
        tokenizer=Tokenizer(name="bytes", vocab_size=VOCABULARY, sha256="0" * 64),
        n_tokens=n_tokens,
        seq_len=100,
        batch_tokens=2_000,
        max_epochs=max_epochs,
    )


def orders() -> dict[str, Order]:
    """One stage, two stages, 2 and 200 domains, a zero weight, a tiny one, a cap that binds, slashes in names.

    The runs of many domains and of a tiny weight have three sequences of the least domain; `short run` has a tenth.
    """
    many = {f"d{i:03d}": (5_000 + 50 * i, 10 + 37 * i % 31) for i in range(200)}
    uneven = Mixture.of({name: 4.0 + i for i, name in enumerate(many)}, normalise=True).as_dict()
    tiny = {"web": 0.69995, "code": 0.3, "books": 0.00005}
    large = {"web": (3_000_000, 3_750), "code": (1_500_000, 3_750), "books": (40_000, 400)}
    two = {"a": (300_000, 300), "b": (100_000, 400)}
    named = {"web/high": (300_000, 300), "web/low, raw": (100_000, 400)}
    return {
        "one stage": order(VECTOR, (1.0, THREE)),
        "two stages": order(VECTOR, (0.5, THREE), (1.0, {"web": 0.8, "code": 0.1, "books": 0.1})),
        "two domains": order(two, (1.0, {"a": 0.25, "b": 0.75}), n_tokens=100_000),
        "200 domains": order(many, (1.0, uneven), n_tokens=2_000_000),
        "zero weight": order(VECTOR, (1.0, {"web": 0.7, "code": 0.3, "books": 0.0})),
        "tiny weight": order(large, (1.0, tiny), n_tokens=6_000_000),
        "short run": order(VECTOR, (1.0, tiny)),
        "cap": order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),)),
        "repeats": order(VECTOR, (1.0, {"web": 0.1, "code": 0.5, "books": 0.4})),
        "slashes": order(named, (1.0, {"web/high": 0.25, "web/low, raw": 0.75}), n_tokens=100_000),
    }


def write_made(order: Order, form: str, out: Path) -> None:
    """Data for an order under `out`: a format's token data, or `rows` of as many words; lengths vary threefold.

    Every domain has its own ids, so that what a sampler draws can be told apart.
    """
    parts = []
    for i, domain in enumerate(order.domains):
        lengths = _lengths(domain.n_tokens or 0, domain.n_docs, np.random.default_rng(i))
        if form == "rows":
            path = out / f"{domain.name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps({"text": " ".join([f"w{i}"] * int(n))}) for n in lengths)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            continue
        one = 1 + i % (VOCABULARY - 1)
        parts.append(
            TokenPart(
                domain=domain.name,
                split="train",
                lengths=lengths,
                ids=lambda k, lengths=lengths, one=one: np.append(  # type: ignore[misc]
                    np.full(lengths[k] - 1, one, dtype=np.int64), SEPARATOR
                ),
            )
        )
    if form != "rows":
        known = {"dtype": "uint16", "separator": SEPARATOR, "tokenizer": "bytes"}
        registry.make("formats", Plug.parse(form), **known).write(parts, out)


def _lengths(n_tokens: int, n_docs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole lengths ≥ 2 that sum to `n_tokens`, between a half and one and a half of their mean."""
    wanted = rng.uniform(0.5, 1.5, size=n_docs)
    ends = np.rint(np.cumsum(wanted) / wanted.sum() * n_tokens).astype(np.int64)
    return np.asarray(np.diff(ends, prepend=0))
