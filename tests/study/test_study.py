"""The live study: what it makes of config and corpus, and that asking and telling keep the record right."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from study_runs import DOMAINS, METRICS, score, small_config

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Shard, Tokenizer
from mixdesk.core.errors import InputError, NotEnoughEvidence, RecordError
from mixdesk.core.files import from_data, read_toml
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug, Proposal
from mixdesk.core.scale import Budget, Hyper, ModelSpec, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Event, Lease, Point, Result, StudyView
from mixdesk.study.config import StudyConfig
from mixdesk.study.record import Record
from mixdesk.study.study import Study, to_toml

CORPUS = Corpus(
    name="tiny",
    tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256="aa"),
    domains=(Domain(name="web", n_tokens=300, fingerprint="w1"), Domain(name="code", n_tokens=100, fingerprint="c1")),
    evals=(EvalSet(name="manual", fingerprint="m1"),),
    shards=(Shard(path="a.bin", domain="code", split="train", n_tokens=100, sha256="ff"),),
)
ON_CORPUS = StudyConfig(name="tiny", objective=Objective(terms=(("bpb/domain/*", 1.0),)), corpus="../corpus")


def proposals(n: int, rung: str = "proxy") -> list[Proposal]:
    weights = [{"code": 0.1 * i, "prose": 1.0 - 0.1 * i} for i in range(n)]
    return [
        Proposal(mixture=Mixture.of(row, normalise=True), rung=rung, why=f"row {i}") for i, row in enumerate(weights)
    ]


def answer(study: Study, trial: str) -> Result:
    spec = study.trial(trial).spec
    return Result(state="done", points=(Point(n_tokens=1000, metrics=tuple(score(spec, 1000).items())),))


def test_a_view_of_a_corpus_names_domains_metrics_and_natural(tmp_path: Path) -> None:
    view = Study.create(tmp_path, ON_CORPUS, CORPUS).view()
    assert view.domains == ("code", "web")
    assert [(m.name, m.domain) for m in view.metrics] == [
        ("bpb/domain/code", "code"),
        ("bpb/domain/web", "web"),
        ("bpb/set/manual", None),
    ]
    assert view.natural == Mixture.of({"code": 0.25, "web": 0.75})
    assert view.corpus is not None
    assert view.corpus.shards == ()
    assert view.corpus.fingerprint == CORPUS.fingerprint


def test_a_natural_mixture_that_a_person_wrote_goes_before_the_counts(tmp_path: Path) -> None:
    view = Study.create(tmp_path / "a", replace(ON_CORPUS, natural=(("code", 3.0), ("web", 1.0))), CORPUS).view()
    assert view.natural == Mixture.of({"code": 0.75, "web": 0.25})
    for natural in ((("cod", 1.0),), (("code", -1.0), ("web", 2.0))):
        with pytest.raises(InputError, match=r"did you mean|weight of `code`"):
            Study.create(tmp_path / "b", replace(ON_CORPUS, natural=natural), CORPUS)


def test_the_latest_budget_counts(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    study.set_budget(Budget(n_trials=99))
    study.close()
    assert Study.open(tmp_path).config == small_config(budget=Budget(n_trials=99))


def test_a_view_without_corpus_takes_the_config(tmp_path: Path) -> None:
    config = small_config()
    view = Study.create(tmp_path, config).view()
    assert (view.domains, view.metrics, view.corpus) == (DOMAINS, METRICS, None)
    assert view.natural == Mixture.of(dict(config.natural), normalise=True)
    assert (view.rungs, view.budget, view.seed, view.name) == (config.rungs, config.budget, 3, "small")
    unknown = Study.create(tmp_path / "b", replace(config, natural=())).view()
    assert unknown.natural is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domains": ()}, "no domains"),
        ({"metrics": ()}, "no metrics"),
        ({"natural": (("codex", 1.0),)}, "did you mean `code`"),
        ({"natural": (("code", 1.0), ("codex", 0.0))}, "did you mean `code`"),
        ({"natural": (("code", 1.0), ("prose", -1.0))}, "weight of `prose`"),
        ({"objective": Objective(terms=(("bpb/cod", 1.0),))}, "did you mean `bpb/code`"),
    ],
)
def test_an_incomplete_question_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Study.create(tmp_path / "s", small_config(**changes))
    assert not (tmp_path / "s").exists()


def test_domains_beside_a_corpus_must_agree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="disagree"):
        Study.create(tmp_path, replace(ON_CORPUS, domains=("code", "prose")), CORPUS)


def test_the_same_config_opens_and_another_is_refused(tmp_path: Path) -> None:
    first = Study.create(tmp_path, small_config())
    first.ask(proposals(2))
    first.close()
    again = Study.create(tmp_path, small_config())
    assert len(again.view().trials) == 2
    with pytest.raises(RecordError, match="another study"):
        Study.create(tmp_path, small_config(seed=4))
    assert Study.open(tmp_path).config == small_config()


def test_opening_an_empty_folder_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no study"):
        Study.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_study_toml_reads_back_as_the_config(tmp_path: Path) -> None:
    hard = small_config(
        name='a "quoted" \\ näme',
        domains=('a"b', "c\\d", "é/ü", "x y", "日本"),
        natural=(("日本", 1e-7), ("x y", 3.0), ('a"b', 1e22), ("c\\d", 0.1 + 0.2)),
        objective=Objective(terms=(("bpb/*", 0.5), ("accuracy", 1.0)), reduce="worst"),
        constraints=Constraints(lower=(("x y", 0.01),), upper=(("c*", 0.5),), max_epochs=4.0),
        rungs=(
            Rung(
                label="p",
                scale=Scale(n_tokens=100),
                model=ModelSpec(n_layers=2, d_model=64, n_heads=2, vocab_size=300, seq_len=32),
                hyper=Hyper(lr=1e-5),
                unique_share=0.25,
            ),
            Rung(label="t"),
        ),
        budget=Budget(flops=1e15),
        trainer=Plug(
            name="command", options={"command": ["python", "a\x7fb\n"], "deep": {"x": [1, {"y": True}]}}.items()
        ),
    )
    Study.create(tmp_path, hard).close()
    assert read_toml(tmp_path / "study.toml", StudyConfig) == hard
    assert from_data(StudyConfig, tomllib.loads(to_toml(ON_CORPUS))) == ON_CORPUS


def test_a_study_toml_that_a_person_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("# mine\n" + to_toml(small_config()))
    Study.create(tmp_path, small_config())
    assert (tmp_path / "study.toml").read_text().startswith("# mine\n")


def test_asking_records_new_questions_once_and_what_was_seen(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    specs = study.ask(proposals(3))
    assert [spec.plan.scale.n_tokens for spec in specs] == [1000] * 3
    assert study.pending() == tuple(specs)
    study.tell(specs[1].id, answer(study, specs[1].id))
    again = study.ask([*proposals(4), *proposals(4)])
    assert again[:2] == [specs[0], specs[2]]
    assert len(again) == 3
    events = Record.open(tmp_path / "study.db").events()
    assert [event.seen for event in events if event.kind == "asked"] == [(), (), (), (specs[1].id,)]
    trials = study.view().trials
    assert [trial.why for trial in trials] == [f"row {i}" for i in range(4)]
    assert [trial.state for trial in trials] == ["waiting", "done", "waiting", "waiting"]


@pytest.mark.parametrize(
    "bad",
    [
        Proposal(mixture=Mixture.uniform(DOMAINS), rung="targt"),
        Proposal(mixture=Mixture.uniform(("code", "pros")), rung="proxy"),
    ],
)
def test_a_bad_proposal_leaves_the_record_as_it_was(tmp_path: Path, bad: Proposal) -> None:
    study = Study.create(tmp_path, small_config())
    with pytest.raises(InputError, match="did you mean"):
        study.ask([*proposals(2), bad])
    assert study.view().trials == ()


def test_answers_are_recorded_once(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    spec = study.ask(proposals(1))[0]
    assert study.tell(spec.id, answer(study, spec.id))
    before = study.view()
    with pytest.warns(UserWarning, match="has an answer already"):
        assert not study.tell(spec.id, Result(state="diverged"))
    assert study.view().trials == before.trials
    assert study.view().record_sha256 == before.record_sha256


def test_a_failed_trial_may_still_be_told(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    spec = study.ask(proposals(1))[0]
    study.append(Event(trial=spec.id, kind="failed", time=0.0, message="gone"))
    assert study.pending() == ()
    study.tell(spec.id, answer(study, spec.id))
    assert study.trial(spec.id).state == "done"


def test_wrong_answers_are_refused(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    spec = study.ask(proposals(1))[0]
    typo = spec.id[:-1] + ("0" if spec.id[-1] != "0" else "1")
    with pytest.raises(InputError, match=f"did you mean `{spec.id}`"):
        study.tell(typo, Result(state="done"))
    stray = Result(state="done", points=(Point(n_tokens=1, metrics=(("loss", 1.0),)),))
    for result in (stray, Result(state="done")):
        with pytest.raises(InputError, match="none of the study's metrics"):
            study.tell(spec.id, result)
    assert study.trial(spec.id).state == "waiting"


def test_two_handles_see_the_same_record(tmp_path: Path) -> None:
    one = Study.create(tmp_path, small_config())
    two = Study.open(tmp_path)
    spec = one.ask(proposals(2))[0]
    two.tell(spec.id, answer(two, spec.id))
    assert one.view().trials == two.view().trials
    assert one.view().record_sha256 == two.view().record_sha256


def test_leases_of_unanswered_trials_are_in_the_view(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    specs = study.ask(proposals(2))
    leases = [Lease(trial=spec.id, holder="me", until=9.0) for spec in specs]
    for lease in leases:
        study.append(Event(trial=lease.trial, kind="lease", time=1.0, lease=lease))
    assert study.view().leases == tuple(leases)
    study.tell(specs[0].id, answer(study, specs[0].id))
    assert study.view().leases == (leases[1],)


def test_a_changed_corpus_makes_old_trials_stale(tmp_path: Path) -> None:
    def point(study: Study) -> Result:
        return Result(state="done", points=(Point(n_tokens=1, metrics=(("bpb/domain/code", 1.0),)),))

    study = Study.create(tmp_path, ON_CORPUS, CORPUS)
    old = study.ask([Proposal(mixture=Mixture.uniform(("code", "web")), rung="proxy")])[0]
    assert (old.corpus, old.evals) == (CORPUS.fingerprint, ("m1",))
    study.tell(old.id, point(study))
    assert study.view().stale == ()
    changed = replace(CORPUS, domains=(replace(CORPUS.domains[0], fingerprint="c2", n_tokens=500), CORPUS.domains[1]))
    study = Study.create(tmp_path, ON_CORPUS, changed)
    new = study.ask([Proposal(mixture=Mixture.uniform(("code", "web")), rung="proxy")])[0]
    view = study.view()
    assert view.stale == (old.id,)
    assert new.id != old.id
    assert view.corpus is not None
    assert view.corpus.domains[0].n_tokens == 500
    resharded = replace(changed, shards=())
    assert Study.create(tmp_path, ON_CORPUS, resharded).view().stale == (old.id,)


def test_a_corpus_without_a_domain_that_was_asked_is_another_study(tmp_path: Path) -> None:
    study = Study.create(tmp_path, ON_CORPUS, CORPUS)
    study.ask([Proposal(mixture=Mixture.of({"code": 1.0, "web": 0.0}), rung="proxy")])
    study.close()
    code, web = CORPUS.domains
    renamed = replace(CORPUS, domains=(replace(code, name="python"), web))
    with pytest.raises(RecordError, match=r"no domain `code` any more.*mixdesk study extend"):
        Study.create(tmp_path, ON_CORPUS, renamed)
    with Study.open(tmp_path) as kept:
        assert kept.view().domains == ("code", "web")
        assert kept.view().stale == ()
    # A domain that no trial gave weight to may change its name, and new ones may come.
    more = replace(CORPUS, domains=(code, replace(web, name="crawl"), Domain(name="law", n_tokens=5, fingerprint="l")))
    assert Study.create(tmp_path, ON_CORPUS, more).view().domains == ("code", "crawl", "law")


def propose(view: StudyView) -> list[Proposal]:
    return proposals(6)[len(view.trials) :]


def test_what_is_leased_is_handed_to_nobody_else_until_its_deadline(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    first = [spec.id for spec, _, _ in study.hand_out(2, propose, seconds=3600.0, holder="one")]
    second = [spec.id for spec, _, _ in study.hand_out(2, propose, seconds=-1.0, holder="two")]
    assert len({*first, *second}) == 4
    assert [(lease.trial, lease.holder) for lease in study.view().leases] == [
        *((name, "one") for name in first),
        *((name, "two") for name in second),
    ]
    # What is new comes first, then what was held too long; what is held never.
    third = [spec.id for spec, _, _ in study.hand_out(9, propose)]
    assert third[2:] == second
    assert not set(third) & set(first)
    with Study.open(tmp_path) as other:
        assert [spec.id for spec in other.free()] == [*second, *third[:2]]
    # An answer after the deadline counts, and ends the lease.
    assert study.tell(second[0], answer(study, second[0]))
    assert study.tell(first[0], answer(study, first[0]))
    assert {lease.trial for lease in study.view().leases} == {first[1], second[1]}
    with pytest.warns(UserWarning, match="has an answer already"):
        assert not study.tell(second[0], answer(study, second[0]))


def test_a_lease_is_taken_over_by_the_next_holder(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    (one,) = study.hand_out(1, propose, seconds=-1.0, holder="late")
    (again,) = study.hand_out(1, lambda view: [], seconds=3600.0, holder="next")
    assert again == one
    assert [lease.holder for lease in study.view().leases] == ["next"]
    assert study.hand_out(1, lambda view: []) == []


def test_a_strategy_that_cannot_learn_yet_changes_nothing(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    for spec, _, _ in study.hand_out(3, propose):
        study.tell(spec.id, Result(state="failed", message="out of memory"))
    before = study.view().record_sha256

    def learn(view: StudyView) -> list[Proposal]:
        view.observations()
        raise AssertionError("there is nothing to learn from")

    with pytest.raises(NotEnoughEvidence, match="0 of 3 done, 3 failed or diverged"):
        study.hand_out(2, learn, path=tmp_path / "asked.csv", seconds=60.0)
    assert not (tmp_path / "asked.csv").exists()
    assert study.view().record_sha256 == before
    # One that was given up by mistake is answered by its id all the same.
    failed = study.view().trials[0].id
    assert study.tell(failed, answer(study, failed))
    assert study.trial(failed).state == "done"


def test_a_file_that_cannot_be_written_hands_out_nothing(tmp_path: Path) -> None:
    study = Study.create(tmp_path, small_config())
    with pytest.raises(InputError, match="no known ending"):
        study.hand_out(2, propose, path=tmp_path / "asked.txt", seconds=60.0)
    assert study.view().trials == study.view().leases == ()


ASK = """
import sys
from pathlib import Path
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal
from mixdesk.study.study import Study

def propose(view):
    code = [(len(view.trials) + i) / 100 for i in (1, 2)]
    return [Proposal(mixture=Mixture.of({"code": w, "prose": 1 - w}), rung="proxy") for w in code]

study = Study.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    for spec, _, _ in study.hand_out(2, propose, seconds=3600.0, holder=sys.argv[2]):
        print(spec.id)
"""


def test_processes_that_ask_at_once_get_different_trials(tmp_path: Path) -> None:
    Study.create(tmp_path, small_config()).close()
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for one in asking:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in asking:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    got = [one.communicate()[0].split() for one in asking]
    assert [one.returncode for one in asking] == [0, 0]
    assert [len(ids) for ids in got] == [20, 20]
    assert len({*got[0], *got[1]}) == 40
    with Study.open(tmp_path) as study:
        assert Counter(lease.holder for lease in study.view().leases) == {"one": 20, "two": 20}
