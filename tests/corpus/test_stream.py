import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.corpus.build import build
from mixdesk.corpus.shards import Tokens, open_store
from mixdesk.corpus.stream import MixtureStream, interleave, stream_of

NAMES = ("a", "b", "c")


def tokens(domain: int, n: int) -> Tokens:
    """Ids that tell their domain and place."""
    return Tokens.over([np.arange(n, dtype=np.uint32) + 100_000 * domain])


def stream(weights=(0.5, 0.3, 0.2), sizes=(1001, 301, 101), **settings) -> MixtureStream:
    schedule = settings.pop("schedule", None) or Schedule.constant(Mixture(domains=NAMES, weights=weights))
    given_settings = {"n_sequences": 200, "seq_len": 10} | settings
    sources = given_settings.pop("tokens", tuple(tokens(i, n) for i, n in enumerate(sizes)))
    return MixtureStream(names=NAMES, tokens=sources, schedule=schedule, **given_settings)


def deviation(W_sd: NDArray[np.float64], until_s: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """count − cumulative weight of every domain after every prefix, (n, d)."""
    domain_i = interleave(W_sd, until_s, n)
    ends, starts = until_s, np.array([0.0, *until_s[:-1]])
    spent_is = np.clip(np.arange(1, n + 1)[:, None] - starts, 0.0, ends - starts)
    return np.cumsum(domain_i[:, None] == np.arange(W_sd.shape[1]), axis=0) - spent_is @ W_sd


@st.composite
def plans(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    d, n = draw(st.integers(1, 30)), draw(st.integers(1, 300))
    ends = [*sorted(set(draw(st.lists(st.floats(0.001, 0.999), max_size=3)))), 1.0]
    # Equal, tiny, zero and ordinary weights: equal ones make ties, zeros make domains that come and go.
    weight = st.one_of(st.just(0.0), st.just(1.0), st.just(1e-6), st.integers(1, 7), st.floats(0.01, 100.0))
    rows = [draw(st.lists(weight, min_size=d, max_size=d).filter(lambda w: sum(w) > 0)) for _ in ends]
    W_sd = np.array(rows, dtype=np.float64)
    return W_sd / W_sd.sum(1, keepdims=True), np.array(ends) * n, n


@settings(max_examples=300, deadline=None)
@given(plans())
def test_every_prefix_is_within_one_of_its_weights(plan) -> None:
    W_sd, until_s, n = plan
    used = int((W_sd.max(0) > 0).sum())
    bound = 1.0 - 1.0 / max(2 * used - 2, 1) if used > 1 else 0.0
    after_id = deviation(W_sd, until_s, n)
    assert np.abs(after_id).max() <= bound + 2e-6
    # So any block, a stage among them, is within two.
    assert np.ptp(np.vstack([np.zeros(W_sd.shape[1]), after_id]), axis=0).max() < 2.0


def test_the_plain_largest_deficit_rule_would_break_the_bound() -> None:
    weights = np.array([7.0, 9.0, 25.0, 3.0, 25.0, 29.0]) / 98.0
    counts, worst = np.zeros(6), 0.0
    for i in range(98):
        counts[np.argmax(weights * (i + 1) - counts)] += 1
        worst = max(worst, float(np.abs(counts - weights * (i + 1)).max()))
    assert worst > 1.01
    assert np.abs(deviation(weights[None], np.array([98.0]), 98)).max() <= 0.9


def test_a_long_run_of_thirty_domains_stays_within_one() -> None:
    weights = np.random.default_rng(0).dirichlet(np.full(30, 0.3))
    assert np.abs(deviation(weights[None], np.array([2e5]), 200_000)).max() < 1.0


def test_a_hundred_thousand_sequences_of_twenty_domains_take_less_than_a_second() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(20))
    start = time.process_time()
    interleave(weights[None], np.array([1e5]), 100_000)
    assert time.process_time() - start < 1.0


def test_weights_that_miss_one_by_rounding_still_fill_a_long_run() -> None:
    weights = np.array([[0.5, 0.5 - 1e-9]])
    assert np.bincount(interleave(weights, np.array([4e5]), 400_000)).tolist() == [200_000, 200_000]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any), st.integers(1, 150), st.integers(0, 5))
def test_sample_i_depends_on_nothing_else(weights: list[int], n: int, seed: int) -> None:
    mixture = Mixture.of(dict(zip(NAMES, weights, strict=True)), normalise=True)
    long = stream(schedule=Schedule.constant(mixture), seed=seed)
    short = stream(schedule=Schedule.constant(mixture), seed=seed, n_sequences=n)
    backwards = {i: short.sequence(i) for i in reversed(range(n))}
    ids, domains = long.batch(0, n)
    for i in range(n):
        assert backwards[i][0].tolist() == ids[i].tolist()
        assert backwards[i][1] == domains[i]
        assert ids[i][0] // 100_000 == domains[i]
        assert np.array_equal(np.diff(ids[i]), np.ones(10))


def test_where_shards_are_cut_changes_nothing() -> None:
    whole = np.arange(1001, dtype=np.uint16)
    parts = Tokens.over(np.split(whole, [3, 3, 500, 777]))
    one = stream(tokens=(Tokens.over([whole]), tokens(1, 301), tokens(2, 101)))
    other = stream(tokens=(parts, tokens(1, 301), tokens(2, 101)))
    assert np.array_equal(one.batch(0, 200)[0], other.batch(0, 200)[0])


def of_domain(run: MixtureStream, domain: int) -> list[int]:
    """First ids of the domain's sequences in the order seen."""
    return [int(ids[0]) for ids, d in (run.sequence(i) for i in range(len(run))) if d == domain]


def test_mixtures_of_one_seed_share_the_order_inside_a_domain() -> None:
    one, other = of_domain(stream((0.5, 0.3, 0.2)), 1), of_domain(stream((0.1, 0.8, 0.1)), 1)
    assert one == other[: len(one)]
    reseeded = of_domain(stream((0.5, 0.3, 0.2), seed=1), 1)
    assert one[:30] != reseeded[:30]
    assert sorted(one[:30]) == sorted(reseeded[:30])


def test_an_epoch_passes_over_every_window_once_and_the_next_in_another_order() -> None:
    run = stream((0.0, 1.0, 0.0), n_sequences=60)
    first = of_domain(run, 1)
    assert sorted(first[:30]) == [100_000 + 10 * v for v in range(30)]
    assert sorted(first[30:]) == sorted(first[:30])
    assert first[30:] != first[:30]


def test_the_order_depends_on_the_name_and_not_on_the_position() -> None:
    one = stream((0.0, 0.0, 1.0), sizes=(11, 11, 301), n_sequences=30)
    alone = MixtureStream(
        names=("c",), tokens=(tokens(2, 301),), schedule=Schedule.constant(Mixture.of({"c": 1.0})), n_sequences=30,
        seq_len=10,
    )  # fmt: skip
    assert of_domain(one, 2) == of_domain(alone, 0)


@given(st.floats(0.001, 1.0), st.integers(0, 3))
@settings(deadline=None)
def test_unique_share_keeps_the_first_windows_whatever_the_seed(share: float, seed: int) -> None:
    kept = set(of_domain(stream((0.0, 1.0, 0.0), unique_share=share, seed=seed), 1))
    assert kept == {100_000 + 10 * v for v in range(max(1, int(share * 30 + 1e-9)))}


def test_unique_share_counts_epochs_of_what_it_keeps() -> None:
    run = stream(unique_share=0.1)
    assert dict(run.epochs()) == {"a": 10.0, "b": 20.0, "c": 40.0}
    assert dict(stream().epochs()) == {"a": 1.0, "b": 2.0, "c": 4.0}


def test_counts_and_tokens_are_what_was_served() -> None:
    run = stream()
    for n in (0, 1, 57, 200):
        served = [run.sequence(i)[1] for i in range(n)]
        assert run.counts(n).tolist() == [served.count(d) for d in range(3)]
        assert dict(run.domain_tokens(n)) == {name: 10.0 * served.count(d) for d, name in enumerate(NAMES)}
    assert run.counts().tolist() == [100, 60, 40]


def test_stages_follow_each_other() -> None:
    first, second = Mixture.of({"a": 1.0}), Mixture.of({"b": 0.5, "c": 0.5})
    run = stream(schedule=Schedule(stages=(Stage(mixture=first, until=0.75), Stage(mixture=second))))
    assert run.counts(150).tolist() == [150, 0, 0]
    assert run.counts().tolist() == [150, 25, 25]
    constant = stream((1.0, 0.0, 0.0))
    assert of_domain(run, 0) == of_domain(constant, 0)[:150]


def test_a_domain_without_a_sequence_is_an_error_only_when_it_has_weight() -> None:
    assert stream((0.5, 0.5, 0.0), sizes=(1001, 301, 10)).counts().tolist() == [100, 100, 0]
    with pytest.raises(InputError, match="`c` has too little text for one sequence: found 10 tokens"):
        stream(sizes=(1001, 301, 10))


def test_unknown_domains_and_bad_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="unknown domain `d`"):
        stream(schedule=Schedule.constant(Mixture.of({"d": 1.0})))
    for bad in ({"unique_share": 0.0}, {"unique_share": 1.5}, {"seq_len": 0}, {"n_sequences": 0}):
        with pytest.raises(InputError):
            stream(**bad)


def test_the_stream_of_a_built_corpus(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for i in range(30):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i} " * 40)
    build([tmp_path], tmp_path / "out", name="c", tokenizer="bytes")
    store = open_store(tmp_path / "out")
    schedule = Schedule.constant(Mixture.uniform(store.corpus.names))
    ids, domains = stream_of(store, schedule, 20, 32).batch(0, 20)
    assert ids.shape == (20, 33)
    assert ids.dtype == np.int64
    assert all(set(ids[i]) & {ord("x"), ord("y")} == {ord("xy"[domains[i]])} for i in range(20))
