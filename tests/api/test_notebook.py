"""A real notebook, run headless: what is left on the last line of a cell shows itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

import mixdesk as mx

TOML = """name = "notes <script>alert(1)</script>"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 24 }
law = { name = "exponential" }
trainer = { name = "synthetic", options = { d = 3, m = 2 } }
"""
CELLS = {
    "before": "import mixdesk as mx\nstudy = mx.open_study('.')\nstudy",
    "study": "mx.run_study(study)\nstudy",
    "law": "fit = mx.fit_law(study)\nfit",
    "loaded": "mx.load_fit(mx.save_fit(study, fit))",
    "scores": "mx.gather_evidence(study)",
    "recipe": "recipe = mx.make_recipe(study)\nrecipe",
    "corpus": "study.corpus",
    "figure": "mx.figures(study)['predict']",
    "closed": "study.close()\nstudy",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "study.toml").write_text(TOML)
    mx.new_study(folder).close()
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, dict[str, str]]:
    """Name of a cell → what its last line shows, by MIME type."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    results = [
        [one for one in cell.outputs if one.output_type in ("execute_result", "display_data")] for cell in book.cells
    ]
    (folder / "book.ipynb").write_text(nbformat.writes(book))
    return {name: dict(found[-1].data) for name, found in zip(CELLS, results, strict=True)}


def test_a_study_shows_progress_best_seen_and_noise(shown: dict[str, dict[str, str]]) -> None:
    assert "0 of 24" in shown["before"]["text/html"]
    said = shown["study"]["text/html"]
    assert "24 of 24" in said
    assert "best seen" in said
    assert "noise of a repeat" in said
    assert "not measured" not in said


def test_a_law_shows_what_it_says_and_a_scored_one_its_held_out_scores(shown: dict[str, dict[str, str]]) -> None:
    for name in ("law", "loaded"):
        assert "at equal weights" in shown[name]["text/html"]
        assert "bpb/domain/d00" in shown[name]["text/html"]
    assert "rank correlation" in shown["scores"]["text/html"]
    assert "held out by mixture" in shown["scores"]["text/html"]


def test_a_recipe_shows_verdict_weights_and_rivals(folder: Path, shown: dict[str, dict[str, str]]) -> None:
    said, recipe = shown["recipe"]["text/html"], mx.read_recipe(folder / "recipe.json")
    assert recipe.verdict.headline in said
    assert all(name in said for name in ("d00", "d01", "d02", "best seen", "natural", "uniform"))


def test_a_corpus_shows_its_domains(shown: dict[str, dict[str, str]]) -> None:
    assert "natural weight" in shown["corpus"]["text/html"]


def test_figures_are_plotly_s_own(folder: Path, shown: dict[str, dict[str, str]]) -> None:
    assert "application/vnd.plotly.v1+json" in shown["figure"]
    with mx.open_study(folder) as study:
        found = mx.figures(study)
    assert {"predict", "curves"} <= set(found)
    assert all(isinstance(one, go.Figure) for one in found.values())
    assert found["predict"].layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert found["predict"].update_layout(height=300).layout.height == 300


def test_names_stay_text_and_colours_the_notebook_s(shown: dict[str, dict[str, str]]) -> None:
    for name, data in shown.items():
        if name in ("figure", "closed"):
            continue
        said = data["text/html"]
        assert "<script" not in said, name
        assert "#" not in said, name
        assert "color:" not in said.replace("color:inherit", ""), name


def test_a_closed_study_falls_back_to_plain_text(shown: dict[str, dict[str, str]]) -> None:
    assert "text/html" not in shown["closed"]
    assert "Study" in shown["closed"]["text/plain"]


def test_nothing_of_ipython_is_imported_without_it() -> None:
    code = "import sys, mixdesk; mixdesk.open_study; print(any(n.split('.')[0] == 'IPython' for n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
