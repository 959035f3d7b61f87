import pytest

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.plan import Plug


def model(**options: str):
    return registry.make("splitters", Plug(name="by_label", options=tuple(options.items()))).prepare(())


def test_a_document_goes_where_its_label_says() -> None:
    assert model().label([Document(text="x", label="code/c")]) == [{"code/c": 1.0}]
    assert model(default="rest").label([Document(text="x", label="code/c")]) == [{"code/c": 1.0}]


def test_a_document_without_label_takes_the_default_or_is_an_error() -> None:
    assert model(default="rest").label([Document(text="x")]) == [{"rest": 1.0}]
    with pytest.raises(InputError, match=r"`here.txt:3` has no label"):
        model().label([Document(text="x", source="here.txt:3")])


def test_unknown_options_are_named() -> None:
    with pytest.raises(InputError, match="did you mean `default`"):
        model(defualt="x")
