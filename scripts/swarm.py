"""Remake examples/swarm: the two CSVs of the demo's own proxy runs.

    python scripts/swarm.py [FOLDER OF A DEMO]

Runs the demo's population (about a minute and a half on two cores; nothing is trained again where it exists) and
exports it. The numbers depend on the text installed on the machine, so a remake differs in the digits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mixdesk as mx
from mixdesk.api.demo import demo_config

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
mx.build_corpus(mx.installed_documents(), folder / "corpus", evals={"manual": mx.manual_documents()})
study = mx.new_study(folder, demo_config())
mx.run_study(study)
for path in mx.export_study(study, Path(__file__).parents[1] / "examples" / "swarm"):
    print(path)
