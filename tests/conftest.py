"""What all tests share: no test fails because the machine was slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The first example of a compiled function waits for the compiler.
settings.register_profile("tidemark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidemark")
