"""What each setting is: its value, default, unit, where it comes from, and what it means.

The meaning is the string below the setting in its class, which is the only place that says it.
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from tidemark.settings import PREFIX, ActionRuleSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SettingInfo", "explain", "meanings", "unit_of"]

#: A setting's name ends with its unit.
_UNITS = {
    "seconds": "s",
    "mebibytes": "MiB",
    "bytes": "bytes",
    "chars": "characters",
    "tokens": "tokens",
    "records": "records",
    "actions": "actions",
    "entries": "entries",
    "partitions": "partitions",
    "ratio": "0 to 1",
    "objective": "0 to 1",
    "dim": "components",
    "threads": "threads",
    "waiting": "requests",
    "seen": "items",
    "contributions": "actions",
    "event_ids": "events",
    "categories": "categories",
    "replication": "copies",
}
#: Numbers that are none of something.
_BARE = {"retrieval.tokens", "topics.actions"}
_HIDDEN = "**********"


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting.

    Attributes:
        name: its path, with dots.
        value, default: as JSON would have them; a secret is never among them.
        unit: None where it has none.
        source: ``default``, ``command line``, ``environment variable NAME`` or ``file PATH``.
        meaning: in words.
    """

    name: str
    value: Any
    default: Any
    unit: str | None
    source: str
    meaning: str


def explain(
    settings: Settings,
    *,
    given: Mapping[str, Any],
    env: Mapping[str, str],
    in_file: Mapping[str, Any],
    file_name: str = "",
) -> list[SettingInfo]:
    """Every setting, in the order of the classes.

    Args:
        settings: as they were made of the rest.
        given: on the command line, by group.
        env: the environment.
        in_file: what the settings file holds.
        file_name: its name.
    """
    variables = {name.upper(): name for name in env}
    texts = meanings()
    defaults = _plain_leaves(Settings.model_construct())

    def source_of(path: tuple[str, ...]) -> str:
        if _holds(given, path):
            return "command line"
        for end in range(len(path), 0, -1):
            variable = variables.get((PREFIX + "__".join(path[:end])).upper())
            if variable is not None and _variable_holds(env[variable], path[end:]):
                return f"environment variable {variable}"
        return f"file {file_name}" if _holds(in_file, path) else "default"

    return [
        SettingInfo(
            ".".join(path),
            value,
            defaults.get(path, _rule_default(path)),
            unit_of(".".join(path)),
            source_of(path),
            texts[_pattern(path)],
        )
        for path, value in _plain_leaves(settings).items()
    ]


def unit_of(name: str) -> str | None:
    """The unit that a setting's name ends with; None where there is none."""
    last = name.rpartition(".")[2]
    if name in _BARE:
        return None
    for ending, unit in _UNITS.items():
        if last == ending or last.endswith(f"_{ending}"):
            return unit
    return None


@cache
def meanings() -> dict[str, str]:
    """What each setting means, by its name; an action's rules are ``actions.NAME.…``."""
    return {".".join(path): text for path, text in _walk(Settings, ())}


def _walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    texts = _strings_below(model)
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, (*path, name))
        elif (*path, name) == ("actions",):
            yield from _walk(ActionRuleSettings, ("actions", "NAME"))
        else:
            yield (*path, name), texts.get(name, "")


def _strings_below(model: type[BaseModel]) -> dict[str, str]:
    """The string literals that follow the fields of a class in its source."""
    tree = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    (body,) = [
        one.body
        for one in tree.body
        if isinstance(one, ast.ClassDef) and one.name == model.__name__
    ]
    found = {}
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _plain_leaves(model: BaseModel, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Values by path; groups, and the rules of actions, are gone into."""
    found: dict[tuple[str, ...], Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            found |= _plain_leaves(value, here)
        elif here == ("actions",):
            for action, rule in value.items():
                found |= _plain_leaves(rule, (*here, action))
        else:
            found[here] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str | dict):
        return value
    return str(value)


def _rule_default(path: tuple[str, ...]) -> Any:
    """Of an action that the defaults do not name."""
    if path[0] != "actions":
        return None
    default = ActionRuleSettings.model_fields[path[-1]].default
    return None if default is PydanticUndefined else default


def _pattern(path: tuple[str, ...]) -> str:
    return f"actions.NAME.{path[-1]}" if path[0] == "actions" else ".".join(path)


def _holds(values: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _variable_holds(text: str, rest: tuple[str, ...]) -> bool:
    """Whether a variable, of a group in JSON where there is a rest, has the setting."""
    if not rest:
        return True
    try:
        return _holds(msgspec.json.decode(text), rest)
    except msgspec.DecodeError:
        return False
