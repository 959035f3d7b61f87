"""mixdesk: in what proportions should a language model be made, and how do you know?

Everything the command line does is one call here. Names load when asked for, so that `import mixdesk` is quick.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

__version__ = version("mixdesk")

_HOMES = {
    "mixdesk.api": (
        "Evidence Predictions ask_study build_corpus check_corpus check_new_study compare_laws confirm_recipe "
        "demo doubt_mixture export_corpus export_recipe export_study export_trials extend_study figures "
        "find_papers fit_law gather_evidence import_corpus import_study installed_documents learning_curve "
        "live_desk load_fit make_recipe manual_documents measure_overlap new_study open_corpus open_study "
        "pareto parts plan_study predict predict_csv rank_laws read_export read_mixture read_overlap "
        "read_recipe run_study save_fit score_recipe show_corpus smallest_move split_corpus start_recipe "
        "study_schema survey_corpus tell_study verify_export why_weight worth_more write_desk write_plan"
    ),
    "mixdesk.core.corpus": "Corpus Document Domain EvalSet Shard Tokenizer",
    "mixdesk.core.errors": (
        "Infeasible InputError MissingExtra MixdeskError NotEnoughEvidence RecordError WorkerError"
    ),
    "mixdesk.core.export": "Export Imported Order Verification",
    "mixdesk.core.mixture": "Mixture Schedule Stage",
    "mixdesk.core.objective": "Comparison Guard LeagueRow Objective OutOfFold Verdict",
    "mixdesk.core.observations": "Inputs Metric Noise Observations Prediction",
    "mixdesk.core.paper": "CatalogueEntry Measured Method Paper",
    "mixdesk.core.plan": "Plug Proposal Recommendation RunPlan TrialSpec",
    "mixdesk.core.recipe": "CardScore GuardCheck Move ParetoPoint PredictionCard Recipe",
    "mixdesk.core.scale": "Budget Hyper MoESpec ModelSpec Rung Scale",
    "mixdesk.core.space": "Constraints Near Rule Space",
    "mixdesk.core.trial": "Event Point Result StudyView Trial",
    "mixdesk.study.config": "StudyConfig",
    "mixdesk.study.study": "Study",
    "mixdesk.study.wizard": "Wish",
}
_HOME_OF = {name: home for home, found in _HOMES.items() for name in found.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module `mixdesk` has no attribute `{name}`")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
