import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.words import CODE, is_code, is_spaceless, stop_words


@pytest.mark.parametrize(
    ("label", "expected"), [("code/c", True), ("code", True), ("codex", False), ("web/code", False), (None, False)]
)
def test_code_is_told_by_its_label(label, expected):
    assert is_code(Document(text="x", label=label), CODE) is expected


def test_scripts_without_spaces_are_told_from_those_with():
    assert all(map(is_spaceless, ("今天天气很好", "これは日本語です", "ภาษาไทย")))
    assert not is_spaceless("Das Wort 木 heißt Baum, so steht es im Buch")
    assert not any(map(is_spaceless, ("한국어는 띄어쓰기를 한다", "Привет", "")))


def test_stop_words_of_an_unknown_language_are_of_all_and_of_a_listless_one_none():
    assert {"the", "und"} <= stop_words(None)
    assert "und" not in stop_words("en")
    assert not stop_words("sw")
