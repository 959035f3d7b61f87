"""Every strategy keeps the contract of its kind."""

from __future__ import annotations

import pytest

from mixdesk.core import registry
from mixdesk.laws.exponential import Exponential
from mixdesk.search import PARTS
from mixdesk.testing.contracts import check_strategy


@pytest.mark.parametrize("name", PARTS)
def test_contract(name: str) -> None:
    check_strategy(registry.part("strategies", name), Exponential())
