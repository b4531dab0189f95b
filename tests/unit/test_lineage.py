from __future__ import annotations

import asyncio

import pytest
from store_fakes import (
    ENCODER,
    FakeRecord,
    FakeTail,
    item_record,
    make_state,
    profile_record,
    tombstone,
)

from store.errors import EncoderMismatchError
from streams.errors import BrokerUnavailableError
from streams.lineage import require_same_lineage

POLICY = make_state().policy


def ask(
    *batches: list[FakeRecord], encoder: str = ENCODER, policy: str | None = POLICY
) -> FakeTail:
    tail = FakeTail()
    for batch in batches:
        tail.push(*batch)

    async def main() -> None:
        await asyncio.wait_for(
            require_same_lineage(
                tail,
                profiles="profiles",
                item_vectors="item-vectors",
                encoder=encoder,
                policy=policy,
            ),
            5.0,
        )

    try:
        asyncio.run(main())
    finally:
        assert (tail.started, tail.stopped) == (1, 1)
    return tail


def test_empty_topics_are_anyones() -> None:
    ask([])


def test_its_own_topics_are_read_no_further_than_needed() -> None:
    mine = [profile_record("ann", make_state()), item_record("1")]
    assert ask(mine, mine, mine).polls == 1


def test_another_encoder_is_refused_with_what_mends_it() -> None:
    with pytest.raises(EncoderMismatchError) as error:
        ask([profile_record("ann", make_state(encoder="other"))])
    assert f"topic profiles was written with encoder 'other', this process runs '{ENCODER}'" in (
        str(error.value)
    )
    assert "tidemark topics create" in str(error.value)
    with pytest.raises(EncoderMismatchError, match="item-vectors was written with encoder 'other'"):
        ask([profile_record("ann", make_state())], [item_record("1", encoder="other")])


def test_another_policy_is_refused_by_who_folds() -> None:
    records = [profile_record("ann", make_state())]
    ask(records, policy=None)
    with pytest.raises(
        EncoderMismatchError, match=rf"was folded by {POLICY}, .* by decay"
    ) as error:
        ask(records, policy="decay")
    assert "set policy.*" in str(error.value)


def test_what_says_nothing_is_passed_over() -> None:
    nothing = [tombstone("ann", 3), tombstone("ben", None), FakeRecord("profiles", b"c", b"junk")]
    ask(nothing)
    with pytest.raises(EncoderMismatchError):
        ask(nothing, [profile_record("dan", make_state(encoder="other"))])


def test_a_failing_reader_is_stopped() -> None:
    tail = FakeTail()
    tail.fail(BrokerUnavailableError("gone"))
    with pytest.raises(BrokerUnavailableError, match="gone"):
        asyncio.run(
            require_same_lineage(
                tail, profiles="profiles", item_vectors="item-vectors", encoder=ENCODER
            )
        )
    assert tail.stopped == 1
