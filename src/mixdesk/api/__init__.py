"""The flows: one function per verb, glue between the rooms, no method inside."""

from mixdesk.api.corpora import build_corpus, installed_documents, manual_documents, open_corpus
from mixdesk.api.demo import demo
from mixdesk.api.desk import write_desk
from mixdesk.api.laws import Evidence, compare_laws, fit_law, gather_evidence, load_fit, predict, predict_csv, save_fit
from mixdesk.api.recipes import confirm_recipe, make_recipe, read_recipe
from mixdesk.api.studies import (
    ask_study,
    export_study,
    import_study,
    new_study,
    open_study,
    parts,
    run_study,
    tell_study,
)

__all__ = [
    "Evidence",
    "ask_study",
    "build_corpus",
    "compare_laws",
    "confirm_recipe",
    "demo",
    "export_study",
    "fit_law",
    "gather_evidence",
    "import_study",
    "installed_documents",
    "load_fit",
    "make_recipe",
    "manual_documents",
    "new_study",
    "open_corpus",
    "open_study",
    "parts",
    "predict",
    "predict_csv",
    "read_recipe",
    "run_study",
    "save_fit",
    "tell_study",
    "write_desk",
]
