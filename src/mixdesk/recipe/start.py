"""Mixtures to start from where no run was made: rules over token counts, with epochs. No evidence supports them.

With n_d unique tokens of domain d, a run of N tokens and a cap of E epochs:

    uniform       w_d = 1 / D
    natural       w_d = n_d / Σ n
    temperature   w_d ∝ n_d^½
    unimax        w_d = min(E n_d / N, u), u such that Σ w = 1: as even as the cap allows

Reference: unimax (water-filling under an epoch cap). What we do differently: domains in place of languages, tokens in
place of characters.
"""

from __future__ import annotations

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type
from mixdesk.core.corpus import Corpus
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.rules import tempered, unimax
from mixdesk.core.scale import Scale

# Beyond so many passes repeated text is worth clearly less than new text.
MAX_EPOCHS = 4.0

NO_EVIDENCE = "No run supports these mixtures: they are rules over token counts."


@core_type
class Start:
    """A mixture without evidence: `name` of the rule, `epochs` per domain, `prefer` when, `is_within` the epoch cap."""

    name: str
    mixture: Mixture
    epochs: Pairs
    prefer: str
    is_within: bool
    evidence: str = NO_EVIDENCE


def start_mixtures(corpus: Corpus, n_tokens: int, max_epochs: float = MAX_EPOCHS) -> tuple[Start, ...]:
    """UniMax, temperature, natural and uniform mixtures for a run of `n_tokens`, the first to be preferred in doubt.

    Raises:
        InputError: a domain's tokens are unknown, or a number is not positive.
        Infeasible: `max_epochs` passes over all domains are shorter than the run.
    """
    n_tokens = checks.count("n_tokens", n_tokens, 1)
    max_epochs = checks.finite("max_epochs", max_epochs, 0.0, open_low=True)
    natural = Mixture.natural(corpus)
    tokens_d = np.array([float(domain.n_tokens or 0) for domain in corpus.domains])
    even_d = unimax(tokens_d, n_tokens, max_epochs)
    rules = (
        ("unimax", _mixture(corpus, even_d), "in doubt: as even as the epoch cap allows"),
        ("temperature", _mixture(corpus, tempered(tokens_d, 2.0)), "to lean to large domains, none far from its share"),
        ("natural", natural, "where the corpus is already as you want the model: fewest repeats"),
        ("uniform", Mixture.uniform(corpus.names), "where every domain matters alike and the run is short"),
    )
    out = []
    for name, mixture, prefer in rules:
        epochs = mixture.epochs(corpus, Scale(n_tokens=n_tokens))
        within = max(n for _, n in epochs) <= max_epochs * (1 + 1e-9)
        out.append(Start(name=name, mixture=mixture, epochs=epochs, prefer=prefer, is_within=within))
    return tuple(out)


def _mixture(corpus: Corpus, weights_d: Floats) -> Mixture:
    return Mixture.of(dict(zip(corpus.names, weights_d.tolist(), strict=True)), normalise=True)
