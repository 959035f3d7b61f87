import pytest

from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.corpus.steps.language import Language, identify, identify_all

TEXTS = {
    "en": "The committee met on Tuesday and decided that the bridge should be rebuilt before the winter.",
    "de": "Der Ausschuss trat am Dienstag zusammen und beschloss, die Brücke vor dem Winter zu erneuern.",
    "fr": "Le comité s'est réuni mardi et a décidé que le pont devait être reconstruit avant l'hiver.",
    "es": "El comité se reunió el martes y decidió que el puente debía reconstruirse antes del invierno.",
    "ru": "Комитет собрался во вторник и решил, что мост должен быть восстановлен до зимы.",
    "zh": "委员会星期二开会，决定这座桥应该在冬天之前重建。我们都同意这个决定。",
    "ja": "委員会は火曜日に会合を開き、冬が来る前に橋を再建すべきだと決めました。",
    "ar": "اجتمعت اللجنة يوم الثلاثاء وقررت أن الجسر يجب أن يعاد بناؤه قبل الشتاء.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_told(language):
    assert Language().apply(Document(text=TEXTS[language])).language == language


def test_what_cannot_be_told_stays_open():
    for text in ("", "0 1 2 3", "xqz"):
        assert Language().apply(Document(text=text)).language is None


def test_the_source_goes_before_the_text():
    assert Language().apply(Document(text=TEXTS["en"], language="de")).language == "de"


def test_the_middle_decides():
    menu = "Home About Contact Search " * 20
    assert identify(menu + TEXTS["de"] * 12 + menu, 0.5) == "de"


def test_keep_removes_other_languages_but_no_code():
    step = Language(keep=("en", "de"))
    assert step.apply(Document(text=TEXTS["fr"])) == "other_language"
    assert step.apply(Document(text="0 1 2 3")) == "unsure_language"
    assert step.apply(Document(text=TEXTS["de"])).language == "de"
    code = Document(text="for i in range(3): pass", label="code/python")
    assert step.apply(code) is code


def test_many_at_once_are_as_one_by_one():
    documents = [Document(text=TEXTS["en"]), Document(text="x = 1", label="code"), Document(text="?", language="fi")]
    assert identify_all(documents, 0.5, ("code",)) == ["en", None, "fi"]


def test_a_language_that_nobody_knows_is_not_kept():
    with pytest.raises(InputError, match="did you mean `en`"):
        Language(keep=("eng",))
    with pytest.raises(InputError, match="threshold"):
        Language(threshold=50.0)
