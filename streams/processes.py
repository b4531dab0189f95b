"""Child processes that never outlive their parent: brokers, the worker, the retrieval service."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Child", "ChildFailedError", "PortInUseError", "free_port", "require_free_port"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildFailedError(StreamsError):
    """A child process ended by itself, or did not become ready."""


class PortInUseError(StreamsError):
    """A server cannot listen where it should."""


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def require_free_port(host: str, port: int, setting: str) -> None:
    """Whether a server could listen there now.

    Args:
        host: an address of this machine.
        port: 0 is always free.
        setting: what named the port, for the error.

    Raises:
        PortInUseError: something else listens, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port that was just closed may be taken again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with {setting}"
            ) from error


class Child:
    """One child process with its output in a log file.

    Use as a context manager: it is stopped on exit by SIGTERM, and by SIGKILL after ``grace``
    seconds. On Linux the kernel ends it with its parent, however the parent died.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = 15.0,
    ) -> None:
        self.name = name
        self.log = log
        self._grace = grace
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                # Ctrl-C in the terminal reaches the parent alone, which stops its children in
                # reverse order.
                start_new_session=True,
                preexec_fn=_die_with_parent if _libc is not None else None,  # noqa: PLW1509 # prctl only
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def check(self) -> None:
        """Nothing if it runs.

        Raises:
            ChildFailedError: it ended; the message has the end of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise ChildFailedError(
                f"{self.name} ended with exit status {code}. The end of {self.log}:\n{self.tail()}"
            )

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> int:
        """Ask it to end, insist after the grace, and return its exit status."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(self._grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _die_with_parent() -> None:
    assert _libc is not None  # noqa: S101 # decided by the caller
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
