"""Splitters: a corpus cut into named domains."""

PARTS: dict[str, str] = {
    "by_label": "by_label:ByLabel",
    "by_cluster": "by_cluster:ByCluster",
}
