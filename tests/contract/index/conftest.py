"""Each index in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from index_makers import LITE, MAKERS, Make

from store.indexes.faiss_library import faiss
from store.indexes.gpu import gpus


@pytest.fixture(scope="module", autouse=True)
def let_go_of_milvus_lite() -> Iterator[None]:
    yield
    LITE.close()


@pytest.fixture(autouse=True)
def stand_in_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat index of FAISS on the CPU, where there is no GPU: of what it knows all is the same."""
    if not gpus():
        monkeypatch.setattr("store.indexes.gpu._on_first_gpu", faiss.IndexFlatIP)


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Make:
    return MAKERS[name][0]


@pytest.fixture
def error(name: str) -> float:
    return MAKERS[name][1]
