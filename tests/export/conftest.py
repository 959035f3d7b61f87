"""A corpus whose documents are of unequal length, and a study on it with a recipe of two stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.core.corpus import Document
from mixdesk.core.files import write_json
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Objective, Verdict
from mixdesk.core.observations import Metric
from mixdesk.core.plan import RunPlan
from mixdesk.core.recipe import BEST_SEEN, UNIFORM, Provenance, Recipe, Rival
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.corpus.build import build
from mixdesk.study.config import StudyConfig

# Domain → (mean words of a document, documents).
TEXTS = {"books": (200, 12), "code": (20, 80), "web/high": (40, 90)}
STAGES = ((0.5, {"books": 0.2, "code": 0.2, "web/high": 0.6}), (1.0, {"books": 0.5, "code": 0.1, "web/high": 0.4}))
PLAN = RunPlan(
    schedule=Schedule(stages=tuple(Stage(until=until, mixture=Mixture.of(weights)) for until, weights in STAGES)),
    scale=Scale(n_tokens=20_000),
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a study on it that has a recipe of two stages."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    documents = [
        Document(
            text=" ".join(f"{name[0]}{i}" for i in rng.integers(500, size=rng.integers(mean // 2, 2 * mean))),
            label=name,
        )
        for name, (mean, n) in TEXTS.items()
        for _ in range(n)
    ]
    corpus = build(documents, folder / "corpus", name="texts", tokenizer="bytes")
    config = StudyConfig(
        name="outside",
        corpus="../corpus",
        objective=Objective(terms=(("loss", 1.0),)),
        metrics=(Metric(name="loss"),),
        constraints=Constraints(max_epochs=1.0),
        rungs=(
            Rung(label="proxy", scale=Scale(n_tokens=4_000), unique_share=0.5),
            Rung(label="target", scale=Scale(n_tokens=8_000)),
        ),
        budget=Budget(n_trials=20),
    )
    (folder / "study").mkdir()
    mx.new_study(folder / "study", config)
    mixture = Mixture.uniform(corpus.names)
    recipe = Recipe(
        plan=PLAN,
        objective=config.objective,
        rivals=(Rival(name=UNIFORM, mixture=mixture), Rival(name=BEST_SEEN, mixture=mixture)),
        comparisons=(),
        verdict=Verdict(
            name="better", state="predicted", headline="h", reason="r", remedy="m", recommended="recipe"
        ),
        provenance=Provenance(
            study="outside", record_sha256="0" * 64, n_trials=1, n_mixtures=1, law="l", strategy="s", seed=0,
            version="0", corpus=corpus.fingerprint,
        ),
    )  # fmt: skip
    write_json(folder / "study" / "recipe.json", recipe)
    return folder
