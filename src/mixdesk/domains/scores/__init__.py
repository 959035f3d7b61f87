"""Scorers: the quality of documents, one part a file."""

PARTS: dict[str, str] = {}
