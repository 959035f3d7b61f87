"""The schema of `study.toml`: every field has a sentence, it is what is shipped, it refuses what the reader does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data
from mixdesk.study.config import StudyConfig
from mixdesk.study.schema import schema_text, study_schema

DOCS = Path(__file__).parents[2] / "docs"
VALID = Draft7Validator(study_schema())


def test_the_shipped_file_is_up_to_date() -> None:
    assert (DOCS / "study.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "write the text of mixdesk.study.schema.schema_text() to docs/study.schema.json"
    )


def test_every_field_has_a_sentence_and_every_default_is_valid() -> None:
    schema = study_schema()
    Draft7Validator.check_schema(schema)
    for name, one in {"study.toml": schema, **schema["$defs"]}.items():
        assert one["additionalProperties"] is False, name
        for key, field in one["properties"].items():
            assert field["description"].endswith("."), f"{name}.{key}"
            if "default" in field:
                whole = {"$defs": schema["$defs"], **field}
                assert not list(Draft7Validator(whole).iter_errors(field["default"])), f"{name}.{key}"


def test_parts_are_completed_by_their_names() -> None:
    schema = study_schema()
    for key, kind in (("strategy", "strategies"), ("law", "laws"), ("trainer", "trainers")):
        assert schema["properties"][key]["allOf"] == [{"$ref": f"#/$defs/{kind}"}]
        assert schema["$defs"][kind]["properties"]["name"]["enum"] == list(registry.names(kind))


def test_what_the_documentation_shows_is_valid() -> None:
    shown = [block for page in DOCS.glob("*.md") for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)]
    whole = [text for text in shown if re.search(r"^name = ", text, re.M) and "objective" in text]
    assert whole
    for text in whole:
        assert not list(VALID.iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize(
    "wrong",
    [
        "sede = 1",
        "[law]\nname = 'avarage'",
        "[budget]\nn_trials = 'many'",
        "[[metrics]]\nname = 'x'\nbetter = 'up'",
        "[constraints]\nlower = { web = 'a' }",
        "[[rungs]]\nscale = { n_tokens = 1 }",
    ],
)
def test_what_the_reader_refuses_is_marked(wrong: str) -> None:
    data = tomllib.loads("name = 'n'\nobjective = { terms = { x = 1 } }\n" + wrong)
    assert list(VALID.iter_errors(data))
    if "avarage" in wrong:  # a part's name is looked up later
        return
    with pytest.raises(InputError):
        from_data(StudyConfig, data)
