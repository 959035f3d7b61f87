"""Every strategy keeps the contract of its kind."""

from __future__ import annotations

import pytest

from mixdesk.core import registry
from mixdesk.core.plan import Plug
from mixdesk.laws.exponential import Exponential
from mixdesk.search import PARTS
from mixdesk.testing.contracts import check_strategy

# Fits a process in torch at each of the contract's many asks.
SLOW = ("bayes",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in PARTS])
def test_contract(name: str) -> None:
    law = Exponential()
    check_strategy(lambda: registry.make("strategies", Plug(name=name), law=law), law)
