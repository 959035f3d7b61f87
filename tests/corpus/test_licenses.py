import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible
from mixdesk.core.space import Constraints, Space
from mixdesk.corpus.licenses import NOTHING, TIERS, explain, normalise, tier, tiers


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Apache 2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("License :: OSI Approved :: Apache Software License", "LicenseRef-Apache-any"),
        ("MIT License", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("mit", "MIT"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution 4.0 International (CC BY 4.0)", "CC-BY-4.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 3.0 Unported License", "CC-BY-NC-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("CC-BY-SA", "LicenseRef-CC-BY-SA"),
        ("CC0", "CC0-1.0"),
        ("BSD", "LicenseRef-BSD"),
        ("New BSD License", "BSD-3-Clause"),
        ("GPLv2+", "GPL-2.0-or-later"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GNU GPL", "GPL-1.0-or-later"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("GNU Lesser General Public License v2.1", "LGPL-2.1-only"),
        ("AGPLv3", "AGPL-3.0-only"),
        ("GNU Free Documentation License 1.3", "GFDL-1.3-only"),
        ("public domain", "LicenseRef-public-domain"),
        ("odc-by", "ODC-By-1.0"),
        ("MIT or Apache 2.0", "Apache-2.0 OR MIT"),
        ("MIT AND MIT", "MIT"),
        ("(MIT OR GPLv3) AND CC-BY-4.0", "CC-BY-4.0 AND (GPL-3.0-only OR MIT)"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("LicenseRef-mine", "LicenseRef-mine"),
        ("MIT AND My Own", "LicenseRef-My-Own AND MIT"),
        ("terms and conditions of mine", "LicenseRef-terms-and-conditions-of-mine"),
        ("MIT/Apache-2.0", "LicenseRef-MIT-Apache-2.0"),
        (None, NOTHING),
        ("", NOTHING),
        ("unknown", NOTHING),
        ("other", NOTHING),
        ("😀", NOTHING),
    ],
)
def test_what_people_write_becomes_spdx_and_nothing_is_guessed(written, expected):
    assert normalise(written) == expected
    assert normalise(expected) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", "permissive"),
        ("CC0-1.0", "permissive"),
        ("PSF-2.0", "permissive"),
        ("Unicode-3.0", "permissive"),
        ("CC-BY-4.0", "attribution"),
        ("ODC-By-1.0", "attribution"),
        ("OGL-UK-3.0", "attribution"),
        ("CC-BY-SA-4.0", "copyleft"),
        ("GFDL-1.3-only", "copyleft"),
        ("ODbL-1.0", "copyleft"),
        ("MPL-2.0", "copyleft"),
        ("CC-BY-NC-4.0", "restricted"),
        ("CC-BY-ND-4.0", "restricted"),
        ("BUSL-1.1", "restricted"),
        ("All rights reserved", "restricted"),
        ("My-Own", "unclear"),
        (None, "unclear"),
        ("MIT AND CC-BY-SA-4.0", "copyleft"),
        ("MIT OR GPL-3.0-only", "permissive"),
        ("MIT AND My-Own", "unclear"),
        ("My-Own OR CC-BY-4.0", "attribution"),
        ("My-Own AND CC-BY-NC-4.0", "restricted"),
        ("(MIT OR CC-BY-NC-4.0) AND CC-BY-4.0", "attribution"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MIT WITH My-Exception", "unclear"),
    ],
)
def test_tiers_of_expressions(expression, expected):
    assert tier(expression) == expected


def test_a_tier_says_where_it_is_from():
    assert explain("MIT AND My-Own") == (
        ("LicenseRef-My-Own", "unclear", "not a known licence"),
        ("MIT", "permissive", "ScanCode's category Permissive"),
    )
    assert explain("LicenseRef-words-reserved")[0][1:] == ("restricted", "words in the text")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from(
                ["MIT", "GPL", "CC", "BY", "-", "NC", " ", "AND", "OR", "WITH", "(", ")", " AND ", " OR ", " WITH ",
                 "v2", "+", "2.0", "mine", ":", "/", "\n", "or later"]
            ),
            max_size=12,
        ).map("".join),
    )
)  # fmt: skip
def test_any_words_have_an_expression_and_a_tier(written):
    expression = normalise(written)
    assert normalise(expression) == expression
    assert tier(written) == tier(expression)
    assert tier(expression) in TIERS
    assert {one[1] for one in explain(written)} <= set(TIERS)


def corpus() -> Corpus:
    licenses = {
        "books": {"CC0-1.0": 900, "MIT": 100},
        "wiki": {"CC0-1.0": 999, "CC BY-SA 4.0": 1},
        "news": {"CC-BY-4.0": 1000, "CC-BY-NC-4.0": 0},
        "part": {"MIT": 990},
        "web": {},
    }
    domains = tuple(Domain(name=name, n_tokens=1000, licenses=tuple(one.items())) for name, one in licenses.items())
    return Corpus(name="x", tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256="0"), domains=domains)


def test_a_domain_has_the_worst_tier_of_its_licences():
    assert tiers(corpus()) == {
        "books": "permissive",
        "news": "attribution",
        "part": "unclear",
        "web": "unclear",
        "wiki": "copyleft",
    }


def test_tiers_are_constraints_of_the_search():
    of = tiers(corpus())
    space = Space.build(Constraints(tiers=of, allowed_tiers=("permissive", "attribution")), tuple(of), corpus())
    assert dict(zip(space.domains, space.upper_d.tolist(), strict=True)) == {
        "books": 1, "news": 1, "part": 0, "web": 0, "wiki": 0,
    }  # fmt: skip
    assert (space.project([[0.2] * 5])[0][2:] == 0.0).all()
    with pytest.raises(Infeasible, match="web"):
        Space.build(Constraints(tiers=of, allowed_tiers=("permissive",), lower={"web": 0.1}), tuple(of), corpus())
