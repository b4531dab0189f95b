"""From fetched records to columns of actions and the texts to encode. Pure but for its clock.

Plain actions on items, nearly all, are read by compiled code (`streams.scan`) and weighed as
columns. The others are read one by one: those with words of the user's own, and whatever is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.batch import ActionBatch
from store.fold import FORGET as FORGET_ROW
from store.fold import SKIP as SKIPPED_ROW
from store.interner import hash_bytes
from streams.errors import RejectedError, RejectReason
from streams.rules import FORGET
from streams.scan import scan_actions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from store.batch import Vocabulary
    from streams.batches import EncodedTexts
    from streams.catalogue import Catalogue
    from streams.decode import ActionDecoder, RawRecord
    from streams.rules import ActionRules
    from streams.scan import Scan
    from streams.schema import Action

__all__ = [
    "ActionReader",
    "Decoded",
    "Feeling",
    "Reading",
    "encoder_rejection",
    "with_feeling",
    "with_vectors",
]


@dataclass(slots=True)
class Decoded:
    """A batch's records, before it is known which items the catalogue has.

    Attributes:
        topic: that they are from.
        records: as fetched.
        scan: columns of the plain ones.
        singly: what the others are, by position.
        names_unknown_item: whether the catalogue should be refreshed before `ActionReader.read`.
    """

    topic: str
    records: Sequence[RawRecord]
    scan: Scan
    singly: dict[int, Action | RejectedError]
    names_unknown_item: bool


@dataclass(slots=True)
class Reading:
    """What became of a batch's records.

    Attributes:
        batch: a column entry for each record; ``rows`` are positions in ``texts``.
        texts: distinct for plain actions.
        rejected: places of records that cannot be processed, with the reason why.
        felt: the words of those whose strength they decide, by place.
    """

    batch: ActionBatch
    texts: list[str]
    rejected: list[tuple[int, RejectedError]] = field(default_factory=list)
    felt: dict[int, str] = field(default_factory=dict)


class Feeling(NamedTuple):
    """How users' words become a strength.

    Attributes:
        score: from vectors ``(n, dim) float32`` to what their texts feel, ``(n,)`` in [-1, 1].
        worst: s of the worst feeling, -1 to 0, as `RatingScale` has it.
        reads: whether it can read these words; those it cannot have no feeling.
        weigh: from feelings to what the weights are multiplied by; None: they stay.
    """

    score: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    worst: float
    reads: Callable[[str], bool] = bool
    weigh: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None


class ActionReader:
    """Reads batches of any of the action topics.

    Args:
        decoders: by topic.
        rules: what each kind of action means.
        catalogue: knows the items.
        vocabulary: codes of actions and items.
        clock: milliseconds since the epoch.
    """

    def __init__(
        self,
        decoders: Mapping[str, ActionDecoder],
        rules: ActionRules,
        catalogue: Catalogue,
        vocabulary: Vocabulary,
        clock: Callable[[], int],
    ) -> None:
        self._decoders = decoders
        self._rules = rules
        self._catalogue = catalogue
        self._vocabulary = vocabulary
        self._clock = clock
        self._kinds = _Kinds(rules, catalogue, vocabulary)

    def decode(self, topic: str, records: Sequence[RawRecord]) -> Decoded:
        """Read the bytes of a topic's records, of any partitions."""
        now = self._clock()
        decoder = self._decoders[topic]
        scan = scan_actions(records, decoder.limits, now, skip=decoder.wire != "msgpack")
        singly = {
            place: _decode(decoder, records[place], now)
            for place in np.flatnonzero(~scan.plain).tolist()
        }
        unknown = scan.plain & (scan.item_starts >= 0) & ~self._catalogue.knows(self._items(scan))
        names_unknown = bool(unknown.any()) or any(
            not isinstance(action, RejectedError)
            and action.item_id is not None
            and action.item_id not in self._catalogue
            for action in singly.values()
        )
        return Decoded(topic, records, scan, singly, names_unknown)

    def read(self, decoded: Decoded) -> Reading:
        """Weigh and render; an item that is not in the catalogue now is unknown."""
        records, scan = decoded.records, decoded.scan
        decoder = self._decoders[decoded.topic]
        kinds = self._kinds
        codes = self._vocabulary.actions.codes(
            scan.buffer, scan.action_starts, scan.action_ends, insert=False
        )
        if decoder.default_action is not None:
            default = self._vocabulary.actions.find(decoder.default_action.encode())
            codes[scan.plain & (scan.action_starts < 0)] = default
        items = self._items(scan)
        quick = scan.plain & (codes >= 0) & (codes < len(kinds)) & self._catalogue.knows(items)
        known = np.where(quick, codes, 0)
        rated = kinds.rated[known]
        quick &= (kinds.templates[known] >= 0) & (~rated | self._rules.ratings.holds(scan.ratings))
        strengths = kinds.strengths[known]
        strengths[rated] = self._rules.ratings.strengths(scan.ratings[rated])
        weights = kinds.weights[known]
        if self._rules.influence is not None:
            weights[rated] *= self._rules.factors(scan.ratings[rated])
        batch = ActionBatch(
            users=scan.buffer,
            user_starts=scan.key_starts,
            user_ends=scan.key_ends,
            offsets=scan.offsets,
            published=scan.published,
            ts=scan.ts,
            actions=codes,
            items=items,
            events=scan.events,
            weights=weights,
            strengths=strengths,
            rows=np.full(len(records), SKIPPED_ROW, np.int32),
        )
        reading = Reading(batch, self._item_texts(batch, quick, kinds.templates[known]))
        for place in np.flatnonzero(batch.rows == SKIPPED_ROW).tolist():
            self._read_singly(decoded, place, reading, decoder)
        return reading

    def _items(self, scan: Scan) -> NDArray[np.int32]:
        return self._vocabulary.items.codes(
            scan.buffer, scan.item_starts, scan.item_ends, insert=False
        )

    def _item_texts(
        self, batch: ActionBatch, quick: NDArray[np.bool_], templates: NDArray[np.int64]
    ) -> list[str]:
        """Texts that items alone decide, each once; sets the rows of the actions they belong to."""
        size = len(self._vocabulary.items)
        pairs, rows = np.unique(templates[quick] * size + batch.items[quick], return_inverse=True)
        texts: list[str] = []
        for template, name in enumerate(self._kinds.template_names):
            mine = pairs[(pairs >= template * size) & (pairs < (template + 1) * size)]
            texts += self._catalogue.texts(name, (mine - template * size).tolist())
        # An item whose fields leave a template empty is told so by `_read_singly`.
        filled = np.fromiter(map(bool, texts), np.bool_, len(texts))
        batch.rows[quick] = np.where(filled[rows], rows, SKIPPED_ROW)
        return texts

    def _read_singly(
        self, decoded: Decoded, place: int, reading: Reading, decoder: ActionDecoder
    ) -> None:
        record, batch = decoded.records[place], reading.batch
        action = decoded.singly.get(place) or _decode(decoder, record, self._clock())
        try:
            if isinstance(action, RejectedError):
                raise action
            weight, strength, text = self._weigh(action)
        except RejectedError as error:
            reading.rejected.append((place, error))
            return
        batch.ts[place] = action.ts
        batch.actions[place] = self._vocabulary.actions.code(action.action.encode())
        if action.item_id is not None:
            batch.items[place] = self._vocabulary.items.find(action.item_id.encode())
        if action.event_id is not None:
            batch.events[place] = _hash(action.event_id)
        batch.weights[place], batch.strengths[place] = weight, strength
        if text is None:
            batch.rows[place] = FORGET_ROW
        else:
            batch.rows[place] = len(reading.texts)
            reading.texts.append(text)
            if action.text is not None and self._is_felt(action):
                reading.felt[place] = action.text

    def _is_felt(self, action: Action) -> bool:
        """Whether how the user's words feel decides, and they are in the text."""
        return (
            self._rules.rules[action.action].felt
            and action.rating is None
            and bool(action.text)
            and self._catalogue.says("text", action)
        )

    def _weigh(self, action: Action) -> tuple[float, float, str | None]:
        """Weight, signed strength and text; a ``forget`` has no text."""
        if action.action == FORGET:
            return 0.0, 0.0, None
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
        return weight, strength, text


class _Kinds:
    """The rules in columns, by action code; ``forget`` is none of them.

    Attributes:
        templates: position in `template_names`; -1 where a text needs more than the item.
    """

    def __init__(self, rules: ActionRules, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
        kinds = {
            vocabulary.actions.code(name.encode()): (name, rule)
            for name, rule in rules.rules.items()
        }
        size = max(kinds) + 1 if kinds else 0
        self.weights = np.zeros(size)
        self.strengths = np.zeros(size)
        self.rated = np.zeros(size, np.bool_)
        self.templates = np.full(size, -1, np.int64)
        self.template_names: list[str] = []
        for code, (name, rule) in kinds.items():
            self.weights[code], self.strengths[code] = rules.weight_of(name), rule.strength
            self.rated[code] = rule.rated
            template = None if name == FORGET or rule.felt else catalogue.item_template(name)
            if template is not None:
                if template not in self.template_names:
                    self.template_names.append(template)
                self.templates[code] = self.template_names.index(template)

    def __len__(self) -> int:
        return len(self.weights)


def _decode(decoder: ActionDecoder, record: RawRecord, now_ms: int) -> Action | RejectedError:
    try:
        return decoder.decode(record, now_ms)
    except RejectedError as error:
        return error


def _hash(event_id: str) -> np.uint64:
    """As the scan hashes an event_id."""
    buffer = np.frombuffer(event_id.encode(), np.uint8)
    return hash_bytes(buffer, 0, len(buffer))


def with_vectors(
    reading: Reading, rows: NDArray[np.int32], encoded: EncodedTexts
) -> list[tuple[int, RejectedError]]:
    """Give the actions the rows of their texts' vectors.

    Returns:
        The places of those whose text has none, with the reason.
    """
    batch = reading.batch
    worded = batch.rows >= 0
    if worded.any():
        text_of = batch.rows
        batch.rows = np.where(worded, rows[np.where(worded, text_of, 0)], text_of)
        failed = worded & (batch.rows < 0)
    else:
        failed, text_of = worded, batch.rows
    batch.rows[failed] = SKIPPED_ROW
    return [
        (place, encoder_rejection(encoded, reading.texts[text_of[place]]))
        for place in np.flatnonzero(failed).tolist()
    ]


def with_feeling(reading: Reading, vectors: NDArray[np.float32], feeling: Feeling) -> None:
    """Weigh what users wrote by how it feels; after `with_vectors`.

    Args:
        reading: its strengths change, and its weights where the feeling has them.
        vectors: ``(m, dim) float32``, of all texts.
        feeling: reads the vectors.
    """
    batch = reading.batch
    places = [
        place for place, words in reading.felt.items()
        if batch.rows[place] >= 0 and feeling.reads(words)
    ]  # fmt: skip
    if not places:
        return
    felt = feeling.score(vectors[batch.rows[places]])
    pleased = batch.strengths[places] * felt
    batch.strengths[places] = np.where(felt >= 0, pleased, -feeling.worst * felt)
    if feeling.weigh is not None:
        batch.weights[places] *= feeling.weigh(felt)


def encoder_rejection(encoded: EncodedTexts, text: str) -> RejectedError:
    """Why a text that has no vector is dead-lettered."""
    return RejectedError(RejectReason.ENCODER, f"the encoder failed: {encoded.errors[text]}")
