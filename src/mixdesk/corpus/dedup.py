"""Exact duplicates: equal text up to white space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


def content_key(text: str) -> bytes:
    """sha256 of the text with every run of white space as one blank and none at its ends.

    >>> content_key("a  b ") == content_key(" a b")
    True
    """
    return hashlib.sha256(" ".join(text.split()).encode()).digest()


@dataclass(kw_only=True)
class ExactDedup:
    """Keeps the first document of each content, over all domains, in the order they come.

    Evaluation text is held out: `hold_out` first, then a training document with the same content is a duplicate too.
    `duplicates` and `held_out` count, per domain, what was removed. Memory: 32 bytes (and Python's overhead) a text.
    """

    duplicates: dict[str, int] = field(default_factory=dict)
    held_out: dict[str, int] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set, repr=False)
    _sets: dict[str, set[bytes]] = field(default_factory=dict, repr=False)

    def hold_out(self, name: str, text: str) -> bool:
        """Whether the text is new to the evaluation set `name`."""
        return _is_new(self._sets.setdefault(name, set()), content_key(text))

    def keep(self, domain: str, text: str) -> bool:
        """Whether a training document of `domain` stays."""
        key = content_key(text)
        if any(key in one for one in self._sets.values()):
            self.held_out[domain] = self.held_out.get(domain, 0) + 1
            return False
        if not _is_new(self._seen, key):
            self.duplicates[domain] = self.duplicates.get(domain, 0) + 1
            return False
        return True


def _is_new(seen: set[bytes], key: bytes) -> bool:
    new = key not in seen
    seen.add(key)
    return new
