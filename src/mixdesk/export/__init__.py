"""The doors out: a plan as the files of somebody's trainer, read back, and verified by that trainer's own code."""

PARTS: dict[str, str] = {
    "card": "card:Card",
    "hf": "hf:HuggingFace",
    "trl": "trl:Trl",
    "llama_factory": "llama_factory:LlamaFactory",
    "axolotl": "axolotl:Axolotl",
    "ms_swift": "ms_swift:MsSwift",
    "weights": "weights:Weights",
}
