"""Replays real logs in time order, and measures what would have been retrieved."""

__all__: list[str] = []
