"""Strategies: which mixtures to try, and which one to recommend."""

PARTS = {
    "design": "design:Design",
    "regmix": "simulate:RegMix",
    "exact": "exact:Exact",
    "halving": "halving:Halving",
    "merge": "merge:Merge",
    "micro_anneal": "micro_anneal:MicroAnneal",
}
