"""One class for each way to keep vectors by key, as its documentation writes it.

efforts   what a search may spend, in rising order; None where it looks at everything
chunk     keys of one write while searches run; small where a write holds them up
locked    whether writes and searches must not meet
"""

import itertools
import threading
import time

import numpy as np

K = 100
EF = (128, 192, 256, 384, 512, 768, 1024, 1536)


class Tidemark:
    efforts, chunk, locked = (None,), 256, False
    above = None

    def __init__(self, dim, folder):
        from store.indexes.growing import GrowingIndex, Growth
        from store.owner import IndexOwner

        growth = Growth() if self.above is None else Growth(above=self.above)
        self.index, self.owner = GrowingIndex(dim, growth=growth), IndexOwner()

    def fill(self, keys, vectors):
        self.upsert(keys, vectors)

    def settle(self, seconds, queries):
        """Have it built, and its probes of recall find the effort that these need."""
        self.index.maintain()
        self.index.wait_built(600)
        ends = time.monotonic() + (0 if self.above is None else seconds)
        for query in itertools.cycle(queries):
            if time.monotonic() > ends:
                break
            self.search(query)
            self.owner.submit(self.index.maintain).result()
            time.sleep(0.01)

    def _write(self, keys, vectors):
        self.index.upsert(keys, vectors)
        self.index.maintain()

    def upsert(self, keys, vectors):
        self.owner.submit(self._write, keys, vectors).result()

    def _question(self, query):
        from store.question import Search

        hits = yield Search(self.index, query, K, (), {})
        return hits

    def search(self, query):
        return self.owner.ask(self._question, query).result().keys


class TidemarkAccelerated(Tidemark):
    above = 1_000


class Hnswlib:
    """https://github.com/nmslib/hnswlib: an element that is there is updated by adding it."""

    efforts, chunk, locked = EF, 2, True

    def __init__(self, dim, folder):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=dim)
        self.ids, self.keys = {}, []

    def fill(self, keys, vectors):
        self.index.init_index(max_elements=len(keys), ef_construction=200, M=16)
        self.ids, self.keys = {key: number for number, key in enumerate(keys)}, list(keys)
        self.index.add_items(vectors, np.arange(len(keys)))

    def tune(self, effort):
        self.index.set_ef(effort)

    def upsert(self, keys, vectors):
        self.index.add_items(vectors, np.array([self.ids[key] for key in keys]))

    def search(self, query):
        labels, _ = self.index.knn_query(query, k=K, num_threads=1)
        return [self.keys[label] for label in labels[0].tolist()]


class Usearch:
    """https://unum-cloud.github.io/usearch/python: a key that is there is removed and added."""

    efforts, chunk, locked = EF, 4, True

    def __init__(self, dim, folder):
        from usearch.index import Index

        self.index = Index(ndim=dim, metric="ip", dtype="f16")
        self.ids, self.keys = {}, []

    def fill(self, keys, vectors):
        self.ids, self.keys = {key: number for number, key in enumerate(keys)}, list(keys)
        self.index.add(np.arange(len(keys)), vectors)

    def tune(self, effort):
        self.index.expansion_search = effort

    def upsert(self, keys, vectors):
        ids = np.array([self.ids[key] for key in keys])
        self.index.remove(ids)
        self.index.add(ids, vectors)

    def search(self, query):
        found = self.index.search(query, K, threads=1)
        return [self.keys[number] for number in found.keys.tolist()]


class QdrantLocal:
    """https://github.com/qdrant/qdrant-client: local mode, in memory; looks at all."""

    efforts, chunk, locked = (None,), 16, True

    def __init__(self, dim, folder):
        import warnings

        from qdrant_client import QdrantClient, models

        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        self.models, self.client = models, QdrantClient(":memory:")
        self.client.create_collection(
            "profiles", models.VectorParams(size=dim, distance=models.Distance.DOT)
        )
        self.ids, self.keys = {}, []

    def fill(self, keys, vectors):
        self.ids, self.keys = {key: number for number, key in enumerate(keys)}, list(keys)
        for start in range(0, len(keys), 4_096):
            self.upsert(keys[start : start + 4_096], vectors[start : start + 4_096])

    def upsert(self, keys, vectors):
        ids = [self.ids[key] for key in keys]
        self.client.upsert("profiles", self.models.Batch(ids=ids, vectors=vectors.tolist()))

    def search(self, query):
        found = self.client.query_points(
            "profiles", query=query, limit=K, with_payload=False
        ).points
        return [self.keys[point.id] for point in found]


class LanceDB:
    """https://docs.lancedb.com: merge_insert by key, with an index on the key; looks at all."""

    efforts, chunk, locked = (None,), 256, False
    #: Each merge adds files; searches slow down until they are made into one.
    merges_until_optimized = 50

    def __init__(self, dim, folder):
        import lancedb
        import pyarrow as pa

        self.arrow, self.dim = pa, dim
        self.database, self.merges = lancedb.connect(folder), 0

    def rows(self, keys, vectors):
        flat = self.arrow.array(np.ascontiguousarray(vectors).reshape(-1))
        lists = self.arrow.FixedSizeListArray.from_arrays(flat, self.dim)
        return self.arrow.table({"key": keys, "vector": lists})

    def fill(self, keys, vectors):
        self.table = self.database.create_table("profiles", self.rows(keys, vectors))
        self.table.create_scalar_index("key")

    def upsert(self, keys, vectors):
        merge = self.table.merge_insert("key").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(self.rows(keys, vectors))
        self.merges += 1
        if self.merges % self.merges_until_optimized == 0:
            from datetime import timedelta

            # Not at once: a search may be reading what there was before.
            self.table.optimize(cleanup_older_than=timedelta(minutes=1))

    def search(self, query):
        found = self.table.search(query).distance_type("dot").select(["key", "_distance"])
        return found.limit(K).to_arrow()["key"].to_pylist()


class MilvusLite:
    """https://milvus.io/docs/milvus_lite.md: string keys, upsert, a graph; a write is seen."""

    efforts, chunk, locked = EF, 256, False

    def __init__(self, dim, folder):
        from pymilvus import DataType, MilvusClient

        self.client, self.effort = MilvusClient(f"{folder}/milvus.db"), EF[0]
        schema = MilvusClient.create_schema()
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        indexes = self.client.prepare_index_params()
        indexes.add_index(
            "vector", index_type="HNSW", metric_type="IP",
            params={"M": 16, "efConstruction": 200},
        )  # fmt: skip
        self.client.create_collection(
            "profiles", schema=schema, index_params=indexes, consistency_level="Strong"
        )

    def fill(self, keys, vectors):
        for start in range(0, len(keys), 4_096):
            self.upsert(keys[start : start + 4_096], vectors[start : start + 4_096])
        self.client.flush("profiles")
        self.client.load_collection("profiles")

    def tune(self, effort):
        self.effort = effort

    def upsert(self, keys, vectors):
        rows = [{"key": key, "vector": vector} for key, vector in zip(keys, vectors, strict=True)]
        self.client.upsert("profiles", rows)

    def search(self, query):
        found = self.client.search(
            "profiles", data=[query], limit=K, search_params={"params": {"ef": self.effort}}
        )
        return [hit["key"] for hit in found[0]]


ENGINES = {
    "Tidemark": Tidemark,
    "Tidemark with sketches": TidemarkAccelerated,
    "hnswlib": Hnswlib,
    "usearch float16": Usearch,
    "qdrant local": QdrantLocal,
    "LanceDB": LanceDB,
    "milvus-lite": MilvusLite,
}


class FairLock:
    """Whoever came first goes first: with a plain lock one of two busy threads would starve."""

    def __init__(self):
        self.changed, self.next, self.serving = threading.Condition(), 0, 0

    def __enter__(self):
        with self.changed:
            ticket, self.next = self.next, self.next + 1
            while self.serving != ticket:
                self.changed.wait()

    def __exit__(self, *_):
        with self.changed:
            self.serving += 1
            self.changed.notify_all()
