"""Settings as TOML: strings, numbers, truth, lists and tables, as `tomllib` reads them back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["toml_text"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    """A TOML document.

    Args:
        values: as `tomllib` gives them; dates, which no setting has, are not among them.

    Raises:
        TypeError: a value is of another type.
    """
    return "\n".join(_table(values, ())).strip("\n") + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain values first: in TOML they would else belong to the table before them."""
    groups = {name: value for name, value in values.items() if isinstance(value, dict)}
    plain = [(name, value) for name, value in values.items() if name not in groups]
    if path and (plain or not groups):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for name, value in plain:
        yield f"{_key(name)} = {_value(value)}"
    for name, value in groups.items():
        yield from _table(value, (*path, name))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # also inf and nan, as TOML has them
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + "}"
    raise TypeError(f"{value!r} is a {type(value).__name__}, which no setting is")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    # JSON's escapes are TOML's; this one character only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
