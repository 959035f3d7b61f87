"""The flows: one function per verb, glue between the rooms, no method inside."""

from mixdesk.api.corpora import (
    build_corpus,
    check_corpus,
    export_corpus,
    import_corpus,
    installed_documents,
    manual_documents,
    measure_overlap,
    open_corpus,
    read_overlap,
    show_corpus,
    split_corpus,
)
from mixdesk.api.demo import demo
from mixdesk.api.desk import figures, write_desk
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
from mixdesk.api.live import live_desk
from mixdesk.api.notebook import show_in_notebooks
from mixdesk.api.recipes import (
    confirm_recipe,
    make_recipe,
    pareto,
    read_recipe,
    score_recipe,
    smallest_move,
    start_recipe,
    why_weight,
    worth_more,
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
    "check_corpus",
    "compare_laws",
    "confirm_recipe",
    "demo",
    "export_corpus",
    "export_study",
    "extend_study",
    "figures",
    "fit_law",
    "gather_evidence",
    "import_corpus",
    "import_study",
    "installed_documents",
    "learning_curve",
    "live_desk",
    "load_fit",
    "make_recipe",
    "manual_documents",
    "measure_overlap",
    "new_study",
    "open_corpus",
    "open_study",
    "pareto",
    "parts",
    "predict",
    "predict_csv",
    "rank_laws",
    "read_overlap",
    "read_recipe",
    "run_study",
    "save_fit",
    "score_recipe",
    "show_corpus",
    "smallest_move",
    "split_corpus",
    "start_recipe",
    "tell_study",
    "why_weight",
    "worth_more",
    "write_desk",
]

# Where IPython runs, what these functions return shows itself.
show_in_notebooks()
