"""How many texts a second come out of the service where some are asked for again and again.

200,000 texts are drawn from 10,000 by Zipf's law (s = 1) and asked for in calls of 256; nothing is
in a cache at first. Beside it: the model alone, the same traffic with room for half of the texts
in memory and none on disk, and a second process that finds the first one's texts on disk.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.encoders.texts import review_sentences
from encoders import (
    DEFAULT_MODEL,
    DiskCache,
    EncoderService,
    TextEncoder,
    VectorCache,
    load_encoder,
)
from encoders.cache import ENTRY_OVERHEAD

__all__ = ["measure"]

_MODEL, _COLD, _HALF, _DISK = (
    "the model alone", "memory and disk, cold", "room for half, no disk", "warm from disk",
)  # fmt: skip
_CALL = 256
_MEBIBYTE = 1024 * 1024


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    distinct, requests = (500, 10_000) if quick else (10_000, 200_000)
    texts = review_sentences()[:distinct]
    outcome = Measurement("cache", f"Zipf(1.0) over {distinct:,} texts", "texts/s")
    encoder = load_encoder(DEFAULT_MODEL)
    outcome.values = {label: [] for label in (_MODEL, _COLD, _HALF, _DISK)}
    half = distinct // 2 * (4 * encoder.dim + 120 + ENTRY_OVERHEAD)
    hits: dict[str, str] = {}
    for number in range(repetitions):
        drawn = _zipf(texts, requests, number)
        started = time.perf_counter()
        some = drawn[:2_000]
        encoder.encode(some)
        outcome.values[_MODEL].append(len(some) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as name:
            for label, memory, folder in (
                (_COLD, 256 * _MEBIBYTE, Path(name)),
                (_HALF, half, None),
                (_DISK, 256 * _MEBIBYTE, Path(name)),
            ):
                rate, hits[label] = _serve(encoder, drawn, memory, folder)
                outcome.values[label].append(rate)
        for label, rates in outcome.values.items():
            print(f"{label}: {rates[-1]:,.0f} texts/s")
    outcome.details = {label: {"hits in memory / on disk": said} for label, said in hits.items()}
    outcome.runs = [{"label": label, "rates": rates} for label, rates in outcome.values.items()]
    ratio = outcome.median(_COLD) / outcome.median(_MODEL)
    outcome.bars = [Bar.at_least("cache: texts/s, times the model's", 10, ratio, "x")]
    return outcome


def _zipf(texts: list[str], count: int, seed: int) -> list[str]:
    weights = 1 / np.arange(1, len(texts) + 1)
    rows = np.random.default_rng(seed).choice(len(texts), count, p=weights / weights.sum())
    return [texts[row] for row in rows]


def _serve(
    encoder: TextEncoder, drawn: list[str], memory: int, folder: Path | None
) -> tuple[float, str]:
    """Texts a second, and the shares that were found in memory and on disk."""
    disk = None
    if folder is not None:
        disk = DiskCache(folder, 1024 * _MEBIBYTE, encoder.encoder_id, encoder.dim)
    service = EncoderService(encoder, VectorCache(memory), disk)
    started = time.perf_counter()
    for begin in range(0, len(drawn), _CALL):
        batch = service.encode_now(drawn[begin : begin + _CALL])
        if batch.errors:
            raise next(iter(batch.errors.values()))
    seconds = time.perf_counter() - started
    stats = service.stats()
    service.close()
    asked = stats.cache_hits + stats.cache_misses
    on_disk = stats.disk_hits / max(1, stats.disk_hits + stats.disk_misses)
    return len(drawn) / seconds, f"{stats.cache_hits / asked:.2f} / {on_disk:.2f}"
