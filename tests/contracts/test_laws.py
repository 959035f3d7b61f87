"""Every law keeps the contract that ships with the package."""

import pytest

from mixdesk.core import registry
from mixdesk.testing.contracts import check_law


@pytest.mark.parametrize("name", registry.names("laws"))
def test_law_keeps_the_contract(name):
    check_law(registry.part("laws", name))
