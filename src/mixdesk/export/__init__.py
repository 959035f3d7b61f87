"""The doors out: a plan as the files of somebody's trainer, read back, and verified by that trainer's own code."""

PARTS: dict[str, str] = {
    "card": "card:Card",
    "megatron": "megatron:Megatron",
    "nemo": "nemo:Nemo",
    "megatron_bridge": "nemo:MegatronBridge",
    "neox": "nemo:Neox",
    "nanotron": "nanotron:Nanotron",
    "levanter": "levanter:Levanter",
    "files": "files:Files",
    "olmo_core": "olmo_core:OlmoCore",
    "litgpt": "litgpt:Litgpt",
    "streaming": "streaming:Streaming",
    "maxtext": "maxtext:Maxtext",
    "energon": "energon:Energon",
    "torchtitan": "torchtitan:Torchtitan",
    "hf": "hf:HuggingFace",
    "trl": "trl:Trl",
    "llama_factory": "llama_factory:LlamaFactory",
    "axolotl": "axolotl:Axolotl",
    "ms_swift": "ms_swift:MsSwift",
    "weights": "weights:Weights",
}
