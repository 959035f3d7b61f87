"""Splitters: a corpus cut into named domains."""

PARTS: dict[str, str] = {
    "by_label": "by_label:ByLabel",
    "by_license": "by_license:ByLicense",
    "by_language": "by_language:ByLanguage",
}
