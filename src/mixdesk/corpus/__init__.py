"""Texts to counted token shards, and the deterministic mixture stream over them."""
