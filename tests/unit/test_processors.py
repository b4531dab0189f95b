"""A process in a container knows what it may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.processors import processors

BOUND = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("said", "many"),
    [
        ("max 100000\n", BOUND),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("150000 100000\n", min(2, BOUND)),
        ("100000000 100000\n", BOUND),
        ("", BOUND),
        ("what\n", BOUND),
    ],
)
def test_the_control_groups_share_counts(tmp_path: Path, said: str, many: int) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(said)
    assert processors(quota) == many


def test_without_a_control_group_all_count(tmp_path: Path) -> None:
    assert processors(tmp_path / "none") == BOUND
