"""The sequence model of the settings, refused where it is for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoders.spaces import same_space
from tidemark.errors import SettingsError
from tidemark.sequence_file import load_sequence

if TYPE_CHECKING:
    from store.sequence import SequenceProfile
    from tidemark.settings import Settings

__all__ = ["build_sequence"]


def build_sequence(settings: Settings, encoder_id: str) -> SequenceProfile | None:
    """What `retrieval.sequence` names; None where it names nothing.

    Args:
        settings: of everything.
        encoder_id: whose vectors are served.

    Raises:
        SequenceError: it cannot be read.
        SettingsError: it is of another encoder or policy, or looks further back than is kept.
    """
    file = settings.retrieval.sequence
    if file is None:
        return None
    found = load_sequence(file)
    policy = settings.policy.policy().identity
    kept = settings.memory.contributions
    for what, given, expected in (
        ("encoder", found.encoder_id, encoder_id),
        ("policy", found.policy, policy),
    ):
        fits = same_space(given, expected) if what == "encoder" else given == expected
        if not fits:
            raise SettingsError(
                f"retrieval.sequence: {file} was trained for the {what} {given}; the settings have "
                f"{expected}: train one for it with: tidemark train sequence"
            )
    if found.length > kept:
        raise SettingsError(
            f"retrieval.sequence: {file} looks at the last {found.length} actions, and "
            f"memory.contributions keeps {kept}: keep more, or train it with that setting"
        )
    return found
