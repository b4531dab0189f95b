"""Judges what is installed, what listens, and what the settings leave out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tidemark.doctor.findings import failed, not_applicable, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tidemark.doctor.findings import Finding
    from tidemark.settings import Settings

__all__ = ["PortFacts", "VersionFacts", "check_port", "check_settings", "check_versions"]

#: Sets of packages of which one alone may be installed: they hold the same modules.
_EXCLUSIVE = (
    ("faust-streaming", "faust"),
    ("kafka-python", "kafka-python-ng", "kafka"),
    ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11"),
)
_FAISS = _EXCLUSIVE[2]


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is installed.

    Attributes:
        python: its version.
        installed: versions by the packages' names.
        required: requirements of Tidemark as its package has them; empty where it is not installed.
        python_range: that it supports.
    """

    python: str
    installed: Mapping[str, str] = field(default_factory=dict)
    required: Sequence[str] = ()
    python_range: str = ">=3.11,<3.14"


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port that one of our servers is to have.

    Attributes:
        setting: which names it.
        address: host:port.
        ours: what listens there says that it is one of ours, or nothing does.
        listening: whether anything does.
        said: what it said of itself.
        ready: whether it is.
    """

    setting: str
    address: str
    listening: bool = False
    ours: bool = False
    ready: bool = False
    said: str = ""


def check_versions(facts: VersionFacts) -> Iterator[Finding]:
    """Whether Python and the packages are those that are supported."""
    if facts.python not in SpecifierSet(facts.python_range):
        yield failed(
            "versions.python",
            f"{facts.python}; expected {facts.python_range}",
            "install Tidemark into an environment of such a Python",
        )
    else:
        yield ok("versions.python", facts.python)
    wrong = [*_outside(facts)]
    if wrong:
        fix = " ".join(f"'{one}'" for one, _ in wrong)
        yield failed(
            "versions.packages",
            "; ".join(f"{one.name} is {found}, expected {one.specifier}" for one, found in wrong),
            f"pip install {fix}",
        )
    elif facts.required:
        shown = ("faust-streaming", "aiokafka", "torch", *_FAISS)
        told = ", ".join(f"{name} {facts.installed[name]}" for name in shown
                         if name in facts.installed)  # fmt: skip
        yield ok("versions.packages", told)
    else:
        yield not_applicable("versions.packages", "Tidemark is not installed as a package")
    for names in _EXCLUSIVE:
        both = [name for name in names if name in facts.installed]
        if len(both) > 1:
            yield failed(
                "versions.conflict",
                f"{' and '.join(both)} are installed, which hold the same modules",
                f"pip uninstall {' '.join(both[1:])} && pip install --force-reinstall {both[0]}",
            )
    if not any(name in facts.installed for name in _FAISS):
        yield failed(
            "versions.faiss", "no FAISS is installed", 'pip install "tidemark[cpu]" (or [gpu])'
        )


def _outside(facts: VersionFacts) -> Iterator[tuple[Requirement, str]]:
    """Requirements that are not met; of extras those that are installed."""
    for line in facts.required:
        one = Requirement(line)
        extra = one.marker is not None and "extra" in str(one.marker)
        found = facts.installed.get(canonicalize_name(one.name))
        if found is None and extra:
            continue
        if found is None:
            yield one, "missing"
        elif not one.specifier.contains(found, prereleases=True):
            yield one, found


def check_port(facts: PortFacts) -> Finding:
    """Whether one of ours has it, or could."""
    check = f"ports.{facts.setting}"
    if not facts.listening:
        return ok(check, f"{facts.address} is free: nothing runs there")
    if not facts.ours:
        return failed(
            check,
            f"something else listens on {facts.address}",
            f"stop it, or name another by {facts.setting}",
        )
    if facts.ready:
        return ok(check, f"{facts.address}: {facts.said}")
    return warning(check, f"{facts.address} is not ready: {facts.said}", "wait; see its log")


def check_settings(settings: Settings) -> Iterator[Finding]:
    """What the settings leave out that holds a set-up together."""
    weak = []
    if not settings.retrieval.tokens:
        where = "loopback only" if settings.retrieval.on_loopback else "everyone"
        weak.append(
            warning(
                "settings.tokens",
                f"the retrieval service has no tokens and lets everyone in ({where})",
                "tidemark token new --scope read --name NAME",
            )
        )
    for name, group in (("worker", settings.worker), ("retrieval", settings.retrieval)):
        if not group.snapshot_seconds:
            weak.append(
                warning(
                    "settings.snapshots",
                    f"{name}.snapshot_seconds is 0: each start reads the whole history",
                    f"TIDEMARK_{name.upper()}__SNAPSHOT_SECONDS=60",
                )
            )
    if settings.worker.metrics_port is None:
        weak.append(
            warning(
                "settings.metrics",
                "worker.metrics_port is none: a worker that is given none tells nobody how it is",
                "tidemark worker --metrics-port 9100",
            )
        )
    if settings.topics.replication == 1:
        weak.append(
            warning(
                "settings.replication",
                "topics.replication is 1: topics are created with one copy",
                "TIDEMARK_TOPICS__REPLICATION=3 on a cluster",
            )
        )
    yield from weak or [ok("settings", "none is weak")]
