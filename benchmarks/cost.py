"""What does a law cost? Seconds to fit, with intervals, as runs, domains and metrics grow.

    OMP_NUM_THREADS=1 python benchmarks/cost.py [--laws average,gp,power_sum,exponential] [--limit 120]

One number at a time leaves the base of 64 runs × 8 domains × 4 metrics on the world `power`; a law whose last fit took
longer than the limit is not asked for more. Writes `benchmarks/results/cost_<machine class>_<yyyymm>.md` and the plot
`docs/cost.svg`.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from demo import machine_class
from mixdesk.core import registry
from mixdesk.core.observations import Inputs
from mixdesk.core.plan import Plug
from mixdesk.testing.worlds import power, swarm

BASE = {"n": 64, "d": 8, "m": 4}
GROWN = {
    "n": (32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000),
    "d": (4, 8, 16, 32, 64, 100),
    "m": (1, 2, 4, 8, 16, 32),
}
AXES = {"n": "runs", "d": "domains", "m": "metrics"}
LAWS = "average,gp,power_sum,exponential"


def seconds(law: str, n: int, d: int, m: int) -> float:
    """Fit and one prediction with intervals. More runs than domains are made where a law asks for that."""
    world = power(d, m, 0, 0.1)
    W_nd = swarm(world, n, 0) if n <= 512 else np.random.default_rng(0).dirichlet(np.full(d, 0.5), n)
    obs = world.observations(W_nd)
    start = time.perf_counter()
    fit = registry.make("laws", Plug(name=law)).fit(obs)
    fit.predict(Inputs.of(obs.domains, obs.W_nd[:256]), sense="run")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laws", default=LAWS)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of a fit after which a law is not asked")
    options = parser.parse_args()
    laws = options.laws.split(",")
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for axis, sizes in GROWN.items():
        for law in laws:
            for size in sizes:
                shape = {**BASE, axis: size}
                shape["n"] = max(shape["n"], shape["d"] + 8)
                found.setdefault((axis, law), []).append((size, seconds(law, **shape)))
                print(f"{axis} = {size:5d}  {law:12s} {found[axis, law][-1][1]:8.2f} s", flush=True)
                if found[axis, law][-1][1] > options.limit:
                    break
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    for panel, (axis, title) in zip(panels, AXES.items(), strict=True):
        for law in laws:
            panel.plot(*zip(*found[axis, law], strict=True), marker="o", markersize=3, label=law)
        panel.set(xscale="log", yscale="log", xlabel=title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds to fit, one core")
    panels[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    here = Path(__file__).parents[1]
    figure.savefig(here / "docs" / "cost.svg", metadata={"Date": None})
    machine = machine_class()
    lines = [
        "# What a law costs",
        "",
        f"Command: `python benchmarks/cost.py --laws {options.laws}`. {date.today()}, {machine}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} thread(s). Versions: mixdesk {version('mixdesk')}, "
        f"numpy {np.__version__}. World power, seed 0.",
        "Seconds of a fit with intervals; what does not grow stays at 64 runs, 8 domains, 4 metrics (and 8 runs more "
        "than domains at least). The plot is `docs/cost.svg`.",
    ]
    for axis, title in AXES.items():
        lines += ["", f"| {title} | " + " | ".join(laws) + " |", "| ---: |" + " ---: |" * len(laws)]
        for size in GROWN[axis]:
            cells = [next((f"{took:.2f}" for at, took in found[axis, law] if at == size), "–") for law in laws]
            lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    out = here / "benchmarks" / "results" / f"cost_{machine}_{date.today():%Y%m}.md"
    out.write_text("\n".join(lines) + "\n")
    print(out)


if __name__ == "__main__":
    main()
