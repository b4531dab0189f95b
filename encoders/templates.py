"""The text that stands for an action or an item."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING

from encoders.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_TEMPLATES", "ITEM_FIELDS", "Templates"]

#: An action on an item has the item's own text, so that both share a vector and a cache entry.
DEFAULT_TEMPLATES: Mapping[str, str] = {
    "item": "{title}. {categories}. {description}",
    "search": "{text}",
    # The user's words first: a title before them takes more of how they feel out of the vector.
    "review": "{text} ({title})",
}
ITEM_FIELDS = frozenset({"title", "categories", "description"})
_FIELDS = ITEM_FIELDS | {
    "action", "text", "rating", "rating_words", "time_of_day", "weekday",
}  # fmt: skip
_CONTEXT = re.compile(r"context\.\w[\w-]*")
_CLOSING = re.compile(r"[)\]}»”]*")
_BRACKETS = ("()", "[]", "{}", "«»", "“”")
_SEPARATORS = " .,;:|/–—-"


@dataclass(frozen=True, slots=True)
class _Segment:
    """A field with the literal before it and the closing literal after it; dropped as one."""

    before: str
    field: str
    after: str


class Templates:
    """Templates by name, such as ``{title}. {categories}``.

    >>> templates = Templates()
    >>> templates.render("item", {"title": "Alien", "categories": None, "description": "In space"})
    'Alien. In space'

    Args:
        texts: templates by the name of an action, or ``item``; they replace the defaults of the
            same name. Fields: title, categories, description, text, rating, rating_words, action,
            time_of_day, weekday and ``context.<name>``; ``{{`` and ``}}`` are braces.

    Raises:
        TemplateError: a template is malformed, has no field, names an unknown one, or is of
            items or of searches and has nothing of theirs.
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self._templates = {
            name: _parse(name, text)
            for name, text in {**DEFAULT_TEMPLATES, **(texts or {})}.items()
        }
        for name, needed in (("item", ITEM_FIELDS), ("search", frozenset({"text"}))):
            if not self.fields_of(name) & needed:
                raise TemplateError(
                    f"template {name!r} would always be empty; expected {{"
                    f"{'} or {'.join(sorted(needed))}}} in it"
                )

    def template_for(self, action: str, *, names_item: bool) -> str:
        """Name of the template an action uses: its own, else ``item`` or ``search``."""
        if action in self._templates:
            return action
        return "item" if names_item else "search"

    def fields_of(self, name: str) -> frozenset[str]:
        """Fields that a template uses; for an action without its own, those of ``item``."""
        segments = self._templates[self.template_for(name, names_item=True)]
        return frozenset(segment.field for segment in segments)

    def render(self, name: str, fields: Mapping[str, str | None]) -> str:
        """The text of an action or item.

        Args:
            name: of a template or action; one without a template of its own uses ``item`` where a
                field of the item is given, else ``search``.
            fields: values by field; missing, None and blank ones leave no trace.

        Returns:
            One line; empty where no field of the template has a value.
        """
        names_item = any(_clean(fields.get(field)) for field in ITEM_FIELDS)
        text, parts, alone = "", 0, ""
        for segment in self._templates[self.template_for(name, names_item=names_item)]:
            if not (value := _clean(fields.get(segment.field))):
                continue
            before = segment.before
            if not text:
                before = before.lstrip(_SEPARATORS)
            elif text[-1] in ".,;:!?…":  # a value that ends a sentence needs no second full stop
                before = before.lstrip(".,;:")
            after = segment.after
            if value[-1] in ".,;:!?…":
                after = after.lstrip(".,;:")
            text += before + value + after
            parts += 1
            alone = value if before.strip() + after.strip() in _BRACKETS else text
        # A title in brackets without the words it belongs to is the title.
        return " ".join((alone if parts == 1 else text).split())


def _clean(value: str | None) -> str:
    """One line without commas at its ends; empty where nothing but separators is in it."""
    line = " ".join((value or "").split()).strip(",; ")
    return line if line.strip(_SEPARATORS) else ""


def _parse(name: str, text: str) -> tuple[_Segment, ...]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"template {name!r} cannot be read: {error}: {text!r}") from error
    segments: list[_Segment] = []
    literal = ""
    for before, field, spec, conversion in parts:
        literal += before
        if field is None:
            continue
        if spec or conversion or not (field in _FIELDS or _CONTEXT.fullmatch(field)):
            raise TemplateError(
                f"template {name!r} names the unknown field {field!r}; allowed: "
                f"{', '.join(sorted(_FIELDS))}, context.<name>; no conversion, no format"
            )
        literal = _close(segments, literal)
        segments.append(_Segment(literal, field, ""))
        literal = ""
    if not segments:
        raise TemplateError(f"template {name!r} has no field: {text!r}")
    last = segments[-1]
    segments[-1] = _Segment(last.before, last.field, literal)
    return tuple(segments)


def _close(segments: list[_Segment], literal: str) -> str:
    """Give the closing brackets at a literal's start to the field they close."""
    match = _CLOSING.match(literal)
    if not segments or match is None:
        return literal
    last = segments[-1]
    segments[-1] = _Segment(last.before, last.field, match.group())
    return literal[match.end() :]
