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
    DiskCache,
    EncodedBatch,
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
    from pathlib import Path

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


def test_many_callers_share_what_they_ask_for(
    fake: FakeEncoder, start: Callable[..., EncoderService]
) -> None:
    service = start(fake)

    async def ask() -> list[EncodedBatch]:
        return await asyncio.gather(*(service.encode(["same", f"own {i}"]) for i in range(20)))

    for number, batch in enumerate(asyncio.run(ask())):
        assert batch.index.tolist() == [0, 1]
        np.testing.assert_array_equal(batch.vectors, PLAIN.encode(["same", f"own {number}"]))
    assert len(fake.threads) <= 2
    assert threading.current_thread().name not in fake.threads
    assert sum(call.count("same") for call in fake.calls) == 1


class HeldEncoder(FakeEncoder):
    """Says when it is in a call, and stays there until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.inside.release()
        assert self.go.acquire(timeout=30)
        return super().encode(texts)


def ask_in_thread(
    service: EncoderService, texts: list[str]
) -> tuple[threading.Thread, list[EncodedBatch]]:
    answers: list[EncodedBatch] = []
    thread = threading.Thread(target=lambda: answers.append(service.encode_now(texts)))
    thread.start()
    return thread, answers


def test_a_text_in_flight_is_waited_for(start: Callable[..., EncoderService]) -> None:
    held = HeldEncoder()
    service = start(held)
    first, first_answers = ask_in_thread(service, ["a", "b", "poison"])
    assert held.inside.acquire(timeout=30)
    second, second_answers = ask_in_thread(service, ["b", "c", "poison"])
    assert held.inside.acquire(timeout=30), "another text is encoded at the same time"
    for _ in range(20):
        held.go.release()
    first.join()
    second.join()
    assert [call.count("b") for call in held.calls if "poison" not in call].count(1) == 1
    assert ["c"] in held.calls
    assert service.stats().texts_merged == 2
    for (batch,), texts in ((first_answers, ["a", "b"]), (second_answers, ["b", "c"])):
        assert set(batch.errors) == {"poison"}
        assert batch.index.tolist() == [0, 1, -1]
        np.testing.assert_array_equal(batch.vectors, PLAIN.encode(texts))


def test_calls_that_wait_are_answered_together(start: Callable[..., EncoderService]) -> None:
    held = HeldEncoder()
    service = start(held)
    asked = []
    for number in range(2):  # one after the other: together they would be one call
        asked.append(ask_in_thread(service, [f"first {number}"]))
        assert held.inside.acquire(timeout=30)
    waiting = [ask_in_thread(service, [f"text {i}", "shared"]) for i in range(10)]
    while len(service._waiting) < 10:  # noqa: SLF001 - what is waited for
        threading.Event().wait(0.001)
    for _ in range(20):
        held.go.release()
    for thread, _ in [*asked, *waiting]:
        thread.join()
    assert len(held.calls) <= 4, "two that ran, and one or two for all that waited"
    for number, (_, (batch,)) in enumerate(waiting):
        np.testing.assert_array_equal(
            batch.vectors[batch.index], PLAIN.encode([f"text {number}", "shared"])
        )


def test_a_caller_that_leaves_is_not_answered(start: Callable[..., EncoderService]) -> None:
    held = HeldEncoder()
    service = start(held)

    async def leave() -> EncodedBatch:
        asked = []
        for number in range(2):
            asked.append(asyncio.create_task(service.encode([f"first {number}"])))
            await asyncio.to_thread(held.inside.acquire)
        leaving = asyncio.create_task(service.encode(["never"]))
        staying = asyncio.create_task(service.encode(["stays"]))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        for _ in range(20):
            held.go.release()
        await asyncio.gather(*asked)
        return await staying

    assert asyncio.run(leave()).index.tolist() == [0]
    assert not any("never" in call for call in held.calls)


def test_the_disk_is_asked_before_the_encoder(fake: FakeEncoder, tmp_path: Path) -> None:
    def serve(cache_bytes: int) -> EncoderService:
        disk = DiskCache(tmp_path / "vectors", 1 << 22, fake.encoder_id, DIM)
        return EncoderService(fake, VectorCache(cache_bytes), disk)

    first = serve(1 << 20)
    first.encode_now(["a", "b", "poison"])
    first.close()
    fake.calls.clear()
    second = serve(1 << 20)
    batch = second.encode_now(["b", "c", "a"])
    np.testing.assert_array_equal(batch.vectors[batch.index], PLAIN.encode(["b", "c", "a"]))
    second.encode_now(["a", "b", "c"])
    assert fake.calls == [["c"]]
    stats = second.stats()
    assert (stats.disk_hits, stats.disk_misses, stats.disk_failures) == (2, 1, 0)
    assert (stats.cache_hits, stats.cache_misses) == (3, 3)
    second.close()


def test_nobody_waits_for_a_disk_that_stands_still(
    fake: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskCache(tmp_path / "vectors", 1 << 22, fake.encoder_id, DIM)
    still = threading.Event()
    written: list[int] = []

    def put_many(_: DiskCache, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        still.wait(30)  # as for a peer that is frozen in its transaction
        written.append(len(texts) * len(vectors))

    monkeypatch.setattr(DiskCache, "put_many", put_many)
    service = EncoderService(fake, VectorCache(1 << 20), disk)
    for number in range(100):
        assert service.encode_now([f"text {number}"]).errors == {}
    assert service.stats().disk_failures == 100 - 64
    still.set()
    service.close()
    assert written == [1] * 64


def test_a_defect_in_writing_is_told(
    fake: FakeEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(DiskCache, "put_many", broken)
    disk = DiskCache(tmp_path / "vectors", 1 << 22, fake.encoder_id, DIM)
    service = EncoderService(fake, VectorCache(1 << 20), disk)
    assert service.encode_now(["a"]).errors == {}
    service.close()
    assert service.stats().disk_failures == 1
    assert "could not be written on disk" in caplog.text
    assert "ZeroDivisionError" in caplog.text


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
