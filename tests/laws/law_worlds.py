"""What the tests of this room share: designs, and the recorded table where there is one."""

import os
from pathlib import Path

import numpy as np
import pytest

from mixdesk.testing.tables import read_table

TABLES = Path(os.environ.get("MIXDESK_TABLES", Path(__file__).parents[2] / ".." / "shared" / "data"))
PILE_CC = "metric/the_pile_pile_cc_val_loss"


def design(world, n, rng):
    """Mixtures as a study asks them: Dirichlet around the square root of the natural mixture."""
    base = np.array([domain.n_tokens for domain in world.corpus.domains]) ** 0.5
    return np.array([rng.dirichlet(base / base.sum() * (2, 5, 12)[i % 3]) for i in range(n)])


def regmix_table():
    """The 512 training runs of RegMix's 1M table; skips where it is not there."""
    folder = TABLES / "regmix"
    if not (folder / "train_mixture_1m.csv").is_file():
        pytest.skip(f"no recorded table at {folder} (set MIXDESK_TABLES)")
    return read_table(folder / "train_mixture_1m.csv", folder / "train_pile_loss_1m.csv")
