"""What several steps ask of a text: whether it is code, written without spaces, and its language's stop words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from mixdesk.core.corpus import Document

# Labels of code: rules made for prose leave it alone.
CODE = ("code", "code/*", "code-*", "code_*")
# Characters of the beginning by which a script is judged.
HEAD = 4_000
# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: scripts whose words no space parts.
_SPACELESS = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LETTERS = re.compile(r"[^\W\d_]")
# The commonest function words of a language, by ISO 639-1 code; English is Gopher's eight and others like them.
STOP_WORDS = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the be to of and that have with a in is it for as was on are by this or not from at an which",
        "de": "der die das und ist in zu den von mit sich des auf für nicht ein eine dem es als auch an werden aus er",
        "fr": "le la les de des et est un une en du que qui dans pour pas sur au par avec il ce plus sont ne",
        "es": "el la los las de que y en un una es por con no se para su al lo como más del pero sus o",
        "it": "il la i le di che e è un una in per con non si da del della al lo come più ma sono dei",
        "pt": "o a os as de que e em um uma é por com não se para do da no na como mais dos ao das",
        "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als door bij naar maar uit die",
        "sv": "och att det som en på är av för med den till inte om ett har de jag i men var sig så vi kan",
        "da": "og at det som en på er af for med den til ikke om et har de jeg i men var sig så vi kan",
        "no": "og at det som en på er av for med den til ikke om et har de jeg i men var seg så vi kan",
        "fi": "ja on ei että se oli hän mutta ovat kun niin myös jos mitä tai kuin ole sen joka siitä",
        "pl": "i w na z do nie się to że jest o jak po a co od za ale przez dla jego są być przy oraz",
        "cs": "a v se na je že s z do to i o k ve pro za by ale si po jako jsou které od byl",
        "ro": "și de în a la cu pe că un o nu este din mai care pentru se să sunt au prin ca fi al ale",
        "hu": "a az és hogy nem is egy ez volt meg de csak már mint el még ha azt vagy van ki be lehet fel",
        "tr": "ve bir bu da de için ile çok olarak daha gibi olan en ne kadar sonra o ama her ki var değil mi",
        "ru": "и в не на что с по это как а к но из он за от то о у же для бы так его все",
        "uk": "і в не на що з у до це як а але та про за від то є для його так й із був які",
        "id": "yang dan di dari dengan untuk ini itu dalam pada adalah tidak akan juga ke oleh ada sebagai karena",
        "vi": "và của là có không được cho các trong một với những đã người này để khi đến về ra cũng như",
    }.items()
}
_ALL = frozenset().union(*STOP_WORDS.values())


def is_code(document: Document, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns matches the document's label."""
    label = document.label
    return label is not None and any(fnmatchcase(label, one) for one in patterns)


def is_spaceless(text: str) -> bool:
    """Whether three tenths of the letters of the text's beginning are of a script without spaces between words."""
    head = text[:HEAD]
    if head.isascii():
        return False
    return 10 * len(_SPACELESS.findall(head)) > 3 * max(len(_LETTERS.findall(head)), 1)


def stop_words(language: str | None) -> frozenset[str]:
    """The stop words of a language; of all languages together where it is not known, none where we have no list."""
    return _ALL if language is None else STOP_WORDS.get(language, frozenset())
