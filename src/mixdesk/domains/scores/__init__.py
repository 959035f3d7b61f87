"""Scorers: the quality of documents, one part a file."""

PARTS: dict[str, str] = {
    "rules": "rules:Rules",
    "perplexity": "perplexity:Perplexity",
    "classifier": "classifier:Classifier",
}
