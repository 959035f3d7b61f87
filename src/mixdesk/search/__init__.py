"""Strategies: which mixtures to try, and which one to recommend."""

PARTS = {
    "design": "design:Design",
    "regmix": "simulate:RegMix",
    "exact": "exact:Exact",
    "chosen": "chosen:Chosen",
    "climb": "climb:Climb",
}
