"""Every action of a soak has a name, by which it is found again.

It is in the context, where a worker takes no notice of it. Only few actions have an event_id:
where each had one, a worker that folds an action twice after a fault would be saved by its window
of recent event ids, and nothing would be said of the offset fence that is to prevent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from streams.schema import Action

__all__ = ["name_of", "named"]

_KEY = "soak"


def named(action: Action, name: str, *, repeatable: bool) -> Action:
    """The action with this name.

    Args:
        action: any.
        name: of this action alone.
        repeatable: give it an event_id too, so that a producer may send it again.
    """
    return msgspec.structs.replace(
        action,
        context={**(action.context or {}), _KEY: name},
        event_id=name if repeatable else None,
    )


def name_of(action: Action) -> str:
    """Its name; empty where it has none."""
    return str((action.context or {}).get(_KEY, ""))
