import json

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.plan import Plug

SPLITTER = registry.make("splitters", Plug(name="by_license"))


def test_a_label_is_cut_into_tiers():
    documents = [
        Document(text="x", label="web", license="cc-by-4.0"),
        Document(text="x", label="web", license="CC BY-SA 4.0"),
        Document(text="x", label="code/c", license="MIT"),
        Document(text="x", label="web"),
        Document(text="x", license="CC-BY-NC-4.0"),
        Document(text="x", license="LicenseRef-words-cc-by"),
    ]
    expected = ["web/attribution", "web/copyleft", "code/c/permissive", "web/unclear", "restricted", "attribution"]
    model = SPLITTER.prepare(documents)
    assert model.label(documents) == [{name: 1.0} for name in expected]
    again = SPLITTER.restore(json.loads(json.dumps(model.to_dict())))
    assert again.label(documents) == model.label(documents)
