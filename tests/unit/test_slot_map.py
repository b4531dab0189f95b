"""The slot map: rows stay dense, whatever is removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.indexes.slots import SlotMap

KEYS = st.sampled_from("abcdefgh")


def test_new_keys_take_rows_at_the_end_and_held_ones_keep_theirs() -> None:
    slots = SlotMap()
    assert slots.place(["a", "b"]).tolist() == [0, 1]
    assert slots.place(["c", "a"]).tolist() == [2, 0]
    assert len(slots) == 3


def test_the_last_key_takes_the_row_of_a_removed_one() -> None:
    slots = SlotMap()
    slots.place(["a", "b", "c"])
    assert slots.remove("a") == (0, 2)
    assert slots.row("c") == 0
    assert slots.key(0) == "c"
    assert slots.row("a") is None
    assert "a" not in slots


def test_removing_the_last_key_moves_nothing() -> None:
    slots = SlotMap()
    slots.place(["a", "b"])
    assert slots.remove("b") == (1, 1)
    assert slots.row("a") == 0


def test_removing_what_is_not_held_says_so() -> None:
    assert SlotMap().remove("a") is None


def test_rows_leaves_out_what_is_not_held() -> None:
    slots = SlotMap()
    slots.place(["a", "b"])
    assert slots.rows(["b", "x", "a"]).tolist() == [1, 0]


def test_there_is_no_key_in_an_unused_row() -> None:
    with pytest.raises(IndexError):
        SlotMap().key(0)


@given(st.lists(st.tuples(st.booleans(), KEYS)))
def test_rows_and_keys_agree_and_are_dense_after_any_changes(
    changes: list[tuple[bool, str]],
) -> None:
    slots = SlotMap()
    held: set[str] = set()
    for add, key in changes:
        if add:
            slots.place([key])
            held.add(key)
        else:
            assert (slots.remove(key) is not None) == (key in held)
            held.discard(key)
    assert {slots.key(row) for row in range(len(slots))} == held
    assert all(slots.key(slots.rows([key])[0]) == key for key in held)


class Key(str):
    """Of few hashes, so that they meet, in their halves and as a whole."""

    __slots__ = ()

    def __hash__(self) -> int:
        return (len(self) % 3) << 32 | (ord(self[-1]) % 2)


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.text("abc", min_size=1, max_size=4), max_size=8)),
        max_size=60,
    )
)
def test_keys_whose_hashes_are_alike_are_told_apart(steps: list[tuple[bool, list[str]]]) -> None:
    slots, held = SlotMap(), list[str]()
    for put, texts in steps:
        keys = [Key(text) for text in texts]
        if put:
            rows = slots.place(keys).tolist()
            held += [key for key in dict.fromkeys(texts) if key not in held]
            assert rows == [held.index(key) for key in texts]
        else:
            for key in keys:
                freed = slots.remove(key)
                assert (freed is not None) == (key in held)
                if freed is not None:
                    row, last = freed
                    assert held[row] == key
                    assert last == len(held) - 1
                    held[row] = held[last]
                    held.pop()
        assert slots.keys() == held
        assert slots.rows(map(Key, held)).tolist() == list(range(len(held)))


def test_many_keys_come_and_go() -> None:
    slots = SlotMap()
    keys = [f"user-{number}" for number in range(20_000)]
    assert slots.place(keys).tolist() == list(range(20_000))
    for key in keys[::2]:
        slots.remove(key)
    assert len(slots) == 10_000
    assert all(key in slots for key in keys[1::2])
    assert not any(key in slots for key in keys[::2])
    rows = slots.rows(keys)
    assert sorted(rows.tolist()) == list(range(10_000))
    assert [slots.key(row) for row in rows.tolist()] == keys[1::2]
    assert "nobody" not in slots
    assert 7 not in slots
