"""Transformer models: what their folders say, how they are loaded, and how fast they run.

`folder`, `specs` and `batches` are pure; the rest imports torch.
"""

__all__: list[str] = []
