"""Fault tests on a real Kafka: a seeded plan of faults under load, and a verdict by replay."""

from __future__ import annotations

from tidemark.soak.plan import Fault, FaultKind, make_plan

# The verdict is not among them: it brings NumPy along, and the command line reads the plan's names.
__all__ = ["Fault", "FaultKind", "make_plan"]
