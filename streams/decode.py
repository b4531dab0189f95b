"""From the bytes of a record to a valid `Action` or `Item`, or to the reason why not.

Pure: no clock, no I/O. Every check names what came and what was expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import msgspec

from streams.errors import RejectedError, RejectReason
from streams.schema import SCHEMA_VERSION, Action, Item, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ActionDecoder", "ItemDecoder", "Limits", "RawRecord", "WireFormat"]

WireFormat = Literal["msgpack", "json"]
M = TypeVar("M", Action, Item)

#: How much of an offending value is repeated in a reason.
_QUOTED = 60
#: What MessagePack can carry; JSON could carry thousands of digits.
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class RawRecord(Protocol):
    """What is read of a Kafka record; where it is from is said once for a whole batch."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a message; one over a limit is dead-lettered with the limit in the reason.

    Attributes:
        message_bytes: the whole value.
        text_chars: the user's words, a title or a description.
        id_chars: user_id, item_id, event_id, the action's name.
        context_entries: entries of context and attributes; their strings share `id_chars`.
        categories: categories of an item.
        clock_skew_ms: how far event time may run ahead of the record's own time and of ours.
    """

    message_bytes: int = 1_000_000
    text_chars: int = 20_000
    id_chars: int = 256
    context_entries: int = 32
    categories: int = 64
    clock_skew_ms: int = 300_000


class _Decoder:
    """What actions and items have in common."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def _value(self, record: RawRecord, decode: Callable[[bytes], M]) -> M:
        value = record.value
        if value is None:
            raise RejectedError(RejectReason.MALFORMED, "the value is null; expected a message")
        if len(value) > self.limits.message_bytes:
            raise _over("the message", len(value), "bytes", self.limits.message_bytes)
        try:
            message = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RejectedError(
                RejectReason.MALFORMED, f"the value cannot be read: {error}"
            ) from error
        if not 1 <= message.v <= SCHEMA_VERSION:
            raise RejectedError(
                RejectReason.MALFORMED,
                f"schema version {message.v}; this worker reads up to {SCHEMA_VERSION}",
            )
        return message

    def _key(self, record: RawRecord, field: str, identity: str) -> None:
        if not identity:
            raise RejectedError(RejectReason.BAD_VALUE, f"{field} is empty")
        if not record.key:
            raise RejectedError(
                RejectReason.BAD_KEY, f"the record has no key; expected the {field} in UTF-8"
            )
        if record.key != identity.encode():
            raise RejectedError(
                RejectReason.BAD_KEY,
                f"the key is {_quote(record.key)} but {field} is {_quote(identity)}; "
                "they must be equal, or the order of one user's actions is lost",
            )

    def _short(self, field: str, value: str | None) -> None:
        if value is not None and len(value) > self.limits.id_chars:
            raise _over(field, len(value), "characters", self.limits.id_chars)

    def _long(self, field: str, value: str | None) -> None:
        if value is not None and len(value) > self.limits.text_chars:
            raise _over(field, len(value), "characters", self.limits.text_chars)

    def _scalars(self, field: str, values: Mapping[str, Scalar] | None) -> None:
        if not values:
            return
        if len(values) > self.limits.context_entries:
            raise _over(field, len(values), "entries", self.limits.context_entries)
        for name, value in values.items():
            self._short(f"a name in {field}", name)
            if isinstance(value, str):
                self._short(f"{field}.{name}", value)
            elif isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
                raise RejectedError(
                    RejectReason.BAD_VALUE,
                    f"{field}.{name} is an integer of {value.bit_length()} bits; "
                    "expected at most 64",
                )
            elif isinstance(value, float) and not math.isfinite(value):
                raise RejectedError(
                    RejectReason.BAD_VALUE, f"{field}.{name} is {value}; expected a finite number"
                )


class ActionDecoder(_Decoder):
    """Reads actions of one topic, and says what is wrong with those it cannot read."""

    def __init__(
        self, wire: WireFormat, limits: Limits, *, default_action: str | None = None
    ) -> None:
        super().__init__(limits)
        self.wire = wire
        self.default_action = default_action
        kind: type[Action] = Action
        if default_action is not None:
            # The topic says what the action is; a message may still name another.
            kind = msgspec.defstruct(  # type: ignore[assignment] # a subclass made at run time
                "ActionWithDefault",
                [("action", str, default_action)],
                bases=(Action,),
                frozen=True,
                kw_only=True,
            )
        self._decode: Callable[[bytes], Action] = (
            msgspec.json.Decoder(kind).decode
            if wire == "json"
            else msgspec.msgpack.Decoder(kind).decode
        )

    def decode(self, record: RawRecord, now_ms: int) -> Action:
        """Read and check one record.

        Args:
            record: as it was fetched.
            now_ms: the worker's clock.

        Raises:
            RejectedError: with the reason for the dead letter.
        """
        action = self._value(record, self._decode)
        self._key(record, "user_id", action.user_id)
        limits = self.limits
        if len(action.user_id) > limits.id_chars:
            raise _over("user_id", len(action.user_id), "characters", limits.id_chars)
        self._short("action", action.action)
        self._short("item_id", action.item_id)
        self._short("event_id", action.event_id)
        if action.event_id == "":
            # Were it taken for a name, a producer that leaves the field blank would have all its
            # actions but the first skipped as repeats.
            raise RejectedError(
                RejectReason.BAD_VALUE, "event_id is empty; leave it out, or name the event"
            )
        self._long("text", action.text)
        self._scalars("context", action.context)
        self._time(action.ts, record.timestamp, now_ms)
        if action.rating is not None and not math.isfinite(action.rating):
            raise RejectedError(
                RejectReason.BAD_VALUE, f"rating is {action.rating}; expected a finite number"
            )
        return action

    def _time(self, ts: int, record_ms: int, now_ms: int) -> None:
        if ts <= 0:
            raise RejectedError(
                RejectReason.BAD_TIME, f"ts is {ts}; expected milliseconds since 1970"
            )
        # The record's own time keeps a replay of an old log as strict as its first reading; our
        # clock bounds a producer whose both times are wrong.
        latest = min(record_ms, now_ms) if record_ms > 0 else now_ms
        if ts > latest + self.limits.clock_skew_ms:
            raise RejectedError(
                RejectReason.BAD_TIME,
                f"ts is {(ts - latest) // 1000} s ahead of the record's time; expected at most "
                f"{self.limits.clock_skew_ms / 1000:.0f} s (is ts in milliseconds?)",
            )


class ItemDecoder(_Decoder):
    """Reads the catalogue's topic; always MessagePack. A null value deletes."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._decode = msgspec.msgpack.Decoder(Item).decode

    def decode(self, record: RawRecord) -> Item | None:
        """Read and check one record; None says that the item is deleted.

        Raises:
            RejectedError: with the reason for the dead letter.
        """
        if record.value is None:
            if not record.key:
                raise RejectedError(
                    RejectReason.BAD_KEY, "a delete has no key; expected the item_id in UTF-8"
                )
            return None
        item = self._value(record, self._decode)
        self._key(record, "item_id", item.item_id)
        self._short("item_id", item.item_id)
        if not item.title.strip():
            raise RejectedError(RejectReason.BAD_VALUE, "title is empty; an item needs one")
        self._long("title", item.title)
        self._long("description", item.description)
        if len(item.categories) > self.limits.categories:
            raise _over("categories", len(item.categories), "entries", self.limits.categories)
        for category in item.categories:
            self._short("a category", category)
        self._scalars("attributes", item.attributes)
        return item


def _over(what: str, size: int, unit: str, limit: int) -> RejectedError:
    return RejectedError(
        RejectReason.OVER_LIMIT, f"{what} has {size:,} {unit}; the limit is {limit:,}"
    )


def _quote(value: bytes | str) -> str:
    shown = value[:_QUOTED]
    return f"{shown!r}{'…' if len(value) > _QUOTED else ''}"
