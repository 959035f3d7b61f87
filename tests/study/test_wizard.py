"""Plans: what follows from a corpus and a time, by hand; the commented file reads back as the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Shard, Tokenizer
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.files import read_toml
from mixdesk.study.config import StudyConfig
from mixdesk.study.wizard import (
    SIZES,
    TOKENS_PER_PARAMETER,
    Ground,
    Wish,
    commented,
    duration,
    measured_rate,
    model_of,
    plan,
)

CORPUS = Corpus(
    name="c",
    tokenizer=Tokenizer(name="bpe", vocab_size=2048, sha256=""),
    domains=(
        Domain(name="code", n_tokens=4_000_000),
        Domain(name="prose", n_tokens=5_000_000),
        Domain(name='odd "name" #\\', n_tokens=1_000_000),
    ),
    evals=(EvalSet(name="manual"),),
    shards=(Shard(path="x", domain="code", split="train", n_tokens=1, sha256=""),),
)
GROUND = Ground(corpus=CORPUS, tiers={"code": "permissive", "prose": "unclear", 'odd "name" #\\': "permissive"},
                rate=1e10, cores=2)  # fmt: skip


def test_a_time_buys_tokens_and_a_size() -> None:
    made = plan("s", "../corpus", GROUND, Wish(hours=1.0))
    model = made.config.rungs[0].model
    assert model == model_of("nano", CORPUS)
    n_proxy = made.wish.n_proxy or 0
    assert made.wish.n_trials == 3 * 4 + 6
    assert n_proxy % 512 == 0
    assert n_proxy == 98_304 * TOKENS_PER_PARAMETER // 512 * 512
    assert made.flops == made.wish.n_trials * model.flops_per_token * n_proxy
    assert made.seconds == pytest.approx(made.flops / 2e10)
    assert made.seconds <= 3600.0
    assert made.config.rungs[0].unique_share == pytest.approx(n_proxy / 10_000_000)
    # A tenth of the time buys a tenth of the tokens where time is what is short; ten times it a larger model.
    short = plan("s", "../corpus", GROUND, Wish(hours=0.02)).wish.n_proxy or 0
    bought = 0.02 * 3600.0 * 2e10 / (18 * model.flops_per_token)
    assert bought - 512 < short <= bought
    sizes = [plan("s", "c", GROUND, Wish(n_tokens=10**9, hours=h, max_epochs=100.0)).wish.size for h in (1, 30, 3000)]
    assert sizes == sorted(sizes, key=lambda size: list(SIZES).index(size or ""))
    assert len(set(sizes)) > 1


def test_a_target_is_trained_here_only_where_its_confirmation_is_not_too_long() -> None:
    near, far = (plan("s", "c", GROUND, Wish(n_tokens=n, max_epochs=1e6)) for n in (10_000_000, 10**11))
    assert near.config.rungs[-1].model == near.config.rungs[0].model
    assert near.confirm_seconds == pytest.approx(15 * model_of("nano", CORPUS).flops_per_token * 1e7 / 2e10)
    assert far.config.rungs[-1].model is None
    assert far.confirm_seconds is None
    assert any("fewer than 8 sequences" in note for note in far.notes)


def test_licences_and_epochs_are_limits_and_what_they_leave_out_is_said() -> None:
    wish = Wish(allowed_tiers=("permissive",), n_tokens=10_000_000)
    made = plan("s", "c", GROUND, wish)
    assert made.config.constraints.allowed_tiers == ("permissive",)
    assert made.config.constraints.tiers == ()
    assert any(note == "Left out by their licences: `prose`." for note in made.notes)
    with pytest.raises(Infeasible, match="raise max_epochs to 2"):
        plan("s", "c", GROUND, replace(wish, max_epochs=1.0))
    with pytest.raises(InputError, match="the objective"):
        plan("s", "c", GROUND, Wish(terms=(("bpb/set/none", 1.0),)))
    for bad in ({"size": "huge"}, {"hours": 0.0}, {"n_trials": 0}, {"max_epochs": float("nan")}):
        with pytest.raises(InputError):
            Wish(**bad)


def test_without_an_engine_the_runs_are_made_elsewhere() -> None:
    made = plan("s", "c", replace(GROUND, can_train=False), Wish(n_proxy=1000, n_trials=4))
    assert made.config.trainer is None
    assert [rung.model for rung in made.config.rungs] == [None, None]
    assert (made.flops, made.confirm_seconds) == (0.0, None)
    assert "mixdesk study ask" in commented(made, GROUND)
    assert any("4 trials are too few" in note for note in made.notes)


def test_the_commented_file_reads_back_as_the_plan(tmp_path: Path) -> None:
    for wish in (Wish(), Wish(n_tokens=10**9, max_epochs=500.0, allowed_tiers=("permissive",), terms=(("*", 0.5),))):
        made = plan('a "name"', "../c", GROUND, wish)
        (tmp_path / "study.toml").write_text(commented(made, GROUND), encoding="utf-8")
        assert read_toml(tmp_path / "study.toml", StudyConfig) == made.config
    assert max(len(line) for line in commented(made, GROUND).splitlines() if line.startswith("#")) < 200


def test_times_are_said_in_few_words_and_the_rate_is_one_of_a_machine() -> None:
    assert [duration(s) for s in (0.1, 60, 600, 7200, 1e6)] == [
        "1 seconds", "60 seconds", "10 minutes", "2.0 hours", "12 days",
    ]  # fmt: skip
    assert 1e8 < measured_rate(0.02) < 1e13
