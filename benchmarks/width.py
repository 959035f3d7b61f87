"""Does one learning rate serve all proxy widths? Mean bits per byte over the domains, by width and peak rate.

    python benchmarks/width.py CORPUS [--steps 160]

Two layers, heads of 32, natural mixture, one replicate; the best rate of a width is marked. The claim: the best rates
of all widths are within a factor of two. Needs a built corpus (the demo's, for instance); about a minute and a half.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import RunPlan, TrialSpec
from mixdesk.core.scale import Hyper, ModelSpec, Scale
from mixdesk.corpus.shards import TokenStore, open_store
from mixdesk.engine.loop import train

WIDTHS = (32, 64, 128)
RATES = (0.005, 0.01, 0.02, 0.04, 0.08)
SEQ_LEN = 128


def loss(store: TokenStore, d_model: int, lr: float, n_steps: int) -> float:
    hyper = Hyper(lr=lr)
    model = ModelSpec(
        n_layers=2,
        d_model=d_model,
        n_heads=d_model // 32,
        vocab_size=store.corpus.tokenizer.vocab_size,
        seq_len=SEQ_LEN,
    )
    schedule = Schedule.constant(Mixture.natural(store.corpus))
    scale = Scale(n_tokens=n_steps * hyper.batch_tokens)
    spec = TrialSpec(plan=RunPlan(schedule=schedule, scale=scale, model=model, hyper=hyper))
    with tempfile.TemporaryDirectory() as out:
        result = train(spec, store, Path(out), lambda point: None)
    if result.state == "diverged":
        return float("inf")
    return statistics.mean(value for name, value in result.points[-1].metrics if name.startswith("bpb/domain/"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=160)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(options.corpus)
    print("width  " + "  ".join(f"lr {lr:<6g}" for lr in RATES))
    best = []
    for d_model in WIDTHS:
        row = [loss(store, d_model, lr, options.steps) for lr in RATES]
        best.append(RATES[row.index(min(row))])
        print(f"{d_model:5d}  " + "  ".join(f"{x:.3f}{' *' if x == min(row) else '  '}  " for x in row), flush=True)
    print(f"best rates {best}: a factor of {max(best) / min(best):g} apart")


if __name__ == "__main__":
    main()
