"""How well do splitters that learn find domains? Each beside its rivals in the same run.

    OMP_NUM_THREADS=1 python benchmarks/splitters.py [FOLDER] [SEEDS]

1. with FOLDER, JSONL of texts, one file per domain, whose labels are hidden: adjusted Rand index of `by_cluster` by
   each method, of `by_mixture` from 1 % of the labels (one per domain at least; exact, and a fifth of them wrong) and
   of its parts, and of k-means from one start on the same vectors
2. with FOLDER: a taxonomy of every other domain that grows to all: what old corners and stored vectors are worth
   afterwards, beside a softmax classifier retrained
3. clusters of different shapes, and equal ones near the threshold of exact recovery: k-means, EM, the semidefinite
   relaxation, its likelihood-adjusted form, and EM from there
4. a mixture from three labels per domain, a fifth of them wrong, beside the nearest labelled mean
5. four classes that become seven: fixed corners with and without the compatibility loss, and a learned classifier

Writes `results/splitters_<machine class>_<yyyymm>.md`; `s` are processor seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from datetime import date
from io import StringIO
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from demo import machine_class
from mixdesk.core.corpus import Document
from mixdesk.core.observations import Floats, Ints
from mixdesk.domains.by_cluster import METHODS, ByCluster
from mixdesk.domains.by_mixture import ByMixture
from mixdesk.domains.embed import Embedder
from mixdesk.domains.gaussian import adapt, adapt_online, start
from mixdesk.domains.likelihood import RIDGE, covariances, group
from mixdesk.domains.simplex import corners, nearest, train


def table(title: str, rows: dict[str, list[Sequence[float]]], columns: Sequence[str], first: str = "") -> None:
    """Means over seeds."""
    print(f"\n{title}\n\n| {first} | " + " | ".join(columns) + " |\n| --- |" + " ---: |" * len(columns))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in np.nanmean(np.array(values, float), axis=0)) + " |")


def read(folder: Path) -> tuple[list[str], Ints, list[str]]:
    texts, truth, names = [], [], []
    for path in sorted(folder.glob("*.jsonl")):
        names.append(path.stem)
        for line in path.read_text(encoding="utf-8").splitlines():
            texts.append(json.loads(line)["text"])
            truth.append(len(names) - 1)
    return texts, np.array(truth), names


def weak(truth_n: Ints, k: int, rng: np.random.Generator, wrong: float) -> tuple[Ints, Ints]:
    """Rows that are labelled, 1 % and one of each domain, and what their labels say."""
    rows = rng.permutation(len(truth_n))[: len(truth_n) // 100]
    missing = sorted(set(range(k)) - set(truth_n[rows].tolist()))
    rows = np.concatenate([rows, [rng.choice(np.flatnonzero(truth_n == g)) for g in missing]]).astype(int)
    said = truth_n[rows].copy()
    # Never the only label of a domain: without one it could not be found.
    safe = np.unique(said, return_index=True)[1]
    for i in np.setdiff1d(np.flatnonzero(rng.random(len(rows)) < wrong), safe):
        said[i] = rng.choice(np.setdiff1d(np.arange(k), said[i]))
    return rows, said


def on_text(texts: list[str], truth_n: Ints, names: list[str], seeds: int) -> None:
    k, n = len(names), len(texts)
    bare = [Document(text=text) for text in texts]
    rows: dict[str, list[Sequence[float]]] = {}
    for seed in range(seeds):
        V_np = Embedder(width=32, seed=seed).fit(texts).of(texts).astype(float)

        def score(found_n: Ints | list[str], took: float, free_n: Ints, sure_n: Ints | None = None) -> Sequence[float]:
            found = np.array(found_n)
            named = np.array(names)[found] if found.dtype.kind == "i" else found
            right_n = (named == np.array(names)[truth_n])[free_n]
            good = right_n.mean() if right_n.any() else np.nan
            sure = (np.nan, np.nan)
            if sure_n is not None:
                sure = (right_n[sure_n[free_n]].mean(), sure_n[free_n].mean())
            return adjusted_rand_score(truth_n[free_n], found[free_n]), good, *sure, took

        everything = np.arange(n)
        for name, run in (
            ("k-means, one start", lambda s=seed, V=V_np: KMeans(k, n_init=1, random_state=s).fit_predict(V)),
            *(
                (
                    f"by_cluster, {method}",
                    lambda s=seed, m=method: [
                        max(d, key=d.get, default="")
                        for d in ByCluster(method=m, k=k, seed=s).prepare(bare).label(bare)
                    ],
                )
                for method in METHODS
            ),
        ):
            began = time.process_time()
            found = np.unique(run(), return_inverse=True)[1]
            ari = adjusted_rand_score(truth_n, found)
            rows.setdefault(name, []).append((ari, np.nan, np.nan, np.nan, time.process_time() - began))
        for wrong in (0.0, 0.2):
            labelled, said = weak(truth_n, k, np.random.default_rng(seed), wrong)
            free = np.setdiff1d(everything, labelled)
            by_row = dict(zip(labelled.tolist(), said.tolist(), strict=True))
            given = [
                Document(text=text, label=names[by_row[i]] if i in by_row else None) for i, text in enumerate(texts)
            ]
            began = time.process_time()
            shares = ByMixture(seed=seed).prepare(given).label(bare)
            took = time.process_time() - began
            sure_n = np.array([max(d.values()) > 0.95 for d in shares])
            mark = ", a fifth wrong" if wrong else ""
            rows.setdefault(f"by_mixture, 1 % of labels{mark}", []).append(
                score([max(d, key=d.get) for d in shares], took, free, sure_n)
            )
            allowed_nk = np.ones((n, k), bool)
            allowed_nk[labelled] = np.arange(k) == said[:, None]
            first = start(V_np, allowed_nk)
            for name, model in (
                ("nearest labelled mean", first),
                ("EM, variance shared", adapt(V_np, allowed_nk, first, own=False).model),
                ("EM, own variances", adapt(V_np, allowed_nk, first, own=True).model),
                ("EM in batches of 256", adapt_online(V_np, allowed_nk, first, batch=256, seed=seed)),
            ):
                R_nk = model.weigh(V_np)
                rows.setdefault(f"— {name}{mark}", []).append(score(R_nk.argmax(1), np.nan, free, R_nk.max(1) > 0.95))
    table(
        f"## Labels hidden: {n:,} texts of {k} domains, {seeds} seeds",
        rows,
        ("ARI", "accuracy", "where confidence > 0.95", "share of those", "s"),
    )


def softmax_train(X_np: Floats, y_n: Ints, k: int, d: int, seed: int, steps: int = 600) -> tuple[Floats, Floats]:
    """A learned classifier: vectors x W, class vectors the columns of C, by the same Adam."""
    rng = np.random.default_rng(seed)
    theta = [rng.normal(0, X_np.shape[1] ** -0.5, (X_np.shape[1], d)), rng.normal(0, d**-0.5, (d, k))]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in theta]
    for t in range(steps):
        rows = rng.choice(len(X_np), min(128, len(X_np)), replace=False)
        x, h = X_np[rows], X_np[rows] @ theta[0]
        R = (softmax(h @ theta[1], 1) - np.eye(k)[y_n[rows]]) / len(rows)
        for i, g in enumerate((x.T @ (R @ theta[1].T), h.T @ R)):
            first, second = moments[i]
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
            moments[i] = first, second
            rate = 0.01 * (1 + np.cos(np.pi * t / steps))
            theta[i] = theta[i] - rate * (first / (1 - 0.9 ** (t + 1))) / (
                np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8
            )
    return theta[0], theta[1]


def growing(X_np: Floats, y_n: Ints, old_k: Ints, k: int, reserved: int, seed: int) -> dict[str, Sequence[float]]:
    """Classes `old_k` become all k. Half of the rows are learned from and stored, the other half asks."""
    order = np.random.default_rng(seed).permutation(len(y_n))
    kept, ask = order[: len(order) // 2], order[len(order) // 2 :]
    known, old_ask = kept[np.isin(y_n[kept], old_k)], ask[np.isin(y_n[ask], old_k)]
    everything = np.arange(k)

    def row(query: Floats, old: Floats, new: Floats, old_query: Floats, logits: Sequence[Floats]) -> Sequence[float]:
        before, cross, own = (
            float((nearest(q[ask], g[kept], y_n[kept]) == y_n[ask]).mean())
            for q, g in ((old_query, old), (query, old), (query, new))
        )
        by_old = float((old_k[logits[0][old_ask].argmax(1)] == y_n[old_ask]).mean())
        by_all = float((logits[1][ask].argmax(1) == y_n[ask]).mean())
        return before, cross, own, float(cross > before), by_old, by_all

    W, C = softmax_train(X_np[known], np.searchsorted(old_k, y_n[known]), len(old_k), reserved - 1, seed)
    W2, C2 = softmax_train(X_np[kept], y_n[kept], k, reserved - 1, seed + 100)
    told = {"learned, retrained": row(X_np @ W2, X_np @ W, X_np @ W2, X_np @ W, (X_np @ W2 @ C, X_np @ W2 @ C2))}
    past = train(X_np[known], y_n[known], k=reserved, seed=seed)
    for name, new in (
        ("fixed corners, retrained", train(X_np[kept], y_n[kept], k=reserved, seed=seed + 100)),
        ("fixed corners and HOC", train(X_np[kept], y_n[kept], k=reserved, old=past, seed=seed)),
    ):
        logits = [new.weigh(X_np, old_k), new.weigh(X_np, everything)]
        told[name] = row(new.vectors(X_np), past.vectors(X_np), new.vectors(X_np), past.vectors(X_np), logits)
    return told


GROWN = (
    "old self",
    "new queries, old vectors",
    "new self",
    "compatible",
    "old class vectors, new features",
    "accuracy",
)


def grown(title: str, world: Callable[[int], tuple[Floats, Ints, Ints, int, int]], seeds: int) -> None:
    rows: dict[str, list[Sequence[float]]] = {}
    for seed in range(seeds):
        for name, values in growing(*world(seed), seed).items():
            rows.setdefault(name, []).append(values)
    table(title, rows, GROWN)


def missed(found_n: Ints, truth_n: Ints, k: int) -> float:
    return min(float((np.array(order)[found_n] != truth_n).mean()) for order in permutations(range(k)))


def shapes(seed: int, p: int, sep: float, n: int = 90, k: int = 3) -> tuple[Floats, Ints]:
    """Means N(0, sep²), covariances turned at random with eigenvalues e^U(−2.3, 1.2)."""
    rng = np.random.default_rng(seed)
    truth_n, X_np = np.arange(n) % k, np.zeros((n, p))
    for g, mean_p in enumerate(rng.normal(0.0, sep, (k, p))):
        turn_pp = np.linalg.qr(rng.normal(size=(p, p)))[0]
        std_p = np.exp(0.5 * rng.uniform(-2.3, 1.2, p))
        X_np[truth_n == g] = mean_p + (rng.normal(size=((truth_n == g).sum(), p)) * std_p) @ turn_pp.T
    return X_np, truth_n


def threshold(seed: int, gap: float, n: int = 90, k: int = 3, p: int = 10) -> tuple[Floats, Ints]:
    """Unit Gaussians at the corners of a simplex, `gap` times the distance from which exact recovery is possible.

    That distance squared is 4 (1 + √(1 + k p / (n log n))) log n (Chen and Yang 2021).
    """
    side = gap * np.sqrt(4.0 * (1.0 + np.sqrt(1.0 + k * p / (n * np.log(n)))) * np.log(n))
    mean_kp = np.eye(k, p) * side / np.sqrt(2.0)
    truth_n = np.arange(n) % k
    return mean_kp[truth_n] + np.random.default_rng(seed).normal(size=(n, p)), truth_n


def rivals(X_np: Floats, truth_n: Ints, seed: int, k: int = 3) -> dict[str, float]:
    ridge = RIDGE * float(X_np.var(0).mean())
    found = group(X_np, k)

    def em(**options: object) -> Ints:
        return GaussianMixture(k, reg_covar=ridge, random_state=seed, **options).fit_predict(X_np)

    after = em(
        weights_init=np.bincount(found.label_n, minlength=k) / len(X_np),
        means_init=[X_np[found.label_n == g].mean(0) for g in range(k)],
        precisions_init=[np.linalg.inv(sigma) for sigma in covariances(X_np, found.label_n, k)],
    )
    answers = {
        "k-means ×1, random start": KMeans(k, init="random", n_init=1, random_state=seed).fit_predict(X_np),
        "k-means ×10": KMeans(k, n_init=10, random_state=seed).fit_predict(X_np),
        "EM ×1": em(init_params="random_from_data"),
        "EM ×10": em(init_params="random_from_data", n_init=10),
        "plain relaxation": found.plain_n,
        "likelihood-adjusted": found.label_n,
        "likelihood-adjusted, then EM": after,
    }
    return {name: missed(answer, truth_n, k) for name, answer in answers.items()}


def relaxations(seeds: int) -> None:
    rows: dict[str, list[list[float]]] = {}
    cases = [lambda s: shapes(s, 4, 1.3), lambda s: shapes(s, 15, 0.8)]
    cases += [lambda s, gap=gap: threshold(s, gap) for gap in (0.6, 0.8, 1.0)]
    for seed in range(seeds):
        found = [rivals(*case(seed), seed) for case in cases]
        for name in found[0]:
            rows.setdefault(name, []).append(
                [one[name] for one in found] + [float(one[name] == 0.0) for one in found[2:]]
            )
    gaps = ("gap 0.6", "gap 0.8", "gap 1.0")
    columns = ["shapes, p = 4", "shapes, p = 15", *gaps, *(f"exact, {gap}" for gap in gaps)]
    table(f"## Share of vectors in the wrong cluster, n = 90, 3 clusters, {seeds} seeds", rows, columns)


def weak_world(seed: int, k: int = 5, p: int = 16, n: int = 2000) -> tuple[Floats, Ints, np.ndarray]:
    """Domains of two clusters of different shapes; three labels each, of which a fifth is wrong."""
    rng = np.random.default_rng(seed)
    mean_k2p = rng.normal(0.0, 0.5, (k, 1, p)) + rng.normal(0.0, 0.3, (k, 2, p))
    std_k2p = np.exp(rng.uniform(-0.7, 0.7, (k, 2, p)))
    truth_n, part_n = rng.integers(k, size=n), rng.integers(2, size=n)
    X_np = mean_k2p[truth_n, part_n] + std_k2p[truth_n, part_n] * rng.normal(size=(n, p))
    allowed_nk = np.ones((n, k), bool)
    for domain in range(k):
        for i, row in enumerate(np.flatnonzero(truth_n == domain)[:3]):
            right = i == 0 or rng.random() > 0.3
            allowed_nk[row] = np.arange(k) == (domain if right else (domain + rng.integers(1, k)) % k)
    return X_np, truth_n, allowed_nk


def mixtures(seeds: int) -> None:
    rows: dict[str, list[Sequence[float]]] = {}
    for seed in range(seeds):
        X_np, truth_n, allowed_nk = weak_world(seed)
        first = start(X_np, allowed_nk)
        for name, model in (
            ("nearest labelled mean", first),
            ("EM, variance shared", adapt(X_np, allowed_nk, first, own=False).model),
            ("EM, own variances", adapt(X_np, allowed_nk, first, own=True).model),
            ("EM in batches of 256", adapt_online(X_np, allowed_nk, first, batch=256, seed=seed)),
        ):
            R_nk = model.weigh(X_np)
            right_n, sure_n = R_nk.argmax(1) == truth_n, R_nk.max(1) > 0.95
            rows.setdefault(name, []).append((right_n.mean(), right_n[sure_n].mean(), sure_n.mean()))
    columns = ("accuracy", "where confidence > 0.95", "share of those")
    table(f"## Three labels per domain, a fifth wrong; 5 domains of 2 clusters, {seeds} seeds", rows, columns)


def classes(seed: int) -> tuple[Floats, Ints, Ints, int, int]:
    rng = np.random.default_rng(seed)
    mean_kp, y_n = rng.normal(0.0, 0.7, (7, 20)), rng.integers(7, size=2800)
    return mean_kp[y_n] + rng.normal(size=(2800, 20)), y_n, np.arange(4), 7, 16


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    print("# Splitters that learn\n")
    asked = f"{folder.name} {seeds}" if folder else ""
    print(f"Command: `python benchmarks/splitters.py {asked}`. {date.today()}, {machine_class()}.")
    if folder is not None:
        texts, truth_n, names = read(folder)
        on_text(texts, truth_n, names, seeds)
        X_np = Embedder().fit(texts).of(texts).astype(float)
        k = len(names)
        grown(
            f"## A taxonomy of {len(range(0, k, 2))} domains that grows to {k}: the same texts, {seeds} seeds",
            lambda seed: (X_np, truth_n, np.arange(0, k, 2), k, 64),
            seeds,
        )
    relaxations(max(seeds, 6))
    mixtures(10)
    grown("## Four classes that become seven, 20 features, 16 corners, 5 seeds", classes, 5)
    worst = np.abs(corners(64) @ corners(64).T - (np.eye(64) * 64 - 1) / 63).max()
    print(f"\nCorners: largest error of the Gram matrix {worst:.1e} at k = 64.")


if __name__ == "__main__":
    told = StringIO()
    with redirect_stdout(told):
        main()
    print(told.getvalue())
    out = Path(__file__).parent / "results" / f"splitters_{machine_class()}_{date.today():%Y%m}.md"
    out.write_text(told.getvalue(), encoding="utf-8")
