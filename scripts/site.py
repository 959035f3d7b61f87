"""What the documentation site makes when it is built, as a hook of MkDocs: see mkdocs.yml.

Methods: every part of the part tables with its docstrings, options, paper and figures, so that the page never goes
stale. Journeys: the pages that are there, in the navigation.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from mixdesk.api.papers import read_methods
from mixdesk.core import registry
from mixdesk.core.paper import read_papers

KINDS = {
    "laws": "Laws: mixture to metric, with intervals. `--law NAME`, or `[law]` in `study.toml`.",
    "strategies": "Strategies: who chooses the next mixtures, and the best one. `[strategy]` in `study.toml`.",
    "trainers": "Trainers: who answers a trial. `[trainer]` in `study.toml`.",
    "splitters": "Splitters: who names the domain of a document. `corpus build --splitter NAME`, `corpus split`.",
    "scorers": "Scorers: the quality of a document, for the splitter `by_quality`.",
    "steps": "Cleaning steps: `corpus build --clean`, or one by one with `--step NAME`.",
    "formats": "Formats: tokenised data of others, read by its index and written. `corpus import --format NAME`.",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the journeys that exist into the navigation."""
    pages = sorted(path.name for path in (Path(config.docs_dir) / "journeys").glob("*.md"))
    for entry in config.nav or []:
        if "Journeys" in entry:
            entry["Journeys"] = [f"journeys/{name}" for name in pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of methods, the changelog and the rules for contributors."""
    root = Path(config.config_file_path).parent
    files.append(File.generated(config, "methods.md", content=methods_page()))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        files.append(File.generated(config, name.lower(), content=(root / name).read_text(encoding="utf-8")))
    return files


def methods_page() -> str:
    """The page of methods as Markdown."""
    papers = {paper.key: paper for paper in read_papers()}
    measured = {(one.kind, one.name): one.measured for one in read_methods()}
    parts = ["# Methods", "Every part that ships, from the part tables and docstrings of the package."]
    for kind in registry.ROOMS:
        heading, _, use = KINDS.get(kind, kind.capitalize()).partition(": ")
        parts += [f"## {heading}", use[:1].upper() + use[1:]]
        for name in registry.names(kind):
            part = registry.part(kind, name)
            parts += [f"### `{name}`", f"**{part.title}** (`{part.__module__}`)"]
            if part.reference:
                paper = papers[part.reference]
                link = f" [{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else ""
                parts.append(f"Paper: *{paper.title}*{link}")
            module = inspect.getmodule(part)
            parts += [_prose(module.__doc__), _prose(part.__doc__), _options(part)]
            parts += [f"- {f.value:g} {f.quantity}, {f.on} (`{f.source}`)" for f in measured.get((kind, name), ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _prose(text: str | None) -> str:
    """A docstring as Markdown: its arguments become a list, formulas stay indented, brackets are no links."""
    text = inspect.cleandoc(text or "")
    before, args, rest = text.partition("Args:\n")
    listed = re.sub(r"\n\s{8,}", " ", rest)
    items = [re.sub(r"^\s+(\w+): ", r"- `\1`: ", line) for line in listed.splitlines() if line.strip()]
    text = before + ("\n".join(items) if args else "")
    # Outside of code, a pair of brackets would be read as a reference to another page.
    pieces = re.split(r"(`[^`]*`|^ {4}.*$)", text, flags=re.MULTILINE)
    return "".join(piece if i % 2 else re.sub(r"([\[\]<>])", r"\\\1", piece) for i, piece in enumerate(pieces))


def _options(part: Any) -> str:
    """The options of a part with their defaults."""
    options = [
        f"`{one.name} = {one.default!r}`" if one.default is not MISSING else f"`{one.name}`"
        for one in fields(part)
        if one.init
    ]
    return "Options: " + ", ".join(options) if options else ""
