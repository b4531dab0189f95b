"""What `tidemark.sizing` reckons with: each constant, its unit, and where it comes from.

Those that are measured name the result and the command that gives it; a test holds them to the
files in benchmarks/results. The others are estimates or choices, and say which.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["CONSTANTS", "VECTOR_BYTES", "Constant", "History", "Precision", "value"]

Precision = Literal["float32", "bfloat16", "float16", "int8"]
History = Literal["some", "much"]
Kind = Literal["measured", "estimate", "choice", "setting"]

#: Bytes of a number, as `store.indexes` stores it.
VECTOR_BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


class Constant(NamedTuple):
    """A number.

    Attributes:
        value: in ``unit``.
        unit: of it.
        what: it is, in words.
        kind: ``measured``; ``estimate``, where nothing was measured; ``choice`` of ours, which a
            reader may make otherwise; ``setting``, of Tidemark or of Kafka.
        source: the results and command, or the reason.
    """

    value: float
    unit: str
    what: str
    kind: Kind
    source: str


_STREAMS = "`make bench AREA=streams ONLY={}`"
_STORE = "`make bench AREA=store ONLY={}`"
_FOOTPRINT = "`python -m benchmarks.footprint`"

CONSTANTS: dict[str, Constant] = {
    "busy": Constant(
        0.6, "", "share of a measured rate that is planned with", "choice",
        "room for peaks, and to catch up after a restart",
    ),
    "action": Constant(
        1.2, "µs", "a worker, an action that publishes nothing of its own", "measured",
        f"832,505 actions/s with 943 users; {_STREAMS.format('whole_path')}",
    ),
    "profile": Constant(
        11.2, "µs", "a worker, a profile that is published", "measured",
        f"80,676 actions/s with a million users, less the above; {_STREAMS.format('growth')}",
    ),
    "micro-batch": Constant(
        0.05, "s", "between two micro-batches of a worker", "estimate",
        "traced at 223,000 actions/s: 13 ms folding, 13 ms publishing, 30 ms waiting",
    ),
    "texts.core": Constant(
        332, "texts/s", "the default encoder in bfloat16, a core with AVX512-BF16", "measured",
        "665 on two cores, 21 tokens a text; `make bench AREA=encoders ONLY=models`",
    ),
    "texts.gpu": Constant(
        20_000, "texts/s", "the default encoder on a GPU", "estimate",
        "not measured; what one process turns to tokens is likely the bound",
    ),
    "base": Constant(
        1_200, "MiB", "a process with the default encoder, buffers and cached texts", "estimate",
        "839 MB measured of the encoder (`ONLY=models`), 256 MiB cache, 45 MB under way",
    ),
    "worker.profile.some": Constant(
        766, "bytes", "a worker, a profile beside its vector, 20 seen items", "measured",
        _FOOTPRINT,
    ),
    "worker.profile.much": Constant(
        1_457, "bytes", "the same, 200 seen items", "measured",
        _FOOTPRINT,
    ),
    "worker.snapshot.some": Constant(
        558, "bytes", "a worker's snapshot, a profile beside its vector", "measured",
        _FOOTPRINT,
    ),
    "worker.snapshot.much": Constant(
        1_374, "bytes", "the same, 200 seen items", "measured",
        _FOOTPRINT,
    ),
    "worker.item": Constant(
        802, "bytes", "a worker, an item of the catalogue with its text", "measured",
        _FOOTPRINT,
    ),
    "cached.text": Constant(
        100, "bytes", "a text in the cache on disk, beside its vector", "setting",
        "`encoders/disk_cache.py`",
    ),
    "record.some": Constant(
        809, "bytes", "a record of `profiles`, beside its vector, 20 seen items", "measured",
        _FOOTPRINT,
    ),
    "record.much": Constant(
        3_032, "bytes", "the same, 200 seen items", "measured",
        _FOOTPRINT,
    ),
    "retrieval.profile.some": Constant(
        1_283, "bytes", "retrieval, a profile beside its vector, 20 seen items", "measured",
        _FOOTPRINT,
    ),
    "retrieval.profile.much": Constant(
        3_658, "bytes", "the same, 200 seen items", "measured",
        _FOOTPRINT,
    ),
    "retrieval.item": Constant(
        942, "bytes", "retrieval, an item beside its vector", "measured",
        _FOOTPRINT,
    ),
    "ranking.item": Constant(
        6_215, "bytes", "retrieval, what ranking holds of an item beside another vector in "
        "float32, `ranking.partners` 256", "measured",
        _FOOTPRINT,
    ),
    "ranking.snapshot": Constant(
        4_160, "bytes", "retrieval's snapshot, what ranking counts of an item", "setting",
        "16 for each of `ranking.partners` (256), and 64",
    ),
    "sketch": Constant(
        97, "bytes", "a sketch, where profiles are more than `retrieval.accelerate_above`",
        "measured", f"999 less 902 bytes; {_STORE.format('memory')}",
    ),
    "graph": Constant(
        287, "bytes", "a vector's part of a graph (HNSW, M 32)", "measured",
        "1,823 bytes a vector of 384 numbers in float32 with FAISS's HNSW32, less the vector",
    ),
    "accelerate": Constant(
        130_000, "vectors", "beyond which there are sketches and graphs", "setting",
        "`retrieval.accelerate_above`",
    ),
    "retrieval.snapshot": Constant(
        617, "bytes", "retrieval's snapshot, a profile beside its vector, 20 seen items",
        "measured", f"1,385 MB for a million in bfloat16; {_STORE.format('restore')}",
    ),
    "follow.faiss": Constant(
        37_000, "profiles/s", "one retrieval service, of profiles that change", "measured",
        f"100,000 in 2.68 s after a start; {_STORE.format('restore')}",
    ),
    "follow.milvus": Constant(
        6_000, "profiles/s", "the same with Milvus", "measured",
        "milvus-lite, in calls of 256 (docs/milvus.md); a cluster was not measured",
    ),
    "milvus.room": Constant(
        1.5, "", "Milvus' memory, times vectors and graph", "estimate",
        "segments that grow beside those that are built; not measured",
    ),
    "queries": Constant(
        100, "queries/s", "one replica beside 5,000 profiles/s, p99 85 ms by the blend", "measured",
        "offered, not the most; two cores, clients on them too; `make load`",
    ),
    "restore.topic": Constant(
        29_900, "records/s", "a worker, from the topic", "measured",
        f"612,708 records in 20.5 s; {_STREAMS.format('restore')}",
    ),
    "restore.view": Constant(
        67_000, "profiles/s", "retrieval, from its snapshot on disk", "measured",
        f"a million in 14.9 s; {_STORE.format('restore')}",
    ),
    "restore.item": Constant(
        25_000, "items/s", "the same, items", "estimate",
        "their words are hashed anew: 12 µs where all were met lately, 60 µs where none was",
    ),
    "topic.copies": Constant(
        2, "", "records of a compacted topic, times its keys", "setting",
        "Kafka compacts when half is stale (`min.cleanable.dirty.ratio` 0.5)",
    ),
    "lag": Constant(
        600, "s", "that nothing of `profiles` is compacted", "setting", "`min.compaction.lag.ms`",
    ),
    "broker.action": Constant(
        0.4, "µs", "CPU of the brokers, an action", "measured",
        f"0.37 with 943 users; {_STREAMS.format('whole_path')}",
    ),
    "broker.profile": Constant(
        6.6, "µs", "CPU of the brokers, a profile that is published", "measured",
        f"7.02 with a million users, less the line above; {_STREAMS.format('growth')}",
    ),
    "broker.copy": Constant(
        0.5, "", "of that again for each further copy", "estimate", "measured with one broker",
    ),
    "broker.cores": Constant(8, "cores", "of a broker", "choice", "a usual machine"),
    "broker.network": Constant(
        500e6, "bytes/s", "through a broker, both ways", "choice", "a network of 10 Gbit/s",
    ),
}  # fmt: skip


def value(name: str) -> float:
    """The number of a constant."""
    return CONSTANTS[name].value
