"""Write docs/papers.md from docs/references.toml: paper → module → test → figure → deviation, or why it is not built.

Run `python scripts/papers.py` after a change of the references; `tests/test_house.py` asserts that it was run.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"

HEAD = """# Papers

Made from [references.toml](references.toml) by `scripts/papers.py`; edit that file, not this one. A method counts as
built when a module holds it and a test proves it. *Figure*: our result files that show it beside its baselines.
*Claimed*: figures of the paper's abstract, as it states them; we have not reproduced them unless a figure of ours
says so. Ids marked † are quoted from memory.
"""


def page(references: dict[str, dict[str, Any]]) -> str:
    """The whole page as Markdown."""
    built = {key: ref for key, ref in references.items() if ref["status"] == "built"}
    later = {key: ref for key, ref in references.items() if ref["status"] != "built"}
    rows = [
        "## Built",
        "",
        "| paper | module | test | figure | what we do differently |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, ref in built.items():
        cells = [_paper(key, ref), _code(ref["modules"]), _code(ref["tests"]), _code(ref.get("results", []))]
        rows.append(_row([*cells, ref["deviation"]]))
    rows += ["", "## Not built", "", "| # | paper | claimed | why not |", "| --- | --- | --- | --- |"]
    for key, ref in later.items():
        rows.append(_row([str(ref["number"]), _paper(key, ref), ref.get("figures", "–"), ref["note"]]))
    return HEAD + "\n" + "\n".join(rows) + "\n"


def _paper(key: str, ref: dict[str, Any]) -> str:
    parts = [f"**{ref['name']}** (`{key}`). {ref['title']}."]
    if "authors" in ref:
        parts.append(f"{ref['authors']}.")
    if "arxiv" in ref:
        mark = "†" if ref["id_status"] == "memory" else ""
        parts.append(f"[{ref['arxiv']}](https://arxiv.org/abs/{ref['arxiv']}){mark}")
    if "link" in ref:
        parts.append(ref["link"])
    return " ".join(parts)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none yet"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    found = tomllib.loads((DOCS / "references.toml").read_text(encoding="utf-8"))
    (DOCS / "papers.md").write_text(page(found), encoding="utf-8")
