"""A record with named fields (a line of JSON, a row of a table) to a document.

| field of the document | keys, the first that is there |
| --- | --- |
| text | `text`, `content` |
| label | `label`, `domain` |
| license | `license` |
| url | `url`, `source` |
| author | `author` |
| language | `language`, `lang` |
| scores | the mapping `scores`, and numbers whose key begins with `score` |

All but the text may also stand in a mapping `metadata`, where datatrove keeps them; the record's own go before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mixdesk.core import checks
from mixdesk.core.checks import Pairs
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.corpus.inputs import Skipped, bad, empty, is_safe, too_long

TEXT = ("text", "content")
FIELDS = {
    "label": ("label", "domain"),
    "license": ("license",),
    "url": ("url", "source"),
    "author": ("author",),
    "language": ("language", "lang"),
}
KEYS = frozenset(key for keys in FIELDS.values() for key in keys)


def document_of(record: Mapping[str, Any], label: str, where: str, skipped: Skipped) -> Document | None:
    """The document of a record, or None where it is left out.

    A text that is null is counted; what breaks the table above is refused: a record without text, a blank or too
    long one, a value of another type, a label that would leave its folder.

    Args:
        record: keys and values.
        label: of the document, where the record has none.
        where: place of the record, in words.
        skipped: says what is done with what cannot be used.

    Raises:
        InputError: a record is refused and `on_error` is "raise".
    """
    key = next((key for key in TEXT if key in record), "")
    text = record.get(key)
    if key and text is None:
        skipped.count("null text", f"`{where}` has null as its `{key}`")
        return None
    if not isinstance(text, str):
        shown: Any = f"{type(text).__name__} as `{key}`" if key else sorted(record)
        skipped.refuse("no text", bad(f"`{where}` has no text", shown, "an object with a string `text`", "add it"))
        return None
    try:
        n_bytes = len(text.encode())
        places = (record, _mapping("metadata", record.get("metadata")))
        fields = {name: _string(places, keys) for name, keys in FIELDS.items()}
        scores = _scores(places)
    except UnicodeEncodeError as error:
        shown = f"a lone surrogate at character {error.start}"
        skipped.refuse("not UTF-8", bad(f"`{where}` cannot be written as UTF-8", shown, "valid text", "correct it"))
        return None
    except InputError as error:
        wrong = f"`{where}` has a wrong field: {error.wrong}"
        skipped.refuse("wrong field", bad(wrong, error.value, error.bound, error.remedy))
        return None
    own = fields.pop("label") or label
    if not is_safe(own):
        bound = "a path of names without `..`, `\\` and outer blanks"
        skipped.refuse("unsafe label", bad(f"`{where}` has a label that is no path", own, bound, "rename it"))
    elif not text.strip():
        skipped.refuse("empty", empty(where))
    elif n_bytes > skipped.max_bytes:
        skipped.refuse("too long", too_long(where, skipped))
    else:
        return Document(
            text=text, label=own, license=fields["license"], source=where, url=fields["url"] or "",
            author=fields["author"] or "", language=fields["language"], scores=scores,
        )  # fmt: skip
    return None


def _string(places: tuple[Mapping[str, Any], ...], keys: tuple[str, ...]) -> str | None:
    """The first value under the keys that is neither null nor empty."""
    for place in places:
        for key in keys:
            value = place.get(key)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise InputError(f"wrong `{key}`", value=value, bound="a string or null", remedy="correct it")
            value.encode()
            return value
    return None


def _scores(places: tuple[Mapping[str, Any], ...]) -> Pairs:
    """Scores by name; null and NaN, which tables write for what is missing, are none."""
    found: dict[str, Any] = {}
    for place in reversed(places):
        found.update({k: v for k, v in place.items() if k.startswith("score") and k != "scores" and _is_number(v)})
        for name, value in _mapping("scores", place.get("scores")).items():
            if value is not None and not _is_number(value):
                raise InputError(f"wrong score `{name}`", value=value, bound="a number or null", remedy="correct it")
            found[name] = value
    if not found:
        return ()
    return checks.pairs("scores", {k: v for k, v in found.items() if v is not None and not math.isnan(v)})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    """A mapping, or the pairs that Arrow gives for one; null is an empty one."""
    if value is None:
        return {}
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return dict(value)
    if not isinstance(value, Mapping):
        raise InputError(f"wrong `{key}`", value=value, bound="a mapping or null", remedy="correct it")
    return value
