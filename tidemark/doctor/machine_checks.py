"""Judges what was found of this machine: model, device, disk and clocks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.doctor.findings import failed, not_applicable, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidemark.doctor.findings import Finding

__all__ = [
    "ClockFacts",
    "DeviceFacts",
    "DiskFacts",
    "ModelFacts",
    "check_clocks",
    "check_device",
    "check_disk",
    "check_model",
]

_GIBIBYTE = 1024**3
_FAST_BF16 = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The encoder's model.

    Attributes:
        model: the setting.
        folder: where its files are; empty of one that has none.
        error: why it cannot be used.
        megabytes: of its weights.
        encode_seconds: for one text, where it was tried.
        dim: of its vectors, where it was tried.
    """

    model: str
    folder: str = ""
    error: str = ""
    megabytes: float = 0.0
    encode_seconds: float | None = None
    dim: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What computes.

    Attributes:
        wanted: the setting encoder.device.
        cuda: names of the devices that torch sees.
        flags: of the processor, as torch tells them.
        cores: that this process may use.
        threads: that the encoder would use.
        precision: the setting encoder.precision.
        error: why torch cannot be loaded.
    """

    wanted: str
    cuda: Sequence[str] = ()
    flags: frozenset[str] = frozenset()
    cores: int = 1
    threads: int = 1
    precision: str = "auto"
    error: str = ""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The state folder.

    Attributes:
        folder: its path.
        error: why nothing can be written there.
        free: bytes.
        snapshots: bytes of the snapshots that are there.
        cache: bytes that the cache on disk may still grow by.
    """

    folder: str
    error: str = ""
    free: int = 0
    snapshots: int = 0
    cache: int = 0


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """Other clocks beside ours, in seconds; ahead of ours is positive.

    Attributes:
        service: the retrieval service's, by its header Date; None where it did not answer.
        broker_at_least: the broker's is so much ahead at least, by the time that it gave the newest
            profile; None where the broker gives no times or there is no profile.
        skew: that the settings allow for.
    """

    service: float | None = None
    broker_at_least: float | None = None
    skew: float = 300.0


def check_model(facts: ModelFacts) -> Iterator[Finding]:
    """Whether it is there, and encodes."""
    if facts.error:
        yield failed("model.files", facts.error, "name another by encoder.model, or install it")
        return
    if facts.folder:
        yield ok("model.files", f"{facts.model}: {facts.megabytes:,.0f} MB in {facts.folder}")
    else:
        yield ok("model.files", f"{facts.model} has no files")
    if facts.encode_seconds is None:
        yield not_applicable("model.encodes", "not tried: say --deep")
    else:
        yield ok(
            "model.encodes",
            f"a text became {facts.dim} numbers in {facts.encode_seconds * 1000:,.0f} ms",
        )


def check_device(facts: DeviceFacts) -> Iterator[Finding]:
    """Whether the device is there, and what it has."""
    if facts.error:
        yield failed("device.torch", facts.error, "pip install torch")
        return
    if facts.wanted == "cuda" and not facts.cuda:
        yield failed(
            "device.cuda",
            "encoder.device is cuda, and torch sees no CUDA device",
            "install the driver and a CUDA build of torch, or: TIDEMARK_ENCODER__DEVICE=auto",
        )
    elif facts.cuda and facts.wanted != "cpu":
        yield ok("device.cuda", ", ".join(facts.cuda))
    else:
        seen = "is not used: encoder.device is cpu" if facts.cuda else "none; the CPU encodes"
        yield not_applicable("device.cuda", seen)
    on_cpu = not facts.cuda or facts.wanted == "cpu"
    if on_cpu and facts.precision == "bfloat16" and not facts.flags.intersection(_FAST_BF16):
        yield warning(
            "device.bfloat16",
            "encoder.precision is bfloat16, which this processor emulates, up to 100 times slower",
            "TIDEMARK_ENCODER__PRECISION=auto",
        )
    elif on_cpu:
        fast = sorted(facts.flags.intersection(_FAST_BF16))
        yield ok("device.bfloat16", f"in hardware: {', '.join(fast)}" if fast else
                 "not in hardware: float32 is used")  # fmt: skip
    if on_cpu and facts.threads > facts.cores:
        yield warning(
            "device.threads",
            f"{facts.threads} threads on {facts.cores} cores wait for each other",
            f"TIDEMARK_ENCODER__THREADS={facts.cores}",
        )
    elif on_cpu:
        yield ok("device.threads", f"{facts.threads} threads, {facts.cores} cores")


def check_disk(facts: DiskFacts) -> Iterator[Finding]:
    """Whether it can be written, and has room for the next snapshots."""
    if facts.error:
        yield failed("disk.writable", f"{facts.folder}: {facts.error}", "name another by --state")
        return
    yield ok("disk.writable", facts.folder)
    # A snapshot is written whole before it takes the place of the one before.
    needed = 2 * facts.snapshots + facts.cache
    room = f"{facts.free / _GIBIBYTE:,.1f} GiB free, {needed / _GIBIBYTE:,.1f} needed at most for"
    room += " snapshots and the cache of vectors"
    if facts.free < facts.snapshots:
        yield failed("disk.space", room, "free space, or name another folder by --state")
    elif facts.free < max(needed, _GIBIBYTE):
        yield warning(
            "disk.space", room, "free space, or lower TIDEMARK_ENCODER__DISK_CACHE_MEBIBYTES"
        )
    else:
        yield ok("disk.space", room)


def check_clocks(facts: ClockFacts) -> Iterator[Finding]:
    """Whether the clocks agree, as far as can be told."""
    mend = "run an NTP client on both: timedatectl set-ntp true"
    if facts.service is None:
        yield not_applicable("clock.service", "the retrieval service does not answer")
    else:
        yield _clock("clock.service", "the retrieval service's", facts.service, facts.skew, mend)
    if facts.broker_at_least is None:
        yield not_applicable(
            "clock.broker", "cannot be told: no profile bears a time of the broker's yet"
        )
    elif facts.broker_at_least > 0:
        yield _clock("clock.broker", "the broker's", facts.broker_at_least, facts.skew, mend)
    else:
        yield ok(
            "clock.broker",
            f"not ahead of ours (the newest profile was written {-facts.broker_at_least:,.0f} s "
            "ago by its clock); whether it is behind cannot be told",
        )


def _clock(check: str, whose: str, ahead: float, skew: float, mend: str) -> Finding:
    said = f"{whose} clock is {abs(ahead):,.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) > skew:
        return failed(check, f"{said}; more than limits.clock_skew_seconds = {skew:g}", mend)
    # The header Date has whole seconds.
    return warning(check, said, mend) if abs(ahead) > 2 else ok(check, said)  # noqa: PLR2004
