import pytest

from mixdesk.core.corpus import Document
from mixdesk.corpus.steps.pii import Pii


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.smith+x@mail.site.org, please", "write to <EMAIL>, please"),
        ("Ann <ann@site.org>.", "Ann <<EMAIL>>."),
        ("mailto:bob_k@uni-x.ac.uk.", "mailto:<EMAIL>."),
        ("from 66.249.65.159 - - [06/Nov]", "from <IP> - - [06/Nov]"),
        ("http://12.34.56.78:5432/x", "http://<IP>:5432/x"),
        ("at 2a00:1450:4001:81b::200e today", "at <IP> today"),
        ("call +49 170 1234567 now", "call <PHONE> now"),
        ("tel:+31641044153", "tel:<PHONE>"),
        ("+44 (0) 20 7946 0958", "<PHONE>"),
        ("(212) 664-7665 or 1-800-555-1234", "<PHONE> or <PHONE>"),
        ("212.664.7665", "<PHONE>"),
        ("IBAN DE89 3704 0044 0532 0130 00 at", "IBAN <IBAN> at"),
        ("GB82WEST12345698765432", "<IBAN>"),
        ("card 4111 1111 1111 1111, code", "card <CARD>, code"),
        ("5555-5555-5555-4444 and 378282246310005", "<CARD> and <CARD>"),
    ],
)
def test_personal_data_is_masked(text, expected):
    assert Pii().apply(Document(text=text)).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 of it",  # a version or section: four numbers below 32
        "see 8.2.4.5 and 2.7.0.10",
        "Chrome 120.0.6099.109",
        "driver v141.40.120.3",
        "package==10.40.120.3",
        "on 127.0.0.1, 192.168.1.20 and 10.0.0.254",
        "not 256.1.1.1, 1.2.3.400 or 1.22.33.44.55",
        "multicast 224.0.0.1",
        "2001:db8::1 is for documents",
        "at 12:30:45 and 2020:11:27",
        "std::vec abc::def dead::beef",
        "00:1b:44:11:3a:b7",
        "git@github.com:owner/name.git",
        "logo@2x.png and user@example.com, a@b, @decorator.name",
        "on 2024-11-27, 27.11.2024 and 11/27/2024",
        "ISBN 978-3-16-148410-0 and 0-306-40615-2",
        "3.14159265358979 and 1234567890123456",
        "x+1234567890 is +1.5 or +12",
        "4111 1111 1111 1112",  # Luhn's sum is wrong
        "DE89 3704 0044 0532 0130 01",  # the remainder is wrong
        "DE68 2105 0170 0012 3456",  # too short for its country
        "ABCD1234EFGH5678IJKL",
        "sha 4111111111111111a",
    ],
)
def test_look_alikes_stay(text):
    document = Document(text=text)
    assert Pii().apply(document) is document


def test_kinds_are_counted():
    text, counts = Pii().mask("a@b.org c@d.org 66.249.65.159 +49 170 1234567")
    assert counts == {"EMAIL": 2, "IP": 1, "PHONE": 1}
    assert text == "<EMAIL> <EMAIL> <IP> <PHONE>"


def test_code_keeps_its_numbers_but_no_addresses():
    text = "N = 4111111111111111  # +49 170 1234567, ann@site.org"
    assert Pii().apply(Document(text=text, label="code/c")).text == text.replace("ann@site.org", "<EMAIL>")
