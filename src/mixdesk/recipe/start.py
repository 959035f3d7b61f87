"""Mixtures to start from where no run was made: rules over token counts, with epochs. No evidence supports them.

With n_d unique tokens of domain d, a run of N tokens and a cap of E epochs:

    uniform       w_d = 1 / D
    natural       w_d = n_d / Σ n
    temperature   w_d ∝ n_d^½
    unimax        w_d = min(E n_d / N, u), u such that Σ w = 1: as even as the cap allows

Under constraints the domains that may have weight are all there are, and a mixture that is not allowed becomes the
nearest that is.

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
from mixdesk.core.space import Space

# Beyond so many passes repeated text is worth clearly less than new text.
MAX_EPOCHS = 4.0

# When to prefer which; the first in doubt.
PREFER = {
    "unimax": "in doubt: as even as the epoch cap allows",
    "temperature": "to lean to large domains, none far from its share",
    "natural": "where the corpus is already as you want the model: fewest repeats",
    "uniform": "where every domain matters alike and the run is short",
}
# Changes of a weight below this are rounding.
LEAST_CHANGE = 1e-6

NO_EVIDENCE = "No run supports these mixtures: they are rules over token counts."


@core_type
class Start:
    """A mixture without evidence.

    `name` of the rule; `epochs` per domain; `prefer` when; `is_within` the epoch cap; `moved` domain → what the
    constraints added to the rule's weight (empty: they left it), and `binding` those that the mixture touches.
    """

    name: str
    mixture: Mixture
    epochs: Pairs
    prefer: str
    is_within: bool
    moved: Pairs = ()
    binding: tuple[str, ...] = ()
    evidence: str = NO_EVIDENCE


def start_mixtures(
    corpus: Corpus, n_tokens: int, max_epochs: float = MAX_EPOCHS, space: Space | None = None
) -> tuple[Start, ...]:
    """UniMax, temperature, natural and uniform mixtures for a run of `n_tokens`, the first to be preferred in doubt.

    Each lies in `space` where that is given, as `search/feasible.py` has settled it.

    Raises:
        InputError: a domain's tokens are unknown, or a number is not positive.
        Infeasible: `max_epochs` passes over all domains are shorter than the run.
    """
    n_tokens = checks.count("n_tokens", n_tokens, 1)
    max_epochs = checks.finite("max_epochs", max_epochs, 0.0, open_low=True)
    Mixture.natural(corpus)  # refuses unknown counts
    tokens_d = np.array([float(domain.n_tokens or 0) for domain in corpus.domains])
    plain = _rules(tokens_d, n_tokens, max_epochs)
    allowed = plain if space is None else _rules(np.where(space.upper_d > 0.0, tokens_d, 0.0), n_tokens, max_epochs)
    out = []
    for name, prefer in PREFER.items():
        weights_d = allowed[name] if space is None else space.project(allowed[name])[0]
        mixture = Mixture.of(dict(zip(corpus.names, weights_d.tolist(), strict=True)), normalise=True)
        epochs = mixture.epochs(corpus, Scale(n_tokens=n_tokens))
        change_d = np.array(mixture.over(corpus.names)) - plain[name]
        moved = [
            (domain, d) for domain, d in zip(corpus.names, change_d.tolist(), strict=True) if abs(d) > LEAST_CHANGE
        ]
        out.append(
            Start(
                name=name,
                mixture=mixture,
                epochs=epochs,
                prefer=prefer,
                is_within=max(n for _, n in epochs) <= max_epochs * (1 + 1e-9),
                moved=tuple(moved),
                binding=() if space is None else space.binding(mixture),
            )
        )
    return tuple(out)


def _rules(tokens_d: Floats, n_tokens: int, max_epochs: float) -> dict[str, Floats]:
    """The weights of each rule over the domains that have tokens, (d,)."""
    has_d = tokens_d > 0.0
    return {
        "unimax": unimax(tokens_d, n_tokens, max_epochs),
        "temperature": tempered(tokens_d, 2.0),
        "natural": tokens_d / tokens_d.sum(),
        "uniform": has_d / has_d.sum(),
    }
