"""Strategies: which mixtures to try, and which one to recommend."""

PARTS = {
    "design": "design:Design",
    "regmix": "simulate:RegMix",
    "exact": "exact:Exact",
    "rule": "rule:Rule",
    "chosen": "chosen:Chosen",
    "climb": "climb:Climb",
    "modomodo": "modomodo:MoDoMoDo",
    "parego": "parego:ParEGO",
}
