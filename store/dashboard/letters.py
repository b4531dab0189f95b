"""The last dead letters: what could not be processed, shown so that no byte of it does anything."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from store.record import Record

__all__ = ["KEPT", "LetterBox", "LetterSource", "letter_of", "shown"]

logger = logging.getLogger(__name__)

#: Letters that are kept, and bytes that are shown of a key or a value.
KEPT, SHOWN_BYTES = 100, 512
_RETRY_S = 5.0


class LetterSource(Protocol):
    """The end of the topic of dead letters. One caller at a time."""

    @property
    def topic(self) -> str:
        """What it is called."""
        ...

    @property
    def replayed(self) -> Container[tuple[str, int, int]]:
        """Topic, partition and offset of the records that marks say were replayed."""
        ...

    async def poll(self, most: int) -> Sequence[dict[str, Any]]:
        """What came since the last poll, at the first what is there: the last ``most``, about.

        Oldest first, as `letter_of` makes them. Connects where it is not connected.
        """
        ...

    async def close(self) -> None:
        """Disconnect; a later `poll` begins as the first."""
        ...


def shown(data: bytes | None, most: int = SHOWN_BYTES) -> dict[str, Any] | None:
    """Bytes for a page: as text where they are nothing but that, and as hexadecimal digits.

    Text is UTF-8 whose every character is printable, line ends and tabs aside: no control
    characters, and none that turn the direction of what follows.
    """
    if data is None:
        return None
    head = data[:most]
    return {
        "size": len(data),
        "cut": len(data) > most,
        "text": _text(head, data),
        "hex": head.hex(),
    }


def letter_of(record: Record) -> dict[str, Any]:
    """A record of the topic as the page shows it; headers that are not there are null.

    Small, however large the record is.
    """
    headers = {name: value for name, value in record.headers if value is not None}

    def word(name: str) -> str | None:
        value = headers.get(name)
        return None if value is None else value.decode(errors="replace")

    def count(name: str) -> int | None:
        text = word(name) or ""
        # An offset has 19 digits at most; anybody may write any number of them.
        known = text.isascii() and text.isdigit() and len(text) <= 19  # noqa: PLR2004
        return int(text) if known else None

    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": count("time") or record.timestamp,
        "error": word("error"),
        "reason": word("reason"),
        "source_topic": word("source-topic"),
        "source_partition": count("source-partition"),
        "source_offset": count("source-offset"),
        "key": shown(record.key),
        "value": shown(record.value),
    }


class LetterBox:
    """Follows the topic while someone looks.

    Args:
        source: None where there is nothing to follow.
        seconds: between two polls.
    """

    def __init__(self, source: LetterSource | None, seconds: float = 1.0) -> None:
        self._source = source
        self._seconds = seconds
        self._letters: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._number = 0
        self._reason: str | None = "the topic is being read"
        self._task: asyncio.Task[None] | None = None

    def state(self) -> dict[str, Any]:
        """Of the whole topic, as it is now.

        ``reason`` says why its letters cannot be read, null where they can; ``replayed`` are the
        numbers of letters that were published again since.
        """
        if self._source is None:
            reason = "this service follows no topic of dead letters"
            return {"topic": None, "reason": reason, "replayed": []}
        replayed = [one["number"] for one in self._letters if _source(one) in self._source.replayed]
        return {"topic": self._source.topic, "reason": self._reason, "replayed": replayed}

    def after(self, number: int) -> list[dict[str, Any]]:
        """Letters with a higher number, oldest first."""
        return [one for one in self._letters if one["number"] > number]

    def follow(self) -> None:
        """Someone looks; needs a running loop."""
        if self._source is not None and self._task is None:
            self._task = asyncio.create_task(self._run(self._source), name="tidemark-letters")

    async def rest(self) -> None:
        """Nobody looks any more: the connection is closed, and what was read is forgotten."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._letters.clear()
        self._reason = "the topic is being read"

    async def _run(self, source: LetterSource) -> None:
        try:
            while True:
                wait = self._seconds
                try:
                    letters = await source.poll(KEPT)
                except Exception as error:
                    # What the streams raise says what is wrong; another error is a defect.
                    reason = f"the topic cannot be read: {error}"
                    if reason != self._reason:
                        logger.warning(
                            "dead letters cannot be read: %s", error,
                            exc_info=not hasattr(error, "retriable"),
                        )  # fmt: skip
                    self._reason, wait = reason, _RETRY_S
                    await source.close()
                else:
                    self._reason = None
                    for letter in letters[-KEPT:]:
                        self._number += 1
                        self._letters.append({"number": self._number, **letter})
                await asyncio.sleep(wait)
        finally:
            await source.close()


def _source(letter: dict[str, Any]) -> tuple[Any, Any, Any]:
    return letter["source_topic"], letter["source_partition"], letter["source_offset"]


def _text(head: bytes, whole: bytes) -> str | None:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # A character that was cut at the end is not the data's fault.
        if len(head) == len(whole) or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode()
    return text if all(one.isprintable() or one in "\n\r\t" for one in text) else None
