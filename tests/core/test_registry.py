"""Parts by name: the tables, options, and errors that help."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.plan import Plug


@pytest.mark.parametrize("kind", registry.ROOMS)
def test_every_kind_lists_its_parts_in_table_order(kind):
    assert registry.names(kind)
    assert registry.names(kind, outside=True)[: len(registry.names(kind))] == registry.names(kind)


def test_unknown_kinds_and_parts_name_the_nearest():
    with pytest.raises(InputError) as caught:
        registry.names("law")
    assert caught.value.remedy == "did you mean `laws`?"
    with pytest.raises(InputError) as caught:
        registry.part("laws", "exponentail")
    assert caught.value.remedy == "did you mean `exponential`?"


def test_unknown_options_name_the_nearest():
    with pytest.raises(InputError) as caught:
        registry.make("trainers", Plug(name="command", options={"comand": "x"}))
    assert "`command` has no option `comand`" in caught.value.wrong
    assert caught.value.remedy == "did you mean `command`?"


def test_context_fills_only_fields_that_the_part_has():
    splitter = registry.make("splitters", Plug(name="by_label"), no_such_field=1)
    assert type(splitter) is registry.part("splitters", "by_label")


def test_a_missing_package_names_the_extra():
    script = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "from mixdesk.core import registry\n"
        "registry.EXTRAS['lightgbm'] = 'train'\n"
        "try:\n"
        "    registry.part('laws', 'trees')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtra `lightgbm` is not installed")
    assert "mixdesk[train]" in done.stdout


def test_listing_parts_loads_none_of_them():
    script = (
        "import sys\n"
        "from mixdesk.core import registry\n"
        "for kind in registry.ROOMS: registry.names(kind)\n"
        "print([m for m in ('torch', 'lightgbm', 'scipy', 'tokenizers', 'plotly') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_option_that_a_part_needs_is_asked_for():
    with pytest.raises(InputError, match="`builtin` needs the option `corpus`"):
        registry.make("trainers", Plug(name="builtin"))
