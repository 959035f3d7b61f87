import json

import pytest

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.core.plan import Plug

ENGLISH = "The committee met on Tuesday and decided that the bridge should be rebuilt before the winter."
GERMAN = "Der Ausschuss trat am Dienstag zusammen und beschloss, die Brücke vor dem Winter zu erneuern."
FRENCH = "Le comité s'est réuni mardi et a décidé que le pont devait être reconstruit avant l'hiver."


def splitter(**options):
    return registry.make("splitters", Plug(name="by_language", options=tuple(options.items())))


def sample() -> list[Document]:
    return [
        *(Document(text=ENGLISH, label="web") for _ in range(6)),
        *(Document(text=GERMAN, label="web") for _ in range(3)),
        Document(text=FRENCH, label="web"),
        *(Document(text="x = 1", label="code/c") for _ in range(20)),
    ]


def test_a_label_is_cut_into_languages_and_rare_ones_go_together():
    model = splitter(least=0.2).prepare(sample())
    asked = [
        Document(text=ENGLISH, label="web"),
        Document(text=GERMAN, label="books"),
        Document(text=FRENCH, label="web"),
        Document(text="0 1 2", label="web"),
        Document(text=ENGLISH, label="code/c"),
        Document(text=ENGLISH, label="web", language="de"),
        Document(text=GERMAN),
        Document(text=FRENCH),
    ]
    expected = ["web/en", "books/de", "web/other", "web/other", "code/c", "web/de", "de", "other"]
    assert model.label(asked) == [{name: 1.0} for name in expected]
    again = splitter(least=0.2).restore(json.loads(json.dumps(model.to_dict())))
    assert again.label(asked) == model.label(asked)


def test_the_share_is_of_documents_with_a_language():
    assert splitter(least=0.1).prepare(sample()).to_dict() == {"languages": ["de", "en", "fr"]}
    assert splitter().prepare([]).to_dict() == {"languages": []}


def test_shares_are_shares():
    with pytest.raises(InputError, match="least"):
        splitter(least=2.0)
