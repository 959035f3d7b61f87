"""Near-duplicates and decontamination: how many are found, how many wrongly, and how fast, beside other tools.

    python benchmarks/near.py [--documents N] [--seed N]

Text is what is installed: files of the standard library and of numpy, scipy and scikit-learn, cut into pieces of 150
words. To natural near-copies we add planted ones, pieces with words replaced until their Jaccard similarity to the
original (sets of 5-word n-grams) is about .45 … 1. The exact similarity of every pair is known from a sparse product.

Tools, on the same words and n-grams: ours (128 and 256 hashes); ours by bands alone, joined by connected components;
datasketch's MinHash and MinHashLSH (128), each text asked for in the order it comes; datatrove's signatures (14 buckets
of 8) joined by connected components, as its later stages do. datatrove's English tokenizer is spaCy's; here it gets a
regular expression, which favours it. Seconds are CPU seconds of one process, signatures alone.

Decontamination: an index of standard library docstring paragraphs as evaluation items, and the other packages' files
scanned, with each item planted once, edited or not.

Writes `benchmarks/results/near_<machine class>_<yyyymm>.md`. Needs the extra `bench` of this project.
"""

from __future__ import annotations

import argparse
import random
import re
import sysconfig
import time
import tracemalloc
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from datasketch import MinHash, MinHashLSH
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

import mixdesk as mx
from demo import machine_class
from mixdesk.corpus.decontaminate import Index
from mixdesk.corpus.near import Near, duplicates, signatures
from mixdesk.corpus.ngrams import ngrams, words

LIBRARY, PACKAGES = (Path(sysconfig.get_paths()[key]) for key in ("stdlib", "purelib"))
EDGES = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.01)
THRESHOLD = 0.8
EDITS = ("verbatim", "upper case", "white space", "no punctuation", "word changed", "word left out", "word added")


def files(n_characters: int, seed: int) -> list[str]:
    paths = sorted(LIBRARY.glob("*.py"))
    for name in ("numpy", "scipy", "sklearn"):
        paths += sorted((PACKAGES / name).rglob("*.py"))
    random.Random(seed).shuffle(paths)
    texts, total = [], 0
    for path in paths:
        texts.append(path.read_text("utf-8", "ignore"))
        total += len(texts[-1])
        if total > n_characters:
            break
    return texts


def pieces(texts: list[str], n: int = 150) -> list[str]:
    found = [re.findall(r"[a-z0-9]+", text.lower()) for text in texts]
    return [" ".join(one[i : i + n]) for one in found for i in range(0, len(one) - n + 1, n)]


def planted(originals: list[str], rng: random.Random) -> list[str]:
    """Copies with words replaced at random places, 0 to 12: similarities from 1 to about .45."""
    copies = []
    for text in originals:
        found = text.split()
        for at in rng.sample(range(len(found)), rng.randint(0, 12)):
            found[at] = f"x{rng.randrange(10**6)}"
        copies.append(" ".join(found))
    return copies


def highest(texts: list[str]) -> np.ndarray:
    """Highest exact similarity of each text to an earlier one."""
    hash_g, offset_n = ngrams(*words(texts), 5, short=True)
    unique, column = np.unique(hash_g, return_inverse=True)
    sets = csr_matrix((np.ones(len(column)), column, offset_n), shape=(len(texts), len(unique)))
    sets.data[:] = 1
    sets.sum_duplicates()
    sets.data[:] = 1
    size = np.asarray(sets.sum(axis=1)).ravel()
    common = (sets @ sets.T).tocoo()
    earlier = common.col < common.row
    row, col, both = common.row[earlier], common.col[earlier], common.data[earlier]
    best = np.zeros(len(texts))
    np.maximum.at(best, row, both / (size[row] + size[col] - both))
    return best


def joined(bands: list[list[bytes]] | np.ndarray) -> np.ndarray:
    """Which texts go when texts with an equal band are one cluster."""
    keys = [[(b, key) for b, key in enumerate(one)] for one in (bands.tolist() if hasattr(bands, "tolist") else bands)]
    heads: dict[object, int] = {}
    row, col = [], []
    for i, one in enumerate(keys):
        for key in one:
            row.append(i)
            col.append(heads.setdefault(key, i))
    graph = csr_matrix((np.ones(len(row)), (row, col)), shape=(len(keys), len(keys)))
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max() + 1, len(keys))
    np.minimum.at(first, label, np.arange(len(keys)))
    return first[label] != np.arange(len(keys))


def by_datasketch(texts: list[str], seconds: list[float]) -> np.ndarray:
    start = time.process_time()
    made = []
    for text in texts:
        found = text.split()
        one = MinHash(num_perm=128)
        one.update_batch([" ".join(found[i : i + 5]).encode() for i in range(max(len(found) - 4, 1))])
        made.append(one)
    seconds.append(time.process_time() - start)
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    gone = np.zeros(len(texts), bool)
    for i, one in enumerate(made):
        gone[i] = bool(lsh.query(one))
        if not gone[i]:
            lsh.insert(i, one)
    return gone


def hash_bytes(text: str) -> int:
    """The hash datatrove takes; its wrapper hands over strings, which xxhash 4 no longer takes."""
    return xxhash.xxh64_intdigest(text.encode())


class Words:
    """A tokenizer for datatrove."""

    def word_tokenize(self, text: str) -> list[str]:
        """Runs of letters and digits."""
        return re.findall(r"\w+", text)


def by_datatrove(texts: list[str], seconds: list[float]) -> np.ndarray:
    step = MinhashDedupSignature.__new__(MinhashDedupSignature)
    step.config, step.num_hashes, step._parameters = MinhashConfig(), 14 * 8, None
    step._hash_func, step.word_tokenizer = hash_bytes, Words()
    start = time.process_time()
    made = [step.get_signature(step.get_shingles(text)) for text in texts]
    seconds.append(time.process_time() - start)
    return joined([[tuple(bucket) for bucket in one] for one in made])


def by_ours(n_hashes: int) -> Callable[[list[str], list[float]], np.ndarray]:
    def run(texts: list[str], seconds: list[float]) -> np.ndarray:
        near = Near(threshold=THRESHOLD, n_hashes=n_hashes)
        signatures(texts[:1], near)
        start = time.process_time()
        bands_nb = signatures(texts, near)
        seconds.append(time.process_time() - start)
        return duplicates(bands_nb, near) != np.arange(len(texts))

    return run


def by_bands(texts: list[str], seconds: list[float]) -> np.ndarray:
    start = time.process_time()
    bands_nb = signatures(texts, Near(threshold=THRESHOLD))
    seconds.append(time.process_time() - start)
    return joined(bands_nb)


TOOLS = {
    "ours, 128 hashes (128 B a text)": by_ours(128),
    "ours, 256 hashes (256 B a text)": by_ours(256),
    "ours, 128, bands alone, connected": by_bands,
    "datasketch, 128": by_datasketch,
    "datatrove, 14 × 8, connected": by_datatrove,
}


def found(texts: list[str], best: np.ndarray) -> list[str]:
    names = [f"{low:.2f}–{min(high, 1):.2f}" for low, high in pairwise(EDGES)]
    of_bin = np.digitize(best, EDGES) - 1
    lines = [
        "| tool | texts/s | recall ≥ .8 | recall ≥ .9 | precision ≥ .8 | precision ≥ .7 | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * (5 + len(names)),
        "| texts | | | | | | " + " | ".join(str((of_bin == k).sum()) for k in range(len(names))) + " |",
    ]
    for name, tool in TOOLS.items():
        seconds: list[float] = []
        gone = tool(texts, seconds)
        shares = [f"{gone[of_bin == k].mean():.3f}" for k in range(len(names))]
        quality = (gone[best >= 0.8].mean(), gone[best >= 0.9].mean(), *((best[gone] >= t).mean() for t in (0.8, 0.7)))
        row = [f"{len(texts) / seconds[0]:,.0f}", *(f"{value:.3f}" for value in quality), *shares]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return lines


def large(n: int, seed: int) -> str:
    """Time and memory of duplicates() on n made signatures, a tenth of them copies with a part changed."""
    rng = np.random.default_rng(seed)
    bands_nb = rng.integers(0, 2**64, (n, 16), dtype=np.uint64)
    late = np.arange(n - n // 10, n)
    early = rng.integers(0, n - n // 10, len(late))
    bands_nb[late] = bands_nb[early]
    bands_nb[late, rng.integers(0, 16, len(late))] += np.uint64(1)
    start = time.process_time()
    copy_n = duplicates(bands_nb, Near())
    took = time.process_time() - start
    wrong = int((copy_n[late] != early).sum()) + int((copy_n[: n - n // 10] != np.arange(n - n // 10)).sum())
    tracemalloc.start()
    duplicates(bands_nb[: n // 10], Near())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (
        f"`duplicates` of {n:,} made signatures, a tenth of them copies: {took:.1f} s, {wrong} wrong; "
        f"{peak / (n // 10):.0f} bytes a text beside the signatures' 128 (of {n // 10:,})."
    )


def paragraphs(texts: list[str]) -> list[str]:
    strings = [one for text in texts for one in re.findall(r'"""(.+?)"""', text, re.DOTALL)]
    return list(dict.fromkeys(" ".join(one.split()) for text in strings for one in text.split("\n\n")))


def edit(text: str, kind: str) -> str:
    parts = text.split(" ")
    plain = [i for i, part in enumerate(parts) if re.fullmatch(r"[a-zA-Z]+", part)]
    at = min(plain, key=lambda i: abs(i - len(parts) // 2))
    return {
        "verbatim": text,
        "upper case": text.upper(),
        "white space": text.replace(" ", "\n  "),
        "no punctuation": re.sub(r"[^\w\s]", " ", text),
        "word changed": " ".join([*parts[:at], "zyzzyva", *parts[at + 1 :]]),
        "word left out": " ".join(parts[:at] + parts[at + 1 :]),
        "word added": " ".join([*parts[:at], "zyzzyva", *parts[at:]]),
    }[kind]


def decontamination(seed: int) -> list[str]:
    rng = random.Random(seed)
    items = [
        text
        for text in paragraphs([path.read_text("utf-8", "ignore") for path in sorted(LIBRARY.rglob("*.py"))[:1200]])
        if 8 <= len(re.findall(r"[^\W_]+", text)) <= 100 and re.search(r"(?:^| )[a-zA-Z]+(?: |$)", text)
    ]
    rng.shuffle(items)
    items = items[:5000]
    other = [path.read_text("utf-8", "ignore") for path in sorted((PACKAGES / "sklearn").rglob("*.py"))]
    prose = paragraphs(other)
    index = Index.build({str(i): [item] for i, item in enumerate(items)})
    size_i = np.diff(words(items)[1])
    known = [i for i in range(len(items)) if not index.small[str(i)]]
    lines = [
        f"{len(items)} items, {len(items) - len(known)} of them boilerplate or too few n-grams, {len(index.hash_g):,} "
        f"n-grams, {(index.hash_g.nbytes + index.item_g.nbytes + index.filter.nbytes) / len(index.hash_g):.1f} bytes "
        "each. Share of indexed items found again between two other paragraphs:",
        "",
        "| words | items | " + " | ".join(EDITS) + " |",
        "| --- | ---: |" + " ---: |" * len(EDITS),
    ]
    for low, high in ((8, 12), (12, 18), (18, 28), (28, 101)):
        some = [i for i in known if low <= size_i[i] < high]
        shares = []
        for kind in EDITS:
            texts = [f"{rng.choice(prose)} {edit(items[i], kind)} {rng.choice(prose)}" for i in some]
            shares.append(np.mean([str(i) in hits for i, hits in zip(some, index.scan(texts).hits, strict=True)]))
        lines.append(f"| {low}–{high - 1} | {len(some)} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    start = time.process_time()
    scan = index.scan(other)
    took = time.process_time() - start
    by_order = {
        order: {i for hits in scan.hits for i in map(int, hits) if index.order_i[i] == order} for order in (13, 8, 5)
    }
    n_bytes = sum(len(text.encode()) for text in other)
    held = ", ".join(f"{len(found)} with {order}-grams" for order, found in by_order.items())
    lines += [
        "",
        f"scikit-learn's {len(other)} files ({n_bytes / 1e6:.1f} MB) scanned at {n_bytes / took / 1e6:.0f} MB/s: "
        f"{sum(map(bool, scan.hits))} hold an item ({held}). They are:",
        "",
    ]
    every = sorted({i for found in by_order.values() for i in found})
    lines += [f"- {items[i][:150]}" for i in every[:20]]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    natural = pieces(files(args.documents * 1800, args.seed))[: args.documents]
    texts = natural + planted(rng.sample(natural, args.documents // 2), rng)
    best = highest(texts)
    versions = ", ".join(f"{name} {version(name)}" for name in ("rensa", "datasketch", "datatrove", "numpy"))
    lines = [
        "# Near-duplicates and decontamination",
        "",
        f"Command: `python benchmarks/near.py --documents {args.documents} --seed {args.seed}`. {date.today()}, "
        f"{machine_class()}. Versions: mixdesk {mx.__version__}, {versions}.",
        "",
        f"{len(natural)} pieces of 150 words of installed packages and {len(texts) - len(natural)} edited copies "
        f"({sum(map(len, texts)) / 1e6:.1f} MB). Threshold .8. Columns of numbers: share of texts that go, by their "
        "highest exact similarity to an earlier text. Precision ≥ t: share of texts that go with an earlier one at t.",
        "",
        *found(texts, best),
        "",
        large(1_000_000, args.seed),
        "",
        "## Evaluation items inside documents",
        "",
        *decontamination(args.seed),
    ]
    out = Path(__file__).parent / "results" / f"near_{machine_class()}_{date.today():%Y%m}.md"
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(out)


if __name__ == "__main__":
    main()
