"""Splitters: a corpus cut into named domains."""

PARTS: dict[str, str] = {
    "by_label": "by_label:ByLabel",
    "by_quality": "by_quality:ByQuality",
    "by_cluster": "by_cluster:ByCluster",
    "by_license": "by_license:ByLicense",
    "by_language": "by_language:ByLanguage",
    "by_mixture": "by_mixture:ByMixture",
    "by_taxonomy": "by_taxonomy:ByTaxonomy",
}
