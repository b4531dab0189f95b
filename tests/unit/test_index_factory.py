"""Which index a setting makes."""

from __future__ import annotations

import sys

import pytest
from index_makers import DIM

from store.errors import VectorIndexError
from store.indexes import make_index
from store.indexes.exact import ExactIndex
from store.indexes.growing import GrowingIndex


def test_the_factory_makes_what_is_named() -> None:
    assert isinstance(make_index("exact", DIM), ExactIndex)
    assert make_index("faiss", DIM).kind == "faiss-flat bfloat16"
    assert make_index("faiss", DIM, precision="float16").kind == "faiss-flat float16"
    assert isinstance(make_index("faiss", DIM, growth="hnsw"), GrowingIndex)
    with pytest.raises(VectorIndexError, match="no index 'annoy'"):
        make_index("annoy", DIM)  # type: ignore[arg-type]
    with pytest.raises(VectorIndexError, match="use faiss"):
        make_index("exact", DIM, precision="float16")


def test_the_factory_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("store.indexes.")]:
        if module.rsplit(".", 1)[1] in {"faiss_library", "faiss_flat", "growing", "graph", "ivf"}:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(VectorIndexError, match=r'pip install "tidemark\[cpu\]"'):
        make_index("faiss", DIM)
