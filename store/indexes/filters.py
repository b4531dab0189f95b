"""Which keys a search may return."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["NO_FILTER", "Filter", "Metadata"]

#: Of a key: values by field, such as ``{"category": ("Horror", "Comedy"), "tenant": ("acme",)}``.
Metadata = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """What must hold of a key to be returned.

    Attributes:
        exclude: keys that may not be.
        fields: for each field named, the key must have one of these values; all fields must
            agree. A key without the field does not.
    """

    exclude: Collection[str] = ()
    fields: Mapping[str, Collection[str]] = field(default_factory=dict)


NO_FILTER = Filter()
