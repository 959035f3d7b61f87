"""Mixture → metric, with uncertainty: the laws and how far they can be trusted (`score`)."""

PARTS: dict[str, str] = {
    "exponential": "exponential:Exponential",
    "trees": "trees:Trees",
}
