"""Cleaning steps: one document in, the document or the rule by which it goes out."""

PARTS: dict[str, str] = {}
