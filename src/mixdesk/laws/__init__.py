"""Mixture → metric, with uncertainty: the laws and how far they can be trusted (`score`)."""

PARTS: dict[str, str] = {
    "average": "average:Average",
    "gp": "gp:MixtureGP",
    "exponential": "exponential:Exponential",
    "trees": "trees:Trees",
    "bimix": "bimix:BiMix",
    "additive": "additive:Additive",
    "power_sum": "power_sum:PowerSum",
    "linear": "linear:Linear",
    "quadratic": "quadratic:Quadratic",
    "ridge": "ridge:Ridge",
    "transfer": "transfer:Transfer",
    "fidelity_gp": "fidelity_gp:FidelityGP",
    "scale": "scale:Scale",
    "gated": "gated:Gated",
}
