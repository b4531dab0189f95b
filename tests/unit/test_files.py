from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest

from streams.errors import InputFileError
from streams.files import FileFormat, format_of, read_file
from streams.schema import Action, Item

VIEW = Action(user_id="ann", action="view", ts=5, item_id="1", context={"device": "phone"})


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "a.jsonl",
            b'{"user_id":"ann","action":"view","ts":5,"item_id":"1","context":{"device":"phone"}}\n\n',
        ),
        (
            "a.csv",
            b"\xef\xbb\xbfuser_id,action,ts,item_id,rating,context.device\nann,view,5,1,,phone\n",
        ),
        (
            "a.msgpack",
            msgpack.packb({"user_id": "ann", "action": "view", "ts": 5, "item_id": "1",
                           "context": {"device": "phone"}, "unknown": 1}),
        ),
    ],
)  # fmt: skip
def test_the_three_formats_agree(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path, name, content)
    assert list(read_file(path, Action, format_of(path))) == [VIEW]


def test_csv_of_items(tmp_path: Path) -> None:
    path = write(
        tmp_path, "items.csv", b'item_id,title,categories\n1,"Alien, again",Horror | Space|\n'
    )
    (item,) = read_file(path, Item, "csv")
    assert item == Item(item_id="1", title="Alien, again", categories=("Horror", "Space"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"user_id":"a","action":"view","ts":1}\n{"ts":2}\n', "entry 2"),
        ("a.jsonl", b'{"user_id":"a","action":"view","ts":"x"}\n', "Expected `int`, got `str`"),
        ("a.jsonl", b"{broken\n", "entry 1"),
        ("a.csv", b"user_id,action\nann,view\n", "missing required field `ts`"),
        ("a.csv", b"user_id,action,ts\nann,view,soon\n", "entry 2: Expected `int`"),
        ("a.csv", b"user_id,action,ts\nann,view,1,surplus\n", "more cells than the header"),
        ("a.csv", b"user_id,action,ts\n\xff\xfe,view,1\n", "cannot be read as csv"),
        ("a.csv", b"user_id,action,ts,raiting\nann,view,1,5\n", "the header has 'raiting'"),
        ("a.csv", b"user_id,action,ts,attributes.x\nann,view,1,5\n", "'attributes.x'"),
        ("a.csv", b"user_id,action,ts,context.\nann,view,1,5\n", "and context.NAME"),
        ("a.msgpack", b"\x83\xa1a", "ends in the middle"),
        ("a.msgpack", b"\xc1", "cannot be read as msgpack"),
        ("a.msgpack", b"\x01", "Expected `object`, got `int`"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputFileError) as error:
        list(read_file(path, Action, format_of(path)))
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_bad_entries_can_be_skipped_and_counted(tmp_path: Path) -> None:
    good = b'{"user_id":"a","action":"view","ts":1}\n'
    path = write(tmp_path, "a.jsonl", good + b"{}\n" + good)
    skipped: list[InputFileError] = []
    assert len(list(read_file(path, Action, "jsonl", on_error=skipped.append))) == 2
    assert len(skipped) == 1


def test_progress_reaches_the_size(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"user_id":"a","action":"view","ts":1}\n' * 50)
    places: list[int] = []
    list(read_file(path, Action, "jsonl", on_bytes=places.append))
    assert places[-1] == path.stat().st_size


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JSONL", "jsonl"), ("b.ndjson", "jsonl"), ("c.csv", "csv")]
)
def test_the_name_says_the_format(name: str, expected: FileFormat) -> None:
    assert format_of(Path(name)) == expected


def test_a_name_that_does_not_say(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"not clear from its name; expected .csv"):
        format_of(tmp_path / "log.txt")


@pytest.mark.parametrize(
    ("ts", "unit"),
    [(1_700_000_000, "seconds"), (1_700_000_000_000_000, "microseconds"), (0, "seconds")],
)
def test_a_time_in_another_unit_is_refused_where_times_are_real(
    tmp_path: Path, ts: int, unit: str
) -> None:
    good = {"user_id": "ann", "action": "view", "ts": 1_700_000_000_000}
    lines = [json.dumps(good), json.dumps({**good, "ts": ts})]
    path = write(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert len(list(read_file(path, Action, "jsonl"))) == 2
    with pytest.raises(InputFileError, match=f"entry 2: ts is {ts}, which looks like {unit}"):
        list(read_file(path, Action, "jsonl", real_times=True))
    bad: list[InputFileError] = []
    kept = read_file(path, Action, "jsonl", real_times=True, on_error=bad.append)
    assert [one.ts for one in kept] == [1_700_000_000_000]
    assert len(bad) == 1
