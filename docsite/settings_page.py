"""The page of all settings with what only a program can say exactly: types, bounds, variables."""

from __future__ import annotations

import json
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from docsite.tables import cell, table
from tidemark.explain import meanings, unit_of
from tidemark.settings import PREFIX, ActionRuleSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

__all__ = ["Setting", "all_settings", "settings_page"]

_HEAD = """# Settings, with types and bounds

[Settings](../settings.md) says where settings are read from, and what the actions, templates and
topics among them look like. This page is made from their classes. `tidemark settings --explain`
prints each as it stands for you, and who set it.
"""
#: Beyond it Python would write a number with an exponent, sooner or later.
_PLAIN = 1_000
_NAMES: dict[Any, str] = {
    str: "text", int: "whole number", float: "number", bool: "`true` or `false`",
    Path: "path", SecretStr: "text, secret",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: its path, with dots.
        group: in words, what the class of its group says of itself.
        kind: its type, in words.
        bounds: what values it takes, in words; "" where the type says all.
        default: as a settings file would have it; None where there is none.
    """

    name: str
    group: str
    kind: str
    bounds: str
    default: Any

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", "__").replace("NAME", "*").upper()


def all_settings() -> list[Setting]:
    """Every setting, in the order of the classes; an action's rules are ``actions.NAME.…``."""
    return list(_walk(Settings, ""))


def settings_page() -> str:
    """Markdown: a table for each group."""
    texts, parts = meanings(), [_HEAD]
    groups: dict[str, list[Setting]] = {}
    for one in all_settings():
        groups.setdefault(one.name.rpartition(".")[0], []).append(one)
    for group, members in groups.items():
        rows = [
            (
                f"`{one.name}`<br>`{one.variable}`",
                one.kind + (f", {one.bounds}" if one.bounds else ""),
                _default(one),
                cell(texts[one.name]),
            )
            for one in members
        ]
        head = ("setting, and variable", "type", "default", "meaning")
        parts += [f"## {group}\n", f"{members[0].group}\n", table(head, rows)]
    return "\n".join(parts)


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    group = " ".join((model.__doc__ or "").split())
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
        elif (prefix, name) == ("", "actions"):
            yield from _walk(ActionRuleSettings, "actions.NAME.")
        else:
            default = None if field.default is PydanticUndefined else field.default
            yield Setting(f"{prefix}{name}", group, _kind(kind), _bounds(field), default)


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), [one for one in get_args(kind) if one is not type(None)]
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin in {Union, types.UnionType}:
        return " or ".join(_kind(one) for one in inner)
    if origin in {tuple, list, frozenset, set}:
        return "list"
    if origin is dict:
        return "table"
    if hasattr(kind, "__metadata__"):  # Annotated within another type
        return _kind(kind.__origin__)
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _bounds(field: FieldInfo) -> str:
    found: list[str] = []
    for one in [*field.metadata, *_inner(field.annotation)]:
        match one:
            case annotated_types.Gt(gt=value):
                found.append(f"> {value:g}")
            case annotated_types.Ge(ge=value):
                found.append(f"≥ {value:g}")
            case annotated_types.Lt(lt=value):
                found.append(f"< {value:g}")
            case annotated_types.Le(le=value):
                found.append(f"≤ {value:,g}")
            case annotated_types.MinLen(min_length=value):
                found.append("not empty" if value == 1 else f"at least {value}")
            case _:
                pattern = getattr(one, "pattern", None)
                if pattern:
                    found.append(f"like `{pattern}`")
    return ", ".join(found)


def _inner(kind: Any) -> Iterator[Any]:
    """What is said of a type within another: of the number in ``number | None``."""
    for one in get_args(kind):
        for said in getattr(one, "__metadata__", ()):
            yield from getattr(said, "metadata", None) or [said]


def _default(one: Setting) -> str:
    unit = unit_of(one.name)
    value = one.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        number = f"{value:,g}" if abs(value) < _PLAIN else f"{value:,.0f}"
        return f"{number} {unit}" if unit else number
    if isinstance(value, str | Path):
        return f"`{value}`"
    plain = [x.model_dump() if isinstance(x, BaseModel) else x for x in value]
    return cell(f"`{json.dumps(plain, ensure_ascii=False)}`") if plain else "none"
