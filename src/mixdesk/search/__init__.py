"""Strategies: which mixtures to try, and which one to recommend."""

PARTS = {
    "design": "design:Design",
    "regmix": "simulate:RegMix",
    "exact": "exact:Exact",
    "adaptive": "adaptive:Adaptive",
    "bayes": "bayes:Bayes",
    "quadmix": "quadmix:QuaDMix",
    "rule": "rule:Rule",
    "chosen": "chosen:Chosen",
    "climb": "climb:Climb",
    "modomodo": "modomodo:MoDoMoDo",
    "halving": "halving:Halving",
    "merge": "merge:Merge",
    "micro_anneal": "micro_anneal:MicroAnneal",
    "parego": "parego:ParEGO",
}
