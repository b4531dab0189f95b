from __future__ import annotations

from tidemark.restarts import Restarts


def test_pauses_grow_and_end() -> None:
    one = Restarts()
    assert [one.pause(3.0) for _ in range(7)] == [1.0, 2.0, 5.0, 10.0, 30.0, None, None]


def test_what_ran_for_long_begins_anew() -> None:
    one = Restarts()
    assert [one.pause(3.0), one.pause(3.0), one.pause(301.0), one.pause(3.0)] == [
        1.0,
        2.0,
        1.0,
        2.0,
    ]
