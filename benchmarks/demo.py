"""What the demo's recipes are worth: recipe, natural and uniform trained at equal compute with the same replicates.

    python benchmarks/demo.py [FOLDER]

Runs the demo in FOLDER (default: demo; a finished one is read, not run again) and writes its figures to
`benchmarks/results/demo_<machine class>_<yyyymm>.md`: spread and noise of the proxies, both laws on mixtures they had
not seen, predicted and trained differences, and whether the gates hold: signal ÷ noise of the manual ≥ 3; its recipe
beats natural and uniform with intervals that exclude 0; `meta/record` at a quarter of its natural share or less; for
the mean over domains, prediction and training agree in sign or one of them contains 0.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import mixdesk as mx
from mixdesk.api.demo import MANUAL, MEAN

FLAGS = ("avx512_bf16", "avx512f", "avx2")


def machine_class() -> str:
    try:
        cpu = Path("/proc/cpuinfo").read_text()
    except OSError:
        cpu = ""
    flag = next((flag for flag in FLAGS if f" {flag} " in cpu), "plain")
    return f"{platform.machine()}-{flag}-{os.cpu_count()}cores"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    start, took = time.perf_counter(), ""
    if not (folder / "recipe-mean.json").exists():
        mx.demo(folder)
        took = f" The run took {time.perf_counter() - start:.0f} s on the clock, corpus and desk included."
    study = mx.open_study(folder)
    manual, mean = (mx.read_recipe(folder / name) for name in ("recipe.json", "recipe-mean.json"))
    lines = [
        "# What the demo's recipes are worth",
        "",
        f"Command: `python benchmarks/demo.py {folder.name}`. {date.today()}, {machine_class()}, study seed "
        f"{study.config.seed}, fresh replicates 1000 to 1004.{took}",
        f"Versions: mixdesk {mx.__version__}, torch {version('torch')}, Python {platform.python_version()}.",
        f"Corpus fingerprint {manual.provenance.corpus}. Bits per byte; negative differences favour the recipe.",
        "",
        "| metric | spread over mixtures | noise of a repeat | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    noise = {row.metric: row for row in study.view().noise()}
    lines += [f"| {n.metric} | {n.spread:.3f} | {n.within:.3f} | {n.ratio:.1f} |" for n in noise.values()]
    lines += [
        "",
        "| objective | law | Spearman (95 %) | rmse | coverage of 90 % |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    for objective in (MANUAL, MEAN):
        rows, _ = mx.compare_laws(study, objective=objective)
        for law in dict.fromkeys(row.law for row in rows):
            v = {row.measure: row.value for row in rows if row.law == law and row.metric == "objective"}
            rank = f"{v['spearman']:.2f} ({v['spearman:low']:.2f} to {v['spearman:high']:.2f})"
            lines.append(f"| {objective.title} | {law} | {rank} | {v['rmse']:.3f} | {v['coverage']:.2f} |")
    lines += [
        "",
        "| objective | against | basis | difference | 95 % interval | pairs |",
        "| --- | --- | --- | ---: | --- | ---: |",
    ]
    for recipe in (manual, mean):
        for c in recipe.comparisons:
            if c.metric == "objective":
                pairs = c.n_pairs if c.basis == "trained" else "–"
                interval = f"{c.low:+.4f} to {c.high:+.4f}"
                lines.append(
                    f"| {recipe.objective.title} | {c.rival} | {c.basis} | {c.difference:+.4f} | {interval} | {pairs} |"
                )
    weight = manual.mixture.as_dict()
    natural = next(rival.mixture for rival in manual.rivals if rival.name == "natural").as_dict()
    share = weight["meta/record"] / natural["meta/record"]
    trained = [c for c in manual.comparisons if c.basis == "trained" and c.metric == "objective"]
    beats = all(c.high < 0 for c in trained if c.rival in ("natural", "uniform"))
    said = {(c.rival, c.basis): c for c in mean.comparisons if c.metric == "objective"}
    agree = all(
        (p := said[rival, "predicted"]).difference * (t := said[rival, "trained"]).difference > 0
        or p.low <= 0 <= p.high
        or t.low <= 0 <= t.high
        for rival in ("natural", "uniform")
    )
    lines += [
        "",
        *(f"Verdict, {recipe.objective.title}: {recipe.verdict.headline}" for recipe in (manual, mean)),
        "",
        f"- signal ÷ noise of the manual: {noise['bpb/set/manual'].ratio:.1f} (gate ≥ 3)",
        f"- the recipe beats natural and uniform, intervals exclude 0: {'yes' if beats else 'no'}",
        f"- meta/record at {share:.2f} of its natural share (gate ≤ 0.25)",
        f"- mean over domains, prediction and training agree or one contains 0: {'yes' if agree else 'no'}",
    ]
    out = Path(__file__).parent / "results" / f"demo_{machine_class()}_{date.today():%Y%m}.md"
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-6:]))
    print(out)


if __name__ == "__main__":
    main()
