"""Write the catalogue: src/mixdesk/methods.json and docs/papers.md.

`methods.json` holds every part of the part tables with the figures that benchmarks/results has for it; docs/papers.md
shows src/mixdesk/references.toml: paper → module → test → figure → deviation, or why it is not built. Run it after a
change of parts, references or results; `tests/test_house.py` asserts that it was run.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixdesk.api.papers import METHODS, find_papers
from mixdesk.core import registry
from mixdesk.core.paper import CatalogueEntry, Paper

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGE = ROOT / "src" / "mixdesk"

HEAD = """# Papers

Made from `src/mixdesk/references.toml` by `scripts/papers.py`; edit that file, not this one. `mixdesk papers` searches
it on the command line. A method counts as built when a module holds it and a test proves it. *Measured*: figures of
our result files that show its parts beside their baselines. *Claimed*: figures of the paper's abstract, as it states
them; we have not reproduced them unless a figure of ours says so. Ids marked † are quoted from memory.
"""


def page() -> str:
    """The whole of docs/papers.md."""
    entries = [entry for entry in find_papers() if entry.paper is not None]
    rows = [
        "## Built",
        "",
        "| paper | module | test | measured | what we do differently |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in entries:
        ref = entry.paper
        if ref.status == "built":
            cells = [_paper(ref), _code(ref.modules), _code(ref.tests), _measured(entry), ref.deviation]
            rows.append(_row(cells))
    rows += ["", "## Not built", "", "| # | paper | claimed | why not |", "| --- | --- | --- | --- |"]
    for entry in entries:
        ref = entry.paper
        if ref.status != "built":
            rows.append(_row([str(ref.number), _paper(ref), ref.figures or "–", ref.note]))
    return HEAD + "\n" + "\n".join(rows) + "\n"


def methods() -> str:
    """The whole of methods.json: each part with title, module, paper and figures."""
    figures = {"laws": _of_laws(), "strategies": _of_strategies(), "splitters": _of_splitters()}
    rows = []
    for kind in registry.ROOMS:
        for name in registry.names(kind):
            part = registry.part(kind, name)
            row = {"kind": kind, "name": name, "title": part.title, "module": part.__module__, "paper": part.reference}
            rows.append({**row, "measured": figures.get(kind, {}).get(name, [])})
    return json.dumps({"schema": 1, "methods": rows}, indent=1, ensure_ascii=False) + "\n"


def _of_laws() -> dict[str, list[dict[str, Any]]]:
    """Rank correlation on unseen mixtures, of laws fitted to few and to all of RegMix's small runs."""
    path, found = _newest("fidelity_test_*.md"), {}
    for row in _headed(path)[0][1]:
        if row["where"] == "1M test" and row["n"] in ("64", "512"):
            on = f"256 unseen mixtures, law of {row['n']} of RegMix's 1M-parameter runs"
            found.setdefault(row["law"], []).append(_figure("rank correlation", on, float(row["Spearman"]), path))
    return found


def _of_strategies() -> dict[str, list[dict[str, Any]]]:
    """Median regret over the league's worlds of one size, by their number of domains; regret on recorded runs."""
    path, at_end = _newest("league_*.md"), {}
    for heading, rows in _headed(path):
        n_domains = re.search(r"-(\d+)$", heading)
        # Cases of several sizes have contestants of their own.
        if n_domains is None or any("target only" in row["contestant"] for row in rows):
            continue
        for row in rows:
            at_end.setdefault((row["contestant"], int(n_domains[1])), []).append(float(row["at the end"]))
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, d), values in at_end.items():
        on = f"median of {len(values)} worlds of {d} domains after {4 * (d + 1)} trials"
        value = round(statistics.median(values), 4)
        found.setdefault(name, []).append(_figure("sd of the objective from the best mixture", on, value, path))
    path = _newest("replay_*.md")
    for heading, rows in _headed(path):
        if heading.startswith("Pile-CC") and "strategy" in rows[0]:
            for row in rows:
                on, value = "after 64 of RegMix's recorded runs, Pile-CC, mean of 50 seeds", row["64 runs"].split()[0]
                found.setdefault(row["strategy"], []).append(
                    _figure("nats per token of regret", on, float(value), path)
                )
    return found


def _of_splitters() -> dict[str, list[dict[str, Any]]]:
    """Agreement of found domains with hidden labels."""
    path, found = _newest("splitters_*.md"), {}
    for heading, rows in _headed(path):
        if heading.startswith("Labels hidden"):
            for row in rows:
                name, _, how = row[""].partition(", ")
                on = f"{heading[0].lower()}{heading[1:]}" + (f"; {how}" if how else "")
                found.setdefault(name, []).append(_figure("adjusted Rand index", on, float(row["ARI"]), path))
    return found


def _figure(quantity: str, on: str, value: float, path: Path) -> dict[str, Any]:
    return {"quantity": quantity, "on": on, "value": value, "source": str(path.relative_to(ROOT))}


def _newest(pattern: str) -> Path:
    """The result file with the last date (its name ends in _yyyymm)."""
    return max(RESULTS.glob(pattern), key=lambda path: path.stem[-6:])


def _headed(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """The tables of a Markdown file as rows of column → cell, each with the heading above it."""
    found: list[tuple[str, list[dict[str, str]]]] = []
    heading, keys = "", None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|\n").split("|")] if line.startswith("|") else None
        if cells is None:
            keys = None
        elif keys is None:
            keys = cells
            found.append((heading, []))
        elif not set(line) <= set("|-: "):
            found[-1][1].append(dict(zip(keys, cells, strict=True)))
    return found


def _paper(ref: Paper) -> str:
    parts = [f"**{ref.name}** (`{ref.key}`). {ref.title}."]
    if ref.authors:
        parts.append(f"{ref.authors}.")
    if ref.arxiv:
        mark = "†" if ref.id_status == "memory" else ""
        parts.append(f"[{ref.arxiv}](https://arxiv.org/abs/{ref.arxiv}){mark}")
    if ref.link:
        parts.append(ref.link)
    return " ".join(parts)


def _measured(entry: CatalogueEntry) -> str:
    """Figures of the parts, then the result files named in the references."""
    said = [f"`{one.name}`: {f.value:g} {f.quantity}, {f.on}" for one in entry.methods for f in one.measured]
    return "; ".join([*said, *(f"`{path}`" for path in entry.paper.results)]) or "none yet"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none yet"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write(path: Path, made: Callable[[], str]) -> None:
    """Write one page."""
    path.write_text(made(), encoding="utf-8")
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    write(PACKAGE / METHODS, methods)
    write(ROOT / "docs" / "papers.md", page)
