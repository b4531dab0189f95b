"""The page of errors: what each means, and whether a retry helps."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import encoders.errors
import store.errors
import streams.errors
import tidemark.errors
from docsite.tables import cell, table

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["errors_of", "errors_page", "reject_reasons"]

_HEAD = """# Errors

Every error of Tidemark says what was wrong, what was expected and what to do. Answers of the
retrieval service have [errors of their own](../retrieval-api.md#errors), and commands end with
[exit codes](../command-line.md#exit-codes).
"""
_REASONS = """## Reasons of dead letters

The header `error` of a dead letter, and the label `reason` of `tidemark_dead_letters_total`;
[the wire format](../wire-format.md#dead-letters) has the other headers.
"""


def errors_page() -> str:
    """Markdown: reasons of dead letters, and the errors of each package."""
    parts = [
        _HEAD,
        _REASONS,
        table(
            ("reason", "the message"),
            [(f"`{name}`", cell(text)) for name, text in reject_reasons()],
        ),
    ]
    for module in (streams.errors, encoders.errors, store.errors, tidemark.errors):
        parts += [
            f"## {module.__name__}\n",
            table(
                ("error", "is a", "retry", "meaning"),
                [
                    (
                        f"`{kind.__name__}`",
                        ", ".join(f"`{base.__name__}`" for base in kind.__bases__),
                        "may help" if getattr(kind, "retriable", False) else "",
                        cell((inspect.getdoc(kind) or "").partition("\n\n")[0]),
                    )
                    for kind in errors_of(module)
                ],
            ),
        ]
    return "\n".join(parts)


def errors_of(module: ModuleType) -> list[type[Exception]]:
    """Its public errors, the base first."""
    found = [getattr(module, name) for name in module.__all__]
    kinds = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
    return sorted(kinds, key=lambda kind: (len(kind.__mro__), kind.__name__))


def reject_reasons() -> list[tuple[str, str]]:
    """Each reason and the comment beside it."""
    return re.findall(r'= "(\w+)"  # (.+)', inspect.getsource(streams.errors.RejectReason))
