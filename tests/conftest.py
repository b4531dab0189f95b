"""What all tests share: no test fails because the machine was slow, or runs stale compiled code."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The first example of a compiled function waits for the compiler.
settings.register_profile("tidemark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidemark")

# numba finds compiled code by one source file, though a loop has functions of several in it: a
# cache for each state of the sources (also for the processes that tests start).
_ROOT = Path(__file__).parents[1]
_compiled = [
    path
    for folder in ("store", "streams", "tidemark/evaluation")
    for path in (_ROOT / folder).rglob("*.py")
    # no loop is there, and they change often
    if not {"service", "dashboard"} & set(path.relative_to(_ROOT).parts)
]
_sources = b"".join(path.read_bytes() for path in sorted(_compiled))
_name = f"numba-{hashlib.sha256(_sources).hexdigest()[:16]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_ROOT / ".pytest_cache" / _name))

# Brokers that live for a minute: what the second compiler would gain costs more than it brings.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


_COMPILING = Path(os.environ["NUMBA_CACHE_DIR"]).with_suffix(".lock")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the loops compiled once before several processes would each do it, for a minute.

    Meanwhile they collect the tests: whoever compiles holds a lock, which they wait for.
    """
    config = session.config
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        return
    _COMPILING.parent.mkdir(parents=True, exist_ok=True)
    with _COMPILING.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        config.stash[_compiler] = subprocess.Popen(
            [sys.executable, str(_ROOT / "deploy" / "image" / "compile_loops.py")],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            pass_fds=[lock.fileno()],  # the lock is let go of when the process ends
        )


_compiler = pytest.StashKey[subprocess.Popen[bytes]]()


@pytest.hookimpl(tryfirst=True)  # xdist's own runs the tests
def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the first test of each process."""
    if hasattr(session.config, "workerinput"):
        with _COMPILING.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)


def pytest_sessionfinish(session: pytest.Session) -> None:
    compiler = session.config.stash.get(_compiler, None)
    if compiler is not None:
        compiler.wait()
        if compiler.returncode:
            raise pytest.UsageError(f"compiling the loops ended with {compiler.returncode}")


@pytest.fixture(autouse=True)
def _logging_as_python_has_it() -> None:
    """A command that an earlier test ran in this process may have left it at errors alone."""
    logging.getLogger().setLevel(logging.WARNING)


# Where pictures of pages go. Not under its own name any more: processes that tests start refuse a
# variable of Tidemark's that is no setting.
if "TIDEMARK_ARTEFACTS" in os.environ:
    os.environ["PYTEST_ARTEFACTS"] = os.environ.pop("TIDEMARK_ARTEFACTS")
