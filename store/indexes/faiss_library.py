"""FAISS, imported here alone."""

from __future__ import annotations

from typing import Any

import faiss as _faiss

__all__ = ["faiss", "one_thread"]

# Some builds of FAISS carry (partly wrong) types and some none: untyped, it is the same everywhere.
faiss: Any = _faiss


def one_thread() -> None:
    """Have FAISS compute with one thread where it is called from this one."""
    faiss.omp_set_num_threads(1)  # each thread's own number
