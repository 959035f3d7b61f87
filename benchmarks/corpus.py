"""How fast texts become a corpus, beside datatrove doing the same steps on the same machine.

    python benchmarks/corpus.py FOLDER --tokenizer tokenizer.json [--workers 2] [--rounds 3]

FOLDER holds JSONL files with `text`. Two tasks, each side from the files to what it leaves on disk, in turns:

    tokens   read, exact dedup, tokenise with the same tokenizer.json to shards
    near     read, MinHash dedup (5-word shingles, threshold near .8), write what stays (theirs JSONL, ours byte shards)

datatrove runs its own blocks (JsonlReader, ExactDedup*, DocumentTokenizer; Minhash*) with as many local workers.
Ours also holds a validation split out, checks that the ids stand for every byte, and writes a table of documents.
A third line is what `tokenizers` alone needs for the texts in one batch. Figures are medians over rounds; ratios are
medians of ratios within a round. The full run writes `benchmarks/results/corpus_<machine class>_<yyyymm>.md`.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

from demo import machine_class

# One side of one task, as a program of its own: its peak memory is then its own, and caches are as cold.
SIDES = ("mixdesk", "datatrove")


def ours_tokens(files: Path, out: Path, tokenizer: str, workers: int) -> int:
    """Documents kept by our build."""
    import mixdesk

    mixdesk.build_corpus([files], out, tokenizer=tokenizer, jobs=workers, on_error="skip", overlap=False)
    return kept(out)


def theirs_tokens(files: Path, out: Path, tokenizer: str, workers: int) -> int:
    """Documents kept by datatrove's exact dedup and tokenised."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup.exact_dedup import (
        ExactDedupConfig,
        ExactDedupFilter,
        ExactDedupSignature,
        ExactFindDedups,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    n_files = len(list(files.rglob("*.jsonl*")))
    config = ExactDedupConfig(content_getter=_text)
    run = {"tasks": n_files, "workers": workers}
    first = [JsonlReader(str(files)), ExactDedupSignature(str(out / "sigs"), config=config)]
    second = [ExactFindDedups(str(out / "sigs"), str(out / "dups"), config=config)]
    third = [
        JsonlReader(str(files)),
        ExactDedupFilter(str(out / "dups"), config=config),
        DocumentTokenizer(str(out / "tokens"), tokenizer_name_or_path=tokenizer, eos_token=None),
    ]
    LocalPipelineExecutor(first, logging_dir=str(out / "log1"), **run).run()
    LocalPipelineExecutor(second, tasks=1, logging_dir=str(out / "log2")).run()
    LocalPipelineExecutor(third, logging_dir=str(out / "log3"), **run).run()
    return sum(path.stat().st_size // 8 for path in (out / "tokens").rglob("*.ds.index"))


def ours_near(files: Path, out: Path, tokenizer: str, workers: int) -> int:
    """Documents kept by our build with near-dedup at .8; bytes are the tokens, and shards and tables are written."""
    import mixdesk

    mixdesk.build_corpus([files], out, tokenizer="bytes", near=0.8, jobs=workers, on_error="skip", overlap=False)
    return kept(out)


def kept(out: Path) -> int:
    """Documents of a built corpus, those for validation included."""
    from mixdesk.corpus.shards import open_store

    return sum(table.n_docs for table in open_store(out).manifest.tables)


def theirs_near(files: Path, out: Path, tokenizer: str, workers: int) -> int:
    """Documents that stay after datatrove's MinHash, with its own fourteen buckets of eight."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = MinhashConfig()
    n_files = len(list(files.rglob("*.jsonl*")))
    sigs, buckets, cut, kept = (str(out / name) for name in ("sigs", "buckets", "cut", "kept"))
    stages = (
        ([JsonlReader(str(files)), MinhashDedupSignature(sigs, config=config)], n_files),
        ([MinhashDedupBuckets(sigs, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, cut, config=config)], 1),
        ([JsonlReader(str(files)), MinhashDedupFilter(cut), JsonlWriter(kept, compression=None)], n_files),
    )
    for i, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers, logging_dir=str(out / f"log{i}")).run()
    return sum(sum(1 for _ in path.open()) for path in Path(kept).glob("*.jsonl"))


def plain_tokens(files: Path, out: Path, tokenizer: str, workers: int) -> int:
    """Every text through `tokenizers`' batches of a megabyte, nothing else: what no build can be faster than."""
    from tokenizers import Tokenizer

    model, n, batch, size = Tokenizer.from_file(tokenizer), 0, [], 0
    for path in sorted(files.rglob("*.jsonl")):
        for line in path.open():
            batch.append(json.loads(line)["text"])
            size += len(batch[-1])
            if size > 1_000_000:
                n += len(model.encode_batch_fast(batch, add_special_tokens=False))
                batch, size = [], 0
    return n + len(model.encode_batch_fast(batch, add_special_tokens=False))


JOBS: dict[str, Callable[[Path, Path, str, int], int]] = {
    "tokens mixdesk": ours_tokens,
    "tokens datatrove": theirs_tokens,
    "tokens tokenizers": plain_tokens,
    "near mixdesk": ours_near,
    "near datatrove": theirs_near,
}


def _text(document: object) -> bytes:
    return document.text.encode()  # type: ignore[attr-defined,no-any-return]


def measure(job: str, files: Path, tokenizer: str, workers: int) -> tuple[float, float, int]:
    """Seconds, peak MB of the process and its children's largest, and documents kept, in a fresh process."""
    out = Path(tempfile.mkdtemp())
    command = [sys.executable, __file__, str(files), "--tokenizer", tokenizer, "--workers", str(workers)]
    start = time.perf_counter()
    done = subprocess.run([*command, "--job", job, "--out", str(out)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{job} broke:\n{done.stderr[-2000:]}")
    n_kept, peak = done.stdout.strip().splitlines()[-1].split()
    return seconds, float(peak), int(n_kept)


def main() -> None:
    """Play the rounds and write the table; with --job, one side of one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path)
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", default=",".join(JOBS), help="which, separated by commas")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        import resource

        n_kept = JOBS[options.job](options.files, options.out, options.tokenizer, options.workers)
        peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(n_kept, max(peaks) / 1024)
        return
    paths = sorted(options.files.rglob("*.jsonl"))
    n_docs = sum(sum(1 for line in path.open("rb") if line.strip()) for path in paths)
    n_bytes = sum(path.stat().st_size for path in paths)
    found: dict[str, list[tuple[float, float, int]]] = {job: [] for job in options.jobs.split(",")}
    for k in range(options.rounds):
        for job in found if k % 2 == 0 else reversed(found):
            found[job].append(measure(job, options.files, options.tokenizer, options.workers))
            print(f"round {k + 1}: {job} {found[job][-1][0]:.1f} s", flush=True)
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    lines = [
        "# Texts to a corpus, beside datatrove",
        "",
        f"{date.today():%Y-%m-%d}, commit {told.stdout.strip()}, {machine_class()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("datatrove", "tokenizers", "rensa", "numpy"))
        + ".",
        f"Command: `python benchmarks/corpus.py FOLDER --tokenizer tokenizer.json --workers {options.workers} "
        f"--rounds {options.rounds}`; {len(paths)} JSONL files, {n_docs:,} documents, {n_bytes / 1e6:.1f} MB.",
        "",
        "| task | who | s (median) | documents/s | MB/s | peak MB of the largest process | documents kept |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for job, rounds in found.items():
        task, who = job.split()
        seconds = statistics.median(one[0] for one in rounds)
        lines.append(
            f"| {task} | {who} | {seconds:.1f} | {n_docs / seconds:,.0f} | {n_bytes / seconds / 1e6:.1f} "
            f"| {max(one[1] for one in rounds):.0f} | {rounds[-1][2]:,} |"
        )
    lines.append("")
    for task in ("tokens", "near"):
        mine, other = (found.get(f"{task} {who}") for who in SIDES)
        if mine and other:
            ratios = [b[0] / a[0] for a, b in zip(mine, other, strict=True)]
            lines.append(
                f"- {task}: mixdesk is {statistics.median(ratios):.2f} times as fast "
                f"({min(ratios):.2f} – {max(ratios):.2f})"
            )
    text = "\n".join(lines) + "\n"
    print(text)
    (Path(__file__).parent / "results" / f"corpus_{machine_class()}_{date.today():%Y%m}.md").write_text(text)


if __name__ == "__main__":
    main()
