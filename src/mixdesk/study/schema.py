"""The JSON Schema of `study.toml`, by which an editor completes and checks the file.

It is that of the type which reads the file, with a sentence for every field, the names of the parts and of the words
that a field may have, and without null, which TOML does not know. It lies beside a study's `study.toml`, whose first
line names it: `#:schema ./study.schema.json`, as Even Better TOML and taplo read it. A file in the folder moves with
the study, is there without a network, and knows the plug-ins of the machine that made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixdesk.core import registry
from mixdesk.core.files import adapter, write_text
from mixdesk.core.objective import RIVALS
from mixdesk.study.config import StudyConfig

FILE = "study.schema.json"
# The first line of a `study.toml`.
LINE = f"#:schema ./{FILE}\n"
# Which keys name parts of which kind.
KINDS = {"strategy": "strategies", "law": "laws", "trainer": "trainers"}
# Words that a field is one of.
WORDS = {
    ("Guard", "than"): RIVALS,
    ("Metric", "better"): ("lower", "higher"),
    ("Objective", "reduce"): ("mean", "worst"),
}

FIELDS: dict[str, dict[str, str]] = {
    "StudyConfig": {
        "name": "Name of the study.",
        "objective": "What to minimise: terms, how they are reduced to one number, and guards.",
        "corpus": "Folder of a built corpus, relative to this file.",
        "domains": "Names of the domains, where there is no corpus.",
        "natural": "Domain → weight of the natural mixture, in any unit; without it by the corpus's counts.",
        "metrics": "What is measured; without it bits per byte of every domain and evaluation set of the corpus.",
        "rungs": "Sizes of runs: the first is asked, the last is the target.",
        "constraints": "Limits on a mixture, at the target.",
        "budget": "What the study may spend; the first limit reached ends it.",
        "strategy": "Which mixtures are tried, and which one is recommended (`mixdesk list strategies`).",
        "law": "What predicts metrics from mixtures (`mixdesk list laws`).",
        "trainer": "Who trains; without it, you: `mixdesk study ask` and `tell` (`mixdesk list trainers`).",
        "seed": "Of everything the study draws.",
    },
    "Objective": {
        "terms": "Metric or pattern such as bpb/domain/* → weight.",
        "reduce": "mean: the weighted mean of the terms; worst: the largest of them.",
        "guards": "Limits on metrics that the recipe has to keep.",
    },
    "Guard": {
        "metric": "Metric or pattern: each one it matches is guarded.",
        "than": "A rival than which the metric may not be worse by more than the slack.",
        "slack": "How much worse than the rival, in the metric's unit; ≥ 0.",
        "at_most": "Largest value, of a metric that is better lower.",
        "at_least": "Smallest value, of a metric that is better higher.",
    },
    "Metric": {
        "name": "Name of the metric, such as bpb/set/code.",
        "unit": "Unit of its values.",
        "better": "The direction that is better.",
        "domain": "The domain that it measures, where there is one.",
    },
    "Rung": {
        "label": "Name of the size.",
        "scale": "Size of a run: tokens and parameters.",
        "model": "Shape of the model; the built-in trainer needs one.",
        "hyper": "Hyper-parameters that all its trials share.",
        "unique_share": "Part of each domain that a trial may draw from, in (0, 1], for repeats as at the target.",
        "flops": "FLOPs of one trial; without it by model and tokens.",
    },
    "Scale": {
        "n_tokens": "Tokens of a run, repeats counted.",
        "n_params": "Parameters without embeddings; without it by the model.",
        "n_active": "Parameters that a token uses, without embeddings.",
    },
    "ModelSpec": {
        "n_layers": "Layers.",
        "d_model": "Width; the feed-forward layers have four times as much.",
        "n_heads": "Attention heads; they divide the width into even parts.",
        "vocab_size": "Ids of the corpus's tokenizer.",
        "seq_len": "Tokens of a sequence.",
        "n_kv_heads": "Heads of keys and values; without it as many as heads.",
        "moe": "Experts in place of the feed-forward layers.",
    },
    "MoESpec": {
        "n_experts": "Routed experts.",
        "top_k": "Experts that a token uses.",
        "d_expert": "Width of each expert.",
        "n_shared": "Experts that every token uses.",
        "router": "Name of the router.",
    },
    "Hyper": {
        "lr": "Peak learning rate of the block matrices.",
        "batch_tokens": "Tokens of a step, a multiple of seq_len.",
        "warmup": "Part of the run over which the rate rises, in [0, 1].",
        "decay": "Part of the run at its end over which the rate falls to zero, in [0, 1].",
        "weight_decay": "Weight decay of the embedding.",
    },
    "Constraints": {
        "lower": "Domain or pattern → least weight of each domain it matches.",
        "upper": "Domain or pattern → largest weight of each domain it matches.",
        "max_epochs": "How often the target run may pass any domain.",
        "group_lower": "Pattern → least sum of the weights it matches.",
        "group_upper": "Pattern → largest sum of the weights it matches.",
        "epoch_caps": "Domain or pattern → how often the target run may pass it.",
        "epochs": "Domain or pattern → epochs in the target run, exactly.",
        "tiers": "Domain or pattern → licence tier; without it by the licences of the corpus.",
        "allowed_tiers": "Licence tiers that may be used: permissive, attribution, copyleft, unclear, restricted.",
        "near": "A ball around a mixture.",
        "rules": "Linear limits by name.",
        "pool": "The only mixtures there are.",
    },
    "Near": {
        "weights": "Domain → weight of the mixture in the middle, in any unit.",
        "nats": "Largest KL divergence from it.",
    },
    "Rule": {
        "name": "Name of the limit.",
        "terms": "Domain or pattern → coefficient of each domain it matches.",
        "most": "Largest sum of coefficient × weight.",
    },
    "Mixture": {
        "domains": "Names of the domains.",
        "weights": "Their weights, fractions of training tokens that sum to 1.",
    },
    "Budget": {
        "n_trials": "Trials.",
        "flops": "FLOPs of all trials.",
        "seconds": "Seconds of all trials.",
    },
    "Plug": {
        "name": "Name of the part.",
        "options": "What the part's constructor takes; its docstring says what each is.",
    },
}


def study_schema(*, outside: bool = False) -> dict[str, Any]:
    """The schema as plain data; with `outside`, parts of installed plug-ins are among the names too."""
    data = adapter(StudyConfig).json_schema()
    types = {name: _described(name, one) for name, one in data.pop("$defs").items() if name != "Plug"}
    plug = adapter(StudyConfig).json_schema()["$defs"]["Plug"]
    for kind in KINDS.values():
        one = _described("Plug", plug)
        one["properties"]["name"]["enum"] = list(registry.names(kind, outside=outside))
        types[kind] = one
    root = _described("StudyConfig", data)
    for key, kind in KINDS.items():
        root["properties"][key]["allOf"] = [{"$ref": f"#/$defs/{kind}"}]
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root, "title": "study.toml", "$defs": types}


def schema_text(*, outside: bool = False) -> str:
    """The schema as the text of its file."""
    return json.dumps(study_schema(outside=outside), indent=1, ensure_ascii=False) + "\n"


def write_schema(folder: Path) -> None:
    """Write the schema into a study's folder, where the first line of its `study.toml` looks for it."""
    write_text(folder / FILE, schema_text(outside=True))


def _described(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type with the sentences of its fields, and its own first line."""
    fields = {key: _field(name, key, one) for key, one in found["properties"].items()}
    first = found["description"].split("\n\n")[0].replace("\n", " ")
    required = {"required": found["required"]} if "required" in found else {}
    return {"description": first, "type": "object", "properties": fields, **required, "additionalProperties": False}


def _field(name: str, key: str, found: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field: what it is in words, its type without null, its default and its words."""
    kinds = [one for one in found.get("anyOf", [found]) if one.get("type") != "null"]
    kind = {key: value for key, value in kinds[0].items() if key not in ("title", "default", "description")}
    if "$ref" in kind:  # what stands beside a reference is not read
        kind = {"allOf": [{"$ref": kind["$ref"]}]}
    out = {"description": FIELDS.get(name, {}).get(key, ""), **kind}
    if (name, key) in WORDS:
        out["enum"] = list(WORDS[name, key])
    lean = _lean(found.get("default"))
    return out if lean in (None, [], {}) else {**out, "default": lean}


def _lean(value: Any) -> Any:
    """A default without what is itself unset or empty: what a person would write."""
    if isinstance(value, dict):
        kept = {key: _lean(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, [], {})}
    return [_lean(item) for item in value] if isinstance(value, list) else value
