"""Constraints of every kind at random, and what they say, read without `Space`."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import strategies as st

from mixdesk.core.mixture import Mixture
from mixdesk.core.space import Constraints, Near, Rule


@st.composite
def cut_constraints(draw: st.DrawFn) -> tuple[Constraints, tuple[str, ...]]:
    """Any mix of bounds, groups, rules, a ball and a pool over two groups of domains; may leave nothing."""
    d = draw(st.integers(2, 7))
    domains = tuple(f"{'ab'[i % 2]}/{i}" for i in range(d))
    one = st.floats(0.0, 1.0)
    patterns = st.sampled_from(["*", "a/*", "b/*", *domains])
    some = st.dictionaries(patterns, one, max_size=2)
    coefficients = st.floats(-3.0, -0.01) | st.floats(0.01, 3.0) | st.just(0.0)
    terms = st.dictionaries(patterns, coefficients, min_size=1, max_size=3)
    rules = draw(st.lists(st.builds(lambda t, most: (t, most), terms, st.floats(-0.5, 1.0)), max_size=3))
    weights = st.lists(st.floats(0.01, 1.0), min_size=d, max_size=d)
    near = draw(st.none() | st.builds(lambda w, nats: (w, nats), weights, st.floats(0.0, 0.5)))
    pool = draw(st.just([]) | st.lists(weights, min_size=1, max_size=4))
    return Constraints(
        lower={name: low / d for name, low in draw(some).items()},
        upper=draw(some),
        group_lower={name: 0.7 * low for name, low in draw(some).items()},
        group_upper=draw(some),
        near=None if near is None else Near(weights=dict(zip(domains, near[0], strict=True)), nats=near[1]),
        rules=tuple(Rule(name=f"rule {i}", terms=t, most=most) for i, (t, most) in enumerate(rules)),
        pool=tuple(Mixture.of(dict(zip(domains, row, strict=True)), normalise=True) for row in pool),
    ), domains


def misses(constraints: Constraints, domains: tuple[str, ...], mixture: Mixture) -> float:
    """By how much a mixture misses the constraints as they are written, read without `Space`."""
    weights = mixture.as_dict()

    def hit(pattern: str) -> list[float]:
        return [weights[name] for name in domains if fnmatchcase(name, pattern)]

    gaps = [0.0]
    gaps += [low - w for pattern, low in constraints.lower for w in hit(pattern)]
    gaps += [w - high for pattern, high in constraints.upper for w in hit(pattern)]
    gaps += [low - sum(hit(pattern)) for pattern, low in constraints.group_lower]
    gaps += [sum(hit(pattern)) - high for pattern, high in constraints.group_upper]
    gaps += [sum(c * sum(hit(p)) for p, c in rule.terms) - rule.most for rule in constraints.rules]
    if constraints.near is not None:
        middle = Mixture.of(dict(constraints.near.weights), normalise=True)
        gaps.append(mixture.kl(middle) - constraints.near.nats)
    if constraints.pool:
        near = [max(abs(one.as_dict()[name] - weights[name]) for name in domains) for one in constraints.pool]
        gaps.append(min(near))
    return max(gaps)
