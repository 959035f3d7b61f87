from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixdesk.corpus.shards import TokenStore, open_store


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store(pico_corpus: Path) -> TokenStore:
    return open_store(pico_corpus)
