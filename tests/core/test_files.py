"""Exact JSON of every core type, strict reading, atomic writing, fingerprints."""

from __future__ import annotations

import inspect
import json
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixdesk.core import corpus, mixture, objective, observations, plan, recipe, scale, space, trial
from mixdesk.core.errors import InputError
from mixdesk.core.files import (
    atomic,
    canonical,
    file_sha256,
    fingerprint,
    from_data,
    read_data,
    read_json,
    read_text,
    read_toml,
    to_data,
    write_json,
    write_text,
)
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.trial import Point
from mixdesk.study.config import StudyConfig

MODULES = (corpus, mixture, objective, observations, plan, recipe, scale, space, trial)
# Every type with JSON: those made by `core_type` (the array types travel inside a process only).
CORE_TYPES = sorted(
    (
        kind
        for module in MODULES
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "__pydantic_config__")
    ),
    key=lambda kind: kind.__name__,
)


def test_no_core_type_is_forgotten():
    assert len(CORE_TYPES) >= 35
    assert {"Corpus", "Mixture", "TrialSpec", "Trial", "Recipe", "Verdict"} <= {kind.__name__ for kind in CORE_TYPES}


@pytest.mark.parametrize("kind", CORE_TYPES, ids=lambda kind: kind.__name__)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_json_gives_every_core_type_back_exactly(kind, data):
    made = data.draw(st.from_type(kind))
    for lean in (False, True):
        text = json.dumps(to_data(made, lean=lean), allow_nan=False)
        again = from_data(kind, json.loads(text))
        assert again == made
        assert canonical(again) == canonical(made)


@pytest.mark.parametrize("kind", CORE_TYPES, ids=lambda kind: kind.__name__)
def test_unknown_keys_are_refused_by_every_core_type(kind):
    with pytest.raises(InputError, match="`no_such_key`"):
        from_data(kind, {"no_such_key": 1})


def test_mappings_are_json_objects_on_disk():
    point = Point(n_tokens=8, metrics={"b": 2.0, "a": 1.0})
    assert to_data(point) == {"n_tokens": 8, "metrics": {"a": 1.0, "b": 2.0}}


def test_canonical_text_leaves_defaults_out_and_sorts_keys():
    spec = TrialSpec(plan=RunPlan(schedule=Schedule.constant(Mixture.of({"b": 0.25, "a": 0.75}))))
    expected = '{"plan":{"schedule":{"stages":[{"mixture":{"domains":["a","b"],"weights":[0.75,0.25]}}]}}}'
    assert canonical(spec) == expected


def test_fingerprints_keep_parts_apart():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a", "b") == fingerprint(b"a", b"b")
    assert len(fingerprint("a", length=12)) == 12


def test_a_misspelt_key_names_its_place_and_the_nearest_key(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('name = "s"\nsede = 3\n[objective]\nterms = { loss = 1.0 }\n')
    with pytest.raises(InputError) as caught:
        read_toml(path, StudyConfig)
    assert caught.value.remedy == "did you mean `seed`?"
    assert str(path) in caught.value.wrong
    assert "`sede`" in caught.value.wrong


def test_a_misspelt_key_inside_a_list_names_the_nearest_key_of_that_type(tmp_path):
    path = tmp_path / "study.toml"
    rung = "[[rungs]]\nlabel = 'p'\n[rungs.scale]\nn_token = 5\n"
    path.write_text('name = "s"\n[objective]\nterms = { loss = 1.0 }\n' + rung)
    with pytest.raises(InputError) as caught:
        read_toml(path, StudyConfig)
    assert caught.value.remedy == "did you mean `n_tokens`?"
    assert "rungs[0].scale" in caught.value.wrong


def test_a_value_that_a_type_refuses_keeps_its_four_parts_and_gains_its_place():
    data = {"schedule": {"stages": [{"mixture": {"domains": ["a", "b"], "weights": [0.5, 0.6]}}]}}
    with pytest.raises(InputError) as caught:
        from_data(RunPlan, data)
    error = caught.value
    assert error.wrong.startswith("$.schedule.stages[0].mixture")
    assert error.value == pytest.approx(1.1)
    assert "1e-9" in error.bound
    assert "normalise" in error.remedy


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match="`metrics`"):
        from_data(Point, {"n_tokens": 3})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"schema": 2}', "unknown schema"),
        ('{"schema": "1"}', "unknown schema"),
        ('{"a": 1}', "unknown schema"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path, text, complaint):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_data(path)


def test_text_must_be_utf_8(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="0xe9 at offset 3"):
        read_text(path)


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "bom.txt"
    path.write_bytes(b"\xef\xbb\xbfhello")
    assert read_text(path) == "hello"


def test_missing_files_and_folders_are_input_errors(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="could not be read"):
            read_text(path)


def test_write_json_carries_its_schema_and_reads_back(tmp_path):
    point = Point(n_tokens=8, metrics={"a": 0.1 + 0.2})
    write_json(tmp_path / "deep" / "point.json", point)
    assert json.loads((tmp_path / "deep" / "point.json").read_text())["schema"] == 1
    assert read_json(tmp_path / "deep" / "point.json", Point) == point


def test_file_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_exception_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def write_and_stop() -> None:
        with atomic(path) as handle:
            handle.write("new" * 10_000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_size_limit_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    script = (
        "import sys, pathlib\n"
        "from mixdesk.core.errors import InputError\n"
        "from mixdesk.core.files import write_text\n"
        "try:\n"
        "    write_text(pathlib.Path(sys.argv[1]), 'x' * 1_000_000)\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(path)], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert "could not be written" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="could not be written"):
        write_text(Path(tmp_path / "file" / "inside.txt"), "x")


@pytest.mark.parametrize(
    ("line", "place", "kind", "form"),
    [
        (
            'objective = { terms = { a = 1 }, guards = ["a<=natural"] }',
            "objective.guards[0]",
            objective.Guard,
            "a table",
        ),
        ('objective = { terms = { a = 1 }, guards = "a<=natural" }', "objective.guards", objective.Guard, "a list of"),
        ('objective = "a"', "objective", objective.Objective, "a table"),
        ('objective = { terms = { a = 1 } }\nlaw = "gp"', "law", plan.Plug, "a table"),
        ("objective = { terms = { a = 1 } }\nbudget = 5", "budget", scale.Budget, "a table"),
        ('objective = { terms = { a = 1 } }\nrungs = { label = "x" }', "rungs", scale.Rung, "a list of"),
        ('objective = { terms = { a = 1 } }\nmetrics = ["a"]', "metrics[0]", observations.Metric, "a table"),
        ("objective = { terms = { a = 1 } }\nconstraints = 4", "constraints", space.Constraints, "a table"),
        (
            'objective = { terms = { a = 1 } }\nconstraints = { rules = ["a"] }',
            "constraints.rules[0]",
            space.Rule,
            "a ",
        ),
        ('objective = { terms = { a = 1 } }\nconstraints = { near = "a" }', "constraints.near", space.Near, "a table"),
    ],
)
def test_a_word_where_a_table_is_wanted_is_told_the_form(tmp_path, line, place, kind, form):
    path = tmp_path / "study.toml"
    path.write_text(f'name = "t"\n{line}\n')
    with pytest.raises(InputError) as caught:
        read_toml(path, StudyConfig)
    assert str(caught.value).startswith(f"{path}.{place}: {form}")
    assert kind.EXAMPLE in str(caught.value)
    path.write_text(f"it = {kind.EXAMPLE}\n")
    assert isinstance(from_data(kind, tomllib.loads(path.read_text())["it"]), kind)


def test_names_without_numbers_are_told_the_form(tmp_path):
    (tmp_path / "study.toml").write_text('name = "t"\nobjective = { terms = ["a"] }\n')
    with pytest.raises(
        InputError, match=r"objective\.terms: a table of names is wanted: found \['a'\], expected such as"
    ):
        read_toml(tmp_path / "study.toml", StudyConfig)
