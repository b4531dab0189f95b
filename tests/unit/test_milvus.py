"""What is Milvus' own: its expressions, where it is, what it holds at the start, and its errors.

The contract's tests, tests/contract/test_index_contract.py, are those of every index.
"""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite import MilvusLite
from milvus_lite.adapter.grpc.server import start_server_in_thread
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

from store.errors import VectorIndexError
from store.indexes import Filter, Metadata, make_index
from store.indexes.milvus import MilvusIndex
from store.indexes.milvus_language import (
    chunks,
    excluding,
    having,
    labels_of,
    metadata_of,
    one_of,
    quoted,
)
from store.indexes.milvus_target import MilvusKind, MilvusTarget

DIM = 4


def vectors(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture
def lite(tmp_path: Path) -> MilvusTarget:
    return MilvusTarget(uri=str(tmp_path / "deep" / "milvus.db"), timeout=5)


@pytest.fixture
def index(lite: MilvusTarget) -> Iterator[MilvusIndex]:
    made = MilvusIndex(DIM, "items", lite)
    yield made
    made.close()


# Expressions


def test_expressions_quote_what_ends_a_string() -> None:
    assert quoted('a"b\\c\nd') == r'"a\"b\\c\nd"'
    assert one_of(["a", "b'"]) == 'key in ["a", "b\'"]'
    assert excluding(["爱"]) == 'key not in ["爱"]'
    where = Filter(fields={"category": ["Horror", "War"], "a=b": ["c"]})
    assert having(where) == (
        'array_contains_any(labels, ["category=Horror", "category=War"]) and '
        'array_contains_any(labels, ["a%3Db=c"])'
    )
    assert having(Filter()) == ""


names = st.text("=%3Da2\n", max_size=4)


@given(st.dictionaries(names, st.lists(names, min_size=1, max_size=3)))
def test_labels_say_what_they_were_made_of(metadata: Metadata) -> None:
    assert metadata_of(labels_of(metadata)) == {
        name: sorted(set(values)) for name, values in metadata.items()
    }


@given(st.lists(st.integers(0, 50)), st.integers(min_value=1, max_value=9), st.integers(1, 100))
def test_messages_hold_all_in_order_and_no_more_than_fits(
    sizes: list[int], most: int, most_bytes: int
) -> None:
    cut = [sizes[some] for some in chunks(sizes, most=most, most_bytes=most_bytes)]
    assert list(itertools.chain.from_iterable(cut)) == sizes
    for one in cut:
        assert 1 <= len(one) <= most
        assert sum(one) <= most_bytes or len(one) == 1


# Where it is


def test_a_target_is_a_server_or_a_path() -> None:
    assert MilvusTarget(uri="milvus://host:19530/shop").address == "http://host:19530/shop"
    assert MilvusTarget(uri="https://host").address == "https://host"
    assert MilvusTarget(uri="https://host/a.db").file is None
    file = MilvusTarget(uri="a/milvus.db").file
    assert file is not None
    assert file.is_absolute()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("host:19530", "expected milvus://host:19530"),
        ("kafka://host", "expected milvus://host:19530"),
        ("milvus://", "expected milvus://host:19530"),
        ("folder", "a path that ends in .db"),
        ("https://ann:se cret@host", "credentials"),
    ],
)
def test_another_uri_is_refused(uri: str, said: str) -> None:
    with pytest.raises(VectorIndexError, match=said) as refused:
        MilvusTarget(uri=uri)
    assert "se cret" not in str(refused.value)


def test_a_prefix_is_a_name() -> None:
    with pytest.raises(VectorIndexError, match="prefix"):
        MilvusTarget(uri="milvus://host", prefix="my-shop")


def test_a_token_is_not_shown() -> None:
    assert "se cret" not in repr(MilvusTarget(uri="milvus://host", token="ann:se cret"))


def test_hnsw_searches_as_wide_as_k() -> None:
    target = MilvusTarget(uri="milvus://host", kind="HNSW")
    assert target.search(1_000)["params"]["ef"] == 1_000
    assert target.search(1)["params"]["ef"] > 1
    assert target.build["index_type"] == "HNSW"
    assert target.build["metric_type"] == "IP"


@pytest.mark.parametrize("kind", ["HNSW", "AUTOINDEX"])
def test_a_collection_is_indexed_as_asked(lite: MilvusTarget, kind: MilvusKind) -> None:
    index = MilvusIndex(DIM, "items", replace(lite, kind=kind))
    rows = vectors(300)
    index.upsert([str(i) for i in range(300)], rows, [{"odd": [str(i % 2)]} for i in range(300)])
    client = MilvusClient(lite.address, dedicated=True)
    client.flush("tidemark_items")  # what is not flushed is not in the index
    client.close()
    assert kind in index.kind
    best = np.argsort(-(rows[1::2] @ rows[0]))[:20] * 2 + 1
    found = index.search(rows[:1], 20, Filter(fields={"odd": ["1"]}))[0]
    assert len(set(found.keys) & {str(i) for i in best}) >= 18
    assert len(found.keys) == 20
    index.close()


# What it holds at the start


def test_a_start_is_clean(index: MilvusIndex, lite: MilvusTarget) -> None:
    index.upsert(["a"], vectors(1))
    other = MilvusIndex(DIM, "profiles", lite)
    assert len(index) == 1
    again = MilvusIndex(DIM + 1, "items", lite)
    assert again.dim == DIM + 1
    assert len(again) == 0
    for one in (other, again):
        one.close()


def test_rows_are_adopted_where_asked(index: MilvusIndex, lite: MilvusTarget) -> None:
    rows = vectors(2)
    index.upsert(["a", "b"], rows, [{"tenant": ["x"]}, {}])
    index.close()  # the last of the folder: the next one reads it from the disk
    adopted = MilvusIndex(DIM, "items", lite, adopt=True)
    adopted.upsert(["a"], rows[1:])
    assert len(adopted) == 2
    assert adopted.search(rows[:1], 9, Filter(fields={"tenant": ["x"]}))[0].keys == ["a"]
    with pytest.raises(VectorIndexError, match=f"vectors of length {DIM}; expected {DIM + 1}"):
        MilvusIndex(DIM + 1, "items", lite, adopt=True)
    adopted.close()


def test_a_collection_of_something_else_is_never_dropped(
    index: MilvusIndex, lite: MilvusTarget
) -> None:
    client = MilvusClient(lite.address, dedicated=True)
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection("tidemark_shop", schema=schema)
    for adopt in (False, True):
        with pytest.raises(VectorIndexError, match=r"fields are id, vector.*milvus_prefix"):
            MilvusIndex(DIM, "shop", lite, adopt=adopt)
    assert client.has_collection("tidemark_shop")
    assert len(index) == 0
    client.close()


# Messages and limits


def test_many_keys_go_in_several_messages(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    call = index._collection.call  # noqa: SLF001

    def note(method: str, **arguments: Any) -> Any:
        sent.append(method)
        return call(method, **arguments)

    monkeypatch.setattr(index._collection, "call", note)  # noqa: SLF001
    monkeypatch.setattr("store.indexes.milvus._MESSAGE_KEYS", 7)
    monkeypatch.setattr("store.indexes.milvus._MESSAGE_HITS", 40)
    keys, rows = [f"k{i}" for i in range(20)], vectors(20)
    index.upsert(keys, rows, [{"parity": [str(i % 2)]} for i in range(20)])
    assert sent == ["upsert"] * 3
    index.upsert(keys, -rows)
    odd = Filter(fields={"parity": ["1"]})
    found = index.search(-rows, 20, odd)
    assert [set(hits.keys) for hits in found] == [set(keys[1::2])] * 20
    assert sent.count("search") == 10
    assert index.delete([*keys, *keys]) == 20
    assert len(index) == 0


def test_what_milvus_cannot_hold_is_refused_and_nothing_written(index: MilvusIndex) -> None:
    for key in ("爱" * 22_000, "\ud800"):
        with pytest.raises(VectorIndexError, match="key 1 is not Unicode of at most 65535 bytes"):
            index.upsert(["a", key], vectors(2))
        assert key not in index
        assert index.get([key]) == {}
        assert index.delete([key]) == 0
        assert index.search(vectors(1), 1, Filter(exclude=[key]))[0].keys == []
    with pytest.raises(VectorIndexError, match="more than 4096 values"):
        index.upsert(["a"], vectors(1), [{"tag": [str(i) for i in range(5_000)]}])
    assert len(index) == 0


def test_k_beyond_milvus_limit_is_refused(index: MilvusIndex) -> None:
    with pytest.raises(VectorIndexError, match=r"k is 20000.*16,384"):
        index.search(vectors(1), 20_000)


# Errors


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_server_that_is_away_is_said() -> None:
    target = MilvusTarget(uri=f"milvus://127.0.0.1:{closed_port()}", timeout=1)
    with pytest.raises(VectorIndexError, match=r"Check that the server is up.*milvus_uri"):
        MilvusIndex(DIM, "items", target)


def test_a_server_is_reached_and_its_end_is_said(tmp_path: Path) -> None:
    server, database, port = start_server_in_thread(str(tmp_path / "server.db"))
    target = MilvusTarget(uri=f"milvus://127.0.0.1:{port}", timeout=1)
    index = MilvusIndex(DIM, "items", target)
    rows = vectors(3)
    try:
        index.upsert(["a", "b", "c"], rows)
        assert len(index.search(rows, 3)[0].keys) == 3
    finally:
        server.stop(grace=None).wait()
        database.close()
    for call in (lambda: index.search(rows, 1), lambda: index.upsert(["a"], rows[:1])):
        with pytest.raises(VectorIndexError, match="Check that the server is up"):
            call()
    index.close()


def test_a_server_that_comes_back_in_time_is_waited_for(tmp_path: Path) -> None:
    server, database, port = start_server_in_thread(str(tmp_path / "server.db"))
    index = MilvusIndex(DIM, "items", MilvusTarget(uri=f"milvus://127.0.0.1:{port}", timeout=30))
    rows = vectors(3)
    index.upsert(["a", "b"], rows[:2])
    server.stop(grace=None).wait()
    database.close()
    with ThreadPoolExecutor(1) as owner:
        written = owner.submit(index.upsert, ["c"], rows[2:])
        assert not written.done()
        server, database, _ = start_server_in_thread(str(tmp_path / "server.db"), port=port)
        written.result(timeout=60)
        # milvus-lite forgets at its end that the collection was loaded; Milvus does not
        database.get_collection("tidemark_items").load()
        assert sorted(index.search(rows[:1], 9)[0].keys) == ["a", "b", "c"]
    index.close()
    server.stop(grace=None).wait()
    database.close()


def test_a_collection_dropped_by_others_is_said(index: MilvusIndex, lite: MilvusTarget) -> None:
    client = MilvusClient(lite.address, dedicated=True)
    client.drop_collection("tidemark_items")
    with pytest.raises(VectorIndexError, match="Somebody dropped the collection"):
        index.search(vectors(1), 1)
    client.close()


def test_a_folder_that_another_has_open_is_said(lite: MilvusTarget) -> None:
    lite_index = MilvusIndex(DIM, "items", lite)
    second = MilvusIndex(DIM, "profiles", lite)
    lite_index.close()
    assert len(second) == 0  # the folder is still in use
    second.close()
    second.close()
    with pytest.raises(VectorIndexError, match="the index is closed"):
        len(second)
    other = MilvusLite(lite.address)  # which locks the folder, as another process would
    with pytest.raises(VectorIndexError, match="no other process has open"):
        MilvusIndex(DIM, "items", lite)
    other.close()


def test_it_is_said_what_to_install(lite: MilvusTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "milvus_lite.server_manager", None)
        with pytest.raises(VectorIndexError, match=r'pip install "tidemark\[milvus-lite\]"'):
            MilvusIndex(DIM, "items", lite)
    for module in ("milvus", "milvus_collection"):
        monkeypatch.delitem(sys.modules, f"store.indexes.{module}")
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(VectorIndexError, match=r'pip install "tidemark\[milvus\]"'):
        make_index("milvus", DIM, milvus=lite)


def test_the_factory_makes_the_collection_of_a_name(lite: MilvusTarget) -> None:
    index = make_index("milvus", DIM, name="profiles", milvus=lite)
    client = MilvusClient(lite.address, dedicated=True)
    assert client.list_collections() == ["tidemark_profiles"]
    client.close()
    index.close()
    with pytest.raises(VectorIndexError, match="milvus_uri"):
        make_index("milvus", DIM)
    with pytest.raises(VectorIndexError, match="float32"):
        make_index("milvus", DIM, precision="float16", milvus=lite)
