"""The page of the Python interface: which modules; mkdocstrings writes down what is in them."""

from __future__ import annotations

__all__ = ["python_page"]

#: Module, and the names of it that producers use.
_SHOWN = {
    "streams.publisher": ["ActionPublisher", "ItemPublisher", "PublisherOptions", "Delivered"],
    "streams.schema": ["Action", "Item"],
    "streams.security": ["Security"],
    "streams.errors": [
        "StreamsError",
        "PublishError",
        "PublisherClosedError",
        "BrokerUnavailableError",
        "AccessRefusedError",
        "BrokerUnsupportedError",
        "SecurityError",
    ],
}

_HEAD = """# Python: publishing

What event producers in Python use; [the wire format](../wire-format.md) is for all other languages.
Queries go over [HTTP](../retrieval-api.md).

```python
from streams.publisher import ActionPublisher, ItemPublisher
from streams.schema import Item

with ItemPublisher("localhost:9092") as items:
    items.publish(Item(item_id="42", title="Alien (1979)"))
with ActionPublisher("localhost:9092") as actions:
    actions.publish("ann", "view", item_id="42")
```
"""


def python_page() -> str:
    """Markdown with mkdocstrings' marks."""
    parts = [_HEAD]
    for module, names in _SHOWN.items():
        parts.append(f"## {module}\n")
        parts += [f"::: {module}.{name}\n" for name in names]
    return "\n".join(parts)
