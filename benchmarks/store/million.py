"""A million profiles with sketches, searched while 10,000 of them change a second.

Written and maintained as the follower does. The index first settles: its probes of recall steer
how many lists a search looks into. Then, as often as there are repetitions, searches follow each
other while it is written, and at the end of each the recall is checked against exact products of
all profiles in float32 as they are by then: of some profiles' neighbours, and, harder, of some
texts' audiences. Recall of the other defaults is checked in the same way: 100 thousand profiles in
bfloat16, of which all are looked at, and 200 thousand items in a graph, asked for by profiles.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.exact import K, exact_best, recall_of
from benchmarks.store.fresh import in_fresh_process, own_bytes
from benchmarks.store.profiles import (
    ChangingProfiles,
    keys_of,
    load_texts,
    make_items,
    make_profiles,
)
from benchmarks.store.serving import PERIOD_S, OfferedWrites, ask_for, millis
from store.indexes.growing import GrowingIndex, Growth
from store.owner import IndexOwner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.store.profiles import Texts

__all__ = ["measure"]

_RATE = 10_000
_TARGET = 0.98
_CHECKED = 100
_AT_ONCE = 16_384
_LABEL = "Tidemark, search while written"
_HARD = "Tidemark, users without tastes"


class _Sizes(NamedTuple):
    """Rows, and from how many on they are accelerated; seconds of a repetition, and to settle."""

    profiles: int
    flat: int
    items: int
    above: int
    seconds: float
    settle: float


_FULL = _Sizes(1_000_000, 100_000, 200_000, 130_000, 15.0, 150.0)
_QUICK = _Sizes(20_000, 2_000, 6_000, 5_000, 1.0, 3.0)


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    texts, sizes = load_texts(quick=quick), _QUICK if quick else _FULL
    found = in_fresh_process(_profiles, texts, sizes, repetitions)
    hard = in_fresh_process(_without_tastes, texts, sizes)
    flat = in_fresh_process(_flat, texts, sizes)
    graph = in_fresh_process(_graph, texts, sizes)
    outcome = Measurement(
        "million", f"One query, k={K}, {sizes.profiles:,} profiles, {_RATE:,} upserts/s, p50", "ms"
    )
    for label, one in ((_LABEL, found), (_HARD, hard)):
        outcome.values[label] = [run["search_p50_ms"] for run in one["runs"]]
        outcome.details[label] = {
            name: f"{statistics.median(run[key] for run in one['runs']):,.4g}"
            for name, key in (
                ("p99", "search_p99_ms"), ("recall", "recall"), ("recall, texts", "recall_texts"),
                ("a write waits, p99", "wait_p99_ms"),
            )
        } | {"index at the end": str(one["kind"])}  # fmt: skip
    graph_label = f"Tidemark, {sizes.items:,} items in a graph, not written"
    outcome.values[graph_label] = [graph["search_p50_ms"]]
    outcome.details[graph_label] = {"recall": f"{graph['recall']:.4g}"}
    outcome.runs = [*found.pop("runs"), found, hard, flat, graph]
    outcome.notes = [  # each of several lines
        (
            f"built once, beside serving, in {found['build_s']:.0f} s; written at first in "
            f"{found['fill_s']:.0f} s; {found['bytes_per_profile']:,.0f} bytes a profile"
        ),
        (
            f"with sketches, as fast as it can: {found['most_upserts']:,.0f} upserts/s in "
            f"calls of 256; recall as probed at the end {found['probed']:.4f}"
        ),
        (
            f"{sizes.items:,} items, built in {graph['build_s']:.0f} s: {graph['kind']}, recall of "
            f"items like items {graph['recall_items']:.4f}"
        ),
    ]
    recall = statistics.median(run["recall"] for run in outcome.runs[:repetitions])
    rate = statistics.median(run["upserts_per_second"] for run in outcome.runs[:repetitions])
    outcome.bars = [
        Bar.at_most("million: a search while written, p50", 5, outcome.median(_LABEL), "ms"),
        Bar.at_least("million: recall@100", _TARGET, recall, ""),
        Bar.at_least("million: upserts/s", 0.98 * _RATE, rate, "keys/s"),
        Bar.at_least(f"million: recall@100 of {sizes.flat:,} flat", 0.99, flat["recall"], ""),
        Bar.at_least(f"million: recall@100 of {sizes.items:,} items", 0.99, graph["recall"], ""),
    ]
    return outcome


def _profiles(
    texts: Texts, sizes: _Sizes, repetitions: int, *, tastes: bool = True
) -> dict[str, Any]:
    truth = ChangingProfiles(texts, sizes.profiles, int(_RATE * PERIOD_S), tastes=tastes)
    growth = Growth(above=sizes.above)  # which aims at 0.99
    index = GrowingIndex(texts.dim, growth=growth)
    random = np.random.default_rng(4)
    before = own_bytes()
    fill = _fill(index, truth.keys, truth.profiles)
    build = _build(index)
    size = (own_bytes() - before) / sizes.profiles
    owner = IndexOwner()
    print(f"filled in {fill:.0f} s, built in {build:.0f} s: {index.kind}")
    _settle(index, owner, truth, truth.profiles[:1_000].copy(), sizes.settle)
    runs = []
    for _ in range(repetitions):
        asked = random.integers(0, sizes.profiles, 1_000)
        with OfferedWrites(owner, index, truth) as writes:
            took = ask_for(sizes.seconds, owner, index, truth.profiles[asked])
        queries = [
            truth.profiles[random.integers(0, sizes.profiles, _CHECKED)],
            texts.vectors[random.integers(0, len(texts.vectors), _CHECKED)],
        ]
        recall, of_texts = (_recall(index, some, truth.profiles) for some in queries)
        runs.append(
            {
                "search_p50_ms": millis(took, 0.5),
                "search_p99_ms": millis(took, 0.99),
                "wait_p99_ms": millis(writes.waits, 0.99),
                "upserts_per_second": writes.keys / writes.seconds,
                "recall": recall,
                "recall_texts": of_texts,
                "kind": index.kind,
            }
        )
        print(runs[-1])
    batches = [truth.next() for _ in range(200)]
    started = time.perf_counter()
    for keys, vectors in batches:
        index.upsert(keys[:256], vectors[:256])
    most = 256 * len(batches) / (time.perf_counter() - started)
    owner.shutdown()
    index.close()
    return {
        "runs": runs, "fill_s": fill, "build_s": build, "bytes_per_profile": size,
        "most_upserts": most, "kind": index.kind, "probed": index.recall or 0.0,
    }  # fmt: skip


def _without_tastes(texts: Texts, sizes: _Sizes) -> dict[str, Any]:
    """For comparison, once: data that lies in no clusters at all."""
    return _profiles(texts, sizes, 1, tastes=False)


def _flat(texts: Texts, sizes: _Sizes) -> dict[str, Any]:
    profiles = make_profiles(texts, sizes.flat)
    index = GrowingIndex(texts.dim, growth=Growth(above=sizes.above))
    _fill(index, keys_of(sizes.flat), profiles)
    rows = np.random.default_rng(5).integers(0, sizes.flat, _CHECKED)
    return {"kind": index.kind, "recall": _recall(index, profiles[rows], profiles)}


def _graph(texts: Texts, sizes: _Sizes) -> dict[str, Any]:
    items, users = make_items(texts, sizes.items), make_profiles(texts, 1_000)
    index = GrowingIndex(texts.dim, growth=Growth(above=sizes.above, by="hnsw"))
    _fill(index, keys_of(sizes.items), items)
    build = _build(index)
    owner = IndexOwner()
    print(f"built in {build:.0f} s: {index.kind}")
    _settle(index, owner, None, users, sizes.settle)
    took = ask_for(sizes.seconds, owner, index, users)
    owner.shutdown()
    like = items[np.random.default_rng(6).integers(0, sizes.items, _CHECKED)]
    return {
        "build_s": build, "kind": index.kind, "search_p50_ms": millis(took, 0.5),
        "recall": _recall(index, users[:_CHECKED], items),
        "recall_items": _recall(index, like, items),
    }  # fmt: skip


def _fill(index: GrowingIndex, keys: list[str], vectors: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    for start in range(0, len(keys), _AT_ONCE):
        index.upsert(keys[start : start + _AT_ONCE], vectors[start : start + _AT_ONCE])
    return time.perf_counter() - started


def _build(index: GrowingIndex) -> float:
    started = time.perf_counter()
    index.maintain()
    if not index.wait_built(1_800):
        raise RuntimeError("the index was not built within half an hour")
    return time.perf_counter() - started


def _settle(
    index: GrowingIndex,
    owner: IndexOwner,
    truth: ChangingProfiles | None,
    queries: NDArray[np.float32],
    seconds: float,
) -> None:
    """Be asked until its effort has stayed the same for a fifth of the time, or that is over."""
    begun = since = time.monotonic()
    kind = index.kind
    writes = OfferedWrites(owner, index, truth) if truth else None
    if writes:
        writes.__enter__()
    while (now := time.monotonic()) - begun < seconds and now - since < seconds / 5:
        ask_for(PERIOD_S, owner, index, queries)
        queries = np.roll(queries, -16, axis=0)
        if not writes:
            owner.submit(index.maintain).result()
        if index.kind != kind:
            kind, since = index.kind, now
    if writes:
        writes.__exit__()
    print(f"settled after {now - begun:.0f} s: {kind}, probed {index.recall}")


def _recall(
    index: GrowingIndex, queries: NDArray[np.float32], vectors: NDArray[np.float32]
) -> float:
    """While nothing is written; one query at a time, as it was measured."""
    found = [index.search(query[np.newaxis], K)[0].keys for query in queries]
    return recall_of(found, exact_best(queries, vectors))
