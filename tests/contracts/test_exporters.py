"""Every exporter on every order: read back to 1e-6, byte for byte the same again, and verified by the target itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Order
from mixdesk.core.files import write_json
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Exporter
from mixdesk.testing.orders import orders, write_made

ORDERS = orders()
NAMES = registry.names("exporters")


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def written(exporter: Exporter, order: Order, out: Path) -> Export:
    """The export, or a skip that says what the target cannot express; nothing lies there then."""
    try:
        return exporter.export(order, out)
    except InputError as error:
        reason = error
    assert not out.exists() or not files_of(out)
    pytest.skip(f"cannot be expressed: {reason}")


@pytest.mark.parametrize("case", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_comes_back(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = written(exporter, order, tmp_path / "a")
    exporter.export(order, tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert set(export.files) <= set(files_of(tmp_path / "a"))
    assert export.sentence.endswith(".")
    assert export.unit
    for stage in export.stages:
        assert sum(one.weight for one in stage.shares) == pytest.approx(1.0)
        assert sum(one.realised for one in stage.shares) == pytest.approx(1.0)

    write_json(tmp_path / "a" / "mixdesk.json", replace(export, target=name))
    stages = mixdesk.read_mixture(tmp_path / "a", name).plan.schedule.stages
    asked = order.plan.schedule.stages
    assert [stage.until for stage in stages] == pytest.approx([stage.until for stage in asked], abs=1e-6)
    for stage, wanted in zip(stages, asked, strict=True):
        weights = stage.mixture.as_dict()
        found = {domain: weights.get(domain, 0.0) for domain in wanted.mixture.domains}
        assert found == pytest.approx(wanted.mixture.as_dict(), abs=1e-6)


@pytest.mark.parametrize("case", ORDERS)
@pytest.mark.parametrize("name", [name for name in NAMES if registry.part("exporters", name).package])
def test_the_target_trains_what_was_asked(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = written(exporter, order, tmp_path)
    if exporter.data:
        write_made(order, exporter.data.format(seq_len=order.seq_len), tmp_path / order.data)
    try:
        found = exporter.verify(tmp_path, export, 100_000)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {exporter.package}: make verify ({error.name})")
    assert len(found.stages) == len(export.stages)
    for stage in found.stages:
        assert stage.error <= stage.allowed, (stage.asked, stage.realised)
