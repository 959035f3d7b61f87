"""What several rooms' tests share: the pico corpus, made once a session from text of the standard library."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mixdesk.core.corpus import Document

PIECE = 1500  # characters of a document
N_PIECES = 60  # documents of a domain


def documents(package: str) -> list[Document]:
    """A package's sources, cut into documents."""
    origin = importlib.util.find_spec(package).origin
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(origin).parent.glob("*.py")))
    return [
        Document(text=text[i * PIECE : (i + 1) * PIECE], label=package, license="PSF-2.0", source=f"{package}:{i}")
        for i in range(min(N_PIECES, len(text) // PIECE))
    ]


@pytest.fixture(scope="session")
def pico_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a corpus of three domains (asyncio, email, json) and the evaluation set `logging`, BPE of 512."""
    from mixdesk.corpus.build import build

    out = tmp_path_factory.mktemp("pico") / "corpus"
    texts = [document for package in ("asyncio", "email", "json") for document in documents(package)]
    build(
        texts,
        out,
        name="pico",
        tokenizer="bpe",
        vocab_size=512,
        evals={"logging": documents("logging")[:20]},
        valid_share=0.2,
    )
    return out
