import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mixdesk.api.corpora import processes
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Plug
from mixdesk.corpus import build as module
from mixdesk.corpus.build import build
from mixdesk.corpus.check import check
from mixdesk.corpus.documents import read_tables
from mixdesk.corpus.near import Near
from mixdesk.corpus.shards import open_store
from mixdesk.domains.by_label import ByLabel

WORDS = ["river", "stone", "lamp", "seven", "glass", "moth", "copper", "field", "naïve", "日本"]


def text(seed: int, n: int = 120) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, n))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    for d, name in enumerate(("code/c", "web", "law")):
        (root / "train" / name).mkdir(parents=True)
        for i in range(20 * (d + 1)):
            (root / "train" / name / f"{i}.txt").write_text(text(1000 * d + i))
    (root / "exam").mkdir()
    for i in range(5):
        (root / "exam" / f"{i}.txt").write_text(text(9000 + i))
    return root


def documents(n: int = 60, labels: tuple[str, ...] = ("a", "b")) -> Iterator[Document]:
    for i in range(n):
        yield Document(text=text(i), label=labels[i % len(labels)], license=["MIT", None, " CC0-1.0 "][i % 3])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def decoded(store, name: str, split: str) -> list[str]:
    """The documents of a corpus in bytes."""
    ids = store.tokens(name, split)[:]
    cuts = np.flatnonzero(ids == store.separator)
    assert cuts[-1] == len(ids) - 1
    return [bytes(part[part < 256].astype(np.uint8)).decode() for part in np.split(ids, cuts)[:-1]]


def test_what_goes_in_is_counted_and_comes_out(sources: Path, tmp_path: Path) -> None:
    corpus = build(
        [sources / "train"], tmp_path / "out", name="c", tokenizer="bytes", evals={"exam": [sources / "exam"]}
    )
    assert corpus.names == ("code/c", "law", "web")
    store = open_store(tmp_path / "out")
    assert store.corpus == corpus
    for domain in corpus.domains:
        train, valid = decoded(store, domain.name, "train"), decoded(store, domain.name, "valid")
        wanted = {path.read_text() for path in (sources / "train" / domain.name).iterdir()}
        assert set(train) | set(valid) == wanted
        assert len(train) + len(valid) == len(wanted)
        assert len(valid) >= 1
        assert (domain.n_docs, domain.n_bytes) == (len(train), sum(len(t.encode()) for t in train))
        assert domain.n_tokens == domain.n_bytes + domain.n_docs == len(store.tokens(domain.name))
        assert dict(domain.licenses) == {"NOASSERTION": domain.n_tokens}
        assert train != sorted(train)
    exam = corpus.evals[0]
    assert set(decoded(store, "exam", "set")) == {path.read_text() for path in (sources / "exam").iterdir()}
    assert (exam.n_bytes, exam.n_tokens) == (store.token_bytes[store.tokens("exam", "set")[:]].sum(), exam.n_bytes + 5)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "build.json",
        "documents",
        "manifest.json",
        "shards",
        next(p.name for p in (tmp_path / "out").glob("token-bytes-*.npy")),
    ]


def test_bpe_counts_every_byte_too(sources: Path, tmp_path: Path) -> None:
    corpus = build([sources / "train"], tmp_path / "out", name="c", vocab_size=400)
    store = open_store(tmp_path / "out")
    assert (tmp_path / "out" / store.manifest.tokenizer).is_file()
    assert corpus.tokenizer.vocab_size <= 400
    for domain in corpus.domains:
        assert store.token_bytes[store.tokens(domain.name)[:]].sum() == domain.n_bytes
    file = tmp_path / "mine.json"
    shutil.copy(tmp_path / "out" / store.manifest.tokenizer, file)
    again = build([sources / "train"], tmp_path / "again", name="c", tokenizer=file)
    assert again.fingerprint == corpus.fingerprint
    assert again.tokenizer.name == "mine"


def test_the_same_inputs_give_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    build(documents(), tmp_path / "a", name="c", vocab_size=300)
    build(reversed(list(documents())), tmp_path / "b", name="c", vocab_size=300)
    one, other = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert {k: v for k, v in one.items() if k != "build.json"} == {k: v for k, v in other.items() if k != "build.json"}


def test_a_second_build_does_nothing_and_a_changed_one_replaces_the_first(sources: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", []

    def run():
        said.clear()
        return build([sources / "train"], out, name="c", vocab_size=300, progress=lambda *what: said.append(what))

    first = run()
    assert {what.split()[0] for what, _, _ in said} == {"read", "label", "train", "encode"}
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert run() == first
    assert not said
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p != out} == {
        p: t for p, t in stamps.items() if p != out
    }
    (sources / "train" / "web" / "new.txt").write_text(text(77_777))
    second = run()
    old, new = ({d.name: d.fingerprint for d in c.domains} for c in (first, second))
    assert {name for name in old if old[name] != new[name]} == {"web"}
    assert set(tree(out)) == {"build.json", "manifest.json", *open_store(out).manifest.files}
    shutil.rmtree(out)
    assert run() == second


def test_documents_of_a_program_are_known_by_their_content(tmp_path: Path) -> None:
    first = build(documents(), tmp_path / "out", name="c", vocab_size=300)
    before = (tmp_path / "out" / "manifest.json").stat().st_mtime_ns
    assert build(list(documents()), tmp_path / "out", name="c", vocab_size=300) == first
    assert (tmp_path / "out" / "manifest.json").stat().st_mtime_ns == before
    assert build(documents(80), tmp_path / "out", name="c", vocab_size=300).fingerprint != first.fingerprint


def test_duplicates_evaluation_text_and_licences_are_counted(tmp_path: Path) -> None:
    twice = [*documents(), *(Document(text=f"  {d.text}\n", label="b") for d in list(documents())[:7:2])]
    exam = [Document(text=text(3)), Document(text=text(5) + " "), Document(text=text(10_000))]
    corpus = build(twice, tmp_path / "out", name="c", tokenizer="bytes", evals={"exam": exam}, valid_share=0.3)
    store = open_store(tmp_path / "out")
    assert dict(store.manifest.duplicates) == {"b": 4.0}
    assert dict(store.manifest.held_out) == {"b": 2.0}
    assert len(decoded(store, "exam", "set")) == 3
    texts = [t for name in corpus.names for split in ("train", "valid") for t in decoded(store, name, split)]
    assert sorted(texts) == sorted(text(i) for i in range(60) if i not in (3, 5))
    for domain in corpus.domains:
        assert set(dict(domain.licenses)) == {"MIT", "CC0-1.0", "NOASSERTION"}
        assert sum(dict(domain.licenses).values()) == domain.n_tokens


def test_near_duplicates_and_evaluation_items_inside_documents_go(tmp_path: Path) -> None:
    long = [Document(text=text(i, 300), label="ab"[i % 2]) for i in range(60)]
    edited = [replace(one, text=one.text + " and more", label="b") for one in long[:6]]
    item = " ".join(f"word{i}" for i in range(40))
    leaky = [replace(one, text=f"{one.text} {item} {one.text[:50]}") for one in long[10:13]]
    settings = {"name": "c", "tokenizer": "bytes", "near": Near(threshold=0.8), "decontaminate": True}
    exam = {"exam": [Document(text=item)], "other": [Document(text=text(77_777, 50))]}
    lines = [json.dumps({"text": one.text, "label": one.label}) for one in [*long, *edited, *leaky]]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    found = []
    for out, given in (("program", [*long, *edited, *leaky]), ("files", [tmp_path / "x.jsonl"])):
        build(given, tmp_path / out, evals=exam, **settings)
        found.append(open_store(tmp_path / out).manifest)
    for manifest in found:
        assert dict(manifest.near_duplicates) == {"b": 6.0}
        assert dict(manifest.contaminated) == {"a": 2.0, "b": 1.0}
        leaks = dict(manifest.leaks)
        assert leaks["documents"] == {"a": {"exam": 2}, "b": {"exam": 1}}
        assert (leaks["sets"]["exam"]["leaked"], leaks["sets"]["other"]["leaked"]) == (1.0, 0.0)
        assert sum(domain.n_docs for domain in manifest.corpus.domains) < 60
        assert manifest.corpus.domains == found[0].corpus.domains


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Short documents go, `stone` becomes `Stone`."""

    least: int = 200

    def apply(self, document: Document) -> Document | str:
        if len(document.text) < self.least:
            return "too short"
        return replace(document, text=document.text.replace("stone", "Stone"), author="Ann")


def test_steps_are_counted_with_examples(sources: Path, tmp_path: Path) -> None:
    for i in range(7):
        (sources / "train" / "web" / f"short{i}.txt").write_text(f"stone {i}")
    plug = Plug(name="clean", options={"least": 200})
    build([sources / "train"], tmp_path / "out", name="c", steps=[(plug, Clean())], evals={"exam": [sources / "exam"]})
    store = open_store(tmp_path / "out")
    (count,) = store.manifest.steps
    changed = sum("stone" in path.read_text() for path in (sources / "train").rglob("*.txt")) - 7
    assert (count.step, count.n_seen, dict(count.removed)) == (plug, 127, {"too short": 7.0})
    assert dict(count.lost) == {"web": 7.0}
    assert count.n_changed == changed > 100
    removed = [one for one in count.examples if one.rule]
    assert [one.before for one in removed] == [f"stone {i}" for i in range(5)]
    for one in (one for one in count.examples if not one.rule):
        assert one.after.lower() == one.before.lower()
        assert one.after != one.before
    assert len(count.examples) == 10
    texts = [one for name in store.corpus.names for one in store.documents(name)]
    assert {one.author for one in texts} == {"Ann"}
    assert not any("stone" in one.text for one in texts)
    assert any("stone" in one.text for one in store.documents("exam", "set"))


@pytest.mark.parametrize("n_parts", [3, 12])
def test_how_files_are_grouped_and_who_reads_them_changes_nothing(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_parts: int
) -> None:
    settings = {"name": "c", "vocab_size": 300, "evals": {"exam": [sources / "exam"]}, "near": Near()}
    build([sources / "train"], tmp_path / "calm", **settings)
    monkeypatch.setattr(module, "PART_BYTES", 1)
    monkeypatch.setattr(module, "N_PARTS", n_parts)
    build([sources / "train"], tmp_path / "out", **settings, map=processes(2) if n_parts == 3 else map)
    assert tree(tmp_path / "out") == tree(tmp_path / "calm")


def test_the_split_goes_by_the_hash_of_each_document(tmp_path: Path) -> None:
    def valid(n: int, out: str) -> set[str]:
        build(documents(n, ("a",)), tmp_path / out, name="c", tokenizer="bytes", valid_share=0.3)
        return set(decoded(open_store(tmp_path / out), "a", "valid"))

    few, many = valid(100, "few"), valid(200, "many")
    assert 15 <= len(few) <= 45
    assert many & {text(i) for i in range(100)} == few


@dataclass(frozen=True, kw_only=True)
class ByLamp:
    """Domains by the parity of the length; documents that start with `river` belong nowhere. Learns a number."""

    n_seen: int = 0

    def prepare(self, sample):
        return ByLamp(n_seen=len(list(sample)))

    def restore(self, data):
        return ByLamp(n_seen=data["n_seen"])

    def to_dict(self):
        return {"n_seen": self.n_seen}

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        shares = ({"odd": 0.25, "even": 0.75}, {"odd": 0.5, "even": 0.5})
        return [{} if one.text.startswith("river") else shares[len(one.text) % 2] for one in documents]


BY_LAMP = (Plug(name="by_lamp"), ByLamp())
BY_LABEL = (Plug(name="by_label"), ByLabel())


def test_a_splitter_learns_names_the_domains_and_may_drop_documents(tmp_path: Path) -> None:
    corpus = build(documents(), tmp_path / "out", name="c", splitter=BY_LAMP)
    assert corpus.names == ("even",)
    store = open_store(tmp_path / "out")
    n_river = sum(one.text.startswith("river") for one in documents())
    assert [(one.reason, one.n) for one in store.manifest.skipped] == [("no domain", n_river)]
    model = json.loads((tmp_path / "out" / store.manifest.splitter).read_text())
    assert (model["model"], model["splitter"]["name"]) == ({"n_seen": 60}, "by_lamp")
    rows = [
        row for split in ("train", "valid") for batch in read_tables(store, "even", split) for row in batch["labels"]
    ]
    assert len(rows) == 60 - n_river
    assert {tuple(row) for row in rows} == {(("even", 0.75), ("odd", 0.25)), (("even", 0.5), ("odd", 0.5))}
    assert build(documents(), tmp_path / "two", name="c", splitter=BY_LABEL).names == ("a", "b")


def test_documents_without_label_are_refused_or_counted(tmp_path: Path) -> None:
    mixed = [*documents(), Document(text="who am I", source="x.txt:4"), Document(text="bad\ud800", label="a")]
    for i, extra in enumerate(({"splitter": BY_LABEL}, {})):
        with pytest.raises(InputError, match=r"UTF-8"):
            build(mixed, tmp_path / "out", name="c", **extra)
        with pytest.raises(InputError, match=r"x.txt:4.*no label"):
            build(mixed[:-1], tmp_path / "out", name="c", **extra)
        assert not (tmp_path / "out" / "manifest.json").exists()
        corpus = build(mixed, tmp_path / f"skip{i}", name="c", on_error="skip", **extra)
        assert corpus.names == ("a", "b")
        left = open_store(tmp_path / f"skip{i}").manifest.skipped
        assert {one.reason: one.n for one in left} == {"no label": 1, "not UTF-8": 1}


def test_a_file_name_that_is_not_utf8_is_no_obstacle(sources: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.txt")
    (sources / "train" / "web" / name).write_text(text(55_555))
    (sources / "train" / name).write_text(text(66_666))
    with pytest.raises(InputError, match="cannot be used as a name"):
        build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
    corpus = build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes", on_error="skip")
    assert {d.name: d.n_docs for d in corpus.domains}["web"] + len(
        decoded(open_store(tmp_path / "out"), "web", "valid")
    ) == 41


@pytest.mark.parametrize(
    ("n_docs", "n_words", "found"), [(1, 500, "1 documents"), (2, 20, "training tokens"), (0, 0, "")]
)
def test_a_domain_with_too_little_text_is_named(tmp_path: Path, n_docs: int, n_words: int, found: str) -> None:
    small = [Document(text=text(900 + i, n_words), label="tiny") for i in range(n_docs)]
    everything = [*documents(), *small] if n_docs else []
    with pytest.raises(InputError) as error:
        build(everything, tmp_path / "out", name="c", tokenizer="bytes")
    assert ("`tiny` has too little text" if n_docs else "no training text") in error.value.wrong
    assert found in error.value.value
    assert error.value.bound
    assert error.value.remedy
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_empty_evaluation_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="evaluation set `exam` has too little text"):
        build(documents(), tmp_path / "out", name="c", evals={"exam": iter(())})


def test_a_failed_rebuild_leaves_the_old_corpus_alone(sources: Path, tmp_path: Path) -> None:
    first = build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
    (sources / "train" / "bad.jsonl").write_text('{"text": "ok"}\n{"text"\n')
    with pytest.raises(InputError, match=r"bad.jsonl:2"):
        build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
    assert open_store(tmp_path / "out").corpus == first
    (sources / "train" / "bad.jsonl").write_bytes(b"\0")
    second = build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes", on_error="skip")
    assert second.fingerprint == first.fingerprint
    left = open_store(tmp_path / "out").manifest.skipped
    assert [(one.reason, one.n) for one in left] == [("binary", 1)]
    assert "bad.jsonl" in left[0].first


def test_bad_arguments_are_refused(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for bad in ({"valid_share": 0.0}, {"valid_share": 0.9}, {"on_error": "no"}, {"tokenizer": "nowhere.json"}):
        with pytest.raises(InputError):
            build([sources / "train"], tmp_path / "out", name="c", **bad)
    with pytest.raises(InputError, match="cannot be a corpus folder"):
        build([sources / "train"], tmp_path / "file" / "out", name="c")
    with pytest.raises(InputError, match="mix paths and documents"):
        build([sources / "train", Document(text="x")], tmp_path / "out", name="c")


def test_natural_mixture_of_a_built_corpus(sources: Path, tmp_path: Path) -> None:
    corpus = build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
    total = sum(domain.n_tokens or 0 for domain in corpus.domains)
    assert Mixture.natural(corpus).as_dict()["law"] == pytest.approx((corpus.domains[1].n_tokens or 0) / total)


def in_child(work) -> int:
    """Exit code of `work` in a child process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("limit", [2_000, 20_000, 40_000, 60_000])
def test_a_file_size_limit_leaves_nothing_half_written(sources: Path, tmp_path: Path, limit: int) -> None:
    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
        except InputError as error:
            return 7 if "could not be written" in error.wrong and error.value == "File too large" else 8
        return 0

    assert in_child(limited) == 7
    assert not list((tmp_path / "out").rglob("*.part"))
    assert not (tmp_path / "out" / "manifest.json").exists()
    build([sources / "train"], tmp_path / "out", name="c", tokenizer="bytes")
    build([sources / "train"], tmp_path / "calm", name="c", tokenizer="bytes")
    assert tree(tmp_path / "out") == tree(tmp_path / "calm")


def kill(sources: Path, folder: Path, step: int) -> dict:
    script = Path(__file__).with_name("killed_builds.py")
    done = subprocess.run(
        [sys.executable, script, sources, folder, str(step)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_build_goes_on_and_ends_the_same_to_the_byte(sources: Path, tmp_path: Path, step: int) -> None:
    found = kill(sources, tmp_path / "runs", step)
    assert len(found["killed"]) >= 15 // step
    assert set(found["killed"]) == {found["calm"]}
    assert found["again"] == found["calm"]
    assert found["lives"] > 3


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """Thirty times the text, 110 MB of it, in 60 MB more."""

    def long_documents(n: int) -> Iterator[Document]:
        for i in range(n):
            yield Document(text=f"{i} " + text(i % 50, 100) * 30 + f" {i}", label=f"d{i % 2}")

    def limited() -> int:
        build(long_documents(200), tmp_path / "few", name="c", tokenizer="bytes")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        corpus = build(long_documents(6000), tmp_path / "out", name="c", tokenizer="bytes")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        n_bytes = sum(domain.n_bytes for domain in corpus.domains)
        return 7 if n_bytes > 95_000_000 and grown < 60_000 else 8

    assert in_child(limited) == 7


@pytest.mark.parametrize("limit", [2_000, 20_000, 40_000, 60_000])
def test_a_full_disk_over_an_existing_corpus_leaves_that_as_it_was(sources: Path, tmp_path: Path, limit: int) -> None:
    """Nothing that the old manifest names is touched before the new one is whole."""
    out = tmp_path / "out"
    first = build([sources / "train"], out, name="c", tokenizer="bytes")
    before = tree(out)
    (sources / "train" / "web" / "more.txt").write_text(text(5000))

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            build([sources / "train"], out, name="c", tokenizer="bytes")
        except InputError as error:
            return 7 if "could not be written" in error.wrong else 8
        return 0

    assert in_child(limited) == 7
    assert check(out) == []
    assert open_store(out).corpus == first
    after = tree(out)
    assert {name: after.get(name) for name in before} == before
    second = build([sources / "train"], out, name="c", tokenizer="bytes")
    assert second.fingerprint != first.fingerprint
    assert check(out) == []
