"""Records of every schema there ever was are read, and mean what they meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mixdesk.core.files import from_data, to_data
from mixdesk.core.trial import Event
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import Study

RECORDS = sorted((Path(__file__).parent / "records").glob("*.db"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_an_old_record_reads_as_it_did(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "study.db")
    study = Study.open(tmp_path)
    view = study.view()
    wanted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert [trial.id for trial in view.trials] == [trial["id"] for trial in wanted["trials"]]
    assert [{"id": trial.id, **to_data(trial)} for trial in view.trials] == wanted["trials"]
    assert study.config == from_data(StudyConfig, wanted["config"])
    assert view.record_sha256 == wanted["record_sha256"]
    assert {trial.state for trial in view.trials} == {"done", "diverged", "failed", "waiting"}
    assert study.notes == ("a sentence",)
    study.append(Event(trial=view.trials[-1].id, kind="started", time=99.0))
    assert study.view().trials[-1].state == "running"
    study.close()
