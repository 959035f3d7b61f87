"""A trainer that knows nothing of mixdesk: a byte bigram model over text of the standard library.

Usage: train_anything.py spec.json result.json
Domains are the names of standard packages, for instance `json`, `email`, `asyncio`. Each gives the bigram counts of its
sources; a trial adds them up by the weights of its mixture and is measured on a held-out file of every domain.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np


def text_of(package):
    folder = Path(importlib.util.find_spec(package).origin).parent
    files = sorted(folder.glob("*.py"), key=lambda path: (path.stat().st_size, path.name))
    train = b"".join(path.read_bytes() for path in files[:-1])
    return np.frombuffer(train, np.uint8), np.frombuffer(files[-1].read_bytes(), np.uint8)


def main(spec_path, result_path):
    spec = json.loads(Path(spec_path).read_text())
    order = np.random.default_rng(spec["replicate"])
    counts = np.full((256, 256), 0.01)  # additive smoothing
    held_out = {}
    for domain, weight in spec["mixture"].items():
        train, held_out[domain] = text_of(domain)
        start = order.integers(0, len(train), round(weight * spec["n_tokens"]))
        np.add.at(counts, (train[start - 1], train[start]), 1.0)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    metrics = {f"bpb/domain/{name}": float(bits[text[:-1], text[1:]].mean()) for name, text in held_out.items()}
    Path(result_path).write_text(json.dumps({"metrics": metrics}))


if __name__ == "__main__":
    main(*sys.argv[1:])
