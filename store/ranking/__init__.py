"""Ranks items for a user by all that is known of both, and learns how from the stream itself."""

__all__: list[str] = []
