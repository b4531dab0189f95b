"""Learns from a log: what is shown to the learners, and what is asked of what they learned."""

__all__: list[str] = []
