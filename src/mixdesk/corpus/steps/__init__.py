"""Cleaning steps: one document in, the document or the rule by which it goes out."""

PARTS: dict[str, str] = {
    "unicode": "unicode:Unicode",
    "license_words": "license_words:LicenseWords",
    "language": "language:Language",
    "boilerplate": "boilerplate:Boilerplate",
    "c4": "c4:C4",
    "gopher_quality": "gopher_quality:GopherQuality",
    "gopher_repetition": "gopher_repetition:GopherRepetition",
    "pii": "pii:Pii",
}

# The pipeline for text of any kind, in order, name → options. Each step's own defaults are its paper's; what differs
# here keeps headings, tables, verse, short notes and books.
CLEAN: dict[str, dict[str, float]] = {
    "unicode": {},
    "license_words": {},
    "language": {},
    "boilerplate": {},
    "c4": {"terminal": False, "min_words": 0, "min_sentences": 0, "curly": False},
    "gopher_quality": {"max_words": 10_000_000},
    "gopher_repetition": {},
    "pii": {},
}
