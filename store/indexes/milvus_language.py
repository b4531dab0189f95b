"""Milvus' expressions, and how metadata lies in its rows.

A row's metadata is an array of labels, ``field=value``. Values are written into expressions
quoted: milvus-lite has no templates, and Milvus' own have failed on some lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from store.indexes.filters import Filter, Metadata

__all__ = ["chunks", "excluding", "having", "labels_of", "metadata_of", "one_of", "quoted"]

#: What a string literal may not hold as it is.
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
#: In a field's name, so that the first ``=`` ends it.
_IN_FIELD = str.maketrans({"%": "%25", "=": "%3D"})


def quoted(text: str) -> str:
    """A string literal."""
    return f'"{text.translate(_ESCAPES)}"'


def one_of(keys: Iterable[str]) -> str:
    """True of rows with one of these keys."""
    return f"key in {_listed(keys)}"


def excluding(keys: Iterable[str]) -> str:
    """True of rows with none of these keys."""
    return f"key not in {_listed(keys)}"


def having(where: Filter) -> str:
    """True of rows that have one of the values in every field; empty where all do.

    A field without values, which no row has, cannot be said: some versions of Milvus take an empty
    list for true.
    """
    return " and ".join(
        f"array_contains_any(labels, {_listed(_label(name, value) for value in values)})"
        for name, values in where.fields.items()
    )


def labels_of(metadata: Metadata) -> list[str]:
    """The labels of a row, in order."""
    return sorted({_label(name, value) for name, values in metadata.items() for value in values})


def metadata_of(labels: Iterable[str]) -> Metadata:
    """What `labels_of` was made of."""
    found: dict[str, list[str]] = {}
    for label in labels:
        name, _, value = label.partition("=")
        found.setdefault(unquote(name), []).append(value)
    return found


def chunks(sizes: Sequence[int], *, most: int, most_bytes: int) -> Iterator[slice]:
    """Cut rows of these sizes, in bytes, into runs that fit into a message.

    One larger than ``most_bytes`` is a run of its own.
    """
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and (total + size > most_bytes or place - start == most):
            yield slice(start, place)
            start, total = place, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def _label(name: str, value: str) -> str:
    return f"{name.translate(_IN_FIELD)}={value}"


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"
