"""Hypothesis strategies of the core types: a test asks for one with `st.from_type(Mixture)`."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st

from mixdesk.core.corpus import Corpus, Document, Domain, EvalSet, Shard, Tokenizer
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import RIVALS, Comparison, Guard, LeagueRow, Objective, OutOfFold, Verdict
from mixdesk.core.observations import Metric, Noise
from mixdesk.core.plan import External, Plug, Proposal, Recommendation, RunPlan, TrialSpec
from mixdesk.core.recipe import (
    BEST_SEEN,
    NATURAL,
    UNIFORM,
    CardScore,
    Expected,
    GuardCheck,
    Move,
    ParetoPoint,
    PredictionCard,
    Provenance,
    Recipe,
    Rival,
    ScoredClaim,
)
from mixdesk.core.scale import Budget, Hyper, ModelSpec, MoESpec, Rung, Scale
from mixdesk.core.space import Constraints, Near, Rule
from mixdesk.core.trial import Event, Lease, Point, Result, Trial

settings.register_profile("core", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("core")

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0.0, 1.0)
OPEN_SHARES = st.floats(0.0, 1.0, exclude_min=True)
POSITIVE = st.floats(0.0, 1e18, exclude_min=True)
COUNTS = st.integers(0, 2**53)
FROM_ONE = st.integers(1, 2**40)
TEXTS = st.text(max_size=12)
HEX = st.text("0123456789abcdef", min_size=12, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


def pairs(values: st.SearchStrategy[float] = NUMBERS, min_size: int = 0) -> st.SearchStrategy[tuple]:
    """Pairs as they are held in memory: sorted by name."""
    return st.dictionaries(NAMES, values, min_size=min_size, max_size=3).map(lambda d: tuple(sorted(d.items())))


def many(kind: type, min_size: int = 0, max_size: int = 2) -> st.SearchStrategy[tuple]:
    """Tuples of a core type."""
    return st.lists(st.from_type(kind), min_size=min_size, max_size=max_size).map(tuple)


def optional(values: st.SearchStrategy) -> st.SearchStrategy:
    """None, or one of `values`."""
    return st.none() | values


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """A mixture over one to five domains, now and then with weights of zero."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    weights = draw(st.lists(st.floats(0.0, 1e6), min_size=len(names), max_size=len(names)))
    if math.fsum(weights) < 1e-3:
        weights = [1.0] * len(names)
    return Mixture.of(dict(zip(names, weights, strict=True)), normalise=True)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """One to three stages, the last until 1."""
    ends = sorted(draw(st.sets(st.floats(0.01, 0.99), max_size=2)))
    stages = [Stage(mixture=draw(mixtures()), until=end, objectives=draw(optional(mixtures()))) for end in [*ends, 1.0]]
    return Schedule(stages=tuple(stages))


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    """A shape whose heads are even and whose key-value heads divide them."""
    n_heads = draw(st.sampled_from([1, 2, 4]))
    return ModelSpec(
        n_layers=draw(st.integers(1, 8)),
        d_model=n_heads * 2 * draw(st.integers(1, 32)),
        n_heads=n_heads,
        vocab_size=draw(FROM_ONE),
        seq_len=draw(FROM_ONE),
        n_kv_heads=draw(optional(st.sampled_from([k for k in (1, 2, 4) if k <= n_heads]))),
        moe=draw(optional(st.from_type(MoESpec))),
    )


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """A corpus whose domains and evaluation sets have distinct names."""
    domains = draw(st.lists(st.from_type(Domain), min_size=1, max_size=3, unique_by=lambda d: d.name))
    evals = draw(st.lists(st.from_type(EvalSet), max_size=2, unique_by=lambda e: e.name))
    return Corpus(
        name=draw(TEXTS),
        tokenizer=draw(st.from_type(Tokenizer)),
        domains=tuple(domains),
        evals=tuple(evals),
        shards=draw(many(Shard)),
    )


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """A recipe with its three rivals."""
    rivals = [
        Rival(name=name, mixture=draw(mixtures()), trial=draw(optional(HEX))) for name in (BEST_SEEN, NATURAL, UNIFORM)
    ]
    return Recipe(
        plan=draw(st.from_type(RunPlan)),
        objective=draw(st.from_type(Objective)),
        rivals=tuple(rivals),
        comparisons=draw(many(Comparison)),
        verdict=draw(st.from_type(Verdict)),
        provenance=draw(st.from_type(Provenance)),
        expected=draw(many(Expected)),
        epochs=draw(pairs()),
        spread=draw(pairs()),
        binding=draw(st.lists(TEXTS, max_size=2).map(tuple)),
        region=draw(st.sampled_from(["inside", "edge", "outside"])),
        leverage=draw(NUMBERS),
        is_in_hull=draw(st.booleans()),
        warnings=draw(st.lists(TEXTS, max_size=2).map(tuple)),
        guards=draw(many(GuardCheck)),
        card=draw(optional(st.from_type(PredictionCard))),
    )


def register(kind: type, /, **fields: st.SearchStrategy) -> None:
    """Make `st.from_type(kind)` build the type from its fields."""
    st.register_type_strategy(kind, st.builds(kind, **fields))


WORDS = st.lists(TEXTS, max_size=2).map(tuple)
VERDICTS = st.sampled_from(["better", "no different", "worse", "too weak"])
EXPERTS = st.tuples(st.integers(1, 8), st.integers(0, 7)).map(lambda pair: (pair[0], 1 + pair[1] % pair[0]))

st.register_type_strategy(Mixture, mixtures())
st.register_type_strategy(Schedule, schedules())
register(Stage, mixture=mixtures(), until=OPEN_SHARES, objectives=optional(mixtures()))
register(Document, text=TEXTS, label=optional(TEXTS), license=optional(TEXTS), source=TEXTS)
register(
    Domain,
    name=NAMES,
    n_tokens=optional(COUNTS),
    n_bytes=COUNTS,
    n_docs=COUNTS,
    licenses=pairs(),
    fingerprint=HEX,
)
register(EvalSet, name=NAMES, n_tokens=COUNTS, n_bytes=COUNTS, fingerprint=HEX)
register(Shard, path=TEXTS, domain=TEXTS, split=st.sampled_from(["train", "valid", "set"]), n_tokens=COUNTS, sha256=HEX)
register(Tokenizer, name=TEXTS, vocab_size=COUNTS, sha256=HEX)
st.register_type_strategy(Corpus, corpora())
st.register_type_strategy(
    MoESpec,
    st.builds(
        lambda counts, width, shared: MoESpec(n_experts=counts[0], top_k=counts[1], d_expert=width, n_shared=shared),
        EXPERTS,
        st.integers(1, 512),
        st.integers(0, 4),
    ),
)
st.register_type_strategy(ModelSpec, models())
register(Scale, n_tokens=optional(FROM_ONE), n_params=optional(FROM_ONE), n_active=optional(FROM_ONE))
register(
    Hyper,
    lr=POSITIVE,
    batch_tokens=FROM_ONE,
    warmup=st.floats(0.0, 0.5),
    decay=st.floats(0.0, 0.5),
    weight_decay=st.floats(0.0, 1e6),
)
register(
    Rung,
    label=NAMES,
    scale=st.from_type(Scale),
    model=optional(models()),
    hyper=optional(st.from_type(Hyper)),
    unique_share=OPEN_SHARES,
    flops=optional(POSITIVE),
)
register(Budget, n_trials=st.integers(1, 10**9), flops=optional(POSITIVE), seconds=optional(POSITIVE))
register(Plug, name=NAMES, options=st.dictionaries(NAMES, JSON, max_size=3).map(lambda d: tuple(d.items())))
register(
    RunPlan,
    schedule=schedules(),
    scale=st.from_type(Scale),
    model=optional(models()),
    hyper=optional(st.from_type(Hyper)),
)
register(External, source=TEXTS, run=TEXTS)
register(
    TrialSpec,
    plan=st.from_type(RunPlan),
    corpus=optional(HEX),
    evals=st.lists(HEX, max_size=2).map(tuple),
    replicate=COUNTS,
    unique_share=OPEN_SHARES,
    method=st.sampled_from(["train", "merge", "operate"]),
    parents=pairs(),
    controller=optional(st.from_type(Plug)),
    external=optional(st.from_type(External)),
)
register(Proposal, mixture=mixtures(), rung=TEXTS, replicate=COUNTS, why=TEXTS)
register(Recommendation, mixture=mixtures(), spread=pairs(), binding=WORDS, why=TEXTS)
register(Metric, name=NAMES, unit=TEXTS, better=st.sampled_from(["lower", "higher"]), domain=optional(TEXTS))
register(Noise, metric=TEXTS, within=NUMBERS, between=NUMBERS, n_mixtures=COUNTS, n_replicates=COUNTS, spread=NUMBERS)
st.register_type_strategy(
    Guard,
    st.builds(Guard, metric=NAMES, than=st.sampled_from(RIVALS), slack=st.floats(0.0, 1e9))
    | st.builds(Guard, metric=NAMES, at_most=NUMBERS)
    | st.builds(Guard, metric=NAMES, at_least=NUMBERS),
)
register(Rule, name=NAMES, terms=pairs(st.floats(-1e6, -1e-6) | st.floats(1e-6, 1e6)), most=st.floats(-1e6, 1e6))
register(Near, weights=pairs(POSITIVE, min_size=1), nats=st.floats(0.0, 9.0))
st.register_type_strategy(
    Constraints,
    st.builds(
        Constraints,
        lower=pairs(SHARES),
        upper=pairs(SHARES),
        group_lower=pairs(SHARES),
        group_upper=pairs(SHARES),
        epoch_caps=pairs(POSITIVE),
        epochs=pairs(POSITIVE),
        max_epochs=optional(POSITIVE),
        tiers=st.just((("a*", "open"), ("b", "closed"))),
        allowed_tiers=st.sampled_from([(), ("open",), ("closed", "open")]),
        near=optional(st.from_type(Near)),
        rules=st.lists(st.from_type(Rule), max_size=2, unique_by=lambda rule: rule.name).map(tuple),
        pool=many(Mixture),
    ),
)
register(Objective, terms=pairs(POSITIVE, min_size=1), reduce=st.sampled_from(["mean", "worst"]), guards=many(Guard))
register(
    Comparison,
    plan=HEX,
    rival=TEXTS,
    metric=TEXTS,
    difference=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    level=SHARES,
    n_pairs=COUNTS,
    basis=st.sampled_from(["predicted", "trained"]),
    rung=TEXTS,
    verdict=st.sampled_from(["better", "no different", "worse"]),
)
register(
    Verdict,
    name=VERDICTS,
    state=st.sampled_from(["confirmed", "contradicted", "predicted", "running", "no evidence"]),
    headline=TEXTS,
    reason=TEXTS,
    remedy=TEXTS,
    recommended=TEXTS,
)
register(LeagueRow, law=TEXTS, metric=TEXTS, measure=TEXTS, value=NUMBERS, n=COUNTS)
register(OutOfFold, trial=HEX, metric=TEXTS, measured=NUMBERS, mean=NUMBERS, low=NUMBERS, high=NUMBERS)
register(Point, n_tokens=COUNTS, metrics=pairs())
register(
    Result,
    state=st.sampled_from(["done", "diverged", "failed"]),
    points=many(Point),
    domain_tokens=pairs(),
    flops=optional(NUMBERS),
    seconds=optional(NUMBERS),
    message=TEXTS,
)
register(Lease, trial=HEX, holder=TEXTS, until=NUMBERS)
register(
    Event,
    trial=HEX,
    kind=st.sampled_from(["asked", "started", "point", "done", "failed", "lease"]),
    time=NUMBERS,
    spec=optional(st.from_type(TrialSpec)),
    why=TEXTS,
    rung=TEXTS,
    seen=WORDS,
    point=optional(st.from_type(Point)),
    result=optional(st.from_type(Result)),
    lease=optional(st.from_type(Lease)),
    message=TEXTS,
)
register(
    Trial,
    spec=st.from_type(TrialSpec),
    state=st.sampled_from(["waiting", "running", "done", "diverged", "failed"]),
    rung=TEXTS,
    why=TEXTS,
    points=many(Point),
    domain_tokens=pairs(),
    flops=optional(NUMBERS),
    seconds=optional(NUMBERS),
    message=TEXTS,
)
register(Rival, name=TEXTS, mixture=mixtures(), trial=optional(HEX))
register(Expected, metric=TEXTS, mean=NUMBERS, low=NUMBERS, high=NUMBERS, rung=TEXTS)
register(
    Provenance,
    study=TEXTS,
    record_sha256=HEX,
    n_trials=COUNTS,
    n_mixtures=COUNTS,
    law=TEXTS,
    strategy=TEXTS,
    seed=COUNTS,
    version=TEXTS,
    corpus=optional(HEX),
    n_diverged=COUNTS,
    n_failed=COUNTS,
    flops=optional(NUMBERS),
    scores=many(LeagueRow),
    noise=many(Noise),
    references=WORDS,
    rungs=WORDS,
)
register(
    GuardCheck,
    guard=TEXTS,
    metric=TEXTS,
    excess=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    probability=SHARES,
    missing=NUMBERS,
    basis=st.sampled_from(["predicted", "trained"]),
    rung=TEXTS,
)
register(
    PredictionCard,
    date=TEXTS,
    study=TEXTS,
    plan=HEX,
    mixtures=many(Rival),
    objective=st.from_type(Objective),
    metrics=many(Metric),
    expected=many(Expected),
    comparisons=many(Comparison),
    rung=TEXTS,
    record_sha256=HEX,
    law=TEXTS,
    version=TEXTS,
    scale=st.from_type(Scale),
)
register(
    ScoredClaim,
    metric=TEXTS,
    rival=optional(TEXTS),
    predicted=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    measured=NUMBERS,
    n_runs=COUNTS,
    held=optional(st.booleans()),
    sign_is_right=optional(st.booleans()),
    z=optional(NUMBERS),
)
register(CardScore, card=HEX, is_same_scale=st.booleans(), claims=many(ScoredClaim), headline=TEXTS, notes=WORDS)
register(
    Move,
    objective=st.from_type(Objective),
    today=mixtures(),
    mixture=mixtures(),
    gain=NUMBERS,
    predicted=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    kl=NUMBERS,
    probability=optional(SHARES),
    probability_asked=optional(SHARES),
    largest=NUMBERS,
    law=TEXTS,
    rung=TEXTS,
    guards=many(GuardCheck),
    binding=WORDS,
    doubt=TEXTS,
)
register(ParetoPoint, mixture=mixtures(), values=pairs(), probability=optional(SHARES), best_of=WORDS)
st.register_type_strategy(Recipe, recipes())
