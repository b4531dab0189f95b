"""What all tests share: no test fails because the machine was slow, or runs stale compiled code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hypothesis import HealthCheck, settings

# The first example of a compiled function waits for the compiler.
settings.register_profile("tidemark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidemark")

# numba finds compiled code by one source file, though a loop has functions of several in it: a
# cache for each state of the sources (also for the processes that tests start).
_ROOT = Path(__file__).parents[1]
_compiled = [*(_ROOT / "store").rglob("*.py"), *(_ROOT / "tidemark" / "evaluation").rglob("*.py")]
_sources = b"".join(path.read_bytes() for path in sorted(_compiled))
_name = f"numba-{hashlib.sha256(_sources).hexdigest()[:16]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_ROOT / ".pytest_cache" / _name))

# Where pictures of pages go. Not under its own name any more: processes that tests start refuse a
# variable of Tidemark's that is no setting.
if "TIDEMARK_ARTEFACTS" in os.environ:
    os.environ["PYTEST_ARTEFACTS"] = os.environ.pop("TIDEMARK_ARTEFACTS")
