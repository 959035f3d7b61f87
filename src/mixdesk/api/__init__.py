"""The flows: one function per verb, glue between the rooms, no method inside."""

from mixdesk.api.corpora import build_corpus, installed_documents, manual_documents, open_corpus
from mixdesk.api.demo import demo
from mixdesk.api.desk import write_desk
from mixdesk.api.laws import (
    Evidence,
    Predictions,
    compare_laws,
    fit_law,
    gather_evidence,
    learning_curve,
    load_fit,
    predict,
    predict_csv,
    rank_laws,
    save_fit,
)
from mixdesk.api.recipes import (
    confirm_recipe,
    make_recipe,
    pareto,
    read_recipe,
    score_recipe,
    smallest_move,
    start_recipe,
)
from mixdesk.api.studies import (
    ask_study,
    export_study,
    extend_study,
    import_study,
    new_study,
    open_study,
    parts,
    run_study,
    tell_study,
)

__all__ = [
    "Evidence",
    "Predictions",
    "ask_study",
    "build_corpus",
    "compare_laws",
    "confirm_recipe",
    "demo",
    "export_study",
    "extend_study",
    "fit_law",
    "gather_evidence",
    "import_study",
    "installed_documents",
    "learning_curve",
    "load_fit",
    "make_recipe",
    "manual_documents",
    "new_study",
    "open_corpus",
    "open_study",
    "pareto",
    "parts",
    "predict",
    "predict_csv",
    "rank_laws",
    "read_recipe",
    "run_study",
    "save_fit",
    "score_recipe",
    "smallest_move",
    "start_recipe",
    "tell_study",
    "write_desk",
]
