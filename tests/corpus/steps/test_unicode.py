import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.unicode import Unicode


def clean(text: str, label: str | None = None) -> str:
    return Unicode().apply(Document(text=text, label=label)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("âœ” No problems", "✔ No problems"),
        ("cafÃ© and naÃ¯ve", "café and naïve"),
        ("e\u0301", "é"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ufeffa\x00b\x1b[31mred\x1b[0m\x07", "abred"),
        ("page\x0cpage\u2028line", "page\npage\nline"),
        ("\ud83d\ude00 \ud800", "😀 \ufffd"),
    ],
)
def test_broken_text_is_repaired(text, expected):
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text", ["“quoted” – and… ﬁne", "你好，世界！（全角）", "&lt;b&gt; and &amp;", "ñandú Ångström"]
)
def test_what_carries_meaning_stays(text):
    assert clean(text) == text


def test_code_loses_only_what_no_code_means():
    assert clean('bad = "cafÃ©"\x0c\r\n\x00', label="code/python") == 'bad = "cafÃ©"\x0c\n'


def test_clean_text_is_the_same_object():
    document = Document(text="plain text\n")
    assert Unicode().apply(document) is document
