"""From fetched records to texts to encode: decode, weigh, render. Pure but for its clock.

A record ends up as a `ReadAction`, or as a rejection with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.errors import RejectedError, RejectReason
from streams.rules import FORGET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.catalogue import Catalogue
    from streams.decode import ActionDecoder, RawRecord
    from streams.rules import ActionRules
    from streams.schema import Action

__all__ = ["ActionReader", "ReadAction", "Reading"]


@dataclass(slots=True)
class ReadAction:
    """A valid action: its record, weight, signed strength, and the text of its vector.

    ``text`` is None for ``forget``, which has no vector.
    """

    record: RawRecord
    action: Action
    weight: float
    strength: float
    text: str | None


@dataclass(slots=True)
class Reading:
    """What became of a batch's records, each list in offset order."""

    actions: list[ReadAction] = field(default_factory=list)
    rejected: list[tuple[RawRecord, RejectedError]] = field(default_factory=list)


class ActionReader:
    """Reads batches of any of the action topics.

    Args:
        decoders: by topic.
        rules: what each kind of action means.
        catalogue: knows the items.
        clock: milliseconds since the epoch.
    """

    def __init__(
        self,
        decoders: Mapping[str, ActionDecoder],
        rules: ActionRules,
        catalogue: Catalogue,
        clock: Callable[[], int],
    ) -> None:
        self._decoders = decoders
        self._rules = rules
        self._catalogue = catalogue
        self._clock = clock

    def decode(self, records: Sequence[RawRecord]) -> list[Action | RejectedError]:
        """Each record's action, or why it has none."""
        now = self._clock()
        decode = self._decoders[records[0].topic].decode
        decoded: list[Action | RejectedError] = []
        for record in records:
            try:
                decoded.append(decode(record, now))
            except RejectedError as error:
                decoded.append(error)
        return decoded

    def names_unknown_item(self, decoded: Sequence[Action | RejectedError]) -> bool:
        """Whether the catalogue should be refreshed before `read`."""
        known = self._catalogue
        return any(
            not isinstance(action, RejectedError)
            and action.item_id is not None
            and action.item_id not in known
            for action in decoded
        )

    def read(
        self, records: Sequence[RawRecord], decoded: Sequence[Action | RejectedError]
    ) -> Reading:
        """Weigh and render; an item that is not in the catalogue now is unknown."""
        reading = Reading()
        for record, action in zip(records, decoded, strict=True):
            try:
                if isinstance(action, RejectedError):
                    raise action
                reading.actions.append(self._read_one(record, action))
            except RejectedError as error:
                reading.rejected.append((record, error))
        return reading

    def _read_one(self, record: RawRecord, action: Action) -> ReadAction:
        if action.action == FORGET:
            return ReadAction(record, action, 0.0, 0.0, None)
        weight, strength = self._rules.weigh(action)
        if action.item_id is not None and action.item_id not in self._catalogue:
            raise RejectedError(
                RejectReason.UNKNOWN_ITEM,
                f"item {action.item_id!r} is not in the catalogue; publish items before actions",
            )
        text = self._catalogue.action_text(action)
        if not text:
            raise RejectedError(
                RejectReason.NO_TEXT,
                f"a {action.action!r} without item_id and text has nothing to encode",
            )
        return ReadAction(record, action, weight, strength, text)
