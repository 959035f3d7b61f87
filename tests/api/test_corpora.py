import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.api.corpora import processes
from mixdesk.corpus.shards import open_store

WORDS = ["river", "stone", "lamp", "seven", "glass", "moth"]


def text(seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, 100))


def half(n: int) -> float:
    return n / 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_answers_come_in_order(jobs: int) -> None:
    assert list(processes(jobs)(half, range(5))) == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from mixdesk.api.corpora import processes\nprint(list(processes(2)(abs, [-1, -2])))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[1, 2]\n"


def test_a_corpus_is_built_checked_and_cut_anew(tmp_path: Path) -> None:
    evals = {"exam": [mx.Document(text=text(1000))]}
    documents = [mx.Document(text=text(i), label="ab"[i % 2]) for i in range(80)]
    documents.append(mx.Document(text=text(5) + " lamp", label="a"))
    corpus = mx.build_corpus(
        documents, tmp_path / "c", tokenizer="bytes", evals=evals, near=0.8, decontaminate=True, splitter="by_label"
    )
    assert corpus.names == ("a", "b")
    assert dict(open_store(tmp_path / "c").manifest.near_duplicates) == {"a": 1.0}
    assert mx.check_corpus(tmp_path / "c") == []
    again = mx.split_corpus(tmp_path / "c", tmp_path / "d", mx.Plug(name="by_label", options={"default": "x"}))
    assert again.domains == corpus.domains
    assert again.evals == corpus.evals
    assert mx.check_corpus(tmp_path / "d") == []


def test_labels_and_names_never_leave_the_folder(tmp_path: Path) -> None:
    labels = ("../../out", "/etc/x", "..", "a/../../b", "..\\x")
    documents = [mx.Document(text=text(i), label=labels[i % 5]) for i in range(200)]
    before = {path for path in tmp_path.rglob("*")}
    corpus = mx.build_corpus(documents, tmp_path / "deep" / "c", tokenizer="bytes")
    assert set(corpus.names) == set(labels)
    made = {path for path in tmp_path.rglob("*")} - before - {tmp_path / "deep"}
    assert all(path.is_relative_to(tmp_path / "deep" / "c") for path in made)
    assert mx.check_corpus(tmp_path / "deep" / "c") == []


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path: Path) -> None:
    for i, folder in enumerate(("one", "two")):
        for k in range(10):
            (tmp_path / folder / "web").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "web" / f"{k}.txt").write_text(text(100 * i + k))
    corpus = mx.build_corpus([tmp_path / "one", tmp_path / "two"], tmp_path / "c", tokenizer="bytes")
    store = open_store(tmp_path / "c")
    sources = {one.source for split in ("train", "valid") for one in store.documents("web", split)}
    assert len(sources) == 20
    assert corpus.names == ("web",)


@pytest.mark.slow
def test_a_build_on_a_cluster_is_that_of_one_machine(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = Path(json.__file__).read_text().split()
    for i in range(4):
        (tmp_path / "texts" / f"d{i % 2}").mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"text": " ".join(words[k : k + 200])}) for k in range(i, len(words), 40)]
        (tmp_path / "texts" / f"d{i % 2}" / f"{i}.jsonl").write_text("\n".join(lines))
    settings = {"tokenizer": "bytes", "steps": ["unicode"], "overlap": False}
    mx.build_corpus([tmp_path / "texts"], tmp_path / "one" / "c", **settings)
    mx.build_corpus([tmp_path / "texts"], tmp_path / "two" / "c", runner="ray", **settings)
    trees = [
        {path.name: path.read_bytes() for path in (tmp_path / where / "c").rglob("*") if path.is_file()}
        for where in ("one", "two")
    ]
    assert trees[0] == trees[1]
