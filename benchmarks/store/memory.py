"""Bytes that a profile takes, with a million of them: vector, key and map.

In a fresh process for each index: resident memory without pages of files, after filling it less
before. Counted are the keys' strings, which the index holds and nobody else: they are made a block
at a time and let go. What the vectors are made in is there before.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.fresh import in_fresh_process, own_bytes
from benchmarks.store.profiles import load_texts, profile_blocks
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.growing import GrowingIndex, Growth

if TYPE_CHECKING:
    from benchmarks.store.profiles import Texts
    from store.indexes.faiss_flat import Precision

__all__ = ["measure"]

_KEY_AND_MAP, _SHARE = 160, 1.05
_SKETCHES = ", with sketches"
_WIDTHS: dict[Precision, int] = {"bfloat16": 2, "float16": 2, "float32": 4, "int8": 1}


class _Case(NamedTuple):
    precision: Precision
    accelerated: bool

    @property
    def label(self) -> str:
        return f"Tidemark {self.precision}{_SKETCHES if self.accelerated else ''}"


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    texts, size = load_texts(quick=quick), 20_000 if quick else 1_000_000
    outcome = Measurement("memory", f"Memory a profile, {size:,} profiles", "bytes")
    cases = [_Case(precision, False) for precision in _WIDTHS]
    for number in range(repetitions):
        # Sketches take the same room each time.
        for case in [*cases, *([] if number else [_Case("bfloat16", True)])]:
            found = in_fresh_process(_bytes, texts, size, case)
            outcome.values.setdefault(case.label, []).append(found)
            outcome.runs.append({"label": case.label, "bytes_per_profile": found})
            print(f"{case.label}: {found:,.0f} bytes a profile")
    for case in [*cases, _Case("bfloat16", True)]:
        vector = _WIDTHS[case.precision] * texts.dim
        measured = statistics.median(outcome.values[case.label])
        outcome.details[case.label] = {
            "vector": f"{vector:,}", "key and map": f"{measured - vector:,.0f}"
        }  # fmt: skip
        if case.precision == "bfloat16":
            outcome.bars.append(
                Bar.at_most(
                    f"memory: a profile in bfloat16{_SKETCHES if case.accelerated else ''}",
                    _SHARE * vector + _KEY_AND_MAP, measured, "bytes",
                )
            )  # fmt: skip
    outcome.notes = [f"with sketches measured once; keys are like user-{size - 1}"]
    return outcome


def _bytes(texts: Texts, size: int, case: _Case) -> float:
    dim = texts.dim
    small = FaissFlatIndex(dim, case.precision)
    small.upsert(["a"], texts.vectors[:1])
    small.search(texts.vectors[:1], 1)  # all is loaded and compiled
    del small
    next(profile_blocks(texts, size))
    index = GrowingIndex(dim, case.precision, Growth(above=size // 2))
    before = own_bytes()
    for start, block in profile_blocks(texts, size):
        index.upsert([f"user-{start + row}" for row in range(len(block))], block)
    if case.accelerated:
        index.maintain()
        if not index.wait_built(1_800):
            raise RuntimeError("the index was not built within half an hour")
    found = own_bytes() - before
    index.search(texts.vectors[:1], 1)
    index.close()
    return found / size
