"""Formats of others' token data: read by their index, written from our shards."""

PARTS: dict[str, str] = {}
