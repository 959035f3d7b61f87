"""The machine that this process runs on."""

from __future__ import annotations

import os


def n_cores() -> int:
    """Cores that this process may use, where the system says; else those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
