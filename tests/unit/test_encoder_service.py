from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders import (
    DeviceMemoryError,
    EncoderClosedError,
    EncoderError,
    EncoderService,
    EncodingFailedError,
    HashingEncoder,
    TextEncoder,
    VectorCache,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

DIM = 16
PLAIN = HashingEncoder(DIM)


class FakeEncoder:
    """The hashing encoder, with faults by the word in a text; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.threads: set[str] = set()
        self.broken = False

    @property
    def encoder_id(self) -> str:
        return PLAIN.encoder_id

    @property
    def dim(self) -> int:
        return DIM

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise RuntimeError("device lost")
        if any("poison" in text for text in texts):
            raise RuntimeError("poison")
        if any("huge" in text for text in texts):
            raise DeviceMemoryError("does not fit")
        vectors = PLAIN.encode(texts)
        vectors[["infinite" in text for text in texts], 3] = np.inf
        return vectors[:-1] if any("short" in text for text in texts) else vectors


@pytest.fixture
def fake() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def start() -> Iterator[Callable[..., EncoderService]]:
    started: list[EncoderService] = []

    def make(encoder: TextEncoder, max_bytes: int = 1_000_000) -> EncoderService:
        started.append(EncoderService(encoder, VectorCache(max_bytes)))
        return started[-1]

    yield make
    for service in started:
        service.close()


def test_every_text_finds_its_row(fake: FakeEncoder, start: Callable[..., EncoderService]) -> None:
    texts = ["b", "a", "b", "c", "a"]
    batch = start(fake).encode_now(texts)
    assert batch.vectors.shape == (3, DIM)
    assert batch.vectors.dtype == np.float32
    assert batch.index.dtype == np.int32
    assert batch.errors == {}
    np.testing.assert_array_equal(batch.vectors[batch.index], PLAIN.encode(texts))
    assert fake.calls == [["b", "a", "c"]]


def test_no_texts(fake: FakeEncoder, start: Callable[..., EncoderService]) -> None:
    batch = start(fake).encode_now([])
    assert batch.vectors.shape == (0, DIM)
    assert batch.index.shape == (0,)
    assert fake.calls == []


def test_the_cache_is_asked_first(fake: FakeEncoder, start: Callable[..., EncoderService]) -> None:
    service = start(fake)
    service.encode_now(["a", "b"])
    batch = service.encode_now(["c", "b", "b"])
    np.testing.assert_array_equal(batch.vectors[batch.index], PLAIN.encode(["c", "b", "b"]))
    assert fake.calls == [["a", "b"], ["c"]]
    stats = service.stats()
    assert (stats.texts_requested, stats.texts_encoded) == (5, 3)
    assert (stats.cache_hits, stats.cache_misses, stats.evictions) == (1, 3, 0)
    assert stats.failures == 0
    assert stats.encode_seconds > 0


def test_without_a_cache_all_is_encoded_again(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake, max_bytes=0)
    service.encode_now(["a"])
    service.encode_now(["a"])
    assert fake.calls == [["a"], ["a"]]


def test_a_caller_may_write_in_its_vectors(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)
    for _ in range(2):  # encoded, then from the cache
        batch = service.encode_now(["a"])
        np.testing.assert_array_equal(batch.vectors, PLAIN.encode(["a"]))
        batch.vectors[:] = 0


KINDS = ["fine", "poison", "huge", "infinite", "short"]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), max_size=30))
def test_only_the_texts_at_fault_fail(kinds: list[tuple[str, int]]) -> None:
    fake = FakeEncoder()
    service = EncoderService(fake, VectorCache(1_000_000))
    texts = [f"{kind} {number}" for kind, number in kinds]
    batch = service.encode_now(texts)
    service.close()

    bad = {text for text in texts if not text.startswith("fine")}
    assert set(batch.errors) == bad
    assert service.stats().failures == len(bad)
    for text, row in zip(texts, batch.index, strict=True):
        if text in bad:
            assert row == -1
            assert batch.errors[text].retriable == text.startswith("huge")
            kind = DeviceMemoryError if text.startswith("huge") else EncodingFailedError
            assert isinstance(batch.errors[text], kind)
        else:
            np.testing.assert_array_equal(batch.vectors[row], PLAIN.encode([text])[0])
    assert len(batch.vectors) == len(set(texts) - bad)


def test_a_failure_is_not_cached_and_names_its_cause(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)
    first = service.encode_now(["poison"]).errors["poison"]
    assert str(first) == "RuntimeError: poison"
    assert isinstance(first.__cause__, RuntimeError)
    service.encode_now(["poison"])
    assert fake.calls.count(["poison"]) == 2


def test_one_poison_text_costs_a_logarithm_of_calls(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    batch = start(fake).encode_now([f"text {i}" for i in range(255)] + ["poison"])
    assert set(batch.errors) == {"poison"}
    assert len(fake.calls) <= 2 * 8 + 2


def test_when_the_encoder_is_broken_no_text_is_to_blame(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)
    service.encode_now(["known"])
    fake.broken = True
    fake.calls.clear()
    batch = service.encode_now(["known", *(f"text {i}" for i in range(100))])
    assert len(fake.calls) == 2
    assert batch.index.tolist() == [0] + [-1] * 100
    assert len(batch.errors) == 100
    assert all(error.retriable for error in batch.errors.values())
    assert "device lost" in str(batch.errors["text 0"])
    fake.broken = False
    assert service.encode_now(["text 0"]).errors == {}


def test_an_empty_text_fails_without_a_call(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    batch = start(fake).encode_now(["", "a", ""])
    assert batch.index.tolist() == [-1, 0, -1]
    assert isinstance(batch.errors[""], EncodingFailedError)
    assert fake.calls == [["a"]]


def test_one_thread_serves_all_callers(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)

    async def ask() -> list[list[int]]:
        batches = await asyncio.gather(*(service.encode(["same", f"own {i}"]) for i in range(20)))
        return [batch.index.tolist() for batch in batches]

    assert asyncio.run(ask()) == [[0, 1]] * 20
    assert len(fake.threads) == 1
    assert threading.current_thread().name not in fake.threads
    assert sum(call.count("same") for call in fake.calls) == 1


def test_after_close_calls_are_refused(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)
    service.encode_now(["a"])
    service.close()
    service.close()
    with pytest.raises(EncoderClosedError, match="the encoder service is closed") as raised:
        service.encode_now(["a"])
    assert isinstance(raised.value, EncoderError)
    with pytest.raises(EncoderClosedError):
        asyncio.run(service.encode(["a"]))
    assert service.stats().texts_requested == 1


def test_the_service_says_what_it_encodes_with(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)
    assert (service.encoder_id, service.dim) == (fake.encoder_id, DIM)
