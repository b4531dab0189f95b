"""Fault tests on a real Kafka: a seeded plan of faults under load, and a verdict by replay."""

from __future__ import annotations

from tidemark.soak.plan import Fault, FaultKind, make_plan
from tidemark.soak.verdict import Verdict, judge

__all__ = ["Fault", "FaultKind", "Verdict", "judge", "make_plan"]
