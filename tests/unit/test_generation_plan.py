"""What a next generation is called and set to."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.group_lag import GroupState, Unread, lag_of
from tidemark.errors import SettingsError
from tidemark.generation.plan import CatchUp, derive, name_generation
from tidemark.generation.toml_text import toml_text
from tidemark.settings import Settings

NAMED = {
    "topics": {
        "profiles": "acme-profiles-1",
        "item_vectors": "acme-vectors-1",
        "dead_letters": "acme-dead-1",
    },
    "kafka": {"group": "acme-1"},
}


def test_names_of_the_first_next_generation() -> None:
    names = name_generation(Settings(), "2")
    assert (names.profiles, names.item_vectors, names.dead_letters, names.group) == (
        "profiles-2",
        "item-vectors-2",
        "actions-dead-letter-2",
        "tidemark-2",
    )


def test_a_name_takes_the_place_of_the_last_ones() -> None:
    names = name_generation(Settings.model_validate(NAMED), "better")
    assert (names.profiles, names.group) == ("acme-profiles-better", "acme-better")


@pytest.mark.parametrize("name", ["", "a b", "-x", "../x", "ä", "x" * 65, "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(SettingsError, match="--generation is"):
        name_generation(Settings(), name)


def test_the_generation_that_answers_is_not_the_next() -> None:
    with pytest.raises(SettingsError, match="1 is the generation that these settings are of"):
        name_generation(Settings.model_validate(NAMED), "1")


def derived(in_file: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    settings = Settings.model_validate(in_file)
    return derive(in_file, changes, name_generation(settings, "2"), settings, None)


def test_all_that_does_not_change_stays() -> None:
    found = derived(
        {
            "kafka": {"bootstrap": "b:1", "group": "mine"},
            "encoder": {"model": "a", "varlen": False},
        },
        {"encoder": {"model": "b"}, "policy": {"name": "decay"}},
    )
    assert found["kafka"] == {"bootstrap": "b:1", "group": "mine-2"}
    assert found["encoder"] == {"model": "b", "varlen": False}
    assert found["policy"] == {"name": "decay"}
    assert found["topics"]["profiles"] == "profiles-2"


def test_collections_of_its_own_in_milvus() -> None:
    milvus = {"retrieval": {"index": "milvus", "milvus_uri": "milvus://m:1"}}
    assert derived(milvus, {})["retrieval"]["milvus_prefix"] == "tidemark_profiles_2_"
    own = {"retrieval": {"milvus_prefix": "x_"}}
    assert derived(milvus, own)["retrieval"]["milvus_prefix"] == "x_"


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": {"profiles": "p"}},
        {"topics": {"actions": []}},
        {"kafka": {"group": "g"}},
        {"kafka": {"bootstrap": "c:1"}},
    ],
)
def test_what_the_command_says_itself_is_no_change(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="remove it"):
        derived({}, changes)


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_toml_is_read_back_as_it_was(values: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(values)) == values


def test_toml_refuses_what_no_setting_is() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        toml_text({"a": None})


A = ("actions", 0)


def group(begin: int, end: int, *, records: bool = True) -> GroupState:
    unread = {A: Unread(begin, end, 1 if records else None)}
    return GroupState("g", None, None, "", lag_of({A: begin}, unread, None, 2), 2)


def test_what_came_later_is_not_waited_for() -> None:
    goal = CatchUp(group(0, 100))
    assert goal.total == 100
    assert goal.left(group(40, 150)) == 60
    assert goal.left(group(120, 150)) == 0
    assert goal.left(group(90, 100, records=False)) == 0
