"""The composition root: real objects from settings. Nothing else reads them.

Each process imports what it is made of: `tidemark.compose.parts`, `worker`, `retrieval`.
"""

__all__: list[str] = []
