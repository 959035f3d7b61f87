"""Splitters: a corpus cut into named domains."""

PARTS: dict[str, str] = {"by_label": "by_label:ByLabel"}
